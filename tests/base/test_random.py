import numpy as np

from mrcnn.base.random import as_rng, choose


def test_choose_never_repeats_items_and_returns_all_if_too_few():
    items = np.array([3, 5, 7, 11])
    rng = np.random.default_rng(0)
    for _ in range(20):
        chosen = choose(rng, items, 3)
        assert len(set(chosen.tolist())) == 3 and set(chosen.tolist()) < set(items.tolist())
    assert choose(rng, items, 4).tolist() == choose(rng, items, 9).tolist() == items.tolist()
    assert choose(rng, items, 0).tolist() == []


def test_as_rng_keeps_a_generator_and_seeds_a_new_one_from_numpy():
    rng = np.random.default_rng(0)
    assert as_rng(rng) is rng
    drawn = []
    for seed in (5, 5, 6):
        np.random.seed(seed)
        drawn.append(as_rng().integers(2**31))
    assert drawn[0] == drawn[1] != drawn[2]

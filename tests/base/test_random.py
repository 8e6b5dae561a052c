import numpy as np

from mrcnn.base.random import as_rng, choose


def test_choose_takes_no_item_twice_and_all_where_there_are_few():
    items = np.array([3, 5, 7, 11])
    rng = np.random.default_rng(0)
    for _ in range(20):
        chosen = choose(rng, items, 3)
        assert len(set(chosen.tolist())) == 3 and set(chosen.tolist()) < set(items.tolist())
    assert choose(rng, items, 4).tolist() == choose(rng, items, 9).tolist() == items.tolist()
    assert choose(rng, items, 0).tolist() == []


def test_a_given_generator_is_kept_and_none_follows_numpys_seed():
    rng = np.random.default_rng(0)
    assert as_rng(rng) is rng
    drawn = []
    for seed in (5, 5, 6):
        np.random.seed(seed)
        drawn.append(as_rng().integers(2**31))
    assert drawn[0] == drawn[1] != drawn[2]

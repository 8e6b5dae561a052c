"""The ablation: what each run changes, and its table."""
import pytest

from mrcnn.config import Config
from tests.benchmarks.scripts import benchmark

ablation = benchmark("ablation")


def test_a_run_differs_from_the_recipe_in_its_setting_alone():
    args = ablation.parse([])
    whole = ablation.settings(args, "modern", 3)
    assert whole["SEED"] == 3 and whole["IMAGE_MAX_DIM"] == 128 and whole["EMA_MOMENTUM"] == 0.998
    for name in ablation.SETTINGS:
        run = ablation.settings(args, name, 3)
        assert {key for key in whole if whole[key] != run[key]} == {name}, "the classic value is that of the recipe"
        assert run[name] == getattr(Config, name)


@pytest.mark.parametrize("arguments", [[], ["--photographs", "folder"], ["--photographs", "folder", "--start", "none"]])
def test_each_run_has_a_valid_configuration(arguments):
    args = ablation.parse(arguments)
    for name in ("modern", *ablation.SETTINGS):
        ablation.common.config(NUM_CLASSES=4, **ablation.settings(args, name, 0)).validate()


def test_random_weights_train_batch_norm_and_imagenet_weights_freeze_it():
    photographs = ["--photographs", "folder"]
    assert ablation.settings(ablation.parse(photographs), "modern", 0)["TRAIN_BN"] is False
    assert ablation.settings(ablation.parse([*photographs, "--start", "none"]), "modern", 0)["TRAIN_BN"] is None


def row(setting, seed, ap):
    return {"setting": setting, "seed": seed, "metrics": {"mask_AP": ap, "mask_AP50": ap + 0.1}}


def test_table_sorts_settings_by_their_mean_change_and_leaves_out_incomplete_ones():
    rows = [row("modern", 0, 0.5), row("modern", 1, 0.7), row("A", 0, 0.6), row("A", 1, 0.7), row("B", 0, 0.3),
            row("B", 1, 0.7), row("C", 0, 0.1)]  # fmt: skip
    assert ablation.table(rows, [0, 1])[2:] == ["| none: `modern` | 0.500 | 0.700 | 0.600 | 0.700 |  |",
                                                "| `B` | 0.300 | 0.700 | 0.500 | 0.600 | -0.100 |",
                                                "| `A` | 0.600 | 0.700 | 0.650 | 0.750 | +0.050 |"]  # fmt: skip


def test_results_are_read_back_and_a_missing_file_has_none(tmp_path):
    assert ablation.read(str(tmp_path / "none.jsonl")) == []
    (tmp_path / "some.jsonl").write_text('{"setting": "A", "seed": 1}\n{"setting": "B", "seed": 2}\n')
    assert [r["setting"] for r in ablation.read(str(tmp_path / "some.jsonl"))] == ["A", "B"]

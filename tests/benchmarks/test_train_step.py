"""The parts of the training-step benchmark that look into the network, on a small one."""
from tests.benchmarks.scripts import benchmark
from tests.training.small import batch_of, small_model

bench_train_step = benchmark("bench_train_step")


def test_floor_and_positive_rois_of_a_small_network(tmp_path):
    model = small_model("training", tmp_path)
    assert bench_train_step.floor(model.keras_model, size=64, batch_size=2, trained=4)() > 0
    positives = bench_train_step.positive_rois(model.keras_model, batch_of(model.config))
    assert 0 <= positives <= 2 * model.config.TRAIN_ROIS_PER_IMAGE

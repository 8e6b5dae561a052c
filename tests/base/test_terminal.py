"""The clock of progress bars, and speeds as text."""
import pytest
from rich.progress import Progress

from mrcnn.base.terminal import Clock, speed_text


@pytest.mark.parametrize("speed, text", [
    (None, ""), (0.0, ""), (12.34, "12.3/s"), (0.5, "0.5/s"), (0.25, "4.0 s each")])  # fmt: skip
def test_speed_text(speed, text):
    assert speed_text(speed) == text


def test_clock_shows_the_remaining_time_once_it_is_known():
    now = [100.0]
    bar = Progress(get_time=lambda: now[0])
    bar.add_task("", total=6)
    (task,) = bar.tasks
    now[0] += 65
    assert Clock().render(task).plain == "0:01:05"
    for _ in range(2):  # 10 s per item, and four items left
        now[0] += 10
        bar.advance(task.id)
    assert Clock().render(task).plain == "0:00:40 left"
    bar.update(task.id, completed=6)
    assert Clock().render(task).plain == "0:01:25"

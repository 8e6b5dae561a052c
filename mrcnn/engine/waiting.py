"""What is shown while a user waits: the words of the first step, a speed in words, and a clock for bars."""

from rich.progress import ProgressColumn
from rich.text import Text

# said at the start of the first step, in which a backend compiles the graph
COMPILING = "compiling the first step, a minute or two"


def first_step():
    """Say how the first step begins, with Keras's backend as it is: str, or None on PyTorch, which compiles nothing."""
    import keras

    return None if keras.backend.backend() == "torch" else COMPILING


def told_speed(speed):
    """Say a speed in items a second, or in seconds an item where one takes longer: str.

    Args:
        speed: float, items a second; None where it is not known.
    """
    if not speed:
        return ""
    return f"{speed:.1f}/s" if speed >= 0.5 else f"{1 / speed:.1f} s each"


class Clock(ProgressColumn):
    """The time left where it can be told, and the time gone by where it cannot, and at the end."""

    max_refresh = 0.5

    def render(self, task):
        """Show the time of a task of `rich.progress`. Returns: rich.text.Text."""
        is_left = not task.finished and task.time_remaining is not None
        seconds = int(task.time_remaining if is_left else task.finished_time or task.elapsed or 0)
        told = f"{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
        return Text(f"{told} left" if is_left else told, style="progress.remaining" if is_left else "progress.elapsed")

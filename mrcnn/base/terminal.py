"""Shared parts of terminal progress bars: a clock, and a speed as text. It imports rich, so import it only where it is used."""

from rich.progress import ProgressColumn, Task
from rich.text import Text


class Clock(ProgressColumn):
    """The remaining time if known, otherwise the elapsed time."""

    max_refresh = 0.5

    def render(self, task: Task) -> Text:
        """Return the time of a task as text."""
        is_left = not task.finished and task.time_remaining is not None
        text = clock_text((task.time_remaining if is_left else task.finished_time or task.elapsed) or 0)
        return Text(f"{text} left" if is_left else text, style="progress.remaining" if is_left else "progress.elapsed")


def clock_text(seconds: float) -> str:
    """Format a duration in hours, minutes and seconds: "1:02:03"."""
    whole = int(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def speed_text(speed: float | None) -> str:
    """Format a speed in items per second, such as "3.1/s", or "2.0 s each" for a low speed; "" for None."""
    if not speed:
        return ""
    return f"{speed:.1f}/s" if speed >= 0.5 else f"{1 / speed:.1f} s each"

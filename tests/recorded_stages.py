"""Records the stages and calls of a progress protocol, and checks that they are valid for a progress bar."""
from contextlib import contextmanager


class RecordedStages:
    """See `mrcnn.base.progress`.

    Attributes:
        reported: list of (name of the stage, list of (done, total)), in their order.
    """

    def __init__(self):
        self.reported, self._open = [], []

    @contextmanager
    def __call__(self, what):
        calls = []
        self.reported.append((what, calls))
        self._open.append(calls)

        def show(done, total):
            assert calls in self._open, f"{what}: reported after the stage ended"
            assert 0 < done <= total, f"{what}: {done} of {total}"
            assert not calls or (calls[-1][0] < done and calls[-1][1] == total), f"{what}: {done} of {total} after {calls[-1]}"
            calls.append((done, total))

        yield show
        assert self._open.pop() is calls
        assert not calls or calls[-1][0] == calls[-1][1], f"{what}: ended at {calls[-1]}"

    @property
    def names(self):
        """The names of the stages: list of str."""
        return [what for what, _ in self.reported]

    def of(self, what):
        """The calls of the stages with this name: list of lists of (done, total)."""
        return [calls for name, calls in self.reported if name == what]

    def during(self, what, function):
        """Wrap a function that does the work of a stage, and check that the stage is open and its bar not full."""

        def wrapped(*args, **kwargs):
            last = self.reported[-1:]
            assert self._open and last == [(what, self._open[-1])], f"not in the stage {what!r}, but {last}"
            calls = self._open[-1]
            assert not calls or calls[-1][0] < calls[-1][1], f"{what}: full before the work is done"
            result = function(*args, **kwargs)
            assert not calls or calls[-1][0] < calls[-1][1], f"{what}: full before the work is done"
            return result

        return wrapped

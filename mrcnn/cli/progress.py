"""Progress of commands that start with the compilation of the network."""

from mrcnn.base.progress import Stages, progress_bar


def compiling_first() -> Stages:
    """Return a `progress_bar` whose first stage says that it begins by compiling the network. Loads Keras."""
    from mrcnn.training.progress import first_step

    firsts = iter([first_step()])
    return lambda what: progress_bar(what, next(firsts, None))

"""Batches made ahead of the training step, by threads."""

from collections import deque
from concurrent.futures import ThreadPoolExecutor

# Batches made ahead for each worker: enough to bridge a slow image, little enough to keep memory flat.
AHEAD = 2


def stream(make_batch, first=0, workers=2, period=None):
    """Yield (batch,) for one step after another without end, in order, whatever the number of workers.

    Args:
        make_batch: callable(int step) -> tuple of arrays. Must be thread-safe.
        first: int. Step to begin with.
        workers: int. Threads; 0 makes each batch when it is asked for.
        period: int, optional. Begin again with `first` after so many steps, for validation.

    Yields:
        (batch,): what Keras takes as inputs without targets.
    """
    def step_at(count):
        return first + (count if period is None else count % period)

    if workers < 1:
        count = 0
        while True:
            yield (make_batch(step_at(count)),)
            count += 1
    pool = ThreadPoolExecutor(workers, thread_name_prefix="mrcnn-loader")
    try:
        pending, count = deque(), 0
        while True:
            while len(pending) < workers * AHEAD:
                pending.append(pool.submit(make_batch, step_at(count)))
                count += 1
            yield (pending.popleft().result(),)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)

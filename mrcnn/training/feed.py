"""Batches made ahead of the training step, by threads; `mrcnn.loading.loader_pool` makes them by processes."""

from collections import deque
from concurrent.futures import ThreadPoolExecutor

import keras

# Batches made ahead for each worker: enough to bridge a slow image, little enough to keep memory flat.
AHEAD = 2


class Remembering:
    """Make batches, and remember the error that stopped it: TensorFlow wraps it in two pages of its own.

    Args:
        make_batch: callable(int step) -> tuple of arrays.

    Attributes:
        error: Exception or None. The first one raised.
    """

    def __init__(self, make_batch):
        self.make_batch = make_batch
        self.error = None

    def __call__(self, step):
        """Make the batch of a step."""
        try:
            return self.make_batch(step)
        except Exception as error:
            self.error = self.error or error
            raise

    def close(self):
        """End what makes the batches, where it has processes to end."""
        if hasattr(self.make_batch, "close"):
            self.make_batch.close()


def stream(make_batch, first=0, workers=2):
    """Yield (batch,) for one step after another without end, in order, whatever the number of workers.

    Args:
        make_batch: callable(int step) -> tuple of arrays. Must be thread-safe.
        first: int. Step to begin with.
        workers: int. Threads; 0 makes each batch when it is asked for.

    Yields:
        (batch,): what Keras takes as inputs without targets.
    """
    step = first
    if workers < 1:
        while True:
            yield (make_batch(step),)
            step += 1
    pool = ThreadPoolExecutor(workers, thread_name_prefix="mrcnn-loader")
    try:
        pending = deque()
        while True:
            while len(pending) < workers * AHEAD:
                pending.append(pool.submit(make_batch, step))
                step += 1
            yield (pending.popleft().result(),)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


class FixedBatches(keras.utils.PyDataset):
    """The first batches of a loader, the same ones each time, for validation.

    Keras starts a generator anew for each validation with the batches that it peeked at and those that it had read
    ahead, so that each epoch would be validated on other images; what is asked for by position has no such memory.

    Args:
        make_batch: callable(int step) -> tuple of arrays. Must be thread-safe.
        count: int. Number of batches.
        workers: int. Threads; 0 makes each batch when it is asked for.
    """

    def __init__(self, make_batch, count, workers=2):
        super().__init__(workers=workers, max_queue_size=max(workers * AHEAD, 1))
        self.make_batch = make_batch
        self.count = count

    def __len__(self):
        return self.count

    def __getitem__(self, step):
        return (self.make_batch(step),)

"""The images of a data set, one after the other, with the instances that are to be written, read in processes if asked."""

import functools
from dataclasses import dataclass, field

from mrcnn.base.errors import DataError
from mrcnn.base.process_pool import available_cores, map_tasks
from mrcnn.tools.write.instances import instances_to_write

# images a task: sending one takes longer than reading a small one
_CHUNK = 16
# a process takes seconds to start; fewer images than this are read sooner without
_WORTHWHILE = 200


@dataclass
class ReadImage:
    """What was read of an image.

    Attributes:
        image_id: int. Position in the data set.
        instances: list of Instance; None when they cannot be loaded.
        left_out: list of (where, reason): instances that are not usable, and the image itself if it is not.
        told: list of (where, what): what its reader mended or has to say.
    """

    image_id: int
    instances: list | None = None
    left_out: list = field(default_factory=list)
    told: list = field(default_factory=list)


def read_image_instances(dataset, image_id):
    """Read the instances of an image, with what the reader notes meanwhile. Args: dataset: Dataset; image_id: int.

    Returns:
        ReadImage.
    """
    noted = [(getattr(dataset, name, []), into) for name, into in (("skipped", "left_out"), ("told", "told"))]
    before, read = [len(notes) for notes, _ in noted], ReadImage(image_id)
    try:
        read.instances = instances_to_write(dataset, image_id, read.left_out)
    except DataError as error:
        read.left_out.append((f"image {dataset.image_info[image_id]['id']}", str(error)))
    for (notes, into), length in zip(noted, before, strict=True):
        getattr(read, into)[:0] = notes[length:]
    return read


def read_instances(dataset, image_ids, workers=None, work=read_image_instances):
    """Read the instances of many images.

    Args:
        dataset: Dataset, prepared; where processes are used it is sent to each.
        image_ids: list of int.
        workers: int. Processes; 1 reads in this one, None takes one a processor core where there are many images.
        work: function (dataset, image_id) -> ReadImage at the top of a module, or a functools.partial of one.

    Yields:
        ReadImage of each, in the order of image_ids.
    """
    if workers is None:
        workers = available_cores() if len(image_ids) >= _WORTHWHILE else 1
    if len(image_ids) <= _CHUNK or _of_a_script(dataset):
        workers = 1
    yield from map_tasks(functools.partial(work, dataset), image_ids, workers, _CHUNK)


def _of_a_script(dataset):
    """Tell whether a data set's class stands in the script that runs, which other processes do not load: bool."""
    return "__main__" in (type(dataset).__module__, type(getattr(dataset, "base", None)).__module__)

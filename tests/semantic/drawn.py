"""Images of rectangles for the tests of semantic segmentation."""
from mrcnn.base.errors import DataError
from tests.loading.scenes import Scenes

RED, GREEN, BLUE = 1, 2, 3
# image 0: red, with blue over its lower right; image 1: green; image 2: nothing; image 3: a crowd of red; image 4: blue
SCENES = (
    [(RED, 4, 10, 24, 40), (BLUE, 14, 30, 34, 60)], [(GREEN, 0, 0, 10, 10)], [], [(-RED, 20, 0, 40, 60)],
    [(BLUE, 0, 0, 40, 2), (GREEN, 2, 2, 8, 8)],
)  # fmt: skip


class Broken(Scenes):
    """Image 1 and the masks of image 3 cannot be read."""

    def load_image(self, image_id):
        if image_id == 1:
            raise DataError("it is torn")
        return super().load_image(image_id)

    def load_mask(self, image_id):
        if image_id == 3:
            raise OSError("the disk is gone")
        return Scenes.load_mask(self, image_id)


AUGMENTATION = {"rotation_range": 30, "zoom_range": 0.3, "width_shift_range": 0.2, "horizontal_flip": True}

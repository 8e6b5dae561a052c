"""A small data set like those of users: images in memory, and only `load_mask` overridden."""

import numpy as np

from mrcnn.datasets.dataset import Dataset


class Scenes(Dataset):
    """Images of 40 x 60 (height, width) with the rectangles given to `add`."""

    def add(self, rectangles, height=40, width=60, source="scenes", **kwargs):
        """Add an image with rectangles, a list of (class_id, y1, x1, y2, x2)."""
        number = len(self.image_info)
        self.add_image(source, number, f"{number}.png", rectangles=rectangles, size=(height, width), **kwargs)
        return self

    def load_image(self, image_id):
        """Draw the rectangles in grey, with 50 times their class id as value."""
        info = self.image_info[image_id]
        image = np.full((*info["size"], 3), 10, np.uint8)
        for class_id, y1, x1, y2, x2 in info["rectangles"]:
            image[y1:y2, x1:x2] = 50 * abs(class_id)
        return image

    def load_mask(self, image_id):
        """Draw the rectangles as masks."""
        info = self.image_info[image_id]
        if not info["rectangles"]:
            return super().load_mask(image_id)
        masks = np.zeros((*info["size"], len(info["rectangles"])), bool)
        for i, (_, y1, x1, y2, x2) in enumerate(info["rectangles"]):
            masks[y1:y2, x1:x2, i] = True
        return masks, np.array([r[0] for r in info["rectangles"]], np.int32)


def scenes(*images, cls=Scenes):
    """Return a prepared data set with the classes red, green and blue, given the rectangles of each image."""
    dataset = cls()
    for class_id, name in enumerate(("red", "green", "blue"), start=1):
        dataset.add_class("scenes", class_id, name)
    for rectangles in images:
        dataset.add(rectangles)
    dataset.prepare()
    return dataset

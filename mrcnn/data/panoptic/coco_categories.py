"""The 133 categories of COCO's panoptic annotations: the 80 things of its instances, and 53 kinds of stuff.

Several of the finer kinds of an earlier release were put together into one; the names of those end in "-merged", or in
"-other" where they hold what has no kind of its own.
"""

from mrcnn.data.coco_names import CATEGORY_IDS, CLASS_NAMES
from mrcnn.data.panoptic.maps import number_categories

# (id, name)
STUFF = (
    (92, "banner"), (93, "blanket"), (95, "bridge"), (100, "cardboard"), (107, "counter"), (109, "curtain"),
    (112, "door-stuff"), (118, "floor-wood"), (119, "flower"), (122, "fruit"), (125, "gravel"), (128, "house"),
    (130, "light"), (133, "mirror-stuff"), (138, "net"), (141, "pillow"), (144, "platform"), (145, "playingfield"),
    (147, "railroad"), (148, "river"), (149, "road"), (151, "roof"), (154, "sand"), (155, "sea"), (156, "shelf"),
    (159, "snow"), (161, "stairs"), (166, "tent"), (168, "towel"), (171, "wall-brick"), (175, "wall-stone"),
    (176, "wall-tile"), (177, "wall-wood"), (178, "water-other"), (180, "window-blind"), (181, "window-other"),
    (184, "tree-merged"), (185, "fence-merged"), (186, "ceiling-merged"), (187, "sky-other-merged"),
    (188, "cabinet-merged"), (189, "table-merged"), (190, "floor-other-merged"), (191, "pavement-merged"),
    (192, "mountain-merged"), (193, "grass-merged"), (194, "dirt-merged"), (195, "paper-merged"),
    (196, "food-other-merged"), (197, "building-other-merged"), (198, "rock-merged"), (199, "wall-other-merged"),
    (200, "rug-merged"),
)  # fmt: skip


def coco_categories():
    """Give COCO's categories as a panoptic JSON lists them: dict id -> Category, 133 of them."""
    things = zip(CATEGORY_IDS[1:], CLASS_NAMES[1:], strict=True)
    return number_categories([(i, name, True) for i, name in things] + [(i, name, False) for i, name in STUFF])

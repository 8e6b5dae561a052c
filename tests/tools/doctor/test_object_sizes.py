import numpy as np
import pytest

from mrcnn.config import Config
from mrcnn.loading.object_sizes import InputSettings, fit, place_objects
from mrcnn.tools.doctor.annotations import Objects
from mrcnn.tools.doctor.findings import Findings
from mrcnn.tools.doctor.object_sizes import input_settings, measure, size_lines, smallest_side, suggest


def objects_of(*boxes, size=(512, 1024)):
    boxes = np.array(boxes, np.float32)
    return [Objects(boxes=[boxes], sizes=[size], areas=[(boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])])]


def test_defaults_equal_those_of_the_configuration():
    class Plain(Config):
        NAME = "plain"

    assert input_settings(None) == input_settings(Plain())
    assert input_settings(Plain().with_overrides({"RPN_ANCHOR_SCALES": [8, 16, 32, 64, 128]})).RPN_ANCHOR_SCALES[0] == 8


def test_matched_fractions_by_hand():
    # the centres are multiples of the strides: 80 and 32 have an IoU of 1, 50 has 32^2 / 50^2 and 50^2 / 80^2, both 0.4;
    # a strip of 4 x 64 overlaps the widest anchor of scale 32 (22.6 high) in 4 x 45.3: an IoU of 181 / 1099
    objects = objects_of([0, 472, 80, 552], [96, 480, 128, 512], [231, 487, 281, 537], [254, 480, 258, 544])
    findings = Findings()
    sizes = measure(objects, InputSettings(RPN_ANCHOR_SCALES=(32, 80, 1000, 1001, 1002)), findings)
    assert sizes["configured"]["share_0.5"] == sizes["configured"]["share_0.7"] == 0.5
    assert [f.kind for f in findings.kept] == ["anchors_miss"] and "50.0% of 4 objects" in findings.kept[0].message
    assert sizes["sides"] == {"< 8": 0, "8 to 16": 0, "16 to 32": 1, "32 to 64": 2, "64 to 128": 1, "128 to 256": 0,
                              "256 to 512": 0, ">= 512": 0}  # fmt: skip
    assert sizes["areas"] == {"small": 1, "medium": 3, "large": 0}


def test_better_scales_are_suggested():
    rng = np.random.default_rng(0)
    corner, side = rng.uniform(0, 900, (300, 2)), rng.uniform(9, 14, (300, 1))
    objects = objects_of(*np.concatenate([corner, corner + side], axis=1), size=(1000, 1000))
    settings = InputSettings(IMAGE_MIN_DIM=1024, IMAGE_MAX_DIM=1024)
    assert (fit(*place_objects(objects[0].boxes, objects[0].sizes, settings), settings) < 0.5).mean() > 0.9
    suggested = suggest(objects, settings)
    assert suggested["share_0.5"] > 0.95 and suggested["IMAGE_MAX_DIM"] == 2048  # at most twice the size of the images


def test_fitting_scales_are_kept():
    sides = 2.0 ** np.arange(5, 10)
    boxes = [[512 - s / 2, 512 - s / 2, 512 + s / 2, 512 + s / 2] for s in sides] * 4
    suggested = suggest(objects_of(*boxes, size=(1024, 1024)), InputSettings(IMAGE_RESIZE_MODE="none"))
    assert suggested["RPN_ANCHOR_SCALES"] == [32, 64, 128, 256, 512] and suggested["share_0.7"] == 1


def test_size_of_photographs_is_kept():
    """800 x 600 photographs: the next multiples of 64 are 832 x 640; sides of 56 pixels need 800 / 130 * 56 = 345, thus 384."""
    objects = objects_of(*[[0, 0, 130, 130]] * 20, size=(600, 800))
    sizes = measure(objects, InputSettings(), Findings())
    assert (sizes["suggested"]["IMAGE_MAX_DIM"], sizes["suggested"]["IMAGE_MIN_DIM"]) == (832, 640)
    assert sizes["smallest_side"] == smallest_side(objects) == 384
    assert any("IMAGE_MAX_DIM=384 is the smallest size" in line for line in size_lines(sizes))


@pytest.mark.parametrize("size, side, smallest, suggested", [
    ((3000, 4000), 400, 576, 1024),  # large photographs, large objects: 56 pixels need 560
    ((3000, 4000), 150, 1536, 1536),  # large photographs, small objects: 56 pixels need 1493
    ((100, 100), 80, 128, 128),  # tiny images
    ((100, 100), 20, 256, 256),  # tiny images, small objects: 56 pixels need 280, but twice the image size is 200
])  # fmt: skip
def test_suggested_image_size_depends_on_images_and_objects(size, side, smallest, suggested):
    sizes = measure(objects_of(*[[0, 0, side, side]] * 20, size=size), InputSettings(), Findings())
    assert (sizes["smallest_side"], sizes["suggested"]["IMAGE_MAX_DIM"]) == (smallest, suggested)
    assert any("smallest size" in line for line in size_lines(sizes)) == (smallest < suggested)


def test_fitting_image_size_is_kept():
    # the images are 1000 wide, the next multiple of 64 is 1024, and 3 / 4 of it is 768
    objects = objects_of(*[[0, 0, 55, 55]] * 20, size=(750, 1000))
    sizes = [(row["IMAGE_MIN_DIM"], row["IMAGE_MAX_DIM"]) for row in (
        suggest(objects, InputSettings(IMAGE_MIN_DIM=least)) for least in (800, 400))]  # fmt: skip
    assert sizes == [(800, 1024), (768, 1024)]


def test_measure_without_objects():
    assert measure([Objects()], InputSettings(), Findings()) == {"objects": 0}

"""Annotated images as files and as a page."""
import base64
import re

import cv2
import numpy as np

import mrcnn.datasets
from mrcnn.base.errors import DataError
from mrcnn.tools.view import files
from mrcnn.tools.view.files import ViewPart, write_page, write_pictures
from mrcnn.tools.view.statistics import dataset_statistics
from tests.datasets.cocolvis_sets import MAPPING, entry, write_set
from tests.loading.scenes import Scenes, scenes
from tests.recorded_stages import RecordedStages

RED, GREEN = (1, 5, 10, 25, 50), (2, 20, 0, 40, 30)


class Broken(Scenes):
    """The second image cannot be read."""

    def load_image(self, image_id):
        if image_id == 1:
            raise DataError("1.png <is> missing")
        return super().load_image(image_id)


def test_each_image_has_a_picture_and_all_are_on_a_sheet(tmp_path):
    dataset = scenes([RED], [GREEN])
    paths, skipped = write_pictures(dataset, [0, 1], tmp_path / "out", dataset_statistics(dataset))
    assert [path.name for path in paths] == ["counts.csv", "statistics.png", "0.jpg", "1.jpg", "sheet.png"] and not skipped
    assert {path.name for path in (tmp_path / "out").iterdir()} == {p.name for p in paths}
    for path in paths[1:]:
        assert cv2.imread(str(path)).std() > 5, f"{path.name} is blank"


def test_an_image_of_cocolvis_also_gets_its_layers_with_their_mask_ids(tmp_path, monkeypatch):
    dataset = mrcnn.datasets.open(write_set(tmp_path / "set", {"000000000036": entry()}))
    drawn, save = {}, files._save

    def record(figure, path):
        drawn[path.name] = [text.get_text() for ax in figure.axes for text in [ax.title, *ax.texts]]
        return save(figure, path)

    monkeypatch.setattr(files, "_save", record)
    paths, skipped = write_pictures(dataset, [0], tmp_path / "out")
    assert [path.name for path in paths] == ["000000000036.jpg", "000000000036_layers.png", "sheet.png"] and not skipped
    texts = drawn["000000000036_layers.png"]
    assert "image 000000000036: 4 objects, 1 stuff" in texts
    # object (mask id), as objs_mapping has them
    assert {f"{i} ({number})" for i, (_, number) in enumerate(MAPPING)} <= set(texts)
    page = tmp_path / "page.html"
    assert not write_page(page, [ViewPart("", dataset, [0], dataset_statistics(dataset))], title="set")
    text = page.read_text()
    assert text.count("<img ") == 2 and 'alt="layers of 000000000036"' in text


def test_more_images_give_more_sheets(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "SHEET", 2)
    paths, _ = write_pictures(scenes([RED], [GREEN], []), [0, 1, 2], tmp_path)
    assert [path.name for path in paths[3:]] == ["sheet.png", "sheet_2.png"]


def test_stages_end_after_pictures_and_sheets_are_written(tmp_path, monkeypatch):
    stages = RecordedStages()
    monkeypatch.setattr(files, "SHEET", 2)
    monkeypatch.setattr(files, "draw_annotations", stages.during("drawing pictures", files.draw_annotations))
    monkeypatch.setattr(files, "view_figure", stages.during("drawing sheets", files.view_figure))
    monkeypatch.setattr(files, "_save", stages.during("drawing sheets", files._save))
    write_pictures(scenes([RED], [GREEN], []), [0, 1, 2], tmp_path, progress=stages)
    assert stages.reported == [("drawing pictures", [(1, 3), (2, 3), (3, 3)]), ("drawing sheets", [(1, 3), (2, 3), (3, 3)])]


def test_file_names_are_safe_and_unique(tmp_path):
    dataset = scenes([RED], [RED], [RED], [RED])
    for info, name in zip(dataset.image_info, ("day/a", "day_a", "../up", "Äpfel 1")):
        info["id"] = name
    paths, _ = write_pictures(dataset, dataset.image_ids, tmp_path)
    assert [path.name for path in paths[:4]] == ["day_a.jpg", "day_a_2.jpg", "_up.jpg", "Äpfel_1.jpg"]
    assert all(path.parent == tmp_path and path.exists() for path in paths)


def test_an_image_that_cannot_be_read_is_reported_and_the_others_are_drawn(tmp_path):
    dataset = scenes([RED], [RED], cls=Broken)
    for info in dataset.image_info:
        info.update(height=40, width=60)
    paths, skipped = write_pictures(dataset, [0, 1], tmp_path)
    assert [path.name for path in paths] == ["0.jpg", "sheet.png"] and skipped == {1: "1.png <is> missing"}


def _page(tmp_path, *datasets, progress=None):
    parts = [ViewPart(name, dataset, list(dataset.image_ids), dataset_statistics(dataset))
             for name, dataset in zip(("train", "val"), datasets)]
    skipped = write_page(tmp_path / "page.html", parts, title="toys & more", progress=progress)
    return (tmp_path / "page.html").read_text(encoding="utf-8"), skipped


def test_page_has_pictures_and_counts_of_each_subset(tmp_path):
    text, skipped = _page(tmp_path, scenes([RED], [GREEN]), scenes([]))
    assert "<h1>toys &amp; more</h1>" in text and text.index("<h2>train</h2>") < text.index("<h2>val</h2>")
    assert "2 images, 0 without objects; 2 instances" in text and "no objects" in text and not skipped
    pictures = re.findall(r'src="data:image/jpeg;base64,([^"]+)" alt="([^"]*)"', text)
    assert [alt for _, alt in pictures] == ["1 red", "1 green", "no objects"]
    first = cv2.imdecode(np.frombuffer(base64.b64decode(pictures[0][0]), np.uint8), cv2.IMREAD_COLOR)
    assert first.shape == (320, 480, 3)
    assert "://" not in text and "<script" not in text


def test_pictures_of_all_subsets_are_one_stage(tmp_path, monkeypatch):
    stages = RecordedStages()
    monkeypatch.setattr(files, "_page_figure", stages.during("drawing pictures", files._page_figure))
    _page(tmp_path, scenes([RED], [GREEN]), scenes([]), progress=stages)
    assert stages.reported == [("drawing pictures", [(1, 3), (2, 3), (3, 3)])]


def test_a_page_escapes_names_and_reports_what_cannot_be_read(tmp_path):
    dataset = scenes([RED], [RED], cls=Broken)
    dataset.class_names[1] = "<b>red"
    for info in dataset.image_info:
        info.update(height=40, width=60)
    text, skipped = _page(tmp_path, dataset)
    assert "&lt;b&gt;red" in text and "<b>red" not in text
    assert "1.png &lt;is&gt; missing" in text and skipped == {1: "1.png <is> missing"}

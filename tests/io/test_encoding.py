"""Text in other encodings: what is proposed, and what is read."""
import json

import pytest

from mrcnn.base.errors import DataError
from mrcnn.io.encoding import EncodingError, to_utf8
from mrcnn.io.json_fields import json_outline, read_json


def content_of(label, encoding):
    return json.dumps({"shapes": [{"label": label}], "imagePath": "1.jpg"}, ensure_ascii=False).encode(encoding)


@pytest.mark.parametrize("label, encoding, proposed", [
    ("汽车", "gb18030", "gb18030, which reads '汽车'"), ("行人", "gbk", "gb18030, which reads '行人'"),
    ("人間", "shift_jis", "shift_jis, which reads '人間'"), ("자동차", "euc_kr", "euc_kr, which reads '자동차'"),
    ("汽車", "big5", "big5, which reads '汽車'"), ("машина", "cp1251", "cp1251, which reads 'машина'"),
    ("Käfer", "cp1252", "such as cp1252, which reads 'ä'"), ("niño", "latin-1", "such as cp1252, which reads 'ñ'"),
])  # fmt: skip
def test_the_encoding_is_proposed_with_what_it_reads(tmp_path, label, encoding, proposed):
    path = tmp_path / "a.json"
    path.write_bytes(content_of(label, encoding))
    with pytest.raises(EncodingError) as error:
        read_json(path)
    assert f"{path} is not UTF-8 text: give its encoding (encoding, --encoding), such as " in str(error.value)
    assert proposed in str(error.value) and "JSON" not in str(error.value)
    assert read_json(path, encoding=encoding)["shapes"][0]["label"] == label
    # the format is recognised before the encoding is known, and reading it so keeps nothing that is wrong
    assert json_outline(path) == {"shapes": frozenset(["label"]), "imagePath": frozenset()}
    assert read_json(path, encoding=encoding)["shapes"][0]["label"] == label


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_unicode_needs_no_option_and_takes_no_harm_from_one(tmp_path, encoding):
    path = tmp_path / "a.json"
    path.write_bytes(content_of("汽车", encoding))
    assert read_json(path)["shapes"][0]["label"] == read_json(path, encoding="gb18030")["shapes"][0]["label"] == "汽车"


@pytest.mark.parametrize("encoding", ["ascii", "shift_jis", "klingon"])
def test_a_wrong_encoding(encoding):
    with pytest.raises(EncodingError, match=f"a.txt cannot be read as {encoding}, .*: give its encoding .*, such as gb18030"):
        to_utf8(bytearray("一丁于車㐀".encode("gb18030")), "a.txt", encoding)


def test_bytes_without_any_reading():
    with pytest.raises(DataError, match=r"a is not UTF-8 text: give its encoding \(encoding, --encoding\)$"):
        to_utf8(bytearray(b"\xff\x81\x98"), "a")

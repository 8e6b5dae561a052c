"""Write docs/configuration.md from the comments that stand before the attributes in mrcnn/config.py.

    python docs/generate_configuration.py

A test fails where the page is not what this script would write.
"""

import ast
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # a clone that was not installed

import numpy as np

from mrcnn.config import COMPUTED, RESIZE_MODES, Config

PAGE, SOURCE = ROOT / "docs" / "configuration.md", ROOT / "mrcnn" / "config.py"

HEAD = """\
<!-- Written by docs/generate_configuration.py from the comments in mrcnn/config.py: change those, and run it again. -->
# Configuration

Everything that can be set stands in one class, `mrcnn.config.Config`. In Python, subclass it and pass an instance to
`MaskRCNN`; on the command line, `--set KEY=VALUE ...` changes any attribute of what a command starts from.

```python
from mrcnn.config import Config


class ToysConfig(Config):
    NAME = "toys"
    NUM_CLASSES = 1 + 3  # the background counts
    IMAGE_MIN_DIM = 512
    IMAGE_MAX_DIM = 512


config = ToysConfig()
config.validate()  # MaskRCNN does so too
```

```
mrcnn train shapes --set IMAGES_PER_GPU=4 RPN_ANCHOR_SCALES="(8,16,32,64,128)" OPTIMIZER=adam LEARNING_RATE=0.001
```

- **Defaults** are those of the classic implementation, and with them so are the numbers.
- **Checks** come before anything long starts: a misspelt name, a value of the wrong kind and values that contradict each
  other are an error that lists all that was found.
- **Where it is kept**: a run folder has it as `config.json`. `mrcnn evaluate`, `mrcnn predict` and `mrcnn train --weights
  last` read it from there. `Config.load(path)`, `config.save(path)`, `config.to_dict()` and `config.with_overrides({...})`
  do so in Python.
- **What the command line starts from** differs a little from the defaults for some formats, so that a first try works:
  `mrcnn train shapes` takes images of 128 pixels, small anchors and, from random weights, a small network; `mrcnn train
  lvis` up to 300 detections an image; and whatever starts from random weights trains the statistics of BatchNorm, and
  adds the boxes of the objects to the proposals (`GT_BOXES_AS_ROIS`).

An attribute of your own may have any other UPPERCASE name; it is kept with the rest.
"""
COMPUTED_HEAD = """\
## Computed
These follow from others and cannot be set.

| attribute | follows from |
|---|---|
"""


def read_sections(text):
    """Read the sections of the class body.

    Args:
        text: str. The source of mrcnn/config.py.

    Returns:
        list of (title, list of (names, comment lines)): attributes that share a comment stand together.

    Raises:
        ValueError: an attribute has no comment.
    """
    lines = text.splitlines()
    (config,) = [node for node in ast.parse(text).body if isinstance(node, ast.ClassDef) and node.name == "Config"]
    sections, last = [], None
    for node in config.body:
        if not isinstance(node, ast.Assign):
            continue
        name, above, number = node.targets[0].id, [], node.lineno - 2
        while lines[number].strip().startswith("#"):
            above.insert(0, lines[number].strip().removeprefix("#").removeprefix(" "))
            number -= 1
        if above and above[0].startswith("--- "):
            sections.append((above.pop(0).strip("- "), []))
        if above:
            sections[-1][1].append(([name], above))
        elif last == number:  # right below another attribute: its comment is for both
            sections[-1][1][-1][0].append(name)
        else:
            raise ValueError(f"{name} in mrcnn/config.py has no comment before it")
        last = node.end_lineno - 1
    return sections


def _shown(name):
    """Show the default of an attribute as it is written in Python: str."""
    value = getattr(Config, name)
    return repr(value.tolist() if isinstance(value, np.ndarray) else value)


def _told(lines):
    """Join the lines of a comment; one that explains a mode of resizing begins a line."""
    parts = []
    for line in lines:
        mode = re.match(rf"({'|'.join(RESIZE_MODES)}):\s+", line)
        if mode:
            parts.append(f"`{mode[1]}`: {line[mode.end():]}")
        elif parts:
            parts[-1] += " " + line.strip()
        else:
            parts.append(line)
    return "<br>".join(parts)


def make_page():
    """Make the page: str."""
    pieces = [HEAD]
    for title, groups in read_sections(SOURCE.read_text(encoding="utf-8")):
        pieces.append(f"\n## {title}\n| attribute | default | meaning |\n|---|---|---|\n")
        for names, comment in groups:
            defaults = "<br>".join(f"`{_shown(name)}`" for name in names)
            cells = "<br>".join(f"`{name}`" for name in names), defaults, _told(comment)
            pieces.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n")
    pieces.append("\n" + COMPUTED_HEAD + "".join(f"| `{name}` | {told} |\n" for name, told in COMPUTED.items()))
    return "".join(pieces)


if __name__ == "__main__":
    PAGE.write_text(make_page(), encoding="utf-8")
    print(f"Written: {PAGE}")

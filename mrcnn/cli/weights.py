"""`mrcnn weights`: list the published weights that can be used by name."""

import argparse
import textwrap

HELP = "list the published weights"
USAGE = "[NAME]"
EPILOG = """\
examples:
  mrcnn weights torchvision_v2
  mrcnn train labelme --dataset photographs --weights torchvision_v2
  mrcnn predict photo.jpg --weights detectron2_lsj_r50_400
A name stands for the weights wherever --weights takes a file, and sets the recipe, the backbone and what else they need. The
first use downloads the file to MRCNN_CACHE (default: ~/.cache/mrcnn) and verifies it. Without a connection, put it there."""
WIDTH = 80
_COLUMNS = "{:<24}{:<15}{:<10}{:>5}{:>6}{:>5}  {}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command to its parser."""
    parser.add_argument("name", nargs="?", metavar="NAME", help="only these weights, with their address and their file")


def run(args: argparse.Namespace) -> None:
    """Print the table, or everything about the weights of a name."""
    from mrcnn.weights.catalogue import CATALOGUE
    from mrcnn.weights.imagenet import IMAGENET

    if args.name is not None:
        _print_entry(args.name)
        return
    print("weights of whole networks, trained on COCO; AP of boxes and masks as the")
    print("publisher states it, on COCO 2017 val; megabytes\n")
    print(_COLUMNS.format("name", "recipe", "backbone", "boxes", "masks", "MB", "licence"))
    for name, entry in CATALOGUE.items():
        size = "-" if entry.size is None else round(entry.size / 1e6)
        print(_COLUMNS.format(name, entry.recipe, entry.backbone, entry.box_ap or "-", entry.mask_ap or "-", size,
                              entry.licence or "-"))  # fmt: skip
    print()
    print(textwrap.fill(f"imagenet: weights of the backbone alone, for BACKBONE {', '.join(IMAGENET)}.", WIDTH,
                        break_on_hyphens=False))  # fmt: skip
    print(textwrap.fill("-: not stated, or not verified. `mrcnn weights NAME` shows the address and the file.", WIDTH))


def _print_entry(name: str) -> None:
    from mrcnn.weights.catalogue import find

    entry = find(name)
    is_here = entry.path.is_file()
    rows = {
        "name": entry.name, "recipe": entry.recipe, "backbone": entry.backbone, "address": entry.url, "digest": entry.digest,
        "size": None if entry.size is None else f"{entry.size} bytes", "licence": entry.licence,
        "box AP": entry.box_ap, "mask AP": entry.mask_ap,
        "settings": ", ".join(f"{key}={value}" for key, value in entry.overrides.items()) or "those of the recipe",
        "file": f"{entry.path} ({'there' if is_here else 'the first use downloads it; without a connection, put it there'})",
    }  # fmt: skip
    for what, value in rows.items():
        print(f"{what + ':':<10}{'not stated' if value is None else value}")

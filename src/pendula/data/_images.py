"""Labelled images on the host: pixels as they are stored, classes, origin."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .._errors import DataError, ShapeError


@dataclasses.dataclass(frozen=True)
class Images:
    """Images of one size with one label each.

    **Shapes and units:** `pixels` `"image height width channel"` uint8, 0 is dark and
    255 bright; `labels` `"image"` int32, an index into `classes`.
    `name`: what tables call the set; `licence`: None where nobody stated one;
    `origin`: files, part, citation, what was done to the pixels.
    **Raises:** `ShapeError` for arrays that do not fit, `DataError` for pixels that
    are not uint8 or a label without a class.

    ```python
    >>> import numpy as np
    >>> from pendula.data import Images
    >>> pixels = np.zeros((3, 4, 4, 1), np.uint8)
    >>> two = Images(pixels, np.array([0, 1, 1]), ("zero", "one"))
    >>> len(two), two.shape, two.counts.tolist()
    (3, (4, 4, 1), [1, 2])

    ```
    """

    pixels: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]
    name: str = ""
    licence: str | None = None
    origin: dict[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        pixels, labels = np.asarray(self.pixels), np.asarray(self.labels)
        if pixels.ndim != 4 or labels.shape != pixels.shape[:1]:
            raise ShapeError(
                f"pixels {pixels.shape} and labels {labels.shape} do not fit; expected "
                "(image, height, width, channel) and (image,). Grey images have one "
                "channel: add an axis of size 1."
            )
        if pixels.dtype != np.uint8:
            raise DataError(
                f"pixels are {pixels.dtype}; expected uint8, 0 to 255. Scale and round "
                "them."
            )
        if 0 in pixels.shape:
            raise DataError(f"no images: pixels have shape {pixels.shape}.")
        if labels.dtype.kind not in "iu":
            raise DataError(f"labels are {labels.dtype}; expected whole numbers.")
        bad = np.flatnonzero((labels < 0) | (labels >= len(self.classes)))
        if bad.size:
            raise DataError(
                f"image {bad[0]} has the label {labels[bad[0]]}; with "
                f"{len(self.classes)} classes labels run from 0 to "
                f"{len(self.classes) - 1}. Check the labels, or name more classes."
            )
        object.__setattr__(self, "pixels", pixels)
        object.__setattr__(self, "labels", labels.astype(np.int32))
        object.__setattr__(self, "classes", tuple(self.classes))

    def __len__(self) -> int:
        """The number of images."""
        return len(self.labels)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of one image."""
        height, width, channels = self.pixels.shape[1:]
        return height, width, channels

    @property
    def counts(self) -> np.ndarray:
        """Images of each class, `"class"`."""
        return np.bincount(self.labels, minlength=len(self.classes))

    def select(self, which: ArrayLike) -> Images:
        """The images of these indices, in their order.

        **Raises:** `DataError` for an index that no image has, and for none at all.
        """
        index = np.asarray(which)
        if index.ndim != 1 or not index.size or index.dtype.kind not in "iu":
            raise DataError(
                f"indices {index.shape} of {index.dtype}; expected whole numbers, one "
                "an image that is asked for. Of a mask give numpy.flatnonzero."
            )
        bad = index[(index < 0) | (index >= len(self))]
        if bad.size:
            raise DataError(
                f"there is no image {bad.flat[0]}; the set has {len(self)}, from 0 on."
            )
        return dataclasses.replace(
            self, pixels=self.pixels[index], labels=self.labels[index]
        )

    def first(self, count: int) -> Images:
        """The first `count` images. **Raises:** `DataError` when there are fewer."""
        if not 1 <= count <= len(self):
            raise DataError(
                f"{count} images were asked for; {self.name or 'the set'} has "
                f"{len(self)}. Ask for 1 to {len(self)}."
            )
        return self.select(np.arange(count))

    def statistics(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of each channel, pixels in [0, 1]."""
        # exact and small: sums over the 256 grey levels
        levels = np.arange(256) / 255
        share = np.stack(
            [
                np.bincount(self.pixels[..., c].ravel(), minlength=256)
                for c in range(self.shape[2])
            ]
        )
        share = share / share.sum(axis=1, keepdims=True)
        mean = share @ levels
        spread = np.sqrt((share * (levels - mean[:, None]) ** 2).sum(axis=1))
        return mean, spread


@contextlib.contextmanager
def read_from(where: str | Path) -> Iterator[None]:
    """What does not fit in images of a file is told with its name."""
    try:
        yield
    except (DataError, ShapeError) as error:
        raise type(error)(f"{where}: {error}") from None


_MOST = 100_000  # far more classes than any set has


def numbered(labels: np.ndarray, where: str | Path) -> tuple[str, ...]:
    """Classes that go by the numbers of the labels, in a file that names none.

    **Raises:** `DataError` for labels that are no numbers of classes.
    """
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise DataError(
            f"{where}: labels {labels.shape} of {labels.dtype}; expected whole "
            "numbers, one an image. Give the file as it was distributed."
        )
    largest = int(labels.max(initial=0))
    if largest >= _MOST:
        raise DataError(
            f"{where}: a label is {largest}; no set has so many classes. Give the file "
            "of the labels, or copy it again."
        )
    return tuple(str(k) for k in range(largest + 1))

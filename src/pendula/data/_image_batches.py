"""Batches of images of one shape, the same ones for the same seed and step."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from .._checks import at_least, choice, fields_whole, whole
from .._errors import ConfigError, ShapeError
from ._images import Images
from ._shuffled import epoch_order


class ImageBatch(NamedTuple):
    """Images ready for a network.

    `x` `"batch height width channel"` float32, normalised; `y` `"batch"` int32;
    `weight` `"batch"` float32: 0 for an image that only fills the batch up, else 1.
    """

    x: np.ndarray
    y: np.ndarray
    weight: np.ndarray


@dataclasses.dataclass(frozen=True)
class Scaling:
    """How pixels become numbers: (pixel / 255 - `mean`) / `std`, a channel each.

    **Raises:** `ConfigError` for a spread that is not positive, or numbers that are not
    finite.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        finite = np.isfinite([*self.mean, *self.std]).all()
        fits = len(self.mean) == len(self.std) and all(s > 0 for s in self.std)
        if not (finite and fits):
            raise ConfigError(
                f"mean {self.mean} and std {self.std}: each channel needs one of "
                "both, finite, and std must be positive. Give a constant channel std 1."
            )

    @classmethod
    def of(cls, images: Images) -> Scaling:
        """The one that gives these images mean 0 and standard deviation 1."""
        mean, std = images.statistics()
        std = np.where(std > 0, std, 1.0)
        return cls(tuple(mean.tolist()), tuple(std.tolist()))

    def apply(self, pixels: np.ndarray) -> np.ndarray:
        """uint8 pixels `"... channel"` to float32 numbers for a network."""
        if pixels.shape[-1] != len(self.mean):
            raise ConfigError(
                f"images of {pixels.shape[-1]} channels and a scaling for "
                f"{len(self.mean)}. Take the scaling from a set of the same kind."
            )
        return self.numbers(np.divide(pixels, 255, dtype=np.float32))

    def numbers(self, unit: np.ndarray) -> np.ndarray:
        """Pixels in [0, 1], `"... channel"`, to the same numbers."""
        row = unit.shape[-2:]  # whole rows of pixels: three channels are a short loop
        mean, std = (
            np.broadcast_to(np.asarray(v, np.float32), row).ravel()
            for v in (self.mean, self.std)
        )
        out = unit.astype(np.float32).reshape(*unit.shape[:-2], -1)
        out -= mean
        out /= std
        return out.reshape(unit.shape)


def crop_and_flip(
    pixels: np.ndarray, rng: np.random.Generator, *, padding: int = 4, flip: bool = True
) -> np.ndarray:
    """Each image at a random place within a dark frame, half of them mirrored.

    **Shapes:** `pixels` `"image height width channel"`, and so is the result. The
    frame is `padding` pixels wide; the cut has the image's size.
    **Raises:** `ConfigError` for a negative padding; `ShapeError` for one image alone.
    **Source:** He, Zhang, Ren, Sun, Deep residual learning, 2016, section 4.2.

    ```python
    >>> import numpy as np
    >>> from pendula.data import crop_and_flip
    >>> one = np.arange(6, dtype=np.uint8).reshape(1, 2, 3, 1)
    >>> four = np.repeat(one, 4, axis=0)
    >>> out = crop_and_flip(four, np.random.default_rng(0), padding=0)
    >>> out[:, 0, :, 0].tolist()
    [[0, 1, 2], [2, 1, 0], [2, 1, 0], [2, 1, 0]]

    ```
    """
    at_least(0, padding=padding)
    if pixels.ndim != 4:
        raise ShapeError(
            f"pixels {pixels.shape}; expected (image, height, width, channel)."
        )
    count, height, width, _ = pixels.shape
    down, right = rng.integers(0, 2 * padding + 1, size=(2, count))
    mirrored = rng.random(count) < (0.5 if flip else 0.0)
    frame = ((0, 0), (padding, padding), (padding, padding), (0, 0))
    cuts = sliding_window_view(np.pad(pixels, frame), (height, width), (1, 2))
    out = np.moveaxis(cuts[np.arange(count), down, right], 1, -1)
    out[mirrored] = out[mirrored, :, ::-1]
    return np.ascontiguousarray(out)


@dataclasses.dataclass(frozen=True)
class ImageBatches:
    """The batch of every step of a training: `batches(step)`.

    Every epoch goes once through the images, in an order of its own. Order and
    augmentation are functions of (`seed`, step) alone, so that a resumed run sees the
    same batches.

    **Arguments:**
    - `images`, `scaling`: what is trained on, and how pixels become numbers.
    - `size`: images a batch; `last`: what becomes of the rest of an epoch that fills
      no batch, `"drop"` or `"pad"` (filled up by images of weight 0).
    - `padding`, `flip`: as in `crop_and_flip`; 0 and False: images as they are.

    **Raises:** `ConfigError` for a setting that cannot be used.
    """

    images: Images
    scaling: Scaling
    size: int = 128
    seed: int = 0
    last: str = "drop"
    padding: int = 0
    flip: bool = False

    def __post_init__(self) -> None:
        choice("last", self.last, ("drop", "pad"))
        fields_whole(self, size=0, seed=0, padding=0)
        least = len(self.images) if self.last == "drop" else self.size
        if not 1 <= self.size <= least:
            raise ConfigError(
                f"batches of {self.size} from {len(self.images)} images: no batch is "
                'full. Take a smaller size, or last "pad".'
            )

    @property
    def per_epoch(self) -> int:
        """Batches of one epoch."""
        whole, rest = divmod(len(self.images), self.size)
        return whole + (1 if rest and self.last == "pad" else 0)

    def __call__(self, step: int) -> ImageBatch:
        """The batch of that step, counted from 0 over all epochs."""
        epoch, place = divmod(step, self.per_epoch)
        order = epoch_order((self.seed, 0, epoch), len(self.images))
        which = order[place * self.size : (place + 1) * self.size]
        pixels = self.images.pixels[which]
        if self.padding or self.flip:
            rng = np.random.default_rng([self.seed, 1, step])
            pixels = crop_and_flip(pixels, rng, padding=self.padding, flip=self.flip)
        return _filled(self.scaling, pixels, self.images.labels[which], self.size)


def in_order(images: Images, scaling: Scaling, size: int) -> Iterator[ImageBatch]:
    """All images once, in their order, in batches of one shape: the last one is
    filled up by images of weight 0. **Raises:** `ConfigError` for an empty batch."""
    whole(1, size=size)
    cuts = [slice(k, k + size) for k in range(0, len(images), size)]
    return (
        _filled(scaling, images.pixels[cut], images.labels[cut], size) for cut in cuts
    )


def _filled(
    scaling: Scaling, pixels: np.ndarray, labels: np.ndarray, size: int
) -> ImageBatch:
    lack = size - len(labels)
    weight = np.concatenate([np.ones(len(labels)), np.zeros(lack)]).astype(np.float32)
    if lack:
        pixels = np.concatenate([pixels, np.repeat(pixels[:1], lack, axis=0)])
        labels = np.concatenate([labels, np.repeat(labels[:1], lack)])
    return ImageBatch(scaling.apply(pixels), labels, weight)

"""Compressed pictures become pixels, by Pillow."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np

from .._errors import DataError, DataWarning


def decode_pictures(
    pictures: Iterable[tuple[str, bytes]], count: int, mode: str = "RGB"
) -> np.ndarray:
    """Pixels `"image height width channel"` of JPEG or PNG files of one size.

    **Arguments:** `pictures`: name (for messages) and bytes of each; `count`: how many
    there are; `mode`: Pillow's, `"RGB"` or `"L"`.
    **Raises:** `DataError` for a picture that cannot be decoded, is far too large or
    has another size than the first, and for another number of them than `count`.

    Grey levels of 16 bits become 8 bits (over 257, rounded). **Warns:** `DataWarning`
    of the first picture that is transparent somewhere: its colours are taken as they
    are beneath.
    """
    from PIL import Image, UnidentifiedImageError

    out: np.ndarray | None = None
    k, clear = -1, ""
    for k, (name, raw) in enumerate(pictures):
        try:
            with Image.open(io.BytesIO(raw), formats=("JPEG", "PNG")) as picture:
                clear = clear or (name if _is_clear(picture) else "")
                one = np.asarray(_eight_bits(picture).convert(mode), np.uint8)
        except Image.DecompressionBombError:
            raise DataError(
                f"{name}: it says that it has hundreds of millions of pixels, so it is "
                "not decoded. Take it out, or scale it to the size of the others."
            ) from None
        except (UnidentifiedImageError, OSError, SyntaxError, ValueError):
            raise DataError(
                f"{name}: it cannot be decoded; it is cut short or no JPEG or PNG "
                "picture. Copy it again."
            ) from None
        one = one.reshape(*one.shape[:2], -1)
        if k == count:
            raise _miscounted(count, f"more than {count}")
        if out is None:
            out = np.empty((count, *one.shape), np.uint8)
        if one.shape != out.shape[1:]:
            raise DataError(
                f"{name}: {one.shape[0]} x {one.shape[1]} pixels, the first picture "
                f"{out.shape[1]} x {out.shape[2]}. All of a set need one size: scale "
                "them."
            )
        out[k] = one
    if out is None:
        raise DataError("there is no picture to decode.")
    if k + 1 < count:
        raise _miscounted(count, f"{k + 1}")
    if clear:
        warnings.warn(
            f"{clear}: it is transparent in places, and the colours beneath, which no "
            "viewer shows, are taken. Save such pictures upon a background.",
            DataWarning,
            stacklevel=2,
        )
    return out


def _is_clear(picture: Any) -> bool:
    """Whether some of a picture lets through what is behind it."""
    if "A" not in picture.getbands() and "transparency" not in picture.info:
        return False
    return picture.convert("RGBA").getchannel("A").getextrema()[0] < 255


def _eight_bits(picture: Any) -> Any:
    """Pillow's own way from 16 bits of grey to 8 cuts all levels off at 255."""
    from PIL import Image

    if not picture.mode.startswith("I"):
        return picture
    return Image.fromarray(np.round(np.asarray(picture) / 257).astype(np.uint8))


def _miscounted(count: int, found: str) -> DataError:
    return DataError(
        f"{found} pictures where {count} were announced. Give the count of those that "
        "there are."
    )

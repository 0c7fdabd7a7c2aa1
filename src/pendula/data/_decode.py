"""Compressed pictures become pixels, by Pillow."""

from __future__ import annotations

import io
from collections.abc import Iterable

import numpy as np

from .._errors import DataError


def decode_pictures(
    pictures: Iterable[tuple[str, bytes]], count: int, mode: str = "RGB"
) -> np.ndarray:
    """Pixels `"image height width channel"` of JPEG or PNG files of one size.

    **Arguments:** `pictures`: name (for messages) and bytes of each; `count`: how many
    there are; `mode`: Pillow's, `"RGB"` or `"L"`.
    **Raises:** `DataError` for a picture that cannot be decoded or has another size
    than the first.
    """
    from PIL import Image, UnidentifiedImageError

    out: np.ndarray | None = None
    for k, (name, raw) in enumerate(pictures):
        try:
            with Image.open(io.BytesIO(raw), formats=("JPEG", "PNG")) as picture:
                one = np.asarray(picture.convert(mode), np.uint8)
        except (UnidentifiedImageError, OSError, SyntaxError, ValueError):
            raise DataError(
                f"{name}: it cannot be decoded; it is cut short or no JPEG or PNG "
                "picture. Copy it again."
            ) from None
        one = one.reshape(*one.shape[:2], -1)
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
    return out

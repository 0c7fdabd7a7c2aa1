"""Named arrays in a file, read when they are asked for."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np

from .._errors import DataError
from ._cf import decode


@dataclasses.dataclass(frozen=True)
class Stored:
    """One array of a file: its shape and type are known, its values can be loaded
    while the file is open. `attrs` is what the file says about it, as NetCDF, HDF5
    and Zarr files do.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    load: Callable[[], np.ndarray]
    attrs: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def is_real(self) -> bool:
        """Whether it is an array of real numbers."""
        return self.dtype.kind in "fiub" and len(self.shape) > 0

    @property
    def unit(self) -> str:
        """The unit that the file states, or nothing."""
        return text(self.attrs.get("units", self.attrs.get("unit", ""))).strip()

    def numbers(self, place: str, name: str) -> np.ndarray:
        """The values, unpacked, with NaN where they are missing; integers stay so.

        **Raises:** `DataError` for what is not an array of real numbers.
        """
        if not self.is_real:
            raise DataError(
                f'{place}, array "{name}": {self.dtype} of shape {self.shape} is not '
                "an array of real numbers. Name another array."
            )
        return decode(self.load(), self.attrs)


Open = Callable[[Path], AbstractContextManager[Mapping[str, Stored]]]
"""What a format has to offer: a file's arrays by name, while it is open."""


def here(value: Any, attrs: Mapping[str, Any] | None = None) -> Stored:
    """An array that is in memory already."""
    array = np.asarray(value)
    return Stored(array.shape, array.dtype, lambda: array, attrs or {})


def text(value: Any) -> str:
    """A text as the libraries give it: str, bytes, or an array of one."""
    value = value.item() if isinstance(value, np.ndarray) and value.size == 1 else value
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def described(arrays: Mapping[str, Stored], most: int = 12) -> Iterator[str]:
    """Names and shapes, not too many."""
    for name in list(arrays)[:most]:
        yield f"{name} {arrays[name].shape}"
    if len(arrays) > most:
        yield f"and {len(arrays) - most} more"

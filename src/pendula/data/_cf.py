"""What attributes say about the numbers of an array: packed, missing, dated.

The attributes are those of the climate and forecast (CF) conventions, which NetCDF
files and the HDF5 and Zarr files of many programs follow.
**Source:** CF Conventions 1.11, sections 2.5, 4.4 and 8.1, cfconventions.org.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from .._errors import DataError


SECONDS = {
    "nanosecond": 1e-9,
    "microsecond": 1e-6,
    "millisecond": 1e-3,
    "second": 1.0,
    "minute": 60.0,
    "hour": 3600.0,
    "day": 86400.0,
    "week": 604800.0,
}
_SHORT = {
    "ns": "nanosecond",
    "us": "microsecond",
    "ms": "millisecond",
    "msec": "millisecond",
    "s": "second",
    "sec": "second",
    "min": "minute",
    "h": "hour",
    "hr": "hour",
    "d": "day",
}
_SINCE = re.compile(r"\s*(\w+)\s+since\s+(.+?)\s*")
_ALONE = re.compile(r"(?<![\d.])(\d)(?!\d)")  # a digit by itself, before the point
_STANDARD = ("standard", "gregorian", "proleptic_gregorian")


def decode(values: np.ndarray, attrs: Mapping[str, Any]) -> np.ndarray:
    """Stored numbers -> those that are meant; missing ones become NaN.

    Follows `_Unsigned`, `_FillValue`, `missing_value`, `valid_min`, `valid_max`,
    `valid_range` (all in stored numbers), then `scale_factor` and `add_offset`.
    Without any of them the values come back as they are.
    """
    kind = values.dtype
    values = _signed(values, kind, attrs)
    stored = lambda name: _signed(_numbers(attrs, name), kind, attrs)
    missing = np.zeros(values.shape, bool)
    for name in ("_FillValue", "missing_value"):
        fill = stored(name)
        if values.dtype.kind == "f":  # the same rounding on both sides
            fill = fill.astype(values.dtype)
        missing |= np.isin(values, fill)
    low, high, both = map(stored, ("valid_min", "valid_max", "valid_range"))
    if len(both) == 2:
        low, high = both[:1], both[1:]
    if len(low):
        missing |= values < low[0]
    if len(high):
        missing |= values > high[0]
    scale, offset = _numbers(attrs, "scale_factor"), _numbers(attrs, "add_offset")
    if not (missing.any() or len(scale) or len(offset)):
        return values
    out = np.where(missing, np.nan, values.astype(np.float64))
    out = out * scale[0] if len(scale) else out
    return out + offset[0] if len(offset) else out


def _signed(
    numbers: np.ndarray, kind: np.dtype, attrs: Mapping[str, Any]
) -> np.ndarray:
    """Whole numbers of the stored `kind` as what `_Unsigned` says that their bits
    are: files of old kinds have no type of their own for numbers without a sign."""
    said = str(np.asarray(attrs.get("_Unsigned", ""), np.str_)).lower()
    turned = {"true": ("i", "u"), "false": ("u", "i")}.get(said)
    if turned is None or kind.kind != turned[0] or numbers.dtype != kind:
        return numbers
    return numbers.view(kind.str.replace(*turned))


def _numbers(attrs: Mapping[str, Any], name: str) -> np.ndarray:
    """The numbers of an attribute; none when it is absent or no number."""
    found = np.ravel(np.asarray(attrs.get(name, [])))
    return found if found.dtype.kind in "fiub" else np.zeros(0)


def elapsed(
    place: str, values: np.ndarray, unit: str, calendar: str
) -> tuple[np.ndarray, str | None] | None:
    """Times such as "days since 2000-01-01" -> seconds since the first, and its date.

    The difference is formed before the unit is changed, so that nothing of it is
    lost; a day has 86400 s in every calendar. The date is None where it cannot be
    told. **Returns:** None when `unit` counts from no date. **Raises:** `DataError`
    for months, years, and unknown units.
    """
    match = _SINCE.fullmatch(unit)
    if match is None:
        return None
    word = match[1].lower()
    word = _SHORT.get(word) or _SHORT.get(word[:-1]) or word.removesuffix("s")
    if word not in SECONDS:
        raise DataError(
            f'{place}: the times are in "{unit}". Expected one of '
            f"{', '.join(f'{name}s' for name in SECONDS)}; years and months have no "
            "fixed length. Convert the times."
        )
    if not values.size:
        return values, None
    if values.dtype.kind in "iu":
        values = values.astype(np.int64)  # a difference of small types turns over
    first = values.flat[0]
    seconds = (values - first) * SECONDS[word]
    if not np.isfinite(first) or calendar.lower() not in _STANDARD:
        return seconds, None
    try:
        # 1800-1-1 00:00:0.0, without leading zeros, is common and not ISO 8601
        said = match[2].removesuffix("UTC").removesuffix("Z").strip()
        date, _, clock = said.replace("T", " ").partition(" ")
        year, *rest = (part.zfill(2) for part in date.split("-"))
        date = "-".join([year.zfill(4), *rest])
        clock = _ALONE.sub(r"0\1", clock).replace(" ", "")
        start = datetime.datetime.fromisoformat(f"{date} {clock}".strip())
        start += datetime.timedelta(seconds=float(first) * SECONDS[word])
    except (ValueError, OverflowError):
        return seconds, None
    return seconds, start.isoformat()

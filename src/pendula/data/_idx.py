"""IDX files, the format in which MNIST and its relatives are distributed."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np

from .._errors import DataError
from ._bytes import read_bytes
from ._images import Images, numbered, read_from


_GZIP = b"\x1f\x8b"
_TYPES = {
    0x08: np.dtype(np.uint8),
    0x09: np.dtype(np.int8),
    0x0B: np.dtype(">i2"),
    0x0C: np.dtype(">i4"),
    0x0D: np.dtype(">f4"),
    0x0E: np.dtype(">f8"),
}
_PREFIX = {"train": "train", "test": "t10k"}


def read_idx_array(path: str | Path) -> np.ndarray:
    """The array of one IDX file, plain or gzip-compressed.

    The format: two zero bytes, a byte for the type, a byte for the number of axes,
    each size as a big-endian 32-bit integer, then the values in C order.
    **Raises:** `DataError` for a file that is not there, cut short or no IDX file.
    **Source:** LeCun, Cortes, Burges, The MNIST database, section "file formats".
    """
    path = Path(path)
    raw = read_bytes(path)
    if raw[:2] == _GZIP:
        try:
            raw = gzip.decompress(raw)
        except (EOFError, OSError, zlib.error):
            raise _broken(path, "its gzip data are cut short or damaged") from None
    if len(raw) < 4 or raw[:2] != b"\0\0" or raw[2] not in _TYPES:
        raise _broken(path, f"it begins with the bytes {raw[:4].hex(' ') or 'none'}")
    kind, axes = _TYPES[raw[2]], raw[3]
    start = 4 + 4 * axes
    if len(raw) < start:
        raise _broken(path, "it ends within its header")
    shape = struct.unpack(f">{axes}I", raw[4:start])
    wanted = start + math.prod(shape) * kind.itemsize
    if len(raw) != wanted:
        raise _broken(path, f"{shape} values need {wanted} bytes, it has {len(raw)}")
    try:
        values = np.frombuffer(raw, kind, offset=start).reshape(shape)
    except ValueError as error:  # more axes, or larger ones, than an array can have
        raise _broken(path, f"its {axes} sizes make no array ({error})") from None
    return values.astype(kind.newbyteorder("="))


def read_idx(
    images: str | Path,
    labels: str | Path,
    *,
    classes: tuple[str, ...] | None = None,
    name: str = "",
) -> Images:
    """Images and labels from a pair of IDX files (MNIST, Fashion-MNIST, ...).

    **Arguments:** `classes`: names of the classes; default: their numbers.
    **Raises:** `DataError` for files that are broken or do not belong together.

    ```python
    >>> from pathlib import Path
    >>> from pendula.data import read_idx
    >>> size = lambda n: n.to_bytes(4, "big")
    >>> head = bytes([0, 0, 8, 3]) + size(2) + size(1) + size(2)
    >>> _ = Path("images").write_bytes(head + bytes([0, 255, 7, 8]))
    >>> _ = Path("labels").write_bytes(bytes([0, 0, 8, 1]) + size(2) + bytes([1, 0]))
    >>> two = read_idx("images", "labels")
    >>> two.pixels[..., 0].tolist(), two.labels.tolist()
    ([[[0, 255]], [[7, 8]]], [1, 0])

    ```
    """
    pixels, marks = read_idx_array(images), read_idx_array(labels)
    if pixels.dtype != np.uint8 or pixels.ndim != 3:
        raise DataError(
            f"{images}: an array {pixels.shape} of {pixels.dtype}; images are uint8 of "
            "shape (image, height, width). Give the file of the images first."
        )
    if marks.dtype.kind not in "iu" or marks.shape != pixels.shape[:1]:
        raise DataError(
            f"{labels}: an array {marks.shape} of {marks.dtype}; {images} needs "
            f"{len(pixels)} whole-number labels. Give the file that belongs to it."
        )
    if classes is None:
        classes = numbered(marks, labels)
    origin = {"files": [str(images), str(labels)]}
    with read_from(labels):
        return Images(pixels[..., None], marks, classes, name, None, origin)


def read_mnist(folder: str | Path, part: str = "train") -> Images:
    """MNIST, or a set packed like it, from the four IDX files of its distribution.

    **Arguments:** `folder`: holds `train-images-idx3-ubyte`, `t10k-labels-idx1-ubyte`
    and so on, with or without `.gz`; `part`: `"train"` or `"test"`.
    **Raises:** `DataError` for a part or file that is not there.
    """
    if part not in _PREFIX:
        raise DataError(f'MNIST has no part "{part}". Parts: {", ".join(_PREFIX)}.')
    head = _PREFIX[part]
    pair = [
        _one_of(Path(folder), f"{head}-{what}", f"idx{axes}-ubyte")
        for what, axes in (("images", 3), ("labels", 1))
    ]
    digits = tuple("0123456789")
    return read_idx(*pair, classes=digits, name="MNIST")


def _one_of(folder: Path, head: str, tail: str) -> Path:
    """The file under one of its usual names."""
    names = [
        f"{head}{dot}{tail}{packed}" for dot in ("-", ".") for packed in ("", ".gz")
    ]
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise DataError(
        f"{folder}: there is no {names[0]}, packed (.gz) or not. Expected the four IDX "
        "files of the set; check the folder."
    )


def _broken(path: Path, why: str) -> DataError:
    return DataError(
        f"{path}: the file is not a whole IDX file: {why}. Expected two zero bytes, "
        "type, number of axes, sizes and values. Copy it again, or give another file."
    )

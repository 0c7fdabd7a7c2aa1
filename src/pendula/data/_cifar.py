"""CIFAR-10 and CIFAR-100 in the binary version."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .._errors import ConfigError, DataError, nearest
from ._bytes import read_bytes, read_text
from ._images import Images


_PLANE = 32 * 32
_BATCHES = tuple(f"data_batch_{k}" for k in range(1, 6))
_FILES = {
    "CIFAR-10": {"train": _BATCHES, "test": ("test_batch",)},
    "CIFAR-100": {"train": ("train",), "test": ("test",)},
}
# what the pickled versions are packed in, or have beside their batches
_PICKLED = {
    "CIFAR-10": ("cifar-10-python.tar.gz", "cifar-10-batches-py", "batches.meta"),
    "CIFAR-100": ("cifar-100-python.tar.gz", "cifar-100-python"),
}
_NAMES = {"CIFAR-10": "batches.meta.txt", "CIFAR-100": "{}_label_names.txt"}
_DISTRIBUTED = {
    "CIFAR-10": "cifar-10-binary.tar.gz",
    "CIFAR-100": "cifar-100-binary.tar.gz",
}
_LABELS = {"CIFAR-10": ("fine",), "CIFAR-100": ("coarse", "fine")}
_CLASSES = {"CIFAR-10": (10,), "CIFAR-100": (20, 100)}


def read_cifar(
    folder: str | Path, part: str = "train", *, labels: str = "fine"
) -> Images:
    """CIFAR-10 or CIFAR-100 from the files of its binary version.

    A record is the label (CIFAR-100: the coarse and the fine one), a byte each, and
    then 1024 red, 1024 green and 1024 blue bytes, row by row.

    **Arguments:**
    - `folder`: the unpacked archive: `data_batch_1.bin` ... and `test_batch.bin`, or
      `train.bin` and `test.bin`.
    - `part`: `"train"` or `"test"`.
    - `labels`: of CIFAR-100: `"fine"` (100 classes) or `"coarse"` (20).

    **Raises:** `DataError` for files that are missing or cut short, and for the
    pickled Python version: unpickling a file can run any code that is in it.
    **Source:** Krizhevsky, Learning Multiple Layers of Features from Tiny Images,
    2009; the layout of the files as on the page of the data set.
    """
    folder = Path(folder)
    name = _which(folder)
    if part not in _FILES[name]:
        raise DataError(f'{name} has no part "{part}". Parts: train, test.')
    if labels not in _LABELS[name]:
        raise ConfigError(
            f'labels "{labels}": {name} has {", ".join(_LABELS[name])}.'
            f"{nearest(labels, _LABELS[name])}"
        )
    paths = [folder / f"{stem}.bin" for stem in _FILES[name][part]]
    records = np.concatenate([_records(path, name) for path in paths])
    heads, which = len(_LABELS[name]), _LABELS[name].index(labels)
    pixels = records[:, heads:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    marks = records[:, which]
    names = folder / _NAMES[name].format(labels)
    classes = _classes(names, int(marks.max()) + 1, _CLASSES[name][which])
    origin = {"files": [str(path) for path in paths], "part": part}
    return Images(np.ascontiguousarray(pixels), marks, classes, name, None, origin)


def _which(folder: Path) -> str:
    """Which of the two sets the folder holds."""
    for name, parts in _FILES.items():
        stems = [stem for part in parts.values() for stem in part]
        if any((folder / f"{stem}.bin").is_file() for stem in stems):
            return name
    for name, parts in _FILES.items():
        stems = [stem for part in parts.values() for stem in part]
        other = [folder / one for one in _PICKLED[name]]
        inside = any((folder / stem).is_file() for stem in stems)
        itself = folder.is_file() and folder.name in (*stems, *_PICKLED[name])
        if inside or itself or any(path.exists() for path in other):
            raise _pickled(folder, name)
    raise DataError(
        f"{folder}: there is neither data_batch_1.bin (CIFAR-10) nor train.bin "
        "(CIFAR-100) in it. Give the folder of the unpacked binary version."
    )


def _records(path: Path, name: str) -> np.ndarray:
    """The records of one file, `"record byte"`."""
    raw = read_bytes(path)
    size = len(_LABELS[name]) + 3 * _PLANE
    if raw[:1] == b"\x80" and raw[-1:] == b"." and len(raw) % size:
        raise _pickled(path, name)
    if not raw or len(raw) % size:
        raise DataError(
            f"{path}: {len(raw)} bytes are no whole number of {size}-byte records of "
            f"{name}. The file is cut short or another one; copy it again."
        )
    found = np.frombuffer(raw, np.uint8).reshape(-1, size)
    for column, (head, most) in enumerate(
        zip(_LABELS[name], _CLASSES[name], strict=True)
    ):
        largest = int(found[:, column].max())
        if largest >= most:
            raise DataError(
                f"{path}: a {head} label is {largest}; those of {name} run from 0 to "
                f"{most - 1}. The file is damaged or another one; copy it again."
            )
    return found


def _classes(path: Path, least: int, most: int) -> tuple[str, ...]:
    """Names of the classes; their numbers where the file of names is not there."""
    if not path.is_file():
        return tuple(str(k) for k in range(most))
    found = read_text(path).split()
    if len(found) < least:
        raise DataError(
            f"{path}: {len(found)} names for labels up to {least - 1}. Copy the file "
            "again, or remove it: the classes then go by their numbers."
        )
    return tuple(found)


def _pickled(path: Path, name: str) -> DataError:
    return DataError(
        f"{path}: this is the pickled Python version of {name}. A pickle can run code "
        f"when it is read, so it is refused. Take the binary version "
        f"({_DISTRIBUTED[name]}) from the page of the set."
    )

"""Named sets of images: found, decoded once, kept decoded in the cache folder."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from .._errors import DataError, nearest
from .._files import replacing
from ._bytes import digest
from ._cache import cache_folder
from ._decode import decode_pictures
from ._image_sets import IMAGE_SETS, ImageSet
from ._images import Images, numbered, read_from
from ._named import find_set, not_here
from ._npz import open_npz


_JPEG = ("jpeg", "offset", "label", "class_names")
_READERS = {  # of sets that have no name here
    "cifar100": "read_cifar",
    "fashionmnist": "read_mnist",
    "tinyimagenet": "read_image_folder",
    "tinyimagenet200": "read_image_folder",
}


def load_images(name: str, part: str = "train") -> Images:
    """A named set of images, such as `load_images("mnist", "test")`.

    The files are looked for in the folder that `PENDULA_DATA` names and in the cache
    folder; nothing is downloaded. Pixels that are stored as JPEG are decoded once and
    kept in the cache folder.

    **Arguments:** `name`: `"mnist"` or `"cifar10"` (the latter from files that were
    compressed anew as JPEG of quality 75, which its `name` says); `part`: `"train"`
    or `"test"`.
    **Raises:** `DataError` for an unknown name or part, for a set that is not there,
    and for files that are broken.
    """
    if name not in IMAGE_SETS:
        raise _unknown(name)
    entry = IMAGE_SETS[name]
    if part not in entry.parts:
        raise DataError(
            f'{entry.title} has no part "{part}". Parts: {", ".join(entry.parts)}.'
        )
    place = find_set(entry.files)
    if place is None:
        raise not_here(name, entry.parts[part])
    path = place / entry.parts[part]
    licence = entry.licence if (path.parent / "README.md").is_file() else None
    origin = {
        "named": name,
        "part": part,
        "files": [str(path)],
        "citation": entry.citation,
    }
    read = _pixels if entry.arrays == "pixels" else _jpeg
    pixels, labels, classes = read(path, part, entry)
    with read_from(path):
        return Images(pixels, labels, classes, entry.title, licence, origin)


def _unknown(name: str) -> DataError:
    reader = _READERS.get("".join(filter(str.isalnum, name.lower())))
    if reader is not None:
        return DataError(
            f'"{name}" is no named set of images. Read its files by {reader}(folder).'
        )
    return DataError(
        f'there is no set of images "{name}".{nearest(name, IMAGE_SETS)} Known: '
        f"{', '.join(IMAGE_SETS)}. Others: read_cifar, read_mnist, read_idx, "
        "read_image_folder."
    )


def _pixels(
    path: Path, part: str, entry: ImageSet
) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    pixels, labels = _arrays(path, f"x_{part}", f"y_{part}")
    if pixels.ndim == 3:
        pixels = pixels[..., None]
    return pixels, labels, numbered(labels, path)


def _jpeg(
    path: Path, part: str, entry: ImageSet
) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Decoded pixels from the cache, or decoded now and put there."""
    kept = cache_folder() / "data" / "decoded" / f"{path.stem}-{digest(path)[:16]}.npz"
    if kept.is_file():
        with contextlib.suppress(DataError):  # a damaged copy is made anew
            pixels, labels, names = _arrays(kept, "pixels", "labels", "class_names")
            return pixels, labels, tuple(str(n) for n in names)
    stored = _arrays(path, *_JPEG)
    raw, offset, labels, names = stored
    if not _fits(raw, offset, labels) or names.ndim != 1:
        said = ", ".join(
            f"{key} {v.shape} of {v.dtype}"
            for key, v in zip(_JPEG, stored, strict=True)
        )
        raise DataError(
            f"{path}: {said}: these do not fit. Expected a row of bytes, whole-number "
            "labels, and the rising places in the bytes where pictures begin and the "
            "last one ends. Copy the file again."
        )

    def pictures() -> Iterator[tuple[str, bytes]]:
        for k in range(len(labels)):
            yield f"{path}, image {k}", raw[offset[k] : offset[k + 1]].tobytes()

    pixels = decode_pictures(pictures(), len(labels))
    # without room for a copy the pixels are decoded again next time
    with contextlib.suppress(OSError), replacing(kept) as out, out.open("wb") as file:
        np.savez(file, pixels=pixels, labels=labels, class_names=names)
    return pixels, labels, tuple(str(n) for n in names)


def _fits(raw: np.ndarray, offset: np.ndarray, labels: np.ndarray) -> bool:
    """Whether pictures lie in these bytes, one a label."""
    if raw.dtype != np.uint8 or {raw.ndim, offset.ndim, labels.ndim} != {1}:
        return False
    if {offset.dtype.kind, labels.dtype.kind} - {"i", "u"}:
        return False
    places = offset.astype(np.int64)
    rise = len(places) == len(labels) + 1 and bool(np.all(np.diff(places) >= 0))
    return rise and bool(places[0] >= 0 and places[-1] <= len(raw))


def _arrays(path: Path, *names: str) -> list[np.ndarray]:
    """Arrays of an NPZ file. **Raises:** `DataError` for one that is not in it."""
    with open_npz(path) as arrays:
        lacking = [name for name in names if name not in arrays]
        if lacking:
            raise DataError(
                f'{path}: there is no array "{lacking[0]}" in it, only '
                f"{', '.join(arrays)}. Give the file as it was distributed."
            )
        return [arrays[name].load() for name in names]

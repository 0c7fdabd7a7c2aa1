"""Pictures in a folder for each class, as Tiny-ImageNet is distributed."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .._errors import DataError
from ._bytes import read_bytes, read_text
from ._decode import decode_pictures
from ._images import Images


_ENDINGS = {".jpeg", ".jpg", ".png"}
_FOLDERS = {"train": "train", "validation": "val"}


def read_image_folder(folder: str | Path, part: str = "train") -> Images:
    """Tiny-ImageNet, or a set laid out like it.

    Training pictures lie below `train/CLASS/`; those of the validation part in
    `val/images/`, with a line `file<tab>CLASS` each in `val/val_annotations.txt`, or
    in folders as well. `wnids.txt`, where there is one, gives the order of the
    classes (else sorted by name), `words.txt` their names in words.

    **Arguments:** `part`: `"train"` or `"validation"` (the test part of
    Tiny-ImageNet has no labels).
    **Raises:** `DataError` for a part, class or picture that is not there, a class that
    is listed twice, and a picture that cannot be decoded or has another size than the
    first.
    **Source:** Le, Yang, Tiny ImageNet Visual Recognition Challenge, 2015.
    """
    folder = Path(folder)
    if part not in _FOLDERS:
        raise DataError(
            f'there is no part "{part}" with labels. Parts: {", ".join(_FOLDERS)}.'
        )
    below = folder / _FOLDERS[part]
    if not below.is_dir():
        raise DataError(
            f"{folder}: there is no folder {below.name} in it. Give the folder that "
            "holds train and val."
        )
    classes = _classes(folder)
    notes = below / "val_annotations.txt"
    found = _annotated(notes) if notes.is_file() else _in_folders(below)
    if not found:
        raise DataError(
            f"{below}: there is no picture in it. Expected files ending in "
            f"{', '.join(sorted(_ENDINGS))}, in a folder for each class."
        )
    number = {name: k for k, name in enumerate(classes)}
    for path, name in found:
        if name not in number:
            raise DataError(
                f"{path}: its class {name} is none of the {len(classes)} classes. "
                "Check wnids.txt and the folders below train."
            )
    pictures = ((str(path), read_bytes(path)) for path, _ in found)
    pixels = decode_pictures(pictures, len(found))
    labels = np.array([number[name] for _, name in found])
    words = _words(folder / "words.txt")
    names = tuple(words.get(name, name) for name in classes)
    origin = {"files": [str(below)], "part": part, "keys": list(classes)}
    return Images(pixels, labels, names, folder.name, None, origin)


def _classes(folder: Path) -> list[str]:
    listed = folder / "wnids.txt"
    if listed.is_file():
        classes = read_text(listed).split()
        twice = [name for name in set(classes) if classes.count(name) > 1]
        if twice:
            raise DataError(
                f"{listed}: the class {min(twice)} stands twice, so that its number is "
                "not known. Copy the file again."
            )
        return classes
    train = folder / "train"
    if not train.is_dir():
        raise DataError(
            f"{folder}: there is neither wnids.txt nor a folder train in it, so that "
            "the classes are unknown. Give the folder that holds train and val."
        )
    return [p.name for p in _shown(train) if p.is_dir()]


def _shown(below: Path) -> list[Path]:
    """What lies in a folder, without what the programs of a desk leave there hidden
    (`.ipynb_checkpoints`, `._picture.jpeg`)."""
    return sorted(p for p in below.iterdir() if not p.name.startswith("."))


def _in_folders(below: Path) -> list[tuple[Path, str]]:
    """Every picture with the folder, directly under `below`, that it lies in."""
    return [
        (path, inner.name)
        for inner in filter(Path.is_dir, _shown(below))
        for path in sorted(inner.rglob("*"))
        if path.suffix.lower() in _ENDINGS and not path.name.startswith(".")
    ]


def _annotated(notes: Path) -> list[tuple[Path, str]]:
    found = []
    lines = read_text(notes).splitlines()
    for number, line in enumerate(lines, 1):
        cells = line.split("\t")
        if len(cells) < 2:
            raise DataError(
                f'{notes}, line {number}: "{line}" does not name a file and a class, '
                "parted by a tab. Repair the line."
            )
        found.append((notes.parent / "images" / cells[0], cells[1]))
    return found


def _words(path: Path) -> dict[str, str]:
    """Class -> the first of its names in words."""
    if not path.is_file():
        return {}
    pairs = (line.split("\t") for line in read_text(path).splitlines())
    return {pair[0]: pair[1].split(",")[0] for pair in pairs if len(pair) == 2}

"""Vowel tables of two experiments, from files that the user has."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import numpy as np

from .._errors import DataError
from ._bytes import read_text
from ._vowels import Vowels


_TOKEN = re.compile(r"([mwbg])(\d\d)([a-z]{2})")
_GROUPS = {"m": "man", "w": "woman", "b": "boy", "g": "girl"}
_TWELVE = ("ae", "ah", "aw", "eh", "er", "ei", "ih", "iy", "oa", "oo", "uh", "uw")
_MEASURES = (
    "duration",
    "f0",
    *(f"F{k} steady" for k in (1, 2, 3, 4)),
    *(f"F{k} {at}" for at in ("20%", "50%", "80%") for k in (1, 2, 3)),
)
_ELEVEN = (
    "heed",
    "hid",
    "head",
    "had",
    "hud",
    "hard",
    "hod",
    "hoard",
    "hood",
    "who'd",
    "heard",
)
_INPUTS = tuple(f"x{k}" for k in range(1, 11))


def read_vowels(path: str | Path) -> Vowels:
    """The table of Hillenbrand and others, `vowdata.dat`, as it was distributed.

    After a heading in words each line holds 16 columns: the token (a letter for man,
    woman, boy or girl, two digits for the talker, two letters for the vowel), its
    duration [ms], f0 and F1 to F4 at steady state [Hz], F1 to F3 at 20, 50 and 80 % of
    the duration. A formant of 0 could not be measured: NaN here.

    **Raises:** `DataError` naming file, line and column.
    **Source:** Hillenbrand, Getty, Clark, Wheeler 1995, Journal of the Acoustical
    Society of America 97, 3099-3111.

    ```python
    >>> from pathlib import Path
    >>> from pendula.data import read_vowels
    >>> line = "m01ae 300 120 650 1900 2500 0 640 1900 2500 650 1850 2500 660 1800 2500"
    >>> _ = Path("vowdata.dat").write_text("a heading in words\\n" + line)
    >>> one = read_vowels("vowdata.dat")
    >>> one.talkers, one.groups, one.classes[one.labels[0]], one.complete.tolist()
    (('m01',), ('man',), 'ae', [False])

    ```
    """
    path = Path(path)
    rows: list[list[float]] = []
    marks: list[tuple[str, str, str]] = []
    for number, line in enumerate(read_text(path).splitlines(), 1):
        cells = line.split()
        token = _TOKEN.fullmatch(cells[0]) if cells else None
        if token is None:
            if rows and cells:
                raise DataError(
                    f'{path}, line {number}: the first column is "{cells[0]}"; '
                    "expected a token such as m01ae. Check the line."
                )
            continue
        where = f"{path}, line {number}"
        rows.append(_numbers(where, cells[1:], len(_MEASURES)))
        group, talker, vowel = token.groups()
        if vowel not in _TWELVE:
            raise DataError(
                f'{where}: there is no vowel "{vowel}"; expected one of '
                f"{', '.join(_TWELVE)}."
            )
        marks.append((group + talker, _GROUPS[group], vowel))
    if not rows:
        raise DataError(
            f"{path}: there is no line with a token such as m01ae and 15 numbers. Give "
            "the file vowdata.dat as it was distributed."
        )
    values = np.asarray(rows)
    values[:, 1:] = np.where(values[:, 1:] == 0.0, np.nan, values[:, 1:])
    talkers, groups, vowels = zip(*marks, strict=True)
    return Vowels(
        values,
        _MEASURES,
        np.asarray([_TWELVE.index(v) for v in vowels]),
        _TWELVE,
        talkers,
        groups,
        "Hillenbrand 1995",
        {"files": [str(path)], "citation": "Hillenbrand et al. 1995"},
    )


def read_deterding(
    train: str | Path, test: str | Path | None = None
) -> tuple[Vowels, Vowels]:
    """Deterding's vowels, eleven classes and ten inputs, to train and to test with.

    Three forms in which they are handed on are understood: one file of lines `part
    speaker sex x1 ... x10 class` (part 0 trains, classes from 0); two files of comma-
    separated values with a heading `row.names, y, x.1, ..., x.10` (classes from 1); two
    files whose first two lines are the numbers of rows and inputs, and whose rows end
    with the class (from 1).

    **Arguments:** `train`: the one file, or that of the training; `test`: the other.
    **Raises:** `DataError` naming file and line.
    **Source:** Deterding 1989, Speaker normalisation for automatic speech recognition,
    thesis, University of Cambridge; split as in Robinson 1989.

    ```python
    >>> from pathlib import Path
    >>> from pendula.data import read_deterding
    >>> lines = [f"{part} {part} 0 " + "0.5 " * 10 + "3" for part in (0, 1)]
    >>> _ = Path("vowel-context.data").write_text("\\n".join(lines))
    >>> train, test = read_deterding("vowel-context.data")
    >>> len(train), len(test), train.classes[train.labels[0]]
    (1, 1, 'had')

    ```
    """
    if test is None:
        return _context(Path(train))
    return _listed(Path(train)), _listed(Path(test))


def _context(path: Path) -> tuple[Vowels, Vowels]:
    """Both parts of the one file."""
    rows = []
    for number, line in enumerate(read_text(path).splitlines(), 1):
        if line.strip():
            rows.append(_numbers(f"{path}, line {number}", line.split(), 14))
    if not rows:
        raise DataError(f"{path}: the file is empty.")
    table = np.asarray(rows)
    if not np.isin(table[:, 0], (0.0, 1.0)).all():
        raise DataError(
            f"{path}: the first column must be 0 (training) or 1 (test). Give both "
            "files where the parts are apart."
        )
    parts = []
    for part, what in ((0, "training"), (1, "test")):
        some = table[table[:, 0] == part]
        if not len(some):
            raise DataError(f"{path}: no line belongs to the {what}.")
        talkers = tuple(f"{int(k):02d}" for k in some[:, 1])
        parts.append(_deterding(path, some[:, 3:13], some[:, 13], talkers))
    return parts[0], parts[1]


def _listed(path: Path) -> Vowels:
    """One part from a file of its own."""
    lines = [line for line in read_text(path).splitlines() if line.strip()]
    if not lines:
        raise DataError(f"{path}: the file is empty.")
    if "," in lines[0]:
        heading, *cells = csv.reader(lines)
        names = [name.strip().strip('"').lower() for name in heading]
        wanted = [*(f"x.{k}" for k in range(1, 11)), "y"]
        lacking = [name for name in wanted if name not in names]
        if lacking:
            raise DataError(
                f'{path}: there is no column "{lacking[0]}" in the heading; expected y '
                "and x.1 to x.10."
            )
        index = [names.index(name) for name in wanted]
        rows = []
        for number, row in enumerate(cells, 2):
            where = f"{path}, line {number}"
            whole = _numbers(where, row, len(names))
            rows.append([whole[i] for i in index])
    else:
        rows = [
            _numbers(f"{path}, line {number}", line.split(), 11)
            for number, line in enumerate(lines[2:], 3)
        ]
        if lines[0].split() != [str(len(rows))] or lines[1].split() != ["10"]:
            raise DataError(
                f"{path}: it begins with {lines[0][:20]!r} and {lines[1:2]}; expected "
                f"the number of rows, here {len(rows)}, and 10."
            )
    if not rows:
        raise DataError(f"{path}: there are no rows below the heading.")
    table = np.asarray(rows)
    return _deterding(path, table[:, :10], table[:, 10] - 1.0, ())


def _deterding(
    path: Path, values: np.ndarray, labels: np.ndarray, talkers: tuple[str, ...]
) -> Vowels:
    if not (np.isin(labels, np.arange(len(_ELEVEN)))).all():
        wrong = float(labels[~np.isin(labels, np.arange(len(_ELEVEN)))][0])
        raise DataError(
            f"{path}: a class is {wrong:g} where the first counts as 0; expected whole "
            "numbers up to 10."
        )
    origin = {"files": [str(path)], "citation": "Deterding 1989"}
    whole = labels.astype(np.int32)
    return Vowels(
        values, _INPUTS, whole, _ELEVEN, talkers, (), "Deterding 1989", origin
    )


def _numbers(where: str, cells: list[str], count: int) -> list[float]:
    """The numbers of a line. **Raises:** `DataError`."""
    if len(cells) != count:
        raise DataError(
            f"{where}: it has {len(cells)} numbers; expected {count}. Copy the file "
            "again."
        )
    found = []
    for column, cell in enumerate(cells, 1):
        try:
            value = float(cell)
        except ValueError:
            value = np.nan
        if not np.isfinite(value):
            raise DataError(
                f'{where}, number {column}: "{cell}" is no finite number. Correct it.'
            )
        found.append(value)
    return found

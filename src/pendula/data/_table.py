"""Files with columns -> cells, and cells -> numbers or times.

Everything that can be wrong with a cell is found here, so that each message can
name file, row and column. A row is the line of the file as an editor or a
spreadsheet counts it: the header usually is row 1.
"""

from __future__ import annotations

import csv
import dataclasses
import datetime
import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .._errors import DataError
from ._bytes import read_bytes


MISSING = frozenset({"", "na", "n/a", "#n/a", "nan", "-nan", "null", "none"})
DELIMITERS = (",", "\t", ";")
_DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+([eE][+-]?\d+)?")
_UNIT = re.compile(r"(.*?)\s*\[([^\[\]]*)\]")
_SKIPPED = re.compile(r"\s*|#.*|sep=.", re.DOTALL)  # Excel names the delimiter so
_DATE = re.compile(r"\d{4}(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])")  # 20240531
_FINER = re.compile(r"(.*[.,]\d{6})(\d{1,3})(.*)")  # than a microsecond


@dataclasses.dataclass(frozen=True)
class Table:
    """The cells of one file, column by column.

    **Fields:** `name` the file as messages call it, `cells` column -> texts,
    `units` column -> text in the header's brackets, `lines` the row of the file in
    which each sample stands, `digest` SHA-256 of the bytes, `values` the columns
    that the file holds as numbers (NaN: missing), `about` what our own Parquet files
    say beside the columns.
    """

    name: str
    cells: Mapping[str, Sequence[str]]
    units: dict[str, str]
    lines: Sequence[int]
    digest: str
    values: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    about: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def where(self, k: int, column: str) -> str:
        """How messages name a cell."""
        return f'{self.name}, row {self.lines[k]}, column "{column}"'

    def numbers(self, column: str) -> np.ndarray:
        """One column as float64 `"time"`; missing cells are NaN.

        **Raises:** `DataError` naming the first cell that is text, has a decimal
        comma or is infinite.
        """
        values = self.values[column] if column in self.values else self._parse(column)
        bad = np.flatnonzero(np.isinf(values))
        if len(bad):
            k = int(bad[0])
            raise DataError(
                f"{self.where(k, column)}: the value is infinite "
                f"({self.cells[column][k].strip()}). Expected a finite number. Leave "
                "the cell empty (missing) or repair it."
            )
        return values

    def _parse(self, column: str) -> np.ndarray:
        texts = self.cells[column]
        try:
            values = np.fromiter(map(float, texts), np.float64, len(texts))
        except ValueError:
            values = np.array([self._number(k, column) for k in range(len(texts))])
        if any("_" in text for text in texts):  # float() reads 1_0 as 10
            k = next(k for k, text in enumerate(texts) if "_" in text)
            raise self._text(k, column)
        return values

    def _number(self, k: int, column: str) -> float:
        text = self.cells[column][k].strip()
        if text.lower() in MISSING:
            return np.nan
        try:
            return float(text)
        except ValueError:
            raise self._text(k, column) from None

    def _text(self, k: int, column: str) -> DataError:
        text = self.cells[column][k].strip()
        if _DECIMAL_COMMA.fullmatch(text):
            return DataError(
                f'{self.where(k, column)}: decimal comma in "{text}". Expected a '
                "decimal point. Replace the commas in the numbers by points."
            )
        return DataError(
            f'{self.where(k, column)}: text "{text[:40]}" in a number column. Expected '
            "a number or an empty cell (missing). Repair the cell, or leave the column "
            f"out with --ignore {column}; a column that names the trajectory is given "
            f"with --traj {column}."
        )

    def times(self, column: str) -> tuple[np.ndarray, datetime.datetime | None]:
        """One column as times `"time"`, and the date at which they are 0.

        Numbers are taken as they are (date None). ISO 8601 stamps become seconds
        since the first of them; differences are formed in whole microseconds, and
        nanoseconds added. In a column named date 20240531 is a stamp, no number.
        **Raises:** `DataError` for a missing or unreadable time.
        """
        texts = self.cells[column]
        for k, text in enumerate(texts):
            if text.strip().lower() in MISSING:
                raise DataError(
                    f"{self.where(k, column)}: the time is missing. Every sample needs "
                    "one. Fill the cell or delete the row."
                )
        if column.lower() == "date" and all(_DATE.fullmatch(x.strip()) for x in texts):
            return self._stamps(column)
        if column in self.values:
            return self.numbers(column), None
        try:
            float(texts[0])
        except ValueError:
            return self._stamps(column)
        return self.numbers(column), None

    def _stamps(self, column: str) -> tuple[np.ndarray, datetime.datetime | None]:
        stamps: list[datetime.datetime] = []
        rest: list[int] = []
        for k, text in enumerate(self.cells[column]):
            text = text.strip()
            long = _FINER.fullmatch(text)
            try:
                stamp = datetime.datetime.fromisoformat(
                    long[1] + long[3] if long else text
                )
            except ValueError:
                if _DECIMAL_COMMA.fullmatch(text):
                    raise self._text(k, column) from None
                raise DataError(
                    f'{self.where(k, column)}: "{text[:40]}" is not a time. Expected a '
                    "number or an ISO 8601 stamp such as 2024-05-31T12:00:00.5. "
                    "Repair the cell, or name another column with --time."
                ) from None
            if stamps and (stamp.tzinfo is None) != (stamps[0].tzinfo is None):
                raise DataError(
                    f'{self.where(k, column)}: "{text}" and the first stamp differ in '
                    "having a time zone. Give all stamps one, or none."
                )
            stamps.append(stamp)
            rest.append(int(long[2].ljust(3, "0")) if long else 0)
        tick = datetime.timedelta(microseconds=1)
        ticks = [(stamp - stamps[0]) // tick for stamp in stamps]
        finer = np.array(rest, np.int64) - rest[0]
        return np.array(ticks, np.int64) / 1e6 + finer / 1e9, stamps[0]


def _parts(line: str, mark: str | None) -> int:
    """Into how many pieces a separator parts a line; None: blanks."""
    return len(line.split(mark))


def read_table(path: str | Path) -> Table:
    """Read a CSV or TSV file (comma, tab or semicolon, found out by itself).

    The first line that is not a `#` comment (nor `sep=;`) is the header; blank lines
    and empty rows at the end are skipped. **Raises:** `DataError`.
    """
    path = Path(path)
    raw = read_bytes(path)
    text = _decode(path, raw)
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    skip = 0
    while skip < len(lines) and _SKIPPED.fullmatch(lines[skip]):
        skip += 1
    if skip == len(lines):
        raise DataError(
            f"{path.name}: the file is empty. Expected a header line with the column "
            "names and at least two rows of numbers."
        )
    following = next((line for line in lines[skip + 1 :] if line.strip()), "")
    delimiter = sniff(lines[skip], following)
    reader = csv.reader(
        lines[skip:], delimiter=delimiter, skipinitialspace=True, strict=True
    )
    rows: list[list[str]] = []
    numbers: list[int] = []
    try:
        for row in reader:
            rows.append(row)
            numbers.append(reader.line_num + skip)
    except csv.Error as error:
        raise DataError(
            f"{path.name}, row {(numbers or [skip])[-1] + 1}: the line cannot be split "
            f"into cells ({error}). Look for a quotation mark that is not closed."
        ) from None
    header, *rows = rows
    for mark, words in ((None, "blanks"), ("|", "vertical bars")):
        if len(header) == 1 and 1 < _parts(header[0], mark) == _parts(following, mark):
            raise DataError(
                f"{path.name}: the columns are separated by {words} "
                f"({header[0][:40]}). Expected commas, tabs or semicolons. Replace the "
                f"{words}."
            )
    header = [cell.strip() for cell in header]
    if any(_is_number(cell) for cell in header):
        raise DataError(
            f"{path.name}: the first line holds numbers ({', '.join(header[:4])}). "
            "Expected column names. Add a header line such as t,q."
        )
    names, units = split_header(path, header)
    rows, numbers = _rectangle(path, names, rows, numbers[1:], delimiter)
    columns = zip(*rows, strict=True)
    cells = {n: c for n, c in zip(names, columns, strict=True) if n}
    if not cells:
        raise DataError(f"{path.name}: no column has a name. Give a header line.")
    return Table(
        path.name, cells, units, tuple(numbers), hashlib.sha256(raw).hexdigest()
    )


def _decode(path: Path, raw: bytes) -> str:
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise DataError(
            f"{path.name}: the file is UTF-16 text. Expected UTF-8. Save it as "
            '"CSV UTF-8".'
        )
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        row = raw[: error.start].count(b"\n") + 1
        raise DataError(
            f"{path.name}, row {row}: byte 0x{raw[error.start]:02x} is not UTF-8 text. "
            'Save the file as UTF-8 ("CSV UTF-8" in a spreadsheet program).'
        ) from None
    if "\0" in text:
        raise DataError(
            f"{path.name}: the file holds zero bytes, so it is not text. Expected CSV "
            "or TSV; other formats need their own ending (.npz)."
        )
    return text


def sniff(header: str, following: str) -> str:
    """The delimiter that cuts the header into most columns (a tie goes to the one
    that cuts the next line alike)."""

    def score(delimiter: str) -> tuple[int, bool]:
        names = next(csv.reader([header], delimiter=delimiter))
        cells = next(csv.reader([following], delimiter=delimiter), [])
        return len(names), len(names) == len(cells)

    return max(DELIMITERS, key=score)


def split_header(path: Path, header: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """`q [m]` -> the name `q` and the unit `m`, for every column.

    **Raises:** `DataError` for a name that stands twice.
    """
    names, units = [], {}
    for column, cell in enumerate(header):
        match = _UNIT.fullmatch(cell)
        name = match[1].strip() if match else cell
        if name and name in names:
            raise DataError(
                f'{path.name}: the column name "{name}" stands twice (columns '
                f"{names.index(name) + 1} and {column + 1}). Names must differ. Rename "
                "one."
            )
        names.append(name)
        units[name] = match[2].strip() if match else ""
    return names, units


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return text.strip().lower() not in MISSING


def _rectangle(
    path: Path,
    names: list[str],
    rows: list[list[str]],
    numbers: list[int],
    delimiter: str,
) -> tuple[list[list[str]], list[int]]:
    """Rows of equal length; blank lines go, but not in a file of one column, where
    a blank line is a missing sample."""
    width = len(names)
    while rows and not any(cell.strip() for cell in rows[-1]):
        del rows[-1], numbers[-1]
    if width == 1:
        rows = [row or [""] for row in rows]
    elif not all(rows):
        kept = [(row, n) for row, n in zip(rows, numbers, strict=True) if row]
        rows, numbers = [row for row, _ in kept], [n for _, n in kept]
    if not rows:
        raise DataError(
            f"{path.name}: there is a header but no row of numbers. At least two rows "
            "are needed."
        )
    for k, row in enumerate(rows):
        if len(row) == width:
            continue
        if len(row) > width and not any(cell.strip() for cell in row[width:]):
            rows[k] = row[:width]
            continue
        hint = (
            " Decimal commas do this: write decimal points."
            if delimiter == "," and len(row) > width
            else ""
        )
        raise DataError(
            f"{path.name}, row {numbers[k]}: {len(row)} cell{'s' * (len(row) != 1)} "
            f"where the header has {width} ({', '.join(names)}). Every row needs as "
            f"many.{hint} Repair the row, or leave cells empty for missing values."
        )
    for j, name in enumerate(names):
        if not name and any(row[j].strip() for row in rows):
            raise DataError(
                f"{path.name}: column {j + 1} has values but no name. Give every "
                "column a name in the header."
            )
    return rows, numbers

"""A run on disk: written whole, read back as numbers."""

from __future__ import annotations

import dataclasses
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from .._errors import CheckpointError
from .._files import replacing
from ._kinds import another_kind, kinds_of


FORMAT = 1  # of report.json
SEAL = "kinds"  # the key under which a report says what kind each of its values is

# Every key a report has, and what is below it; null where one does not apply.
KEYS: dict[str, type] = {
    "format": int,
    "kind": str,
    "title": str,
    "data": dict,
    "decisions": list,
    "model": dict,
    "constants": list,
    "training": dict,
    "scores": dict,
    "verdict": dict,
    "behaviour": dict,
    "findings": list,
    "reproduce": dict,
}


@dataclasses.dataclass(frozen=True)
class Run:
    """What a page is made from: the report, the numbers of its figures, and the
    log of the training, one row an interval."""

    folder: Path
    report: dict[str, Any]
    arrays: dict[str, np.ndarray]
    metrics: list[dict[str, Any]]

    def array(self, name: str) -> np.ndarray | None:
        """An array that may be absent (or hold nothing)."""
        value = self.arrays.get(name)
        return value if value is not None and value.size else None

    def number(self, name: str) -> float | None:
        """A scalar that may be absent or not finite."""
        value = self.array(name)
        if value is None or not np.all(np.isfinite(value)):
            return None
        return float(np.ravel(value)[0])

    def group(self, prefix: str) -> dict[str, np.ndarray]:
        """The arrays whose names begin with `prefix`, by the rest of their names."""
        n = len(prefix)
        return {k[n:]: v for k, v in self.arrays.items() if k.startswith(prefix)}


def read_run(folder: str | Path) -> Run:
    """The report, arrays and metrics of a run folder.

    **Raises:** `CheckpointError` when the folder is no run, a file is lost or damaged,
    a value was changed into another kind, or the run was written by a newer version.
    """
    folder = Path(folder)
    report = _read_report(folder)
    path = folder / "arrays.npz"
    if not path.exists():
        raise CheckpointError(
            f"{path} is not there, which holds the numbers of the figures. Copy the "
            "whole folder, or run `pendula fit` again."
        )
    try:
        # from memory: NumPy leaves a damaged file open
        raw = io.BytesIO(path.read_bytes())
        with np.load(raw, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise CheckpointError(
            f"{path}: the arrays cannot be read ({error}). Run `pendula fit` again."
        ) from None
    return Run(folder, report, arrays, read_metrics(folder / "metrics.jsonl"))


def _read_report(folder: Path) -> dict[str, Any]:
    path = folder / "report.json"
    if not folder.is_dir():
        raise CheckpointError(f"{folder}: there is no such run folder. Check the path.")
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(
            f"{folder}: not a finished run, it has no report.json. Finish it with "
            "`pendula fit ... --resume`, or check the path."
        ) from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise CheckpointError(
            f"{path}: the report cannot be read ({error}). Run `pendula fit` again."
        ) from None
    version = report.get("format") if isinstance(report, dict) else None
    if not isinstance(version, int):
        raise CheckpointError(f"{path}: this is not a report of Pendula.")
    if version > FORMAT:
        raise CheckpointError(
            f"{path}: written in format {version}, this version reads up to {FORMAT}. "
            "Install a newer Pendula."
        )
    for key, kind in KEYS.items():
        if not isinstance(report.get(key), kind | None):
            raise CheckpointError(
                f"{path}: {key} is {report[key]!r:.60}; expected a {kind.__name__}. "
                "The file was changed; run `pendula fit` again."
            )
    kinds = report.pop(SEAL, None)
    wrong = None if kinds is None else another_kind(report, kinds)
    if wrong:
        raise CheckpointError(
            f"{path}: {wrong}. The file was changed; run `pendula fit` again."
        )
    return {**dict.fromkeys(KEYS), **report}


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The rows of a metrics log; a last line that a kill cut short is left out."""
    if not path.exists():
        return []
    rows = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            break
        if isinstance(row, dict):
            rows.append(row)
    return rows


def write_arrays(path: Path, arrays: dict[str, Any]) -> Path:
    """Named NumPy arrays as one file, nothing pickled."""
    with replacing(path) as temporary, temporary.open("wb") as file:
        plain: dict[str, Any] = {k: np.asarray(v) for k, v in arrays.items()}
        np.savez_compressed(file, **plain)
    return path


def write_report(path: Path, report: dict[str, Any], *, sealed: bool = False) -> Path:
    """A report as JSON: NaN and infinity, which JSON lacks, become null. A `sealed` one
    says what kind each value is: `read_run` refuses others."""
    plain = _plain(report)
    text = json.dumps(plain, indent=1, ensure_ascii=False, allow_nan=False)
    if sealed:  # on one line
        kinds = json.dumps(kinds_of(plain), ensure_ascii=False)
        text = f'{text.removesuffix("}").rstrip()},\n "{SEAL}": {kinds}\n}}'
    with replacing(path) as temporary:
        # a file name that is no UTF-8 becomes an escape that JSON knows
        temporary.write_text(text + "\n", encoding="utf-8", errors="backslashreplace")
    return path


def _plain(value: Any) -> Any:
    """NumPy scalars and arrays, tuples and paths as JSON knows them."""
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    if value is None or isinstance(value, str | int | bool):
        return value
    return str(value)

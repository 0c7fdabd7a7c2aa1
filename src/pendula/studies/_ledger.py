"""`results/NAME/claims.json`: written row by row, whole at every moment."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from .._errors import DataError
from .._files import replacing
from .._machine import machine, versions
from ._claim import Claim


FILE = "claims.json"


class Ledger:
    """The claims of one study in a folder.

    **Arguments:** `folder`: `results/NAME`; `study`: its name; `budget`: `"full"`
    or `"quick"`; `order`: ids in the order of the study's table (others follow).
    **Raises:** `DataError` for a file that cannot be read or belongs to another
    study or budget.
    """

    def __init__(
        self, folder: Path, study: str, budget: str, order: Sequence[str] = ()
    ) -> None:
        self.path = Path(folder) / FILE
        self.study, self.budget = study, budget
        self.order = {key: i for i, key in enumerate(order)}
        self.rows: dict[str, Claim] = {}
        self.read()

    def read(self) -> None:
        """Take the rows that stand in the file now."""
        if not self.path.exists():
            return
        header, claims = read_file(self.path)
        for name, own in (("study", self.study), ("budget", self.budget)):
            if header[name] != own:
                raise DataError(
                    f'{self.path} belongs to {name} "{header[name]}", not "{own}". '
                    "Give another folder (--out)."
                )
        self.rows = {claim.id: claim for claim in claims}

    def claims(self) -> list[Claim]:
        """All rows in the order of the table."""
        place = lambda claim: (self.order.get(claim.id, len(self.order)), claim.id)
        return sorted(self.rows.values(), key=place)

    def put(self, claim: Claim) -> None:
        """Enter a row and write the file; rows that another process has entered
        meanwhile stay."""
        with locked(self.path):
            self.read()
            self.rows[claim.id] = claim
            self._write()

    def keep_only(self, keys: Collection[str]) -> None:
        """Take out rows that the study no longer has."""
        with locked(self.path):
            self.read()
            left = {key: claim for key, claim in self.rows.items() if key in keys}
            if len(left) < len(self.rows):
                self.rows = left
                self._write()

    def _write(self) -> None:
        """Write the file, whole or not at all."""
        claims = self.claims()
        last = claims[-1].stamp if claims else None
        body: dict[str, Any] = {
            "study": self.study,
            "budget": self.budget,
            "commit": last.commit if last else None,
            "machine": machine(),
            "versions": versions(),
            "seconds": round(sum(c.stamp.seconds or 0.0 for c in claims), 1),
            "claims": [claim.to_dict() for claim in claims],
        }
        text = json.dumps(body, indent=1, ensure_ascii=False, allow_nan=False)
        with replacing(self.path) as temporary:
            temporary.write_text(text + "\n", encoding="utf-8")


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """One process at a time: parts of a study may run beside each other. The lock
    ends with the process that holds it, also when it is killed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def read_file(path: Path) -> tuple[dict[str, Any], list[Claim]]:
    """Header and rows of a `claims.json`.

    **Raises:** `DataError` for a file that is missing, broken or not of this kind.
    """
    try:
        body = json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DataError(
            f"{path} does not exist. Run the study: pendula reproduce NAME."
        ) from error
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise DataError(f"{path} is not a claims file: {error}.") from error
    needed = {"study", "budget", "claims"}
    if not isinstance(body, dict) or not needed <= set(body):
        raise DataError(
            f"{path} is not a claims file: it needs {', '.join(sorted(needed))}."
        )
    claims = [Claim.from_dict(row, str(path)) for row in body["claims"]]
    ids = [claim.id for claim in claims]
    twice = sorted({key for key in ids if ids.count(key) > 1})
    if twice:
        raise DataError(f"{path}: claim {twice[0]} stands twice. Remove one.")
    return {k: v for k, v in body.items() if k != "claims"}, claims


def claims_table(folder: str | Path = "results") -> list[dict[str, Any]]:
    """The rows of all studies as they stand in their files (`Claim.to_dict`).

    **Raises:** `DataError` for a file that cannot be read.

    ```python
    >>> from pendula.studies import claims_table
    >>> claims_table("no_results_here")
    []

    ```
    """
    return [row.to_dict() for rows in read_claims(folder).values() for row in rows]


def read_claims(folder: str | Path = "results") -> dict[str, list[Claim]]:
    """The claims of every study below a folder of results, by study, sorted.

    **Raises:** `DataError` for a file that cannot be read.

    ```python
    >>> from pendula.studies import read_claims
    >>> read_claims("no_results_here")
    {}

    ```
    """
    found = {}
    for path in sorted(Path(folder).glob(f"*/{FILE}")):
        header, claims = read_file(path)
        found[str(header["study"])] = claims
    return found

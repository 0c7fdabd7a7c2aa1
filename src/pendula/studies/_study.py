"""Studies: tables of rows, and the parts that measure them."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .._errors import ConfigError, PendulaError, nearest
from .._files import replacing
from .._registry import register
from ._claim import Claim
from ._row import Row


Progress = Callable[[str], None]
_SECONDS = "seconds it took"


class NotHere(PendulaError, RuntimeError):
    """Something that a part needs is not on this machine (data, a package, a
    tool); its rows are then `not_run` with this text as the reason."""


def no_data(name: str) -> NotHere:
    """What is said where the files of a data set are missing."""
    return NotHere(
        f"the data set {name} is not on this machine: set PENDULA_DATA to the folder "
        "that holds it"
    )


def stored_file(name: str, path: str) -> Path:
    """A file of a data set below `PENDULA_DATA`. **Raises:** `NotHere`."""
    file = Path(os.environ.get("PENDULA_DATA", "")) / name / path
    if not file.is_file():
        raise no_data(name)
    return file


@dataclasses.dataclass(frozen=True)
class Run:
    """What a part is given when it runs.

    `settings`: the part's settings for this budget; `rows`: its table by id;
    `done`: ids that are measured with these settings already, so that the work for
    them may be left out; `scratch`: a folder of its own whose files outlive a kill;
    `figures`: where figures go, beside the claims; `earlier`: seconds that kept
    steps took when they were computed, by name.
    """

    settings: Any
    rows: dict[str, Row]
    done: frozenset[str]
    scratch: Path
    figures: Path
    progress: Progress
    budget: str = "full"
    earlier: dict[str, float] = dataclasses.field(default_factory=dict)

    def row(self, key: str) -> Row:
        """A row of the part's table.

        **Raises:** `ConfigError` for one that is not in it.
        """
        if key not in self.rows:
            raise ConfigError(
                f'row "{key}" is not in the table of its part.'
                f"{nearest(key, self.rows)} Add it there."
            )
        return self.rows[key]

    def wants(self, *keys: str) -> bool:
        """Whether one of these rows is still to be measured."""
        return any(self.row(key).id not in self.done for key in keys)

    def seconds(self, name: str) -> float:
        """Seconds that an expensive step took when it was computed."""
        with np.load(self.scratch / f"{name}.npz", allow_pickle=False) as stored:
            return float(stored[_SECONDS])

    def keep(
        self, name: str, compute: Callable[[], dict[str, Any]]
    ) -> dict[str, np.ndarray]:
        """The arrays of an expensive step, computed once: a part that was killed
        finds them again.

        **Arguments:** `name`: the step's name, a file name; `compute`: gives named
        arrays or numbers.
        """
        path = self.scratch / f"{name}.npz"
        here = not path.exists()
        if here:
            self.progress(f"{name}: computing")
            began = time.perf_counter()
            arrays = {k: np.asarray(v) for k, v in compute().items()}
            arrays[_SECONDS] = np.asarray(time.perf_counter() - began)
            with replacing(path) as temporary:
                np.savez(temporary, allow_pickle=False, **arrays)
        with np.load(path, allow_pickle=False) as stored:
            found = {k: stored[k] for k in stored.files}
        seconds = float(found.pop(_SECONDS, 0.0))
        self.earlier.setdefault(name, 0.0 if here else seconds)
        return found


Measure = Callable[[Run], Iterator[Claim]]


@dataclasses.dataclass(frozen=True)
class Part:
    """Rows that are measured together, and how."""

    name: str
    rows: tuple[Row, ...]
    settings: dict[str, Any]
    measure: Measure

    def config(self, budget: str) -> str:
        """Hash of what this part is told: a row that was measured with the same
        one is done."""
        told = self.settings[budget]
        if dataclasses.is_dataclass(told) and not isinstance(told, type):
            told = dataclasses.asdict(told)
        text = json.dumps([self.name, budget, told], sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:12]


@dataclasses.dataclass
class Study:
    """A set of claims under one name, in parts that run by themselves.

    **Arguments:** `name`: the first word of its ids; `about`: one sentence.
    """

    name: str
    about: str
    parts: dict[str, Part] = dataclasses.field(default_factory=dict)

    def part(
        self, name: str, rows: Sequence[Row], *, full: Any, quick: Any
    ) -> Callable[[Measure], Measure]:
        """Decorator: the generator that measures the rows of a part, one by one.

        **Arguments:** `full`, `quick`: its settings for the two budgets, plain data
        or a dataclass of such; they are what a row that is done is known by.
        **Raises:** `ConfigError` for a row of another study or one that stands in
        two parts.
        """
        taken = {row.id for part in self.parts.values() for row in part.rows}
        for row in rows:
            if not row.id.startswith(f"{self.name}."):
                raise ConfigError(
                    f'row "{row.id}" is not of study {self.name}: its id must start '
                    f'with "{self.name}.".'
                )
            if row.id in taken:
                raise ConfigError(f'row "{row.id}" stands twice in {self.name}.')
            taken.add(row.id)

        def enter(measure: Measure) -> Measure:
            settings = {"full": full, "quick": quick}
            self.parts[name] = Part(name, tuple(rows), settings, measure)
            return measure

        return enter

    @property
    def rows(self) -> tuple[Row, ...]:
        """The whole table."""
        return tuple(row for part in self.parts.values() for row in part.rows)


def study(name: str, about: str) -> Study:
    """A new study, entered under its name.

    ```python
    >>> from pendula.studies import Row, study
    >>> example = study("example", "Shows how a study is written.")
    >>> @example.part("sums", [Row("example.sums.two", "1 + 1.", better="equal",
    ...               target=2)], full={}, quick={})
    ... def sums(run):
    ...     yield run.row("example.sums.two").measured(1 + 1)
    >>> [row.id for row in example.rows]
    ['example.sums.two']

    ```
    """
    new = Study(name, about)
    register("study", name)(new)
    return new

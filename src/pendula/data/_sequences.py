"""Sequences and what is to be said of them: a label, a value, or a series."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from .._errors import ConfigError, DataError, ShapeError
from ._shuffled import epoch_order


class SequenceBatch(NamedTuple):
    """Sequences ready for a model: `us` `"batch time in"`, `targets` (int32 labels
    `"batch"`, or floats `"batch out"` or `"batch time out"`), `lengths` int32
    `"batch"` or None, `weight` `"batch"`: 0 for what only fills the batch up, else 1.
    """

    us: np.ndarray
    targets: np.ndarray
    lengths: np.ndarray | None
    weight: np.ndarray

    @property
    def kind(self) -> str:
        """`"label"`, `"value"` or `"series"`."""
        return _kind(self.targets)


def _kind(targets: np.ndarray) -> str:
    """What targets are, by their type and their axes."""
    if np.issubdtype(targets.dtype, np.integer):
        return "label"
    return "series" if targets.ndim == 3 else "value"


@dataclasses.dataclass(frozen=True)
class Sequences:
    """Driven sequences with their targets.

    **Shapes and units:** `us` `"sample time in"`, floating; `targets`: whole numbers
    `"sample"` (labels, counted from 0), or floats `"sample out"` (a value at the end)
    or `"sample time out"` (a series); `lengths` `"sample"`: samples that belong to
    each sequence, the rest is padding.
    **Arguments:** `classes`: names of the labels; default their numbers. `name`: of the
    set. `skip`: of a series, first samples that do not count, while a state that began
    at zero settles. `permutation` `"pixel"`: the order in which the pixels of images
    were read, None as they stood; a trained model keeps it.
    **Raises:** `ShapeError` for arrays that do not fit together, `DataError` for
    values that are not finite (the first is named), a label out of range, a length
    above the number of samples or below 1.

    ```python
    >>> import numpy as np
    >>> from pendula.data import Sequences
    >>> two = Sequences.of(np.zeros((2, 5, 1)), [0, 1])
    >>> two.kind, two.out_size, len(two[:1])
    ('label', 2, 1)

    ```
    """

    us: np.ndarray
    targets: np.ndarray
    lengths: np.ndarray | None = None
    classes: tuple[str, ...] = ()
    name: str = ""
    skip: int = 0
    permutation: np.ndarray | None = None

    def __post_init__(self) -> None:
        us, targets, lengths = self.us, self.targets, self.lengths
        if us.ndim != 3 or 0 in us.shape:
            raise ShapeError(
                f"sequences have the shape {us.shape}; expected (sample, time, in), "
                "none of them 0. Give one number a sample as (sample, time, 1)."
            )
        if not len(targets) == len(us):
            raise ShapeError(f"{len(targets)} targets for {len(us)} sequences.")
        if targets.ndim not in (1, 2, 3):
            raise ShapeError(
                f"targets have the shape {targets.shape}; expected (sample,) labels, "
                "(sample, out) or (sample, time, out)."
            )
        if self.kind == "series" and targets.shape[1] != us.shape[1]:
            raise ShapeError(
                f"series of {targets.shape[1]} targets for {us.shape[1]} inputs."
            )
        for what, values in (("inputs", us), ("targets", targets)):
            _check_finite(what, values)
        if self.kind == "label":
            _check_labels(targets, len(self.classes) or None)
        if lengths is not None:
            _check_lengths(lengths, us)
        least = us.shape[1] if lengths is None else int(lengths.min())
        if not 0 <= self.skip < least or (self.skip and self.kind != "series"):
            raise DataError(
                f"skip is {self.skip}; it must be at least 0, below the shortest "
                f"length {least}, and 0 unless the targets are series."
            )

    @classmethod
    def of(
        cls,
        us: ArrayLike,
        targets: ArrayLike,
        *,
        lengths: ArrayLike | None = None,
        classes: tuple[str, ...] = (),
        name: str = "",
        skip: int = 0,
    ) -> Sequences:
        """From anything that becomes arrays: inputs float32 unless they are float64,
        labels int32."""
        inputs, out = np.asarray(us), np.asarray(targets)
        for what, given in (("inputs", inputs), ("targets", out)):
            if given.dtype.kind in "cSU":
                raise DataError(
                    f"{what} are of type {given.dtype}; expected real numbers. Give "
                    "the real and imaginary parts of complex ones side by side."
                )
        if inputs.dtype != np.float64:
            inputs = inputs.astype(np.float32)
        if np.issubdtype(out.dtype, np.integer):
            if not classes:
                classes = tuple(str(k) for k in range(int(out.max(initial=0)) + 1))
            out = out.astype(np.int32)
        else:
            out = out.astype(inputs.dtype)
        ends = None
        if lengths is not None:
            given = np.asarray(lengths)
            if not np.issubdtype(given.dtype, np.integer):
                raise DataError(
                    f"lengths are {given.dtype}; expected whole numbers of samples."
                )
            ends = given.astype(np.int32)
        return cls(inputs, out, ends, classes, name, skip)

    @property
    def kind(self) -> str:
        """`"label"`, `"value"` or `"series"`."""
        kind = _kind(self.targets)
        if kind == "label" and self.targets.ndim != 1:
            raise ShapeError(
                f"labels have the shape {self.targets.shape}; expected one whole "
                "number a sequence. Give values as floats."
            )
        return kind

    @property
    def out_size(self) -> int:
        """Numbers that a model gives: one a class, or those of the targets."""
        if self.kind == "label":
            return len(self.classes)
        return self.targets.shape[-1] if self.targets.ndim > 1 else 1

    def __len__(self) -> int:
        return len(self.us)

    def __getitem__(self, which: Any) -> Sequences:
        """Some of the sequences, by a slice or indices."""
        ends = None if self.lengths is None else self.lengths[which]
        return dataclasses.replace(
            self, us=self.us[which], targets=self.targets[which], lengths=ends
        )

    def split(self, count: int, seed: int = 0) -> tuple[Sequences, Sequences]:
        """(the rest, `count` drawn ones), by a permutation of that seed.

        **Raises:** `ConfigError` unless both have at least one.
        """
        if not 0 < count < len(self):
            raise ConfigError(
                f"{count} of {len(self)} sequences are to be set apart; both parts "
                "need at least one."
            )
        order = np.random.default_rng(seed).permutation(len(self))
        return self[np.sort(order[count:])], self[np.sort(order[:count])]


@dataclasses.dataclass(frozen=True)
class SequenceBatches:
    """The batch of every step of a training: `batches(step)`; every epoch goes once
    through the sequences in an order of its own, by (`seed`, epoch) alone. The rest of
    an epoch that fills no batch is dropped.

    **Raises:** `ConfigError` for a size that no batch can have.
    """

    data: Sequences
    size: int
    seed: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.size <= len(self.data):
            raise ConfigError(
                f"batches of {self.size} from {len(self.data)} sequences: no batch is "
                "full. Take a smaller size."
            )

    @property
    def per_epoch(self) -> int:
        """Batches of one epoch."""
        return len(self.data) // self.size

    def __call__(self, step: int) -> SequenceBatch:
        """The batch of that step, counted from 0 over all epochs."""
        epoch, place = divmod(step, self.per_epoch)
        order = epoch_order((self.seed, 0, epoch), len(self.data))
        return _batch(self.data[order[place * self.size : (place + 1) * self.size]])


def sequences_in_order(data: Sequences, size: int) -> Iterator[SequenceBatch]:
    """All sequences once, in their order, in batches of one shape: the last one is
    filled up by sequences of weight 0."""
    for start in range(0, len(data), size):
        some = data[start : start + size]
        lack = min(size, len(data)) - len(some)
        batch = _batch(some)
        if lack:
            ends = None if batch.lengths is None else _filled(batch.lengths, lack)
            us, targets = _filled(batch.us, lack), _filled(batch.targets, lack)
            batch = SequenceBatch(us, targets, ends, _filled(batch.weight, lack))
            batch.weight[len(some) :] = 0.0
        yield batch


def _batch(data: Sequences) -> SequenceBatch:
    weight = np.ones(len(data), data.us.dtype)
    return SequenceBatch(data.us, data.targets, data.lengths, weight)


def _filled(x: np.ndarray, lack: int) -> np.ndarray:
    return np.concatenate([x, np.repeat(x[:1], lack, axis=0)])


def _check_finite(what: str, values: np.ndarray) -> None:
    if not np.issubdtype(values.dtype, np.floating):
        if what == "inputs":
            raise ShapeError(
                f"inputs are {values.dtype}; expected floating numbers. Scale pixels "
                "to [0, 1]."
            )
        return
    bad = np.argwhere(~np.isfinite(values))
    if len(bad):
        where = tuple(int(k) for k in bad[0])
        raise DataError(
            f"{what} at {where} (sequence first): {values[where]} is not finite. Fill "
            "or cut what is missing; NeuralCDE takes missing values."
        )


def _check_labels(labels: np.ndarray, count: int | None) -> None:
    high = np.inf if count is None else count
    bad = np.flatnonzero((labels < 0) | (labels >= high))
    if len(bad):
        raise DataError(
            f"label {labels[bad[0]]} of sequence {bad[0]}: labels count from 0 and "
            f"must be below {high:g}, the number of classes."
        )


def _check_lengths(lengths: np.ndarray, us: np.ndarray) -> None:
    if lengths.shape != (len(us),):
        raise ShapeError(f"lengths {lengths.shape} for {len(us)} sequences.")
    bad = np.flatnonzero((lengths < 1) | (lengths > us.shape[1]))
    if len(bad):
        raise DataError(
            f"length {lengths[bad[0]]} of sequence {bad[0]}: must lie between 1 and "
            f"the {us.shape[1]} samples that there are."
        )

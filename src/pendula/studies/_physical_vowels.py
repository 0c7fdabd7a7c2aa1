"""Part `vowels` of study `physical`: spoken vowels, with their linear baselines."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import jax
import numpy as np

from ..data import (
    SEVEN_VOWELS,
    Vowels,
    VowelTask,
    read_deterding,
    read_vowels,
    standardised,
    synthetic_vowels,
    vowel_task,
)
from ..hardware import fit_classes, fit_softmax, reservoir_states
from ._claim import Claim
from ._physical import physical
from ._physical_reservoir import KINDS, chip
from ._row import Row
from ._study import NotHere, Run, stored_file


_P = "physical.vowels"
_HILLENBRAND = "data: Hillenbrand et al. 1995; the number: our first softmax regression"
_DETERDING = "data: Deterding 1989, split of Robinson 1989"
_RIDGES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
_HOLD = 4
_SETS = {
    "made7": "synthetic vowels, 7 classes",
    "made10": "synthetic vowels, all 10 classes",
    "seven": "Hillenbrand's vowels, 7 classes",
    "twelve": "Hillenbrand's vowels, all 12 classes",
}
_PUBLISHED = {"seven": 95.6, "twelve": 92.3}


def _rows() -> Iterator[Row]:
    for key, words in _SETS.items():
        real = key in _PUBLISHED
        ways = {
            "softmax": "softmax regression on the 12 inputs (linear baseline)",
            "ridge": "ridge on the 12 inputs (linear baseline)",
            **{
                f"{kind}{suffix}": f"300 {word} on random device pairs, formants as a "
                f"stream of four, ridge{noise}"
                for kind, word in KINDS.items()
                for suffix, noise in (("", ""), ("_noise", ", reads of 5 % noise"))
            },
        }
        for way, how in ways.items():
            yield Row(
                f"{_P}.{key}_{way}",
                f"{words}, {how}: accuracy on talkers that were never heard.",
                "%",
                better="higher",
                source=_HILLENBRAND if real else "ours",
                published=_PUBLISHED.get(key) if way == "softmax" else None,
            )
    for way, how in {
        "softmax": "softmax regression (linear baseline)",
        "ridge": "ridge (linear baseline)",
        "rate": "300 leaky rates on random device pairs, ridge",
        "rate_noise": "the same, reads of 5 % noise",
    }.items():
        yield Row(
            f"{_P}.deterding_{way}",
            f"Deterding's vowels, 11 classes, 10 inputs, {how}: accuracy on the test "
            "talkers.",
            "%",
            better="higher",
            source=_DETERDING,
        )


@physical.part(
    "vowels",
    tuple(_rows()),
    full={"talkers": 139, "splits": 10},
    quick={"talkers": 12, "splits": 1},
)
def vowels(run: Run) -> Iterator[Claim]:
    """Each split of the talkers has a chip of its own."""
    made = lambda: synthetic_vowels(run.settings["talkers"], seed=0)
    real = lambda: read_vowels(stored_file("vowels", "vowdata.dat"))
    ten = tuple(synthetic_vowels(1).classes)
    cases: dict[str, tuple[Callable[[], Vowels], tuple[str, ...] | None]] = {
        "made7": (made, SEVEN_VOWELS),
        "made10": (made, ten),
        "seven": (real, SEVEN_VOWELS),
        "twelve": (real, None),
    }
    for key, (load, classes) in cases.items():
        try:
            some = load()
        except NotHere as error:
            yield from _absent(run, key, error)
            continue
        run.progress(f"vowels, {_SETS[key]}")
        found = run.keep(
            key, lambda some=some, named=classes: _splits(run, some, named)
        )
        for way, right in found.items():
            yield run.row(f"{_P}.{key}_{way}").measured(100.0 * right)
    try:
        task = standardised(*_deterding())
    except NotHere as error:
        yield from _absent(run, "deterding", error)
        return
    found = run.keep("deterding", lambda: _unseen(task, range(run.settings["splits"])))
    for way, right in found.items():
        yield run.row(f"{_P}.deterding_{way}").measured(100.0 * right)


def _absent(run: Run, key: str, error: NotHere) -> Iterator[Claim]:
    """All rows of a set whose files are not here."""
    reason = f"{error} (in its folder vowels). The code is run on synthetic vowels."
    for row in run.rows.values():
        if row.id.startswith(f"{_P}.{key}_"):
            yield row.not_run(reason)


def _deterding() -> tuple[Vowels, Vowels]:
    """Both parts, from one file or from two."""
    try:
        return read_deterding(stored_file("vowels", "vowel-context.data"))
    except NotHere:
        names = ("vowel.train", "vowel.test")
        return read_deterding(*(stored_file("vowels", name) for name in names))


def _splits(
    run: Run, vowels: Vowels, classes: tuple[str, ...] | None
) -> dict[str, list[float]]:
    """Accuracies on the test talkers, one a split."""
    found: dict[str, list[float]] = {}
    for seed in range(run.settings["splits"]):
        task = vowel_task(vowels, classes=classes, seed=seed)
        right = _linear(task)
        tracks = [_tracks(x) for x in (task.train, task.test)]
        for kind in KINDS:
            right |= _reservoir(task, tracks, kind, seed)
        for way, value in right.items():
            found.setdefault(way, []).append(value)
    return found


def _tracks(inputs: np.ndarray) -> np.ndarray:
    """Formants as a stream: steady state, then 20, 50 and 80 %, each held."""
    return np.repeat(inputs.reshape(len(inputs), 4, 3), _HOLD, axis=1)


def _linear(task: VowelTask) -> dict[str, float]:
    """Baselines that any physical network must be set beside."""
    x, y, count = task.train, task.train_labels, len(task.classes)
    fits = {
        "softmax": fit_softmax(x, y, count, decay=1e-3),
        "ridge": fit_classes(x, y, count, ridge=_RIDGES),
    }
    return {k: f.accuracy(task.test, task.test_labels) for k, f in fits.items()}


def _reservoir(
    task: VowelTask, streams: list[np.ndarray], kind: str, seed: int
) -> dict[str, float]:
    """A readout of the features after each of the held inputs."""
    own, *reads = jax.random.split(jax.random.key(seed), 3)
    network = chip(kind, streams[0].shape[2], own)
    found = {}
    for suffix, level in (("", 0.0), ("_noise", 0.05)):
        features = [
            reservoir_states(
                network, us, every=_HOLD, key=key, level=level, chunk=256
            ).reshape(len(us), -1)
            for us, key in zip(streams, reads, strict=True)
        ]
        count = len(task.classes)
        fit = fit_classes(features[0], task.train_labels, count, ridge=_RIDGES)
        found[f"{kind}{suffix}"] = fit.accuracy(features[1], task.test_labels)
    return found


def _unseen(task: VowelTask, seeds: range) -> dict[str, list[float]]:
    """The same for inputs without a time: held for as long."""
    streams = [np.repeat(x[:, None], _HOLD, axis=1) for x in (task.train, task.test)]
    found = {key: [value] for key, value in _linear(task).items()}
    for seed in seeds:
        for way, value in _reservoir(task, streams, "rate", seed).items():
            found.setdefault(way, []).append(value)
    return found

"""Parts `ablations` and `recipes` of study `slinky`: what each choice is worth."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np

from .._errors import DivergedError
from ..dynamics import BarsConfig, Fitted
from ._claim import Claim
from ._row import Row
from ._slinky import slinky
from ._slinky_cases import CASES, SlinkyCase, distances, follow, truth
from ._slinky_esnn import smaller, trained
from ._study import Run


_BASE = BarsConfig(steps=300)
# name -> what it is, and what differs from the fast recipe with 300 updates
NETWORKS: dict[str, tuple[str, dict[str, Any]]] = {
    "ours": ("the fast recipe", {}),
    "middle": (
        "e: forces from the middle bar's triplet alone, the published rule",
        {"rule": "middle"},
    ),
    "order4": ("f: the published group", {"group": "order4"}),
    "order8": ("f: with the mirror too", {"group": "order8"}),
    "no_symmetry": ("f: no symmetry but motions of the plane", {"group": "none"}),
}
RECIPES: dict[str, tuple[str, dict[str, Any]]] = {
    "no_square": ("g: no square before the last layer", {"squared": False}),
    "relu": ("g: ReLU", {"activation": "relu"}),
    "no_curriculum": ("h: clips of 0.7 s from the first update", {"shortest": 70}),
    "bounded": ("an energy with a floor", {"bounded": True}),
    "accelerations": (
        "accelerations matched for 300 updates, nothing else",
        {"start": "accelerations", "start_steps": 300, "steps": 0},
    ),
    "accelerations_then_clips": (
        "accelerations matched for 300 updates, then clips from 2 frames on",
        {"start": "accelerations", "start_steps": 300, "shortest": 2},
    ),
    "random": (
        "clips from random weights, from 2 frames on",
        {"start": "none", "shortest": 2},
    ),
    "law_only": ("the network taught the classical law, no clips", {"steps": 0}),
}
WHAT = ("train_m", "case0_m", "case2_m", "lost_s")
_FAR = 0.1  # m, beyond which a motion has nothing to do with the rod's


def motion_rows(name: str, words: str) -> Iterator[Row]:
    """How far a way of learning carries on two cases."""
    key = f"slinky.esnn.ablation.{name}"
    yield Row(f"{key}_train_m", f"{words}: distance over the 0.7 s taught.", "m")
    yield Row(f"{key}_case0_m", f"{words}: over 2.5 s, both ends held.", "m")
    yield Row(f"{key}_case2_m", f"{words}: 40 cycles hanging free, 1.5 s.", "m")
    yield Row(
        f"{key}_lost_s",
        f"{words}: time at which case 0 is 0.1 m off on average (2.5: never).",
        "s",
        better="higher",
    )


def _rows(variants: dict[str, tuple[str, dict[str, Any]]]) -> Iterator[Row]:
    for name, (words, _) in variants.items():
        yield from motion_rows(name, words)


_FULL: dict[str, Any] = {"cycles": None, "config": _BASE, "only": None}
_QUICK = {
    "cycles": 6,
    "config": dataclasses.replace(
        _BASE, width=4, depth=1, steps=2, start_steps=100, longest=6, span=0.08
    ),
    "only": ("ours", "middle", "random", "accelerations"),
}


@slinky.part("ablations", tuple(_rows(NETWORKS)), full=_FULL, quick=_QUICK)
def ablations(run: Run) -> Iterator[Claim]:
    """Forces and symmetries, one seed each."""
    yield from compared(run, NETWORKS)


@slinky.part("recipes", tuple(_rows(RECIPES)), full=_FULL, quick=_QUICK)
def recipes(run: Run) -> Iterator[Claim]:
    """Network and training otherwise, one seed each."""
    yield from compared(run, RECIPES)


def compared(
    run: Run, variants: dict[str, tuple[str, dict[str, Any]]]
) -> Iterator[Claim]:
    """Train each, then follow cases 0 and 2."""
    s = run.settings
    cases = CASES if s["cycles"] is None else smaller(s["cycles"])
    held, hanging = cases[0], cases[2]
    truths = [run.keep(c.key, lambda c=c: truth(c)) for c in (held, hanging)]
    for name in variants:
        row = lambda what, name=name: run.row(f"slinky.esnn.ablation.{name}_{what}")
        if s["only"] is not None and name not in s["only"]:
            for what in WHAT:
                yield row(what).not_run("left out at this budget")
            continue
        config = small_clips(s["config"], variants[name][1])
        found = one_of(run, name, config, (held, hanging), truths)[0]
        for what in WHAT:
            yield row(what).measured(found[what], reason=found.get("reason"))


def one_of(
    run: Run,
    name: str,
    config: BarsConfig,
    cases: tuple[SlinkyCase, SlinkyCase],
    truths: list[dict[str, np.ndarray]],
) -> tuple[dict[str, Any], Fitted | None]:
    """A network of a variant, and how far it carries: what its rows are, and the
    distances over time on the first case."""
    try:
        net = trained(run, config, 0, run.settings["cycles"], name)
    except DivergedError as error:
        return {what: np.nan for what in WHAT} | {"reason": str(error)}, None
    chain = net.model().field.force
    paths = [follow(c, chain, t) for c, t in zip(cases, truths, strict=True)]
    far = [distances(p.u, t["u"]) for p, t in zip(paths, truths, strict=True)]
    ts = truths[0]["ts"]
    taught = ts <= config.span * (1.0 + 1e-9)
    found = {
        "train_m": far[0][taught].mean(),
        "case0_m": far[0].mean(),
        "case2_m": far[1].mean(),
        "lost_s": lost_at(ts, far[0], cases[0].seconds),
        "over_time": far[0],
    }
    return found, net


def lost_at(ts: np.ndarray, far: np.ndarray, never: float) -> float:
    """When a motion is 0.1 m off on average."""
    gone = ~(far <= _FAR)
    return float(ts[np.argmax(gone)]) if gone.any() else never


def small_clips(config: BarsConfig, changes: dict[str, Any]) -> BarsConfig:
    """A variant, whose first clips are no longer than its longest."""
    shortest = min(changes.get("shortest", config.shortest), config.longest)
    return dataclasses.replace(config, **{**changes, "shortest": shortest})

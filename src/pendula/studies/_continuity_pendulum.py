"""Part `pendulum` of study `continuity`: the phase transition in the training step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ..systems import Pendulum
from ._claim import Claim
from ._continuity import continuity
from ._continuity_nets import (
    count,
    judge_all,
    pairs,
    tag,
    train,
    verdict_claims,
    verdict_rows,
)
from ._figures import COLOURS, figure
from ._row import Row
from ._study import Run


_X0, _T1 = (0.75 * np.pi, 0.0), 2.0
_SCHEMES = ("euler", "midpoint", "rk4")
_DTS = (0.4, 0.2, 0.1, 0.02, 0.01, 0.002, 0.001)  # the last two with one seed
_PAPER = "Queiruga et al. 2020, arXiv:2008.02389, section 2"
_TRIED = (
    "50 tanh, 400 one-step pairs spread over t = 0 to 200, 150 iterations of "
    "Levenberg-Marquardt."
)
_SMALLER = (
    "400 of the pairs, Levenberg-Marquardt instead of 25000 steps of Adam, 3 seeds (1 "
    "below dt = 0.01) instead of 5, steps of 4 dt to dt/64 instead of 1 to 1e-4"
)


def _rows() -> Iterator[Row]:
    held = {
        "rk4": ("dt <= 0.1 are `continuous`", 11),
        "euler": ("dt >= 0.1 are `overfit_to_dt`", 9),
    }
    for name, (words, number) in held.items():
        yield Row(
            f"continuity.pendulum.{name}_verdicts",
            f"Pendulum from 0.75 pi, trained in {name}: how many fields of {words}.",
            better="equal",
            target=number,
            source=_PAPER,
            tried=_TRIED,
            scaled_down=_SMALLER,
        )
    for name in _SCHEMES:
        yield Row(
            f"continuity.pendulum.{name}_passes",
            f"Pendulum, trained in {name}: the largest step up to which the median "
            "field keeps its error within the tolerance (0: at none).",
            "s",
            better="higher",
            source=_PAPER,
            scaled_down=_SMALLER,
        )
    for name in _SCHEMES:
        for dt in _DTS:
            words = f"Pendulum, dt = {dt:g}, trained in {name}"
            key = f"continuity.pendulum.{name}_{tag(dt)}"
            yield Row(f"{key}_e_0", f"{words}: error of its own motion.")
            yield Row(f"{key}_e_train", f"{words}: error at the trained step.")
            yield from verdict_rows(key, words)


@continuity.part(
    "pendulum",
    tuple(_rows()),
    full={"seeds": 3, "updates": 150, "pairs": 400},
    quick={"seeds": 1, "updates": 5, "pairs": 20},
)
def pendulum(run: Run) -> Iterator[Claim]:
    """Train at every step in three schemes; the verdicts, and where they turn."""
    s, world = run.settings, Pendulum()
    errors: dict[str, list[float]] = {name: [] for name in _SCHEMES}
    good: dict[str, list[tuple[float, int]]] = {name: [] for name in _SCHEMES}
    bad: dict[str, list[tuple[float, int]]] = {name: [] for name in _SCHEMES}
    for dt in _DTS:
        ts = dt * np.arange(round(200.0 / dt) + 1)
        data = pairs(ts, world.exact(ts, np.array(_X0))[None], s["pairs"])
        for name in _SCHEMES:
            run.progress(f"pendulum, dt = {dt:g}: training in {name}")
            seeds = s["seeds"] if dt >= 0.01 else 1
            nets = train(data, dt, name, seeds=seeds, updates=s["updates"])
            known, bare = judge_all(nets, _X0, _T1, dt, name, world)
            key = f"continuity.pendulum.{name}_{tag(dt)}"
            yield run.row(f"{key}_e_0").measured([c.e_0 for c in known])
            yield run.row(f"{key}_e_train").measured([c.e_train for c in known])
            yield from verdict_claims(run, key, known, bare)
            errors[name].append(float(np.median([c.e_0 for c in known])))
            good[name].append((dt, count(known, "continuous")))
            bad[name].append((dt, count(known, "overfit_to_dt")))
    small = sum(n for dt, n in good["rk4"] if dt <= 0.1)
    yield run.row("continuity.pendulum.rk4_verdicts").measured(small)
    large = sum(n for dt, n in bad["euler"] if dt >= 0.1)
    yield run.row("continuity.pendulum.euler_verdicts").measured(large)
    for name in _SCHEMES:
        row = run.row(f"continuity.pendulum.{name}_passes")
        yield row.measured(_passes(_DTS, errors[name]))
    _draw(run, _DTS, errors)


def _passes(dts: Sequence[float], errors: list[float]) -> float:
    """The largest step up to which no median error is above the tolerance."""
    largest = 0.0
    for dt, error in sorted(zip(dts, errors, strict=True)):
        if not error <= 0.05:
            break
        largest = dt
    return largest


def _draw(run: Run, dts: Sequence[float], errors: Mapping[str, Any]) -> None:
    with figure(run.figures / "pendulum.svg", 1, 3.4) as (ax,):
        for colour, name, mark in zip(COLOURS, _SCHEMES, "osD", strict=False):
            ax.loglog(
                dts,
                errors[name],
                color=colour,
                marker=mark,
                markersize=4,
                label=f"trained in {name}",
            )
        ax.axhline(0.05, color="#767676", linewidth=0.9)
        ax.annotate("tolerance", (min(dts), 0.055), fontsize=7.5, color="#767676")
        ax.set_xlabel("step of the training dt [s]")
        ax.set_ylabel("error of the field's own motion / spread [1]")
        ax.legend(frameon=False)

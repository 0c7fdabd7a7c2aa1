"""Part `oscillator` of study `continuity`: the published experiment, its theory, and
schemes swapped after the training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ..diagnostics import Convergence, modified_eigenvalue, plot_sweep
from ..systems import Harmonic
from ._claim import Claim
from ._continuity import continuity
from ._continuity_nets import count, judge_all, pairs, tag, train
from ._figures import figure
from ._row import Row
from ._study import Run


_X0, _T1 = (0.0, 1.0), 10.0
_PAPER = "Mahoney 2021, Krishnapriyan et al. 2023, arXiv:2202.08494"
_TRIED = (
    "50 tanh, one-step pairs of t = 0 to 50, Adam 3e-3 with cosine decay, full batch."
)
_EXPECTED = {
    (0.5, "euler"): "overfit_to_dt",
    (0.5, "midpoint"): "overfit_to_dt",
    (0.5, "rk4"): "continuous",
    (0.1, "euler"): "overfit_to_dt",
    (0.1, "midpoint"): "continuous",
    (0.1, "rk4"): "continuous",
}


def _rows() -> Iterator[Row]:
    for (dt, name), verdict in _EXPECTED.items():
        key, words = f"{tag(dt)}_{name}", f"Oscillator, dt = {dt:g}, trained in {name}"
        yield Row(
            f"continuity.oscillator.{key}_verdict",
            f"{words}: verdicts `{verdict}` of 3 seeds.",
            better="equal",
            target=3,
            source=_PAPER,
            tried=_TRIED,
        )
        bare = "depends_on_solver" if verdict == "overfit_to_dt" else "consistent_flow"
        yield Row(
            f"continuity.oscillator.{key}_bare",
            f"{words}, the test without truth: verdicts `{bare}` of 3 seeds.",
            better="equal",
            target=3,
            tried=_TRIED,
        )
        yield Row(
            f"continuity.oscillator.{key}_e_train",
            f"{words}: error at the trained step.",
        )
        yield Row(
            f"continuity.oscillator.{key}_e_0", f"{words}: error of its own motion."
        )
        yield Row(
            f"continuity.oscillator.{key}_end",
            f"{words}: distance of its own motion from the truth at t = 10.",
        )
        yield Row(
            f"continuity.oscillator.{key}_theory",
            f"{words}: the same distance by theory, |exp(mu t) - exp(lambda t)|.",
        )
    for dt in (0.5, 0.1):
        key = f"continuity.oscillator.{tag(dt)}_swap"
        words = f"Oscillator, dt = {dt:g}, trained in RK4: largest distance at dt/64"
        yield Row(
            f"{key}_high",
            f"{words} between any scheme of order 2 or more and its own motion.",
            target=1e-3,
            tried=_TRIED,
        )
        yield Row(
            f"{key}_euler",
            f"{words} between Euler and its own motion.",
            target=0.1,
            tried=_TRIED,
        )


@continuity.part(
    "oscillator",
    tuple(_rows()),
    full={"seeds": 3, "updates": 20000, "lr": 3e-3},
    quick={"seeds": 3, "updates": 400, "lr": 1e-2},
)
def oscillator(run: Run) -> Iterator[Claim]:
    """Train in three schemes at two steps, and test."""
    s, world = run.settings, Harmonic()
    shown: dict[str, Convergence] = {}
    for (dt, name), verdict in _EXPECTED.items():
        known, bare = _judged(run, s, world, dt, name)
        row = lambda what, dt=dt, name=name: run.row(
            f"continuity.oscillator.{tag(dt)}_{name}_{what}"
        )
        yield row("verdict").measured(count(known, verdict), n=len(known))
        flow = "depends_on_solver" if verdict == "overfit_to_dt" else "consistent_flow"
        yield row("bare").measured(count(bare, flow), n=len(bare))
        yield row("e_train").measured([c.e_train for c in known])
        yield row("e_0").measured([c.e_0 for c in known])
        yield row("end").measured([c.end_0 for c in known])
        mu = modified_eigenvalue(1j, dt, name)
        yield row("theory").measured(float(abs(np.exp(_T1 * mu) - np.exp(_T1 * 1j))))
        if name == "rk4":
            yield from _swapped(run, dt, known)
        if dt == 0.5:
            shown[name] = known[0]
    _draw(run, shown)


def _judged(run: Run, s: Any, world: Any, dt: float, name: str) -> Any:
    ts = dt * np.arange(round(50.0 / dt) + 1)
    data = pairs(ts, world.exact(ts, np.array(_X0))[None], 10_000)
    run.progress(f"oscillator, dt = {dt:g}: training in {name}")
    nets = train(data, dt, name, **s)
    return judge_all(nets, _X0, _T1, dt, name, world)


def _swapped(run: Run, dt: float, known: Sequence[Convergence]) -> Iterator[Claim]:
    key = f"continuity.oscillator.{tag(dt)}_swap"
    high = [max(a for n, a in c.agreement.items() if n != "euler") for c in known]
    yield run.row(f"{key}_high").measured(high)
    yield run.row(f"{key}_euler").measured([c.agreement["euler"] for c in known])


def _draw(run: Run, shown: dict[str, Convergence]) -> None:
    """Error over step of the three networks, the true field dashed."""
    with figure(run.figures / "oscillator.svg", len(shown), 8.5) as axes:
        for ax, (name, c) in zip(axes, shown.items(), strict=True):
            plot_sweep(c.to_dict(), c.arrays(), ax)
            ax.set_ylabel(f"trained in {name}\nerror / spread [1]")
            ax.set_xlabel("")
        axes[-1].set_xlabel("step h [s]")

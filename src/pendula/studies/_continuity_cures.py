"""Parts `damped`, `substeps` and `speed` of study `continuity`: what schemes do to
damping, what cures it, and what the test costs."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from .._errors import FitWarning
from ..diagnostics import StepGuard, convergence_test, modified_eigenvalue
from ..dynamics import FitConfig, ModelConfig, TrainConfig, fit
from ..systems import Harmonic, simulate
from ._claim import Claim
from ._continuity import continuity
from ._continuity_nets import (
    Net,
    count,
    judge_all,
    pairs,
    train,
    verdict_claims,
    verdict_rows,
)
from ._row import Row
from ._study import Run


_DAMPED = ("euler", "midpoint", "rk4", "implicit_midpoint")
_EIGENVALUE = complex(-0.05, np.sqrt(1.0 - 0.05**2))
_LM = "50 tanh, all one-step pairs, Levenberg-Marquardt, dt = 0.5."


def _damped_rows() -> Iterator[Row]:
    for name in _DAMPED:
        words = f"Damped oscillator, dt = 0.5, trained in {name}"
        yield Row(
            f"continuity.damped.{name}_rate",
            f"{words}: real part of the eigenvalue that its motion shows "
            f"(truth -0.05).",
            "1/s",
            better="equal",
        )
        yield Row(
            f"continuity.damped.{name}_off",
            f"{words}: difference to the predicted {_predicted(name):.4f}.",
            "1/s",
            target=0.005,
            tried=_LM,
        )
        yield Row(f"continuity.damped.{name}_e_0", f"{words}: error of its own motion.")
        yield from verdict_rows(f"continuity.damped.{name}", words)
    yield Row(
        "continuity.damped.sign",
        "Damped oscillator with rate -0.05, dt = 0.5: schemes whose field loses "
        "energy, as the truth does.",
        better="equal",
        target=4,
        tried=_LM,
    )


def _predicted(name: str) -> float:
    return modified_eigenvalue(_EIGENVALUE, 0.5, name).real


@continuity.part(
    "damped",
    tuple(_damped_rows()),
    full={"seeds": 3, "updates": 150},
    quick={"seeds": 1, "updates": 30},
)
def damped(run: Run) -> Iterator[Claim]:
    """The damping that each scheme makes a field learn."""
    s, world = run.settings, Harmonic(damping=np.asarray(0.1))
    ts = 0.5 * np.arange(101)
    starts = ([0.0, 1.0], [0.0, 0.6])
    xs = np.stack([world.exact(ts, x0) for x0 in starts])
    lost = 0
    for name in _DAMPED:
        run.progress(f"damped oscillator: training in {name}")
        nets = train(pairs(ts, xs, 10_000), 0.5, name, **s)
        known, bare = judge_all(nets, [0.0, 1.0], 10.0, 0.5, name, world)
        rates = [_rate(net) for net in nets]
        lost += all(rate < 0 for rate in rates)
        row = lambda what, name=name: run.row(f"continuity.damped.{name}_{what}")
        yield row("rate").measured(rates)
        yield row("off").measured([abs(r - _predicted(name)) for r in rates])
        yield row("e_0").measured([c.e_0 for c in known])
        yield from verdict_claims(run, f"continuity.damped.{name}", known, bare)
    yield run.row("continuity.damped.sign").measured(lost)


def _rate(net: Net) -> float:
    """Real part of the eigenvalue of the linear map that best takes each sample of
    the field's own motion to the next."""
    seen: list[np.ndarray] = []

    def keep(states: np.ndarray) -> np.ndarray:
        seen.append(states)
        return states

    convergence_test(
        net,
        [0.0, 1.0],
        10.0,
        dt_train=0.5,
        schemes=("rk4",),
        hs=[0.5 / 64],
        observe=keep,
    )
    motion = seen[0][0]
    step, *_ = np.linalg.lstsq(motion[:-1], motion[1:], rcond=None)
    return float(np.log(np.abs(np.linalg.eigvals(step))).mean() / 0.5)


_SUBSTEPS = (1, 5, 20, 100)


def _substep_rows() -> Iterator[Row]:
    for k in _SUBSTEPS:
        words = f"Oscillator, dt = 0.5, Euler with {k} substeps"
        yield Row(
            f"continuity.substeps.k{k}_end",
            f"{words}: distance of its own motion from the truth at t = 10.",
        )
        yield Row(
            f"continuity.substeps.k{k}_theory",
            f"{words}: the same by theory.",
        )
        yield from verdict_rows(f"continuity.substeps.k{k}", words)
    yield Row(
        "continuity.substeps.turns",
        "Oscillator, dt = 0.5, Euler: verdicts `overfit_to_dt` with 1, 5 and 20 "
        "substeps and `continuous` with 100, over all seeds.",
        better="equal",
        target=12,
        source="derived: 1 - exp(-dt t / 2k)",
        tried=_LM,
    )
    yield Row(
        "continuity.substeps.guard_gap",
        "`fit` of a network to the oscillator's record in Euler with a `StepGuard` on "
        "clips of 21 samples: solver gap of what it gives back at t = 10.",
        target=0.05,
        tried="Looked at every 100 updates, tolerance 0.05, on held-out clips of the "
        "row's horizon; on clips of the training's length the gap was 0.092.",
    )
    yield Row(
        "continuity.substeps.guard_substeps", "The same: substeps that it came to."
    )
    yield Row(
        "continuity.substeps.bare_gap", "The same fit without a guard: solver gap."
    )


@continuity.part(
    "substeps",
    tuple(_substep_rows()),
    full={"seeds": 3, "updates": 150, "fit": 800},
    quick={"seeds": 1, "updates": 20, "fit": 40},
)
def substeps(run: Run) -> Iterator[Claim]:
    """Substeps inside the sampling as a cure, by hand and by a guard."""
    s, world = run.settings, Harmonic()
    ts = 0.5 * np.arange(101)
    data = pairs(ts, world.exact(ts, [0.0, 1.0])[None], 10_000)
    right = 0
    for k in _SUBSTEPS:
        run.progress(f"oscillator: training in Euler with {k} substeps")
        given = {"seeds": s["seeds"], "updates": s["updates"]}
        nets = train(data, 0.5, "euler", substeps=k, **given)
        known, bare = judge_all(
            nets,
            [0.0, 1.0],
            10.0,
            0.5,
            "euler",
            world,
            substeps=k,
            schemes=("euler", "midpoint", "rk4"),
        )
        row = lambda what, k=k: run.row(f"continuity.substeps.k{k}_{what}")
        yield row("end").measured([c.end_0 for c in known])
        mu = modified_eigenvalue(1j, 0.5 / k, "euler")
        yield row("theory").measured(float(abs(np.exp(10.0 * mu) - np.exp(10.0j))))
        yield from verdict_claims(run, f"continuity.substeps.k{k}", known, bare)
        right += count(known, "continuous" if k == 100 else "overfit_to_dt")
    yield run.row("continuity.substeps.turns").measured(right)
    yield from _guarded(run, s["fit"])


def _guarded(run: Run, updates: int) -> Iterator[Claim]:
    """The guard in `fit`."""
    data = simulate("harmonic", num=6, duration=20.0, dt=0.5, seed=0)
    config = FitConfig(
        ModelConfig(learn="field", order="first", scheme="euler", substeps=1, width=32),
        TrainConfig(method="adam", members=1, steps=updates, clips=(8,), minutes=30.0),
        dtype="float64",
    )
    guard = StepGuard(every=100 if updates > 100 else 10, samples=21)
    for name, watching in (("guard", [guard]), ("bare", [])):
        run.progress(f"fit of the oscillator's record in Euler: {name}")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FitWarning)  # of the gap, which is a row
            fitted = fit(None, data, config, callbacks=watching, judged=False)
        model = fitted.model(0)
        found = convergence_test(
            model.field,
            [1.0, 0.0],
            10.0,
            dt_train=0.5,
            scheme_train="euler",
            substeps=model.substeps,
        )
        yield run.row(f"continuity.substeps.{name}_gap").measured(found.gap)
        if watching:
            row = run.row("continuity.substeps.guard_substeps")
            yield row.measured(model.substeps)


_SPEED = (
    Row(
        "continuity.speed.test",
        "Convergence test of a fitted model of two states, with truth, six schemes and "
        "17 steps, all compilation included.",
        "s",
        target=20.0,
        tried="One program a scheme; numbers of steps are data.",
    ),
    Row("continuity.speed.bare", "The same without truth.", "s"),
    Row("continuity.speed.again", "With truth, a second field of equal shape.", "s"),
)


@continuity.part(
    "speed", _SPEED, full={"width": 50, "updates": 50}, quick={"width": 8, "updates": 5}
)
def speed(run: Run) -> Iterator[Claim]:
    """Seconds of a test from nothing compiled."""
    s, world = run.settings, Harmonic()
    ts = 0.5 * np.arange(101)
    data = pairs(ts, world.exact(ts, [0.0, 1.0])[None], 10_000)
    nets = train(data, 0.5, "rk4", seeds=2, **s)

    def took(net: Net, **more: Any) -> float:
        began = time.perf_counter()
        convergence_test(
            net, [0.0, 1.0], 10.0, dt_train=0.5, scheme_train="rk4", **more
        )
        return time.perf_counter() - began

    truth = lambda t: world.exact([0.0, t], [0.0, 1.0])[1]
    jax.clear_caches()
    yield run.row("continuity.speed.test").measured(took(nets[0], truth=truth))
    yield run.row("continuity.speed.again").measured(took(nets[1], truth=truth))
    jax.clear_caches()
    yield run.row("continuity.speed.bare").measured(took(nets[0]))

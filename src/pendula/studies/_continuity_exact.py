"""Part `exact` of study `continuity`: fields that are known, nothing is trained."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..diagnostics import convergence_test, modified_eigenvalue
from ..systems import Harmonic, Pendulum
from ._claim import Claim
from ._continuity import continuity
from ._row import Row
from ._study import Run


_ORDERS = {"euler": 1, "midpoint": 2, "rk4": 4, "rk4_38": 4}
_WORLDS = ("oscillator", "pendulum")
_STEPS = {
    "oscillator": "steps of 0.5 and finer",
    "pendulum": "steps of 0.01 and finer (from 0.1 or 0.05 on the run of steps that "
    "the rule takes begins too coarse: 3.77 to 3.89 for order 4 in trial runs)",
}
_FINEST = {"euler": 2**11, "midpoint": 2**9, "rk4": 2**5, "rk4_38": 2**5}
_TRIED = (
    "Steps of the sampling (0.5 and 0.01) over powers of 2: to a 2048th (Euler), a "
    "512th (midpoint), a 32nd (order 4, where rounding begins on the pendulum)."
)


def _rows() -> Iterator[Row]:
    for world in _WORLDS:
        for name, order in _ORDERS.items():
            yield Row(
                f"continuity.exact.{world}_{name}",
                f"Exact field of the {world}: order that the sweep of {name} shows, "
                f"{_STEPS[world]}.",
                better="within",
                target=(order - 0.1, order + 0.1),
                tried=_TRIED,
            )
        yield Row(
            f"continuity.exact.{world}_verdict",
            f"Exact field of the {world}, RK4: verdicts `continuous`.",
            better="equal",
            target=1,
            tried="The field itself.",
        )
    yield Row(
        "continuity.linear.e_train",
        "Linear field (exp(A dt) - 1)/dt of the oscillator, trained step of Euler: "
        "largest error over dt = 0.5, 0.25, 0.1, 0.05.",
        target=1e-12,
        tried="The matrix by its closed form.",
    )
    yield Row(
        "continuity.linear.verdict",
        "The same: verdicts `overfit_to_dt` of 4.",
        better="equal",
        target=4,
        tried="The matrix by its closed form.",
    )
    yield Row(
        "continuity.linear.continuum",
        "The same: largest difference between the error of its own motion at t = 10 "
        "and |exp(mu t) - exp(lambda t)|.",
        target=1e-6,
        tried="Both by closed forms and the reference solver.",
    )
    yield Row(
        "continuity.linear.predicted",
        "The same: largest relative difference between E_0 and what "
        "`predicted_continuum_error` says without a fit.",
        target=1e-6,
        tried="One correction, which is exact for Euler.",
    )


@continuity.part(
    "exact",
    tuple(_rows()),
    full={"dts": [0.5, 0.25, 0.1, 0.05], "finest": 1},
    quick={"dts": [0.5, 0.25], "finest": 2},
)
def exact(run: Run) -> Iterator[Claim]:
    """Orders and verdicts of true fields; the linear field that Euler would learn."""
    worlds: dict[str, Any] = {
        "oscillator": (Harmonic(), [0.0, 1.0], 10.0, 0.5),
        "pendulum": (Pendulum(), [0.75 * np.pi, 0.0], 2.0, 0.01),
    }
    for key, (world, x0, t1, dt) in worlds.items():
        for name in _ORDERS:
            finest = _FINEST[name] // run.settings["finest"]
            hs = dt / 2.0 ** np.arange(int(np.log2(finest)) + 1)
            found = convergence_test(
                world,
                x0,
                t1,
                dt_train=dt,
                truth=None,
                schemes=(name,),
                scheme_train=name,
                hs=hs.tolist(),
            )
            row = run.row(f"continuity.exact.{key}_{name}")
            yield row.measured(found.order[name].value)
        found = convergence_test(world, x0, t1, dt_train=dt, true_field=world)
        row = run.row(f"continuity.exact.{key}_verdict")
        yield row.measured(int(found.verdict == "continuous"))
    yield from _linear(run)


def _linear(run: Run) -> Iterator[Claim]:
    world, x0 = Harmonic(), np.array([0.0, 1.0])
    truth = lambda t: world.exact([0.0, t], x0)[1]
    errors, verdicts, away, told = [], [], [], []
    for dt in run.settings["dts"]:
        turn = np.array([[np.cos(dt), np.sin(dt)], [-np.sin(dt), np.cos(dt)]])
        law = (turn - np.eye(2)) / dt
        found = convergence_test(
            lambda t, y, u, c, law=law: law @ y,
            x0,
            10.0,
            dt_train=dt,
            scheme_train="euler",
            truth=truth,
            true_field=world,
            schemes=("euler", "rk4"),
        )
        mu = modified_eigenvalue(1j, dt, "euler")
        errors.append(found.e_train)
        verdicts.append(found.verdict == "overfit_to_dt")
        own = abs(np.exp(10.0 * mu) - np.exp(10.0j))
        away.append(abs(found.end_0 - own))
        told.append(abs((found.predicted or 0.0) / found.e_0 - 1.0))
    yield run.row("continuity.linear.e_train").measured(max(errors))
    yield run.row("continuity.linear.verdict").measured(sum(verdicts))
    yield run.row("continuity.linear.continuum").measured(max(away))
    yield run.row("continuity.linear.predicted").measured(max(told))

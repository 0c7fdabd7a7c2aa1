"""Part `energy_drift` of study `spine`: what structure is worth on a long run.

Models of a swinging pendulum are fitted to a few noisy records of its angle and run for
100 periods from a start of their own. The energy is that of the true pendulum, averaged
over each period: a model with an energy moves on a closed curve, wherever it errs; one
without drifts.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np

from ._claim import Claim
from ._row import Row
from ._spine import spine
from ._study import Run


ID = "spine.energy_drift"
PERIODS = 100
START = 1.2  # rad, within the amplitudes of the data

MODELS = {
    "hamiltonian": "a learned Hamiltonian H(q, p), its momenta never measured",
    "lagrangian": "a learned Lagrangian",
    "energy": "a learned potential energy",
    "plain": "a plain neural ODE of the second order",
}
_TRIED = (
    "The energy is part of the parametrisation; what drifts is the scheme (RK4, steps "
    "of 0.1 rad)."
)
_ROWS = (
    Row(
        ID,
        f"Models with an energy after training, {PERIODS} periods: largest change of "
        "the period's mean energy, of the energy; the worst of the three kinds.",
        target=0.01,
        tried=_TRIED,
    ),
    *[Row(f"{ID}_{name}", f"The same of {what}.") for name, what in MODELS.items()],
    *[
        Row(
            f"{ID}_own_{name}",
            f"Largest change of its own energy along that run, of the energy: {what}.",
        )
        for name, what in MODELS.items()
        if name != "plain"
    ],
)
_FULL: dict[str, Any] = {
    "seeds": [0, 1, 2],
    "periods": PERIODS,
    "data": {"num": 3, "duration": 8.0, "dt": 0.05, "noise": 0.01},
    "model": {"order": "second", "width": 12, "depth": 1},
    "train": {"method": "levenberg", "members": 1, "window": 2.0, "minutes": 5.0},
}
_QUICK = copy.deepcopy(_FULL)
_QUICK |= {"seeds": [0], "periods": 5}
_QUICK["data"] |= {"num": 1, "duration": 4.0}
_QUICK["model"] |= {"width": 4}
_QUICK["train"] |= {"steps": 3}


@spine.part("energy_drift", _ROWS, full=_FULL, quick=_QUICK)
def energy_drift(run: Run) -> Iterator[Claim]:
    """Every kind of model for every seed, then the rows."""
    found: dict[str, list[dict[str, Any]]] = {}
    for name in MODELS:
        found[name] = [
            run.keep(
                f"{name}_{seed}",
                lambda name=name, seed=seed: drifts(name, seed, run.settings),
            )
            for seed in run.settings["seeds"]
        ]
    for name, all_of in found.items():
        true, own = ([float(f[key]) for f in all_of] for key in ("true", "own"))
        yield run.row(f"{ID}_{name}").measured(true)
        if name != "plain":
            yield run.row(f"{ID}_own_{name}").measured(own)
    kept = [[f["true"] for f in found[name]] for name in MODELS if name != "plain"]
    yield run.row(ID).measured(np.max(kept, axis=0))


def drifts(name: str, seed: int, settings: dict[str, Any]) -> dict[str, float]:
    """Fit one model and run it freely: changes of the true energy's mean over a
    period, `true`, and of the model's own energy, `own`, as shares of the energy."""
    import equinox as eqx
    import jax
    import jax.numpy as jnp

    from ..dynamics import energy, fit, from_dict
    from ..systems import Pendulum, simulate

    world = Pendulum()
    data = simulate("pendulum", seed=seed, **settings["data"]).channels(["theta"])
    learn = "force" if name == "plain" else name
    config = {
        "model": {**settings["model"], "learn": learn},
        "train": settings["train"],
        "seed": seed,
    }
    fitted = fit(None, data, from_dict(config), judged=False)
    periods, each = settings["periods"], 200
    ts = np.arange(periods * each + 1) * (world.period([START, 0.0]) / each)
    ys = np.asarray(fitted.simulate([START, 0.0], ts).ys, np.float64)[0]
    model = fitted.model()

    def energies(field: Any, y: Any) -> Any:
        # dq/dt, also where the second half of the state are momenta
        moving = field(jnp.zeros(()), y, None, None)[0]
        true = world.invariants(jnp.stack([y[0], moving]))["energy"]
        own = energy(field, y)
        return true, jnp.zeros(()) if own is None else own

    with jax.enable_x64(True):
        each_of = eqx.filter_jit(jax.vmap(energies, (None, 0)))
        true, own = map(np.asarray, each_of(model.field, jnp.asarray(ys)))
    means = true[:-1].reshape(periods, each).mean(1)
    size = means[0]
    return {
        "true": float(np.max(np.abs(means - size)) / size),
        "own": float(np.max(np.abs(own - own[0])) / size),
    }

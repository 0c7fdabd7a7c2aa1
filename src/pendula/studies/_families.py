"""Study `families`: one law for many systems, and how new ones are read."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..data import Trajectories
from ._study import study


families = study(
    "families",
    "One law is learned from unlabelled trajectories of a few systems; the vector eta "
    "of a new one is fitted to one record of it. Errors are E5 = |prediction - truth| "
    "/ |truth| over 5 s from a start that was not used, the truth by an integrator at "
    "a relative tolerance of 1e-10.",
)
STEP = 0.01  # s between samples
RECORD = 10.0  # s


@dataclasses.dataclass(frozen=True)
class Law:
    """The parameters `"system parameter"` in which a law is linear: their names, how
    they follow from those of the case, and the way back."""

    names: tuple[str, ...]
    of: Callable[[np.ndarray], np.ndarray]
    back: Callable[[np.ndarray], np.ndarray]


@dataclasses.dataclass(frozen=True)
class FamilyCase:
    """A family of the thesis: its law, its training systems and starts; `law` where it
    is linear in other parameters than those that are named."""

    name: str
    params: tuple[tuple[float, ...], ...]
    rate: Callable[[Any, Sequence[float]], list[float]]
    start: Callable[[np.random.Generator], np.ndarray]
    param_names: tuple[str, ...]
    records: int
    box: tuple[tuple[float, float], ...]
    law: Law | None = None

    def motion(
        self, params: Any, start: Any, duration: float = RECORD
    ) -> tuple[np.ndarray, np.ndarray]:
        """Times `"time"` and states `"time dim"` of one exact run."""
        from scipy.integrate import solve_ivp

        ts = np.arange(round(duration / STEP) + 1) * STEP
        out = solve_ivp(
            lambda t, y: self.rate(y, params),
            (0.0, ts[-1]),
            start,
            t_eval=ts,
            rtol=1e-10,
            atol=1e-12,
            method="DOP853",
        )
        return ts, out.y.T

    def records_of(
        self, systems: Sequence[Sequence[float]], each: int, rng: np.random.Generator
    ) -> Trajectories:
        """`each` records of every system, from random starts, labels left out."""
        ys, env, ts = [], [], None
        for i, params in enumerate(systems):
            for _ in range(each):
                ts, y = self.motion(params, self.start(rng))
                ys.append(y)
                env.append(i)
        data = Trajectories.from_arrays(
            [ts] * len(ys),
            ys,
            names=("u", "v"),
            units=("1", "1/s"),
            origin={"system": self.name},
        )
        return data.replace(env=np.array(env))

    def unseen(self, count: int, rng: np.random.Generator) -> list[tuple[float, ...]]:
        """Random systems inside the box of the training systems."""
        low, high = np.array(self.box).T
        return [tuple(rng.uniform(low, high)) for _ in range(count)]


PENDULUM = FamilyCase(
    "pendulum",
    tuple((length,) for length in (1.0, 3.0, 5.0, 7.0, 9.0)),
    lambda y, p: [y[1], -10.0 / p[0] * np.sin(y[0])],
    lambda rng: np.array([np.pi / 2, 0.0]),
    ("length",),
    1,
    ((1.0, 9.0),),
    Law(("1/length",), lambda p: 1.0 / p, lambda q: 1.0 / q),
)
BISTABLE = FamilyCase(
    "bistable",
    tuple(
        (k1, k3) for k1 in (-0.4, -0.6, -0.8, -1.0) for k3 in (2.0, 2.9, 3.7, 4.6, 5.0)
    ),
    lambda y, p: [y[1], -p[0] * y[0] - p[1] * y[0] ** 3],
    lambda rng: rng.uniform([-0.8, -0.5], [0.8, 0.5]),
    ("k1", "k3"),
    4,
    ((-1.0, -0.4), (2.0, 5.0)),
)
RELAXING = Law(
    ("eps", "eps delta", "omega^2"),
    lambda p: np.stack([p[:, 0], p[:, 0] * p[:, 1], p[:, 2] ** 2], axis=1),
    lambda q: np.stack(
        [q[:, 0], q[:, 1] / q[:, 0], np.sqrt(np.maximum(q[:, 2], 0.0))], axis=1
    ),
)
VAN_DER_POL = FamilyCase(
    "van_der_pol",
    tuple(
        (eps, delta, omega)
        for eps in (1.0, 2.0, 3.0)
        for delta in (1.0, 2.0, 3.0)
        for omega in (0.5, 1.0, 1.5)
    ),
    lambda y, p: [
        y[1],
        p[0] * y[1] * (1.0 - p[1] * y[0] ** 2) - p[2] ** 2 * y[0],
    ],
    lambda rng: rng.uniform(-2.5, 2.5, 2),
    ("eps", "delta", "omega"),
    4,
    ((1.0, 3.0), (1.0, 3.0), (0.5, 1.5)),
    RELAXING,
)


def fitted_family(
    case: FamilyCase, config: dict[str, Any], seed: int, etas: Any = None
) -> Any:
    """The family of a case, trained on its systems; `etas` where they are known."""
    rng = np.random.default_rng([seed, 1])
    data = case.records_of(case.params, case.records, rng)
    return family_on(data, config, seed, etas)


def family_on(
    data: Trajectories, config: dict[str, Any], seed: int, etas: Any = None
) -> Any:
    """The family of some records, by settings as plain tables."""
    from ..dynamics import FamilyConfig, ModelConfig, from_dict, meta_fit

    model = from_dict(config["model"], ModelConfig, "model")
    rest = {k: v for k, v in config.items() if k != "model"}
    return meta_fit(data, FamilyConfig(model, seed=seed, **rest), etas=etas)


def e5(
    case: FamilyCase, family: Any, eta: Any, params: Any, start: Any, refine: int = 1
) -> float:
    """E5 of one member from one start, its step divided by `refine`."""
    ts, truth = case.motion(params, start, 5.0)
    every = int(family.about["every"])
    got = family.predict(eta, truth[0], ts[::every], refine=refine)
    truth = truth[::every]
    error = float(np.linalg.norm(got - truth) / np.linalg.norm(truth))
    return error if np.isfinite(error) else np.inf


def barrier_distance(params: Any, start: np.ndarray) -> float:
    """How far a start of the bistable oscillator lies from the energy of its barrier,
    in depths of the well (the barrier is at 0)."""
    k1, k3 = params
    u, v = start
    energy = 0.5 * v**2 + 0.5 * k1 * u**2 + 0.25 * k3 * u**4
    return float(abs(energy) / (k1**2 / (4.0 * k3)))


def affine_r2(etas: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """R^2 of each column of the targets on an affine map of eta."""
    design = np.column_stack([etas, np.ones(len(etas))])
    rest = targets - design @ np.linalg.lstsq(design, targets, rcond=None)[0]
    return 1.0 - (rest**2).sum(0) / ((targets - targets.mean(0)) ** 2).sum(0)

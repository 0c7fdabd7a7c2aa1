"""Parts `lotka` and `first_order` of study `families`: the few-shot benchmark, by the
protocol of its own papers, and the exactness of the first-order gradient."""

from __future__ import annotations

import copy
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..data import Trajectories
from ._claim import Claim
from ._families import families
from ._row import Row
from ._study import NotHere, Run


OOD = ((0.625, 0.625), (0.625, 1.125), (1.125, 0.625), (1.125, 1.125))
_L = "families.F.lotka"
_TRIED = (
    "Training starts cover a thin strip of the state space: what is left is "
    "extrapolation in the state."
)
_LOTKA = [
    Row(
        f"{_L}_in_mse",
        "Lotka-Volterra of gen-dynamics: mean squared error on 32 unseen starts of the "
        "9 training systems; nothing is chosen on them.",
        target=5e-5,
        goal=1.5e-5,
        tried=_TRIED,
    ),
    Row(
        f"{_L}_ood_mse",
        "4 new systems, each adapted on one record, from the same unseen starts; the "
        "truth is our own integration (the published split is not at hand).",
        target=5e-5,
        goal=1.5e-5,
        tried=_TRIED,
    ),
    Row(
        f"{_L}_train_cpu",
        "Training, processor time, compilation included.",
        "s",
        target=120.0,
        goal=60.0,
        tried=_TRIED,
    ),
    Row(
        f"{_L}_adapt_cpu",
        "Adaptation of one system, processor time, after compilation.",
        "s",
        target=1.0,
        tried=_TRIED,
    ),
    Row(
        f"{_L}_iterations",
        "Levenberg-Marquardt iterations of the adaptation, the largest.",
        target=5,
        tried=_TRIED,
    ),
    Row(f"{_L}_adapted", "Number of adapted parameters."),
    Row(
        f"{_L}_floor_mse",
        "Data floor: what the true law scores on the same test records.",
    ),
    Row(
        f"{_L}_exact_mse",
        "In-domain error against exact trajectories instead of the records.",
    ),
    Row(
        f"{_L}_worst_share",
        "Share of the in-domain error in the worst tenth of (system, start) pairs.",
    ),
]
_FULL: dict[str, Any] = {
    "seeds": [0, 1, 2],
    "config": {
        "model": {"learn": "field", "order": "first", "width": 32, "depth": 2},
        "head": "affine",
        "size": 2,
        "horizon": 9.5,
    },
}
_QUICK: dict[str, Any] = copy.deepcopy(_FULL) | {"seeds": [0]}
_QUICK["config"] |= {"steps": 1}
_QUICK["config"]["model"] |= {"width": 6, "depth": 1}


@families.part("lotka", _LOTKA, full=_FULL, quick=_QUICK)
def lotka(run: Run) -> Iterator[Claim]:
    """Every seed, then the rows."""
    folder = gen_dynamics("Lotka")
    found = [
        run.keep(
            f"seed_{seed}", lambda seed=seed: measured_lotka(folder, run.settings, seed)
        )
        for seed in run.settings["seeds"]
    ]
    for key in (
        "in_mse",
        "ood_mse",
        "train_cpu",
        "adapt_cpu",
        "iterations",
        "adapted",
        "floor_mse",
        "exact_mse",
        "worst_share",
    ):
        yield run.row(f"{_L}_{key}").measured([float(f[key]) for f in found])


def gen_dynamics(name: str) -> Path:
    """The folder of one system of the benchmark. **Raises:** `NotHere`."""
    folder = Path(os.environ.get("PENDULA_DATA", "")) / "gen-dynamics" / name
    if not (folder / "train.npz").is_file():
        raise NotHere(
            "the data set gen-dynamics is not on this machine: set PENDULA_DATA to the "
            "folder that holds it"
        )
    return folder


def stored(folder: Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Times and records `"system record time dim"` of one split."""
    with np.load(folder / f"{split}.npz") as file:
        return np.asarray(file["t"], float), np.asarray(file["X"], float)


def as_data(ts: np.ndarray, xs: np.ndarray, names: tuple[str, ...]) -> Trajectories:
    """Records of several systems as trajectories with a system index."""
    systems, each = xs.shape[:2]
    ys = list(xs.reshape(systems * each, *xs.shape[2:]))
    data = Trajectories.from_arrays(
        [ts] * len(ys),
        ys,
        names=names,
        units=("1",) * len(names),
        origin={"system": "gen-dynamics"},
    )
    return data.replace(env=np.repeat(np.arange(systems), each))


def lotka_motion(ts: np.ndarray, b: float, d: float, starts: np.ndarray) -> np.ndarray:
    """Exact records `"start time dim"`."""
    from scipy.integrate import solve_ivp

    def rate(t: float, w: np.ndarray) -> list[float]:
        x, y = w
        return [0.5 * x - b * x * y, d * x * y - 0.5 * y]

    run = lambda y0: (
        solve_ivp(rate, (ts[0], ts[-1]), y0, t_eval=ts, rtol=1e-10, atol=1e-12).y.T
    )
    return np.stack([run(y0) for y0 in starts])


def measured_lotka(folder: Path, settings: dict[str, Any], seed: int) -> dict[str, Any]:
    """Train on `train`, adapt on `ood_train`, score on starts of `test`."""
    from ..dynamics import FamilyConfig, ModelConfig, meta_fit

    names = ("x", "y")
    ts, train = stored(folder, "train")
    _, test = stored(folder, "test")
    _, ood = stored(folder, "ood_train")
    rest = {k: v for k, v in settings["config"].items() if k != "model"}
    config = FamilyConfig(ModelConfig(**settings["config"]["model"]), seed=seed, **rest)
    began = time.process_time()
    family = meta_fit(as_data(ts, train, names), config)
    train_cpu = time.process_time() - began
    new = as_data(ts, ood, names)
    adapted = family.adapt_many(new, noise=0.0)
    began = time.process_time()
    adapted = family.adapt_many(new, noise=0.0)
    adapt_cpu = (time.process_time() - began) / len(adapted)
    starts = test[0, :, 0]
    params = [(b, d) for d in (0.5, 0.75, 1.0) for b in (0.5, 0.75, 1.0)]
    exact = np.stack([lotka_motion(ts, b, d, starts) for b, d in params])
    got = np.stack(
        [family.predict(e, x[:, 0], ts) for e, x in zip(family.etas, test, strict=True)]
    )
    pairs = np.sort(((got - test) ** 2).mean((2, 3)).ravel())
    worst = pairs[-max(1, len(pairs) // 10) :].sum() / pairs.sum()
    new_exact = np.stack([lotka_motion(ts, b, d, starts) for b, d in OOD])
    forecasts = np.stack([family.predict(a.eta, starts, ts) for a in adapted])
    return {
        "in_mse": np.mean((got - test) ** 2),
        "ood_mse": np.mean((forecasts - new_exact) ** 2),
        "train_cpu": train_cpu,
        "adapt_cpu": adapt_cpu,
        "iterations": max(a.iterations for a in adapted),
        "adapted": family.size,
        "floor_mse": np.mean((exact - test) ** 2),
        "exact_mse": np.mean((got - exact) ** 2),
        "worst_share": worst,
    }


_FIRST = [
    Row(
        "families.first_order_exact",
        "Where the inner problem is solved and judged on the same clips, the "
        "first-order meta-gradient is the whole one (envelope theorem): difference "
        "from differentiating through the solution, of the gradient's norm.",
        target=1e-6,
        tried="Newton's iteration on the inner problem, in float64.",
    )
]
_FIRST_FULL = {"seeds": [0, 1, 2]}


@families.part("first_order", _FIRST, full=_FIRST_FULL, quick={"seeds": [0]})
def first_order_exact(run: Run) -> Iterator[Claim]:
    """A family of pendulums with an affine head, its inner problem solved by Newton."""
    off = [envelope_error(seed) for seed in run.settings["seeds"]]
    yield run.row("families.first_order_exact").measured(off)


def envelope_error(seed: int) -> float:
    """First-order gradient against a central difference of the solved problem."""
    import jax
    import jax.numpy as jnp
    from jax.flatten_util import ravel_pytree

    from ..nn import bind, conditioned

    with jax.enable_x64(True):
        key = jax.random.key(seed)
        net = conditioned("affine", 1, 1, 1, width=6, depth=1, key=key)
        starts = jnp.linspace(0.3, 1.2, 4)

        def motion(force: Any, q0: Any) -> Any:
            def step(y: Any, _: Any) -> Any:
                v = y[1] + 0.05 * force(y[:1])[0]
                return jnp.stack([y[0] + 0.05 * v, v]), y[0]

            return jax.lax.scan(step, jnp.stack([q0, 0.0 * q0]), None, length=20)[1]

        truth = jax.vmap(lambda q: motion(lambda z: -jnp.sin(z), q))(starts)
        flat, unravel = ravel_pytree(net)

        def loss(theta: Any, eta: Any) -> Any:
            force = bind(unravel(theta), eta)
            got = jax.vmap(lambda q: motion(force, q))(starts)
            return jnp.mean((got - truth) ** 2)

        @jax.jit
        def solve(theta: Any) -> Any:
            def newton(eta: Any, _: Any) -> Any:
                g = jax.grad(loss, 1)(theta, eta)
                h = jax.hessian(loss, 1)(theta, eta)
                step = jnp.linalg.solve(jnp.abs(h) + 1e-14, g)
                return eta - step, None

            return jax.lax.scan(newton, jnp.zeros(1), None, length=50)[0]

        first = jax.grad(loss)(flat, solve(flat))
        # through every Newton iteration
        whole = jax.grad(lambda theta: loss(theta, solve(theta)))(flat)
        return float(jnp.linalg.norm(first - whole) / jnp.linalg.norm(whole))

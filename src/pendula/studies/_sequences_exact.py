"""Part `exact` of study `sequences`: bounds, scans, noise and orders of the cells."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from .._precision import cast, precision, to_device
from ..sequences import (
    CELLS,
    LEMCell,
    LinearRecurrentUnit,
    LipschitzCell,
    NoisyCell,
    OrthogonalCell,
    advance,
    implicit_regulariser,
    recurrent_model,
    run_cell,
    with_dt,
)
from ._claim import Claim
from ._row import Row
from ._sequences import NOISY, sequences
from ._study import Run


_ORDERS = {
    "lipschitz_euler": ("lipschitz", 1, {"scheme": "euler", "init_std": 3.0}),
    "lipschitz_rk2": ("lipschitz", 2, {"scheme": "rk2", "init_std": 3.0}),
    "cornn": ("cornn", 1, {"gamma": 2.0, "epsilon": 0.5}),
    "lem": ("lem", 1, {}),
}
_TRIED = "The cell as it is."
_ROWS = (
    Row(
        "sequences.1.gradients",
        "Largest relative difference of the gradient of a sum of squares after 20 "
        "inputs from central differences, over all cells and 5 directions, float64.",
        target=1e-6,
        tried=_TRIED,
    ),
    Row(
        "sequences.1.scan",
        "Largest relative difference of the states after 200 inputs by the scan from "
        "those by a loop, over all cells, float32.",
        target=1e-5,
        tried=_TRIED,
    ),
    Row(
        "sequences.1.lru_scan",
        "Largest relative difference of the states of LRU over 2000 inputs by the "
        "parallel scan from the recurrence, float32.",
        target=1e-5,
        tried=_TRIED,
    ),
    Row(
        "sequences.1.lem_bound",
        "Largest |y|, |z| of LEM over 100 networks with steps up to 1, 200 inputs of "
        "spread 30 each.",
        target=1.0,
        source="Rusch et al. 2022, proposition 1",
        tried=_TRIED,
    ),
    Row(
        "sequences.1.orthogonality",
        "Largest entry of |Q'Q - I| of expRNN and Cayley's network, N = 128, weights "
        "three times their spread away from the start.",
        target=1e-5,
        tried=_TRIED,
    ),
    Row(
        "sequences.1.ou_variance",
        "Variance of a noisy cell with W = 0, A = -gamma I over that of the "
        "Ornstein-Uhlenbeck process.",
        better="within",
        target=(0.95, 1.05),
        source=NOISY,
        tried=_TRIED,
    ),
    Row(
        "sequences.1.strong_order",
        "Strong order of Euler and Maruyama with noise in proportion to the state.",
        better="within",
        target=(0.35, 0.65),
        source="Gardiner 2009",
        tried=_TRIED,
    ),
    Row(
        "sequences.1.weak_order",
        "Weak order (of the second moment) in the same case, by exact moments of the "
        "scheme.",
        better="within",
        target=(0.9, 1.1),
        source="Gardiner 2009",
        tried=_TRIED,
    ),
    Row(
        "sequences.1.regulariser",
        "Mean loss under noise less the clean one over epsilon^2, by 2e5 draws in "
        "opposite pairs, over (Q + R) / 2; N = 8, 20 steps.",
        better="within",
        target=(0.9, 1.1),
        source=NOISY,
        tried=_TRIED,
    ),
    *(
        Row(
            f"sequences.2.{key}",
            f"Order in the step of {name}'s states for a smooth input"
            f"{', Euler' if key.endswith('euler') else ''}"
            f"{', midpoint' if key.endswith('rk2') else ''}.",
            better="within",
            target=(order - 0.2, order + 0.2),
            tried=_TRIED,
        )
        for key, (name, order, _) in _ORDERS.items()
    ),
)


@sequences.part(
    "exact",
    _ROWS,
    full={"draws": 100000, "paths": 4000, "networks": 100},
    quick={"draws": 2000, "paths": 2000, "networks": 5},
)
def exact(run: Run) -> Iterator[Claim]:
    """All in seconds, in the order of the table."""
    s = run.settings
    key = jax.random.key(0)
    yield run.row("sequences.1.gradients").measured(_gradients(key))
    yield run.row("sequences.1.scan").measured(_scan(key))
    yield run.row("sequences.1.lru_scan").measured(_parallel(key))
    yield run.row("sequences.1.lem_bound").measured(_bound(s["networks"]))
    yield run.row("sequences.1.orthogonality").measured(_orthogonality(key))
    yield run.row("sequences.1.ou_variance").measured(_variance(key))
    strong, weak = _noise_orders(key, s["paths"])
    yield run.row("sequences.1.strong_order").measured(strong)
    yield run.row("sequences.1.weak_order").measured(weak)
    yield run.row("sequences.1.regulariser").measured(_regulariser(key, s["draws"]))
    for name, (cell, order, extra) in _ORDERS.items():
        yield run.row(f"sequences.2.{name}").measured(_order(cell, order, extra, key))


def _wide(tree: Any) -> Any:
    return to_device(cast(tree, np.float64))


def _inputs(steps: int, size: int = 2) -> jax.Array:
    drawn = np.random.default_rng(0).normal(size=(steps, size))
    return jnp.asarray(drawn, jnp.result_type(float))


def _gradients(key: Any) -> float:
    worst = 0.0
    with precision(np.float64):
        us = _inputs(20)
        for name in CELLS:
            model = _wide(recurrent_model(name, 2, 4, 1, key=key))
            weights, rest = eqx.partition(model, eqx.is_inexact_array)
            flat, back = ravel_pytree(weights)
            loss = jax.jit(
                lambda v, back=back, rest=rest: jnp.sum(
                    eqx.combine(back(v), rest)(us) ** 2
                )
            )
            slope = jax.jit(jax.grad(loss))(flat)
            for seed in range(5):
                way = np.random.default_rng(seed).normal(size=flat.shape)
                way, h = jnp.asarray(way), 1e-5
                found = (loss(flat + h * way) - loss(flat - h * way)) / (2 * h)
                size = float(jnp.linalg.norm(slope) * jnp.linalg.norm(way))
                worst = max(worst, abs(float(found - slope @ way)) / size)
    return worst


def _far(found: Any, wanted: Any) -> float:
    """Largest difference, relative to the largest entry, of all arrays of a state."""
    pairs = zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True)
    return max(float(jnp.abs(a - b).max() / jnp.abs(b).max()) for a, b in pairs)


def _scan(key: Any) -> float:
    us, worst = _inputs(200), 0.0
    for name in CELLS:
        cell = recurrent_model(name, 2, 8, 1, key=key).cell
        step, state = eqx.filter_jit(advance), cell.start()
        for u in us:
            state = step(cell, state, u)
        worst = max(worst, _far(run_cell(cell, us)[0], state))
    return worst


def _parallel(key: Any) -> float:
    cell, us = LinearRecurrentUnit(2, 16, key=key), _inputs(2000)

    def one(state: Any, u: Any) -> tuple[Any, Any]:
        after = advance(cell, state, u)
        return after, after

    wanted = jax.lax.scan(one, cell.start(), us)[1]
    return _far(cell.states(us, cell.start()), wanted)


def _bound(count: int) -> float:
    us, worst = 30.0 * _inputs(200), 0.0
    run = eqx.filter_jit(lambda cell: run_cell(cell, us, all_states=True))
    for k in range(count):
        dt = (k + 1) / count
        cell = LEMCell(2, 16, dt=dt, key=jax.random.key(k))
        grown = jax.tree.map(lambda w: 3.0 * w, eqx.filter(cell, eqx.is_inexact_array))
        grown = eqx.tree_at(lambda c: c.held_dt, grown, cell.held_dt)
        grown = eqx.combine(grown, cell)
        last, reads = run(grown)
        worst = max(worst, *(float(jnp.abs(v).max()) for v in (*last, reads)))
    return worst


def _orthogonality(key: Any) -> float:
    worst = 0.0
    for rotation in ("exponential", "cayley"):
        cell = OrthogonalCell(1, 128, rotation=rotation, key=key)
        moved = cell.upper + 3.0 * jnp.std(cell.upper) * jax.random.normal(
            key, cell.upper.shape
        )
        q = eqx.tree_at(lambda c: c.upper, cell, moved).weights()
        worst = max(worst, float(jnp.abs(q.T @ q - jnp.eye(128)).max()))
    return worst


def _bare(size: int, dt: float, gamma: float, key: Any) -> LipschitzCell:
    """dh/dt = -gamma h and nothing else."""
    cell = LipschitzCell(1, size, dt=dt, beta=1.0, gamma=gamma, key=key)
    at = lambda c: (c.matrix, c.linear, c.input, c.bias, c.gamma_w.value)
    return eqx.tree_at(at, cell, tuple(jnp.zeros_like(v) for v in at(cell)))


def _variance(key: Any) -> float:
    gamma, sigma, epsilon = 2.0, 0.7, 0.5
    calm = _bare(64, 0.01, gamma, key)
    cell = NoisyCell(calm, epsilon=epsilon, sigma1=sigma, sigma2=0.0)
    us = jnp.zeros((20000, 1))
    run = lambda k: run_cell(cell, us, key=k, all_states=True)[1][1000:]
    states = jax.jit(jax.vmap(run))(jax.random.split(key, 4))
    return float(jnp.var(states)) / ((epsilon * sigma) ** 2 / (2 * gamma))


def _noise_orders(key: Any, paths: int) -> tuple[float, float]:
    """On dh = -gamma h dt + (s1 - s2 gamma h) dB, the same path of B at each step."""
    gamma, s1, s2, finest = 1.0, 0.5, 2.0, 1024
    calm = _bare(1, 0.1, gamma, key)
    draws = jax.random.normal(key, (paths, finest)) * math.sqrt(1 / finest)

    @jax.jit
    def end(cell: Any, noise: Any) -> Any:
        weights, fed = cell.weights(), jnp.zeros(1)
        drawn = cell.draw(len(noise), key)  # of its structure; the path is ours
        drawn = jax.tree.map(lambda _: noise[:, None], drawn)
        one = lambda h, xi: (cell.shaken(weights, h, fed, xi), None)
        return jax.lax.scan(one, jnp.ones(1), drawn)[0][0]

    def ends(steps: int) -> Any:
        cell = NoisyCell(with_dt(calm, 1 / steps), epsilon=1.0, sigma1=s1, sigma2=s2)
        joined = draws.reshape(paths, steps, -1).sum(axis=2) * math.sqrt(steps)
        return jax.vmap(lambda n: end(cell, n))(joined)

    fine, counts = ends(finest), (8, 16, 32, 64)
    strong = [float(jnp.sqrt(jnp.mean((ends(n) - fine) ** 2))) for n in counts]
    # E h and E h^2 obey recursions of their own under the scheme
    moment = lambda n: _second_moment(n, gamma, s1, s2)
    limit = moment(2**20)
    weak = [abs(moment(n) - limit) for n in counts]
    slope = lambda errors: float(-np.mean(np.diff(np.log2(errors))))
    return slope(strong), slope(weak)


def _second_moment(steps: int, gamma: float, s1: float, s2: float) -> float:
    """E h(1)^2 of the scheme from h(0) = 1."""
    dt, mean, square = 1.0 / steps, 1.0, 1.0
    shrink, a, b = 1.0 - gamma * dt, s1, -s2 * gamma
    for _ in range(steps):
        shaken = a * a + 2 * a * b * mean + b * b * square
        square = shrink * shrink * square + dt * shaken
        mean = shrink * mean
    return square


def _regulariser(key: Any, pairs: int) -> float:
    with precision(np.float64):
        how: dict[str, Any] = {"dt": 0.1, "init_std": 8.0, "sigma1": 1.0, "sigma2": 0.5}
        model = _wide(recurrent_model("noisy", 1, 8, 1, key=key, **how))
        us, eps = _inputs(20, 1), 0.02
        loss = lambda y: jnp.sum(jnp.cosh(y - 0.3))
        found = implicit_regulariser(model, us, loss)
        small = eqx.tree_at(lambda m: m.cell.epsilon.value, model, jnp.asarray(eps))
        weights, cell = small.cell.weights(), small.cell

        def end(noise: Any) -> Any:
            one = lambda h, at: (cell.shaken(weights, h, cell.feed(at[0]), at[1]), None)
            return loss(small.head(jax.lax.scan(one, cell.start(), (us, noise))[0]))

        def pair(k: Any) -> Any:
            noise = cell.draw(len(us), k)
            turned = jax.tree.map(lambda x: -x, noise)
            return 0.5 * (end(noise) + end(turned))

        total, many = 0.0, jax.jit(lambda keys: jnp.sum(jax.vmap(pair)(keys)))
        cut = min(pairs, 10000)
        for part in range(pairs // cut):
            total += float(many(jax.random.split(jax.random.fold_in(key, part), cut)))
        mean = total / (pairs // cut * cut)
        gain = (mean - float(loss(model(us)))) / eps**2
        return gain / (0.5 * float(found.q + found.r))


def _order(name: str, order: int, extra: dict[str, Any], key: Any) -> float:
    """Of the rule of order 2 each step sees the input at its middle."""
    with precision(np.float64):
        cell = _wide(CELLS[name](1, 8, dt=0.1, key=key, **extra))
        span, ends = 4.0, []
        run = eqx.filter_jit(lambda c, us: run_cell(c, us)[0])
        for steps in (80, 160, 320, 640, 20480):
            dt = span / steps
            t = (np.arange(steps) + (0.5 if order == 2 else 0.0)) * dt
            us = jnp.asarray(np.sin(2.0 * t)[:, None])
            state = run(with_dt(cell, dt), us)
            ends.append(jnp.concatenate([v.ravel() for v in jax.tree.leaves(state)]))
        errors = [float(jnp.linalg.norm(e - ends[-1])) for e in ends[:-1]]
        return float(-np.mean(np.diff(np.log2(errors))))

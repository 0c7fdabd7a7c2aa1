"""Part `hyper` of study `families`: the magnitude-invariant hypernetwork beside one
that predicts the weights from the task value itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ._claim import Claim
from ._families import families
from ._row import Row
from ._study import Run


_H = "families.hyper"
_TRIED = (
    "Encoding on a circle and additive corrections, the last layer of the "
    "hypernetwork a tenth of its drawn size."
)
_ROWS = [
    Row(
        f"{_H}.variance_ratio",
        "Variance of the gradient over minibatches and drawn weights, task 1 over "
        "task 0.05 (or the inverse, where larger), before training.",
        target=2.0,
        tried=_TRIED,
    ),
    Row(
        f"{_H}.variance_ratio_plain",
        "The same of a plain hypernetwork, whose weights follow the task value.",
    ),
    Row(
        f"{_H}.error_ratio",
        "Van der Pol, mu in [0.2, 3], 12 of them in training: error of the learned "
        "acceleration on unseen mu over that of a plain hypernetwork at equal steps.",
        target=0.5,
        tried=_TRIED,
    ),
    Row(
        f"{_H}.error",
        "The error itself: |learned - true acceleration| / |true| on unseen mu.",
    ),
]
_FULL: dict[str, Any] = {
    "seeds": [0, 1, 2],
    "draws": 64,
    "steps": 4000,
    "width": 16,
    "lr": 3e-3,
    "mu": [0.2, 3.0],
    "training": 12,
}
_QUICK = _FULL | {"seeds": [0], "draws": 2, "steps": 20, "width": 4}


@families.part("hyper", _ROWS, full=_FULL, quick=_QUICK)
def hyper(run: Run) -> Iterator[Claim]:
    """Every seed, then the rows."""
    found = [
        run.keep(f"seed_{seed}", lambda seed=seed: measured(run.settings, seed))
        for seed in run.settings["seeds"]
    ]
    for name in run.rows:
        key = name.removeprefix(f"{_H}.")
        yield run.row(name).measured([float(f[key]) for f in found])


def measured(settings: dict[str, Any], seed: int) -> dict[str, Any]:
    """The numbers of one seed by the last words of the rows' ids."""
    error, plain = (trained_error(settings, seed, plain=p) for p in (False, True))
    return {
        "variance_ratio": variance_ratio(settings, seed, plain=False),
        "variance_ratio_plain": variance_ratio(settings, seed, plain=True),
        "error": error,
        "error_ratio": error / plain,
    }


def _network(settings: dict[str, Any], key: Any, plain: bool) -> Any:
    import jax

    from ..nn import MLP, Hyper

    first, second = jax.random.split(key)
    base = MLP(2, 1, width=settings["width"], depth=2, key=first)
    return Hyper(base, 1, width=settings["width"], plain=plain, key=second)


def variance_ratio(settings: dict[str, Any], seed: int, *, plain: bool) -> float:
    """Variance of the gradient of the hypernetwork's weights at task 1 and 0.05, the
    target the same: mean over its entries."""
    import equinox as eqx
    import jax
    import jax.numpy as jnp
    from jax.flatten_util import ravel_pytree

    key = jax.random.key(seed)
    count = settings["draws"]
    # drawn outside of the compiled part: generators of random numbers compile slowly
    drawn = [
        _network(settings, jax.random.fold_in(key, k), plain) for k in range(count)
    ]
    nets, static = zip(*(eqx.partition(n, eqx.is_array) for n in drawn), strict=True)
    nets = jax.tree.map(lambda *x: jnp.stack(x), *nets)
    zs = jax.random.uniform(
        jax.random.fold_in(key, count), (count, 32, 2), minval=-2.0, maxval=2.0
    )

    def slope(net: Any, z: Any, task: Any) -> Any:
        target = z[:, 1] * (1.0 - z[:, 0] ** 2) - z[:, 0]

        def loss(net: Any) -> Any:
            module = eqx.combine(net, static[0]).adapt(task[None])
            return jnp.mean((jax.vmap(module)(z)[:, 0] - target) ** 2)

        return ravel_pytree(jax.grad(loss)(net))[0]

    each = jax.vmap(slope, (0, 0, None))
    spread = jax.jit(lambda nets, t: jnp.mean(jnp.var(each(nets, zs, t), 0)))
    ratio = float(spread(nets, jnp.asarray(1.0)) / spread(nets, jnp.asarray(0.05)))
    return max(ratio, 1.0 / ratio)


def trained_error(settings: dict[str, Any], seed: int, *, plain: bool) -> float:
    """Train on the accelerations of the training mu, judge on those in between."""
    import equinox as eqx
    import jax
    import jax.numpy as jnp

    from .._tree import split_trainable
    from ..train import TrainState, adam_cosine, finish, gradient_step, init_opt, run

    low, high = settings["mu"]
    mus = np.linspace(low, high, settings["training"])
    between = 0.5 * (mus[1:] + mus[:-1])
    rng = np.random.default_rng([seed, 1])
    fit, test = _states(mus, rng), _states(between, rng)
    scale = float(np.sqrt(np.mean(fit[2] ** 2)))
    task = lambda mu: (mu - low) / (high - low)
    put = lambda x: jnp.asarray(x, jnp.float32)
    key = jax.random.key(seed)
    params, static = split_trainable(_network(settings, key, plain))

    def learned(params: Any, gamma: Any, z: Any) -> Any:
        net = eqx.combine(params, static)
        one = lambda g, z: jax.vmap(net.adapt(g[None]))(z)[:, 0]
        return jax.vmap(one)(gamma, z)

    def loss(params: Any, batch: Any, key: Any) -> Any:
        gamma, z, target = batch
        which = jax.random.randint(key, (64,), 0, z.shape[1])
        off = learned(params, gamma, 0.5 * z[:, which]) - target[:, which] / scale
        return jnp.mean(off**2)

    transform = adam_cosine(settings["lr"], settings["steps"])
    step = gradient_step(loss, transform, inner=20)
    state = TrainState.start(params, init_opt(transform, params), key)
    batch = (put(task(fit[0])), put(fit[1]), put(fit[2]))
    state, _ = run(
        step, state, batch, num_steps=settings["steps"], log_every=100, inner=20
    )
    got = eqx.filter_jit(learned)(finish(state), put(task(test[0])), put(0.5 * test[1]))
    got = scale * np.asarray(got)
    return float(np.linalg.norm(got - test[2]) / np.linalg.norm(test[2]))


def _states(
    mus: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Oscillators, states `"system sample 2"` along two exact records of each, and
    their accelerations `"system sample"`."""
    from scipy.integrate import solve_ivp

    rate = lambda t, y, mu: [y[1], mu * (1.0 - y[0] ** 2) * y[1] - y[0]]
    ts = np.linspace(0.0, 10.0, 101)
    states = []
    for mu in mus:
        starts = rng.uniform(-2.0, 2.0, (2, 2))
        runs = [
            solve_ivp(rate, (0.0, 10.0), y0, t_eval=ts, args=(mu,), rtol=1e-8).y.T
            for y0 in starts
        ]
        states.append(np.concatenate(runs))
    z = np.stack(states)
    mu = mus[:, None]
    return mus, z, mu * (1.0 - z[..., 0] ** 2) * z[..., 1] - z[..., 0]

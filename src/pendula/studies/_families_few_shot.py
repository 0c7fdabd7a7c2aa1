"""Parts `lotka` and `first_order` of study `families`: the few-shot benchmark, by the
protocol of its own papers, and the exactness of the first-order gradient."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from ._claim import Claim
from ._families import families
from ._few_shot import FewShot, few_shot_claims, few_shot_rows
from ._row import Row
from ._study import Run


_TRIED = (
    "Training starts cover a thin strip of the state space: what is left is "
    "extrapolation in the state. Width 32 instead of 16: six times the time, 4.7e-5 on "
    "the first seed; start states that are found, too: 1.2e-4; precision 100 of the "
    "prior: 4.3e-5."
)
LOTKA = FewShot(
    "Lotka",
    ("x", "y"),
    ("1", "1"),
    lambda w, p: [
        0.5 * w[0] - p[0] * w[0] * w[1],
        p[1] * w[0] * w[1] - 0.5 * w[1],
    ],
    tuple((b, d) for d in (0.5, 0.75, 1.0) for b in (0.5, 0.75, 1.0)),
    ((0.625, 0.625), (0.625, 1.125), (1.125, 0.625), (1.125, 1.125)),
)
_LOTKA = few_shot_rows(
    "lotka",
    "Lotka-Volterra",
    {
        "in_mse": (5e-5, 1.5e-5),
        "ood_mse": (5e-5, 1.5e-5),
        "train_cpu": (120.0, 60.0),
        "adapt_cpu": (1.0, None),
        "iterations": (5, None),
    },
    _TRIED,
)
_FULL: dict[str, Any] = {
    "seeds": [0, 1, 2],
    "config": {
        "model": {"learn": "field", "order": "first", "width": 16, "depth": 2},
        "head": "affine",
        "size": 2,
        "horizon": 9.5,
        "exact": True,
    },
}
_QUICK: dict[str, Any] = copy.deepcopy(_FULL) | {"seeds": [0]}
_QUICK["config"] |= {"steps": 1}
_QUICK["config"]["model"] |= {"width": 6, "depth": 1}


@families.part("lotka", _LOTKA, full=_FULL, quick=_QUICK)
def lotka(run: Run) -> Iterator[Claim]:
    """Every seed, then the rows."""
    yield from few_shot_claims(run, "lotka", LOTKA)


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

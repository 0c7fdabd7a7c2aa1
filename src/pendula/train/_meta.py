r"""Gradient estimators of meta-learning: weights shared by a family, eta for each.

The loss of instance i is $L_i(\theta, \eta)$. An inner loop fits eta from a shared
start, an outer one the weights:

$$ \eta_{l+1} = \eta_l - \alpha \nabla_\eta L_i(\theta, \eta_l), \qquad
   \min_\theta \tfrac1N \sum_i L_i(\theta, \eta^i_m) $$

Every mode is an estimator for `gradient_step`: what differs is the gradient.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PRNGKeyArray

from ._estimator import AuxLoss, Estimate, Estimator, Loss


# loss(theta, eta, item) -> scalar, of one instance; eta may be any pytree
InstanceLoss = Callable[[Any, Any, Any], Float[Array, ""]]
FORWARD = 4  # entries of eta up to which its slope is taken by forward mode
# move(theta, slope) -> what is taken from eta in one step, a pytree like it
Move = Callable[[Any, Any], Any]


def inner_descent(
    loss: InstanceLoss,
    theta: Any,
    eta: Any,
    item: Any,
    steps: int,
    rate: Any,
    *,
    hold: bool = False,
) -> tuple[Any, Any]:
    r"""Gradient descent on eta: ($\eta_m$, $\eta_{m-1}$).

    Scanned, not unrolled: the program does not grow with `steps`. The slope of a
    short eta is taken by forward mode, which stores nothing of the rollout.
    **Arguments:** eta is any pytree, the weights of a whole network too; `rate` a
    number, or `move(theta, slope)`, whose own weights are then part of theta; `hold`:
    slopes count as constants when the result is differentiated (first order).
    **Source:** Wang 2023, equation 4.5; Finn, Abbeel, Levine 2017, arXiv:1703.03400.
    """
    move: Move = rate if callable(rate) else _scaled(rate)

    few = sum(jnp.size(x) for x in jax.tree.leaves(eta)) <= FORWARD
    differentiate = jax.jacfwd if few else jax.grad

    def once(pair: tuple, _: Any) -> tuple[tuple, None]:
        now = pair[0]
        slope = differentiate(loss, 1)(theta, now, item)
        if hold:
            slope = jax.lax.stop_gradient(slope)
        moved = jax.tree.map(jnp.subtract, now, move(theta, slope))
        return (moved, now), None

    (last, before), _ = jax.lax.scan(once, (eta, eta), None, length=steps)
    return last, before


def _scaled(rate: Any) -> Move:
    return lambda theta, slope: jax.tree.map(lambda g: rate * g, slope)


def mean_loss(loss: InstanceLoss) -> Loss:
    r"""`joint` training (an auto-decoder): parameters `(theta, etas)`, every eta its
    own, the batch the items of all instances.

    $$ \min_{\theta, \eta^1..\eta^N} \tfrac1N \sum_i L_i(\theta, \eta^i) $$
    """

    def total(pair: Any, items: Any, key: PRNGKeyArray) -> Float[Array, ""]:
        theta, etas = pair
        return jnp.mean(jax.vmap(loss, (None, 0, 0))(theta, etas, items))

    return total


def first_order(
    loss: InstanceLoss, steps: int, rate: float | Move, *, late: bool = False
) -> Estimator:
    r"""First-order meta-gradient: eta is held where the inner loop ends.

    $$ g_\theta = \tfrac1N \sum_i \partial_\theta L_i(\theta, \eta^i_m), \qquad
       g_{\eta_0} = \tfrac1N \sum_i \partial_\eta L_i(\theta, \eta^i_m) $$

    Where the inner problem is solved, $\partial_\eta L = 0$ and this is the whole
    gradient (envelope theorem). Parameters `(theta, eta0)`; the batch is the items of
    all instances. `late` is the published variant: taken at $\eta_{m-1}$, before the
    last update, and summed over the instances.

    **Source:** Wang 2023, equations 4.5 and 4.6; `late`: code of Li et al. 2023.
    """

    def estimate(
        _: AuxLoss,
        pair: Any,
        items: Any,
        key: PRNGKeyArray,
        step: Any = 0,
        statistics: Any = None,
    ) -> Estimate:
        theta, eta0 = pair
        taken = steps - 1 if late else steps  # the last step of `late` is not used
        fit = lambda item: inner_descent(loss, theta, eta0, item, taken, rate)[0]
        etas = jax.lax.stop_gradient(jax.vmap(fit)(items))

        # one gradient of all instances: their products with the weights are one
        def total(theta: Any, etas: Any) -> Float[Array, ""]:
            values = jax.vmap(loss, (None, 0, 0))(theta, etas, items)
            return jnp.sum(values) if late else jnp.mean(values)

        value, (slope, towards) = jax.value_and_grad(total, (0, 1))(theta, etas)
        towards = jax.tree.map(lambda g: jnp.sum(g, 0), towards)
        count = jax.tree.leaves(etas)[0].shape[0]
        return (value / count if late else value, None), (slope, towards)

    return estimate


def second_order(
    loss: InstanceLoss, steps: int, rate: float | Move, *, hold: bool = False
) -> Loss:
    r"""The loss after the inner loop as a function of theta and the start, to be
    differentiated through all inner steps.

    The batch is `(support, query)`: eta is fitted on the one and judged on the other.
    `rate` and `hold` are those of `inner_descent`; with `hold` the gradient is of
    first order in the slopes, and that of a learned `rate` is still there.
    **Source:** Finn, Abbeel, Levine 2017, arXiv:1703.03400.
    """

    def total(pair: Any, batch: Any, key: PRNGKeyArray) -> Float[Array, ""]:
        theta, eta0 = pair

        def one(support: Any, query: Any) -> Float[Array, ""]:
            last, _ = inner_descent(loss, theta, eta0, support, steps, rate, hold=hold)
            return loss(theta, last, query)

        return jnp.mean(jax.vmap(one)(*batch))

    return total


def implicit(
    loss: InstanceLoss, solve: Callable[[Any, Any, Any], Any], proximal: float
) -> Estimator:
    r"""Meta-gradient of a solved inner problem, by the implicit function theorem.

    $$ \eta^i = \arg\min_\eta L^s_i(\theta, \eta)
         + \tfrac{\lambda}{2} |\eta - \bar\eta|^2, \qquad
       g_\theta = \partial_\theta L^q
         - \partial^2_{\theta\eta} L^s\,(H_s + \lambda I)^{-1} \partial_\eta L^q $$

    H is a small dense matrix: solved exactly, then one vector-Jacobian product. The
    start $\bar\eta$ moves by $\lambda (H_s + \lambda I)^{-1} \partial_\eta L^q$.

    **Arguments:** `solve(theta, eta0, support) -> eta` solves the inner problem with
    its proximal term; `proximal` is lambda. The batch is `(support, query)`.
    **Source:** Rajeswaran, Finn, Kakade, Levine 2019, arXiv:1909.04630.
    """

    def estimate(
        _: AuxLoss,
        pair: Any,
        batch: Any,
        key: PRNGKeyArray,
        step: Any = 0,
        statistics: Any = None,
    ) -> Estimate:
        theta, eta0 = pair

        def one(support: Any, query: Any) -> tuple[Array, tuple]:
            eta = jax.lax.stop_gradient(solve(theta, eta0, support))
            value, (direct, pull) = jax.value_and_grad(loss, (0, 1))(theta, eta, query)
            flat, unravel = ravel_pytree(eta)
            slope = lambda theta, e: ravel_pytree(
                jax.grad(loss, 1)(theta, unravel(e), support)
            )[0]
            hessian = jax.jacfwd(slope, 1)(theta, flat)
            held = hessian + proximal * jnp.eye(flat.shape[0], dtype=flat.dtype)
            weight = jnp.linalg.solve(held, ravel_pytree(pull)[0])
            _, vjp = jax.vjp(lambda th: slope(th, flat), theta)
            (through,) = vjp(weight)
            total = jax.tree.map(jnp.subtract, direct, through)
            return value, (total, unravel(proximal * weight))

        values, slopes = jax.vmap(one)(*batch)
        mean = jax.tree.map(lambda g: jnp.mean(g, 0), slopes)
        return (jnp.mean(values), None), mean

    return estimate

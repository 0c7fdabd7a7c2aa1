"""Descent on local entropy: an inner walk about the weights at every step."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from .._checks import whole
from .._errors import ShapeError
from ._estimator import (
    AbstractEstimator,
    Estimate,
    Number,
    Valued,
    average,
    drawn,
    number,
)


_STREAM = 0x4E02
_MOMENTUM = 0.9


class EntropySGD(AbstractEstimator):
    r"""The gradient of the local entropy of a loss, by L steps of Langevin dynamics.

    $$ x \leftarrow x - \eta' [\nabla J(x) + \gamma (x - w)]
         + \sqrt{2 \eta'}\, \epsilon\, N(0, I), \quad
       \mu \leftarrow \alpha \mu + (1 - \alpha) x, \qquad g = w - \mu $$

    from $x = \mu = w$, with Nesterov's momentum 0.9 within and
    $\gamma = \gamma_0 (1 + s)^k$ at step k. The objective is
    $-\log E_q e^{-J}$ with q of variance $1 / \gamma$; its factor gamma is left to the
    learning rate.

    **Arguments:** `steps`: L, gradients a step: give it one L-th of the epochs;
    `gamma0`: 1e-4 (MNIST), 0.03 (CIFAR-10); `scoping`: s; `eps`; `inner_lr`: $\eta'$;
    `alpha`. `apart`: the batch has a leading axis of L, one for each inner step; else
    all are of the same batch.
    **Returns:** the value is that at w, of the first inner step; auxiliary output the
    mean over all.
    **Raises:** `ConfigError`; `ShapeError` for a batch of another first axis.
    **Source:** Chaudhari et al. 2017, arXiv:1611.01838, algorithm 1; Wang 2023,
    equation 2.8. The published code leaves the pull to w out of the momentum.

    ```python
    >>> import jax, jax.numpy as jnp
    >>> from pendula.train import EntropySGD
    >>> estimator = EntropySGD(1, gamma0=0.0, eps=0.0, inner_lr=0.1, alpha=0.0)
    >>> _, g = estimator.around(lambda w, key: 0.5 * jnp.sum(w**2))(
    ...     jnp.ones(1), jax.random.key(0))
    >>> round(float(g[0]), 4)  # one step of Nesterov: (1 + 0.9) 0.1
    0.19

    ```
    """

    gamma0: Float[Array, ""]
    scoping: Float[Array, ""]
    eps: Float[Array, ""]
    inner_lr: Float[Array, ""]
    alpha: Float[Array, ""]
    steps: int = eqx.field(static=True)
    """L."""
    apart: bool = eqx.field(static=True)
    """Whether each inner step has a batch of its own."""

    def __init__(
        self,
        steps: int = 20,
        gamma0: Number = 1e-4,
        scoping: Number = 1e-3,
        eps: Number = 1e-4,
        inner_lr: Number = 0.1,
        alpha: Number = 0.75,
        *,
        apart: bool = False,
    ) -> None:
        for name, value in {"gamma0": gamma0, "scoping": scoping, "eps": eps}.items():
            setattr(self, name, number(value, "EntropySGD", name))
        self.inner_lr = number(inner_lr, "EntropySGD", "inner_lr", low=1e-12)
        self.alpha = number(alpha, "EntropySGD", "alpha", below=1.0)
        self.steps, self.apart = whole(1, "EntropySGD", steps=steps), apart

    @property
    def evaluations(self) -> int:
        return self.steps

    def gradient(
        self,
        valued: Valued,
        params: Any,
        batch: Any,
        key: PRNGKeyArray,
        step: Int[Array, ""] | int,
        statistics: Any,
    ) -> Estimate:
        if self.apart:
            _check_batches(batch, self.steps)
        count = jnp.asarray(step).astype(self.gamma0.dtype)
        gamma = self.gamma0 * (1.0 + self.scoping) ** count
        own = jax.random.fold_in(key, _STREAM)
        width = jnp.sqrt(2.0 * self.inner_lr) * self.eps

        def inner(carry: tuple, k: Array) -> tuple[tuple, tuple]:
            x, mean, speed = carry
            mine = jax.tree.map(lambda b: b[k], batch) if self.apart else batch
            told, slope = valued(x, mine, jax.random.fold_in(key, k))
            noise = drawn(jax.random.normal, jax.random.fold_in(own, k), x)
            to = lambda a, like: a.astype(like.dtype)
            pull = jax.tree.map(
                lambda g, a, w: g + to(gamma, g) * (a - w), slope, x, params
            )
            speed = jax.tree.map(lambda v, g: _MOMENTUM * v + g, speed, pull)
            x = jax.tree.map(
                lambda a, g, v, n: (
                    a - to(self.inner_lr, a) * (g + _MOMENTUM * v) + to(width, a) * n
                ),
                x,
                pull,
                speed,
                noise,
            )
            mean = jax.tree.map(
                lambda m, a: to(self.alpha, m) * m + to(1.0 - self.alpha, a) * a,
                mean,
                x,
            )
            return (x, mean, speed), told

        start = (params, params, jax.tree.map(jnp.zeros_like, params))
        (_, mean, _), told = jax.lax.scan(inner, start, jnp.arange(self.steps))
        values, aux = told
        after = jax.tree.map(average, aux)
        return (values[0], after), jax.tree.map(jnp.subtract, params, mean)


def _check_batches(batch: Any, steps: int) -> None:
    """An index beyond the last batch would be that of the last one, silently."""
    shapes = [jnp.shape(x) for x in jax.tree.leaves(batch)]
    if not shapes or any(shape[:1] != (steps,) for shape in shapes):
        raise ShapeError(
            f"EntropySGD with apart=True: the batch has arrays of shapes {shapes}; "
            f"expected {steps} on the first axis, one batch for each inner step."
        )

"""The gradient under random errors of the parameters."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from .._errors import ConfigError
from ._estimator import AbstractEstimator, Estimate, Valued, as_number, fresh


# perturb(params, key, level, statistics) -> disturbed params
Perturb = Callable[..., Any]
_STREAM = 0x4E01  # draws of errors are of a stream of their own


class Ramp(eqx.Module):
    r"""A level that grows from 0 and then stays.

    $$ \eta(k) = \eta \min(1, k / (f K)) $$
    """

    level: Any
    steps: Any

    def __call__(self, step: Int[Array, ""] | int) -> Float[Array, ""]:
        """The level at a step."""
        share = jnp.asarray(step).astype(jnp.asarray(self.level).dtype) / self.steps
        return self.level * jnp.minimum(share, 1.0)


def ramp(level: float, fraction: float, num_steps: int) -> Ramp:
    """A level that is reached after a share of all steps.

    **Raises:** `ConfigError` for a share outside (0, 1] or a negative level.

    ```python
    >>> from pendula.train import ramp
    >>> rising = ramp(0.1, 0.5, 100)
    >>> [round(float(rising(k)), 3) for k in (0, 25, 50, 99)]
    [0.0, 0.05, 0.1, 0.1]

    ```
    """
    if not 0.0 < fraction <= 1.0 or not (math.isfinite(level) and level >= 0.0):
        raise ConfigError(
            f"ramp: level is {level}, fraction {fraction}; the level is at least 0, "
            "the fraction within (0, 1]."
        )
    return Ramp(as_number(level), as_number(max(1.0, fraction * num_steps)))


class Smoothed(AbstractEstimator):
    r"""The mean gradient at L randomly disturbed parameters.

    $$ g = \frac1L \sum_{l=1}^{L} \nabla J(w + \delta w_l), \qquad \delta w_l \sim q $$

    It descends on $E_q J(w + \delta w)$. With `antithetic`, every second error is the
    one before with its sign turned; with `mix` m the gradient is
    $m \nabla J(w) + (1 - m)\, g$.

    **Arguments:**
    - `perturb`: `perturb(params, key, level, statistics)` gives disturbed parameters;
      at level 0 they must be the parameters themselves.
    - `level`: a number, or a schedule of the step.
    - `samples`: L, at least 1; even with `antithetic`. They are taken one by one on a
      CPU, at once elsewhere, to the same result.

    **Returns:** the value is the mean over the disturbed losses, auxiliary output their
    mean.
    **Raises:** `ConfigError`.
    **Source:** Wang 2023, algorithm 1; `mix`: arXiv:2211.11489.

    ```python
    >>> import jax, jax.numpy as jnp
    >>> from pendula.train import Smoothed
    >>> perturb = lambda w, key, level, _: w + level * jax.random.normal(key, w.shape)
    >>> vg = Smoothed(perturb, 0.1, 2, antithetic=True).around(
    ...     lambda w, key: 0.5 * jnp.sum(w**2))
    >>> _, g = vg(jnp.ones(2), jax.random.key(0))
    >>> [round(float(v), 5) for v in g]  # errors of both signs cancel
    [1.0, 1.0]

    ```
    """

    perturb: Perturb
    level: Any
    mix: Any
    samples: int = eqx.field(static=True)
    """L."""
    antithetic: bool = eqx.field(static=True)
    """Whether errors come in pairs of both signs."""
    mixed: bool = eqx.field(static=True)
    """Whether the clean gradient takes part."""

    def __init__(
        self,
        perturb: Perturb,
        level: Any,
        samples: int = 1,
        *,
        antithetic: bool = False,
        mix: float = 0.0,
    ) -> None:
        if samples < 1 or (antithetic and samples % 2):
            raise ConfigError(
                f"Smoothed: samples is {samples}; there must be at least one"
                + (", and an even number with antithetic=True." if antithetic else ".")
            )
        if not 0.0 <= mix < 1.0:
            raise ConfigError(f"Smoothed: mix is {mix}; it must lie in [0, 1).")
        if isinstance(level, int | float) and not (math.isfinite(level) and level >= 0):
            raise ConfigError(
                f"Smoothed: level is {level}; it must be finite and at least 0."
            )
        self.perturb, self.level, self.mix = perturb, as_number(level), as_number(mix)
        self.samples, self.antithetic, self.mixed = samples, antithetic, mix > 0.0

    @property
    def evaluations(self) -> int:
        return self.samples + int(self.mixed)

    def gradient(
        self,
        valued: Valued,
        params: Any,
        batch: Any,
        key: PRNGKeyArray,
        step: Int[Array, ""] | int,
        statistics: Any,
    ) -> Estimate:
        level = self.level(step) if callable(self.level) else self.level
        own = jax.random.fold_in(key, _STREAM)

        def one(k: Array) -> Estimate:
            drawn = k // 2 if self.antithetic else k
            mine = jax.random.fold_in(own, drawn)
            there = self.perturb(params, mine, level, fresh(statistics))
            if self.antithetic:
                turned = k % 2 == 1
                there = jax.tree.map(
                    lambda a, b: jnp.where(turned, a + a - b, b), params, there
                )
            return valued(there, batch, key)

        if self.samples == 1:
            found = one(jnp.asarray(0))
        else:
            several = jnp.arange(self.samples)
            each = jax.lax.map if jax.default_backend() == "cpu" else _at_once
            found = jax.tree.map(_mean, each(one, several))
        if not self.mixed:
            return found
        (value, aux), grads = found
        _, clean = valued(params, batch, key)
        blend = lambda a, b: (
            self.mix.astype(a.dtype) * a + (1.0 - self.mix).astype(a.dtype) * b
        )
        return (value, aux), jax.tree.map(blend, clean, grads)


def _at_once(function: Any, several: Array) -> Any:
    return jax.vmap(function)(several)


def _mean(x: Array) -> Array:
    """Over the samples; of whole numbers and switches the last one."""
    if jnp.issubdtype(x.dtype, jnp.inexact):
        return jnp.mean(x, axis=0)
    return x[-1]

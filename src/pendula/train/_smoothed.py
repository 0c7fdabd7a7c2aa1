"""The gradient under random errors of the parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from .._checks import whole
from .._errors import ConfigError
from ._estimator import (
    AbstractEstimator,
    Estimate,
    Number,
    Valued,
    as_number,
    at_step,
    average,
    fresh,
    levelled,
    number,
)


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


def ramp(level: Number, fraction: float, num_steps: int) -> Ramp:
    """A level that is reached after a share of all steps, `fraction` of `num_steps`.

    **Raises:** `ConfigError` for a share outside (0, 1] or a negative level.

    ```python
    >>> from pendula.train import ramp
    >>> rising = ramp(0.1, 0.5, 100)
    >>> [round(float(rising(k)), 3) for k in (0, 25, 50, 99)]
    [0.0, 0.05, 0.1, 0.1]

    ```
    """
    if not 0.0 < fraction <= 1.0:
        raise ConfigError(f"ramp: fraction is {fraction}; it must lie in (0, 1].")
    whole(1, "ramp", num_steps=num_steps)
    level = number(level, "ramp", "level")
    return Ramp(level, as_number(max(1.0, fraction * num_steps)))


class Smoothed(AbstractEstimator):
    r"""The mean gradient at L randomly disturbed parameters.

    $$ g = \frac1L \sum_{l=1}^{L} \nabla J(w + \delta w_l), \qquad \delta w_l \sim q $$

    It descends on $E_q J(w + \delta w)$. With `antithetic`, every second error is the
    one before with its sign turned; with `mix` m the gradient is
    $m \nabla J(w) + (1 - m)\, g$.

    **Arguments:**
    - `perturb`: `perturb(params, key, level, statistics)` gives disturbed parameters,
      arrays of the same shapes; `statistics` are the running ones, or None.
    - `level`: a number, a schedule of the step, or what else `perturb` takes for one.
      At the number 0 nothing is drawn, and the gradient is the plain one to the bit.
    - `samples`: L, at least 1; even with `antithetic`. They are taken one by one on a
      CPU, at once elsewhere, to the same result. The loss has the same key in all of
      them: what it draws itself (dropout) does not differ.

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
        mix: Number = 0.0,
    ) -> None:
        if antithetic and samples % 2:
            raise ConfigError(
                f"Smoothed: samples is {samples}; with antithetic=True errors come in "
                "pairs. Give an even number."
            )
        self.perturb, self.level = perturb, levelled(level, "Smoothed")
        self.samples = whole(1, "Smoothed", samples=samples)
        self.mix = number(mix, "Smoothed", "mix", below=1.0)
        self.antithetic = antithetic
        # a share that is not known yet may be above 0
        self.mixed = not (isinstance(mix, float | int) and mix == 0.0)

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
        level = at_step(self.level, step)
        own = jax.random.fold_in(key, _STREAM)
        clean = _is_zero(level)

        def one(k: Array) -> Estimate:
            drawn = k // 2 if self.antithetic else k
            mine = jax.random.fold_in(own, drawn)

            def there() -> Any:
                moved = self.perturb(params, mine, level, fresh(statistics))
                moved = jax.tree.map(_as, params, moved)
                if self.antithetic:
                    turned = k % 2 == 1
                    turn = lambda a, b: jnp.where(turned, a + a - b, b)
                    moved = jax.tree.map(turn, params, moved)
                return moved

            # a branch, so that the gradient's program is the plain one's
            at = jax.lax.cond(clean, lambda: params, there)
            return valued(at, batch, key)

        if self.samples == 1:
            found = one(jnp.asarray(0))
        else:
            several = jnp.arange(self.samples)
            each = jax.lax.map if jax.default_backend() == "cpu" else _at_once
            found = jax.tree.map(lambda x: _mean(x, clean), each(one, several))
        if not self.mixed:
            return found
        (value, aux), grads = found
        _, exact = valued(params, batch, key)

        def blend(a: Array, b: Array) -> Array:
            share = self.mix.astype(a.dtype)
            return jnp.where(clean, a, share * a + (1.0 - share) * b)

        return (value, aux), jax.tree.map(blend, exact, grads)


def _is_zero(level: Any) -> Any:
    """Whether there is no noise at all: only of a plain number it is known here."""
    return jnp.all(level == 0) if eqx.is_array(level) else jnp.asarray(False)


def _as(like: Array, x: Any) -> Array:
    """In the precision of the parameters, whatever that of the errors."""
    return jnp.asarray(x, like.dtype)


def _at_once(function: Any, several: Array) -> Any:
    return jax.vmap(function)(several)


def _mean(x: Array, clean: Array) -> Array:
    """Over the samples; where all are the same, the first of them to the bit."""
    return jnp.where(clean, x[0], average(x))

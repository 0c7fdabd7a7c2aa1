"""Training for noisy devices: gradients under their noise, and ranges kept small."""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, PRNGKeyArray

from .._checks import at_least, not_negative, positive
from .._errors import ConfigError, FitWarning
from ..train import AbstractCallback, Smoothed, TrainState, ramp
from ._component import Component, check_kind
from ._convert import to_analog
from ._device import AbstractDevice
from ._noise import NoiseLevel, as_eta
from ._norms import forgotten, of_states
from ._twin import AnalogTwin, levels_of


class Perturbation(eqx.Module):
    """Errors as the devices of a twin make them, on the weights that are trained: what
    `train.Smoothed` perturbs with. Ranges are those of the weights at that step, and no
    gradient flows through them."""

    twin: AnalogTwin

    def __call__(
        self, params: Any, key: PRNGKeyArray, level: Any, statistics: Any = None
    ) -> Any:
        """The disturbed weights; `statistics`: the state of the batch norms, those that
        the twin was made with without."""
        running = None
        if statistics is not None and self.twin.running:
            found = self.twin.statistics_of(statistics)
            running = jax.lax.stop_gradient(found)
        return self.twin.perturbed(params, key, level, None, running)


def hardware_aware(
    twin: AnalogTwin,
    level: Any = 0.1,
    samples: int = 1,
    *,
    antithetic: bool = False,
    mix: float = 0.0,
) -> Smoothed:
    r"""The gradient of the loss under the errors of devices (HA-SGD), for
    `train.gradient_step(..., estimator=...)`.

    $$ g = \frac1L \sum_{l=1}^{L} \nabla J(w + \delta w_l), \qquad
       \delta w_l \sim q, \quad \eta_{train} \text{ of the range of each component} $$

    It descends on $E_q J(w + \delta w)$, a smoothed loss: to second order the gradient
    is that of $J + \frac12 \mathrm{Tr}(H \Sigma)$, with extra noise of covariance
    $\frac1L H \Sigma H$. Any device serves: with PCM it is the device in the loop.

    **Arguments:**
    - `twin`: of the model as it starts; the trained weights stand where its do.
    - `level`: eta in training, a number, a `NoiseLevel`, numbers by kind or path, or a
      schedule of the step; 0 is plain descent, and of devices whose levels multiply
      measured errors (`PCM`), 1 is the device itself.
    - `samples`: L; 1 is the published setting.
    - `antithetic`: errors in pairs of both signs; `mix`: share of the clean gradient.

    **Returns:** a `train.Smoothed`.
    **Raises:** `ConfigError`. **Warns:** `AnalogWarning`, as `twin.sample` does, before
    anything is trained.
    **Behaviour:** errors grow with the range, and outliers make the range grow: at 0.1
    from the start training may collapse to chance. `robust_recipe` keeps ranges small.
    **Source:** Wang 2023, algorithm 1, equations 2.6 and 2.7.

    ```python
    >>> import jax, jax.numpy as jnp
    >>> from pendula.hardware import RangeNoise, hardware_aware, to_analog
    >>> w = jnp.asarray([[1.0, -2.0]])
    >>> estimator = hardware_aware(to_analog(w, RangeNoise()), 0.1)
    >>> loss = lambda w, batch, key: (jnp.sum(w**2), None)
    >>> (value, _), g = estimator(loss, w, None, jax.random.key(0))
    >>> bool(jnp.all(g != 2 * w))
    True

    ```
    """
    if not callable(level):
        levels_of(twin, level)
    return _smoothed(twin, level, samples, antithetic=antithetic, mix=mix)


def _smoothed(twin: AnalogTwin, level: Any, samples: int, **options: Any) -> Smoothed:
    """The estimator, its level as numbers."""
    if isinstance(level, Mapping):
        level = {name: as_eta(one) for name, one in level.items()}
    return Smoothed(Perturbation(twin), as_eta(level), samples, **options)


def ha_sgd(
    loss: Callable[..., Any],
    device: AbstractDevice | AnalogTwin,
    level: Any = 0.1,
    samples: int = 1,
    *,
    has_aux: bool = False,
    antithetic: bool = False,
    mix: float = 0.0,
) -> Callable[..., Any]:
    """What stands where `jax.value_and_grad(loss)` was: the gradient under the errors
    of a device, in any loop and before any optimiser.

    **Arguments:** `loss(params, *batch, key=key)`; `device`, or the twin of a model
    (needed for batch norms, dies and other choices of `to_analog`, and so that a level
    is looked at before the first step); the others as for `hardware_aware`.
    **Returns:** `vg(params, key, *batch) -> ((value, aux), gradient)`; `params` may be
    a whole Equinox model, see `AbstractEstimator.around`.

    ```python
    >>> import jax, jax.numpy as jnp
    >>> from pendula.hardware import RangeNoise, ha_sgd
    >>> vg = ha_sgd(lambda w, x, key: jnp.sum(w @ x), RangeNoise(), level=0.1)
    >>> (value, _), g = vg(jnp.ones((2, 2)), jax.random.key(0), jnp.ones(2))
    >>> g.tolist()  # the loss is linear
    [[1.0, 1.0], [1.0, 1.0]]

    ```
    """
    if not isinstance(device, AbstractDevice | AnalogTwin):
        raise ConfigError(
            f"ha_sgd: device is {device!r}; expected a device such as RangeNoise(), or "
            "the twin of a model."
        )
    options = {"antithetic": antithetic, "mix": mix}
    if isinstance(device, AnalogTwin) and not callable(level):
        levels_of(device, level)

    def valued(params: Any, key: PRNGKeyArray, *batch: Any, **named: Any) -> Any:
        if isinstance(device, AnalogTwin):
            twin = device
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of equal weights, told every step
                twin = to_analog(params, device)
        estimator = _smoothed(twin, level, samples, **options)
        vg = estimator.around(loss, has_aux=has_aux)
        return vg(params, key, *batch, **named)

    return valued


def clip_weights(
    twin: AnalogTwin,
    k: float = 2.5,
    kinds: Sequence[str] = ("linear", "conv", "recurrent", "array", "bias"),
) -> optax.GradientTransformation:
    r"""After every update each component is cut off at k standard deviations about its
    mean, so that no outlier widens its range.

    $$ w \leftarrow \mathrm{clip}(w,\ \bar w - k s,\ \bar w + k s) $$

    The last transform of an `optax.chain`.

    **Arguments:** `k`: above 0; `kinds`: of components that are cut.
    **Raises:** `ConfigError`.
    **Source:** Joshi et al. 2020, Nature Communications 11, 2473 (clipping at 2 to 2.5
    standard deviations); after every step and with this noise: ours.

    ```python
    >>> import jax.numpy as jnp
    >>> from pendula.hardware import RangeNoise, clip_weights, to_analog
    >>> w = jnp.asarray([[1.0, -1.0, 1.0, -1.0, 6.0]])
    >>> cut = clip_weights(to_analog(w, RangeNoise()), 1.0)
    >>> step, _ = cut.update(jnp.zeros_like(w), cut.init(w), w)
    >>> round(float((w + step).max()), 2)
    3.76

    ```
    """
    positive("clip_weights", k=k)
    for kind in kinds:
        check_kind(kind)
    chosen = [
        c
        for c in twin.components
        if c.kind in kinds and c.role == "plain" and math.prod(c.shape) > 1
    ]

    def init(params: Any) -> optax.EmptyState:
        del params
        return optax.EmptyState()

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        if params is None:
            raise ConfigError(
                "clip_weights needs the parameters: update(u, s, params)."
            )
        none = lambda x: x is None
        steps, structure = jax.tree.flatten(updates, is_leaf=none)
        weights = jax.tree.leaves(params, is_leaf=none)
        for c in chosen:
            for leaf in (c.leaf, *c.copies):
                if steps[leaf] is not None:
                    new = weights[leaf] + steps[leaf]
                    steps[leaf] = _cut(new, c, k) - weights[leaf]
        return jax.tree.unflatten(structure, steps), state

    return optax.GradientTransformation(init, update)


def _cut(w: Array, c: Component, k: float) -> Array:
    """Weights within k standard deviations of each layer's mean."""
    axes = tuple(range(c.stack, w.ndim))
    mean = jnp.mean(w, axes, keepdims=True)
    spread = k * jnp.std(w, axes, keepdims=True)
    low = jnp.broadcast_to(mean - spread, w.shape)
    return jnp.clip(w, low, jnp.broadcast_to(mean + spread, w.shape))


def range_penalty(
    twin: AnalogTwin, params: Any, strength: float, *, p: float | None = None
) -> Float[Array, ""]:
    r"""A penalty on the range of every component, to be added to a loss.

    $$ \lambda \sum_c \mathrm{range}(w_c)^2, \qquad
       \text{or } \lambda \sum_c \lVert w_c \rVert_p^2 \text{ with } p \approx 8 $$

    The p-norm reaches all large weights, the range only the two outermost.

    **Raises:** `ConfigError` for a negative strength or p below 1.
    """
    not_negative("range_penalty", strength=strength)
    if p is not None:
        at_least(1, "range_penalty", p=p)
    leaves = jax.tree.leaves(params, is_leaf=lambda x: x is None)
    total = jnp.zeros(())
    for c in twin.components:
        w = leaves[c.leaf]
        if w is None or c.role != "plain":
            continue
        if p is None:
            size = twin.device.scale(w, c.stack)
        else:
            axes = tuple(range(c.stack, w.ndim))
            top = jax.lax.stop_gradient(jnp.max(jnp.abs(w)))  # it drops out
            top = jnp.where(top > 0, top, 1.0)
            powers = jnp.sum(jnp.abs(w / top) ** p, axes)
            some = powers > 0  # of zeros the root has no slope
            size = top * jnp.where(some, jnp.where(some, powers, 1.0) ** (1.0 / p), 0.0)
        total = total + jnp.sum(size.astype(jnp.float32) ** 2)
    return strength * total


def robust_recipe(
    twin: AnalogTwin,
    level: float | NoiseLevel,
    num_steps: int,
    base: optax.GradientTransformation,
    *,
    samples: int = 1,
    decay: float = 5e-4,
    k: float = 2.5,
    fraction: float = 0.5,
) -> tuple[Smoothed, optax.GradientTransformation]:
    """The recommended training for a device: errors that grow to their level over half
    of the steps, weight decay, and weights cut off at 2.5 standard deviations.

    **Returns:** estimator and transform for `train.gradient_step`.

    ```python
    >>> import equinox as eqx, jax, optax
    >>> from pendula.hardware import RangeNoise, robust_recipe, to_analog
    >>> net = eqx.nn.Linear(3, 2, key=jax.random.key(0))
    >>> twin = to_analog(net, RangeNoise())
    >>> estimator, transform = robust_recipe(twin, 0.1, 100, optax.sgd(0.05))
    >>> estimator.evaluations
    1

    ```
    """
    levels_of(twin, level)
    rising = ramp(as_eta(level), fraction, num_steps)
    estimator = hardware_aware(twin, rising, samples)
    chain = optax.chain(optax.add_decayed_weights(decay), base, clip_weights(twin, k))
    return estimator, chain


class RangeWatch(AbstractCallback):
    """Warns, once a component, when its range has grown more than fourfold against its
    standard deviation since the start: errors in proportion to the range then feed on
    outliers.

    **Arguments:** `twin`; `grown`: the factor; `of`: gives the weights of a state's
    parameters (those themselves without).
    """

    def __init__(
        self,
        twin: AnalogTwin,
        grown: float = 4.0,
        of: Callable[[Any], Any] = lambda p: p,
    ) -> None:
        self.twin, self.grown, self.of = twin, grown, of
        self.first = self._ratios(twin.model)
        self.told: set[str] = set()

    def __call__(self, state: TrainState, row: dict[str, Any]) -> TrainState:
        now = self._ratios(self.of(state.params))
        for path, ratio in now.items():
            first = self.first.get(path, math.nan)
            if ratio > self.grown * first and path not in self.told:
                self.told.add(path)
                warnings.warn(
                    f'range runaway at "{path}": range over standard deviation went '
                    f"from {first:.3g} to {ratio:.3g}. Errors grow with the range: "
                    "take robust_recipe, clip_weights or a ramp.",
                    FitWarning,
                    stacklevel=2,
                )
        return state

    def _ratios(self, params: Any) -> dict[str, float]:
        leaves = jax.tree.leaves(params, is_leaf=lambda x: x is None)
        out: dict[str, float] = {}
        for c in self.twin.components:
            w = leaves[c.leaf] if c.leaf < len(leaves) else None
            if w is None or c.role != "plain" or math.prod(c.shape) < 2:
                continue
            w = np.asarray(w, np.float64)
            if w.std() > 0.0:
                out[c.path] = float((w.max() - w.min()) / w.std())
        return out


def recalibrate_norms(
    chip: Any,
    state: Any,
    batches: Sequence[Any],
    apply: Callable[[Any, Any, Any], Any],
) -> Any:
    """Running statistics of batch norms estimated anew on one chip, its weights being
    as they are: the old ones count for nothing. They are the mean over the batches, of
    `equinox.nn.BatchNorm` weighed by its momentum.

    **Arguments:** `apply(chip, batch, state) -> new state`, with the chip in training
    mode; `batches`: of inputs, in order.
    **Returns:** the new state.
    **Raises:** `ConfigError` without batches.
    **Source:** Joshi et al. 2020, Nature Communications 11, 2473 (adaptive batch-norm
    statistics).
    """
    if not len(batches):
        raise ConfigError("there are no batches to estimate statistics on. Give one.")
    training = eqx.nn.inference_mode(chip, False)
    follow = eqx.filter_jit(apply)
    state = forgotten(chip, state)
    for batch in batches:
        state = follow(training, batch, state)
    return of_states(lambda s: dataclasses.replace(s, seen=None), state)

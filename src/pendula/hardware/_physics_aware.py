"""Training through a physical layer: forward by the system, backward by a model."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from .._checks import positive
from .._errors import ConfigError, ShapeError
from .._registry import register
from .._source import Source
from .._tree import Fixed, split_trainable
from ..nn import MLP
from ..train import TrainState, adam_cosine, gradient_step, run
from ._physical_layer import AbstractPhysicalLayer, measure, name_of_layer
from ._tables import spreads


Model = Callable[[Array, Array], Array]


@register("module")
class DigitalModel(Fixed):
    r"""A network that stands for a physical layer where a gradient is asked for.

    $$ f_m(p, x) = \mu + s \odot N\big( ([p, x] - m) / d \big) $$

    Never trained along with what it serves: `fit_model` fits it.

    **Shapes**: params `"param"`, input `"in"`, output `"out"`.
    **Source:** Wright et al. 2022, the digital models of its methods.

    ```python
    >>> import jax, jax.numpy as jnp
    >>> from pendula.hardware import DigitalModel
    >>> from pendula.nn import MLP
    >>> net = MLP(3, 2, width=4, zero_last=True, key=jax.random.key(0))
    >>> model = DigitalModel(net, jnp.zeros(3), jnp.ones(3), jnp.ones(2), jnp.ones(2))
    >>> model(jnp.zeros(1), jnp.zeros(2)).tolist()
    [1.0, 1.0]

    ```
    """

    source: ClassVar[Source] = Source("Wright2022", "methods, digital models")

    net: MLP
    """N."""
    shift_in: Float[Array, " joined"]
    """m."""
    scale_in: Float[Array, " joined"]
    """d."""
    shift_out: Float[Array, " out"]
    """mu."""
    scale_out: Float[Array, " out"]
    """s."""

    def __call__(
        self, params: Float[Array, " param"], x: Float[Array, " in"]
    ) -> Float[Array, " out"]:
        """The output that the layer is expected to give, without noise."""
        joined = (jnp.concatenate([params, x]) - self.shift_in) / self.scale_in
        return self.shift_out + self.scale_out * self.net(joined)


@dataclasses.dataclass(frozen=True)
class FittedModel:
    """A digital model and how good it is.

    `model`; `error`: root of the mean square error on pairs that were held out, over
    that of their mean; `seconds` that the fit took; `reason` why it ended.
    """

    model: DigitalModel
    error: float
    seconds: float
    reason: str


def fit_model(
    layer: AbstractPhysicalLayer,
    inputs: Any,
    params: Any = None,
    *,
    width: int = 64,
    depth: int = 2,
    num_steps: int = 2000,
    batch: int = 128,
    lr: float = 3e-3,
    key: PRNGKeyArray,
) -> FittedModel:
    """Fit a network to a physical layer: it is measured once at each input, a tenth of
    the pairs is held out, and the squares of the errors on the others are minimised.

    **Arguments:**
    - `inputs`: `"sample in"`, spread as those that it will see.
    - `params`: one set or one a sample; where they are to be trained, give one a
      sample, or the model knows nothing of them. Default zeros.
    - `width`, `depth`: of the network; `num_steps`, `batch`, `lr`: of Adam.

    **Returns:** a `FittedModel`.
    **Raises:** `ConfigError` for less than 10 samples; the errors of `measure`.
    **Source:** Wright et al. 2022, methods.

    ```python
    >>> import jax, numpy as np
    >>> from pendula.hardware import UnknownGain, fit_model
    >>> layer = UnknownGain(1, key=jax.random.key(0))
    >>> xs = np.linspace(-2.0, 2.0, 100, dtype=np.float32)[:, None]
    >>> key = jax.random.key(1)
    >>> fitted = fit_model(layer, xs, width=8, num_steps=500, lr=0.01, key=key)
    >>> fitted.error < 0.1
    True

    ```
    """
    began = time.perf_counter()
    if len(inputs) < 10 or num_steps < 1 or batch < 1:
        raise ConfigError(
            f"fit_model: {len(inputs)} samples, num_steps {num_steps}, batch {batch}; "
            "at least 10 samples and 1 of the others are needed. Measure more."
        )
    positive("fit_model", lr=lr)
    draw, first, loop, order = jax.random.split(key, 4)
    outs = measure(layer, inputs, params, key=draw)
    joined = _joined(layer, np.asarray(inputs, outs.dtype), params)
    mixed = np.asarray(jax.random.permutation(order, len(outs)))
    held, kept = mixed[: len(mixed) // 10], mixed[len(mixed) // 10 :]
    (m, d), (mu, s) = (
        (part.mean(axis=0), spreads(part)) for part in (joined[kept], outs[kept])
    )
    net = MLP(joined.shape[1], layer.out_size, width, depth, key=first)
    data = (jnp.asarray((joined - m) / d), jnp.asarray((outs - mu) / s))
    weights, rest = split_trainable(net)
    rows = jnp.asarray(kept)

    def loss(weights: Any, pairs: tuple[Array, Array], key: PRNGKeyArray) -> Array:
        ins, wanted = pairs
        which = rows[jax.random.randint(key, (batch,), 0, len(kept))]
        found = jax.vmap(eqx.combine(weights, rest))(ins[which])
        return jnp.mean((found - wanted[which]) ** 2)

    transform = adam_cosine(lr, num_steps)
    state = TrainState.start(weights, transform.init(weights), loop)
    step = gradient_step(loss, transform)
    state, reason = run(step, state, data, num_steps=num_steps)
    net = eqx.combine(state.params, rest)
    arrays = [jnp.asarray(v) for v in (m, d, mu, s)]
    found = np.asarray(_mapped(net, data[0][jnp.asarray(held)]))
    wrong = (found * s + mu) - outs[held]
    spread = outs[held] - outs[held].mean(axis=0)
    error = float(np.sqrt(np.sum(wrong**2) / max(np.sum(spread**2), 1e-30)))
    seconds = time.perf_counter() - began
    return FittedModel(DigitalModel(net, *arrays), error, seconds, reason)


@eqx.filter_jit
def _mapped(net: MLP, ins: Array) -> Array:
    return jax.vmap(net)(ins)


def _joined(layer: AbstractPhysicalLayer, xs: np.ndarray, params: Any) -> np.ndarray:
    """`"sample param+in"`."""
    if params is None:
        params = np.zeros(layer.n_params)
    rows = np.broadcast_to(np.asarray(params, xs.dtype), (len(xs), layer.n_params))
    return np.concatenate([rows, xs], axis=1)


@eqx.filter_custom_vjp
def _aware(
    inputs: tuple[Array, Array],
    layer: AbstractPhysicalLayer,
    model: Any,
    key: PRNGKeyArray,
) -> Array:
    return layer.forward(*inputs, key)


@_aware.def_fwd
def _forward(
    perturbed: Any, inputs: tuple[Array, Array], layer: Any, model: Any, key: Any
) -> tuple[Array, None]:
    return layer.forward(*inputs, key), None


@_aware.def_bwd
def _backward(
    residuals: None,
    slope: Array,
    perturbed: Any,
    inputs: tuple[Array, Array],
    layer: Any,
    model: Any,
    key: Any,
) -> tuple[Array, Array]:
    """The transposed derivative of the model at the inputs that the layer was given."""
    return jax.vjp(_as_function(model, key), *inputs)[1](slope)


def _as_function(model: Any, key: PRNGKeyArray) -> Model:
    """A simulated layer as a model: its noise is that of this evaluation."""
    if isinstance(model, AbstractPhysicalLayer):
        return lambda params, x: model.forward(params, x, key)
    return model


class PhysicsAware(eqx.Module):
    """A physical layer with the derivative of a model, made by `physics_aware`."""

    layer: AbstractPhysicalLayer
    """What is evaluated."""
    model: Any
    """What is differentiated."""

    def __call__(
        self,
        params: Float[Array, " param"],
        x: Float[Array, " in"],
        key: PRNGKeyArray,
    ) -> Float[Array, " out"]:
        """What the layer gives."""
        hold = lambda leaf: (
            jax.lax.stop_gradient(leaf) if eqx.is_inexact_array(leaf) else leaf
        )
        layer, model = jax.tree.map(hold, (self.layer, self.model))
        return _aware((params, x), layer, model, key)


def physics_aware(
    layer: AbstractPhysicalLayer, model: Model | AbstractPhysicalLayer
) -> PhysicsAware:
    r"""Physics-aware training: the layer forward, its model backward.

    $$ y = f_p(\theta, x), \qquad
       \bar x = \Big(\frac{\partial f_m}{\partial x}(\theta, x)\Big)^{\!\top} \bar y,
       \quad
       \bar\theta = \Big(\frac{\partial f_m}{\partial \theta}(\theta, x)\Big)^{\!\top}
       \bar y $$

    The model is evaluated at the inputs that the layer was given, so that its errors do
    not add up from layer to layer as they do in a training in the model alone.

    **Arguments:**
    - `layer`: the system.
    - `model`: `model(params, x) -> y` that JAX can differentiate (`fit_model`), or a
      simulated layer. Neither is trained.

    **Returns:** a callable `(params, x, key) -> y` with reverse-mode derivatives by
    `params` and `x`.
    **Raises:** `ShapeError` for a model of another shape than the layer.
    **Source:** Wright, Onodera, Stein, Wang, Schachter, Hu, McMahon 2022, Nature 601,
    549.

    ```python
    >>> import jax, jax.numpy as jnp, numpy as np
    >>> from pendula.hardware import External, physics_aware
    >>> box = External(lambda p, x: np.tanh(x), 1, 1)  # has no gradient
    >>> layer = physics_aware(box, lambda p, x: x)  # a poor model of it
    >>> loss = lambda x: layer(jnp.zeros(0), x, jax.random.key(0))[0]
    >>> value, slope = jax.value_and_grad(loss)(jnp.ones(1))
    >>> round(float(value), 4), slope.tolist()
    (0.7616, [1.0])

    ```
    """
    call = _as_function(model, jax.random.key(0))
    like = [jax.ShapeDtypeStruct((n,), float) for n in (layer.n_params, layer.in_size)]
    found = jax.eval_shape(call, *like)
    if found.shape != (layer.out_size,):
        raise ShapeError(
            f"physical layer {name_of_layer(layer)}: its model returns the shape "
            f"{found.shape}; expected ({layer.out_size},). Fit a model of this layer."
        )
    return PhysicsAware(layer, model)

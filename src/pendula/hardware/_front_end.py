"""A small encoder for a chip beside a sensor: few bits, few products, little output."""

from __future__ import annotations

import dataclasses
import time
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from .._checks import positive, whole
from .._errors import ConfigError, DataError, ShapeError
from .._registry import register
from .._source import Source
from .._types import AnyArray
from ..data import ShuffledBatches
from ..nn import Convolution, Layers
from ..train import TrainState, adam_cosine, gradient_step, init_opt, run
from ._quantise import Code, quantised


@register("module")
class FrontEndCoder(eqx.Module):
    r"""An autoencoder whose encoder goes onto a front-end chip, its decoder does not.

    $$ z = \mathrm{relu}(A\, \mathrm{relu}(K * x + c) + a), \qquad
       \hat x = V\, \mathrm{relu}(U z + u) + v $$

    **Shapes**: `"height width chan"` pictures, `"latent"` codes.
    **Arguments:**
    - `shape`: height, width and channels of a picture.
    - `channels`: filters of the 3 x 3 convolution of stride 2; `latent`: numbers of a
      code; `width`: hidden neurons of the decoder.
    - `key`: draws the weights.

    **Raises:** `ConfigError`.
    **Source:** Di Guglielmo et al. 2021, arXiv:2105.01683: an encoder of a convolution
    and a dense layer, with a decoder off the chip; the sizes are ours.

    ```python
    >>> import jax, jax.numpy as jnp
    >>> from pendula.hardware import FrontEndCoder
    >>> coder = FrontEndCoder((8, 8, 1), key=jax.random.key(0))
    >>> x = jnp.ones((8, 8, 1))
    >>> coder.encode(x).shape, coder(x).shape
    ((16,), (8, 8, 1))

    ```
    """

    source: ClassVar[Source] = Source("DiGuglielmo2021", "the encoder")

    filters: Convolution
    """K and c, on the chip."""
    squeeze: Layers
    """A and a, on the chip."""
    decoder: Layers
    """U, u, V and v."""
    shape: tuple[int, int, int] = eqx.field(static=True)
    """Of a picture."""

    def __init__(
        self,
        shape: tuple[int, int, int],
        *,
        channels: int = 8,
        latent: int = 16,
        width: int = 64,
        key: PRNGKeyArray,
    ) -> None:
        whole(1, "FrontEndCoder", channels=channels, latent=latent, width=width)
        if len(shape) != 3 or min(shape) < 1:
            raise ConfigError(
                f"FrontEndCoder: shape is {shape}; expected height, width and channels "
                "of a picture, each above 0."
            )
        keys = jax.random.split(key, 3)
        places = -(-shape[0] // 2) * -(-shape[1] // 2)
        self.filters = Convolution(
            shape[2], channels, stride=2, use_bias=True, key=keys[0]
        )
        self.squeeze = Layers((places * channels, latent), key=keys[1])
        sizes = (latent, width, shape[0] * shape[1] * shape[2])
        self.decoder = Layers(sizes, activation="relu", key=keys[2])
        self.shape = (shape[0], shape[1], shape[2])

    def encode(self, x: Float[Array, "height width chan"]) -> Float[Array, " latent"]:
        """z, the code of a picture."""
        return jax.nn.relu(self.squeeze(jax.nn.relu(self.filters(x)).ravel()))

    def decode(self, z: Float[Array, " latent"]) -> Float[Array, "height width chan"]:
        """The picture that a code stands for."""
        return self.decoder(z).reshape(self.shape)

    def __call__(
        self, x: Float[Array, "height width chan"]
    ) -> Float[Array, "height width chan"]:
        """The picture as the decoder sees it."""
        return self.decode(self.encode(x))


class EncoderCost(NamedTuple):
    """What an encoder takes: `bits` a weight, `parameters`, `stored_bits` of all of
    them, `multiplications` a picture, `inputs` and `outputs` in numbers."""

    bits: int
    parameters: int
    stored_bits: int
    multiplications: int
    inputs: int
    outputs: int


def encoder_cost(coder: FrontEndCoder, bits: int | Any = 6) -> EncoderCost:
    """Parameters, bits and multiplications of the encoder, counted.

    **Arguments:** `bits`: a number, or a code that has `bits` (`quantise(6)`).

    ```python
    >>> import jax
    >>> from pendula.hardware import FrontEndCoder, encoder_cost
    >>> cost = encoder_cost(FrontEndCoder((8, 8, 1), key=jax.random.key(0)))
    >>> cost.parameters, cost.stored_bits, cost.multiplications
    (2144, 12864, 3200)

    ```
    """
    bits = whole(1, "encoder_cost", bits=getattr(bits, "bits", bits))
    filters, squeeze = coder.filters, coder.squeeze
    flat, outputs = squeeze.sizes
    places = flat // filters.weight.shape[-1]
    arrays = jax.tree.leaves(eqx.filter((filters, squeeze), eqx.is_inexact_array))
    count = sum(a.size for a in arrays)
    products = places * filters.weight.size + flat * outputs
    inputs = coder.shape[0] * coder.shape[1] * coder.shape[2]
    return EncoderCost(bits, count, bits * count, products, inputs, outputs)


def of_encoder(path: str, array: Any) -> bool:
    """Selects all weights and biases that are on the chip."""
    return path.startswith(("filters.", "squeeze."))


@eqx.filter_jit
def _errors(coder: FrontEndCoder, xs: Any) -> tuple[Array, Array]:
    """Sums of squares of what is lost, and of the pictures about their mean."""
    lost = jax.vmap(coder)(xs) - xs
    about = xs - jnp.mean(xs, axis=0, keepdims=True)
    return jnp.sum(lost * lost), jnp.sum(about * about)


@dataclasses.dataclass(frozen=True)
class FittedEncoder:
    """A trained coder. `coder` with its exact weights; `code` that the encoder was
    trained under, None for none; `seconds` of the training; `reason` why it ended."""

    coder: FrontEndCoder
    code: Code | None
    seconds: float
    reason: str

    def programmed(self, code: Any = None, *, key: Any = None) -> FrontEndCoder:
        """The coder with the weights that are on the chip: of few levels, by `code` or
        by that of the training."""
        code = self.code if code is None else code
        if code is None:
            return self.coder
        return quantised(self.coder, code, where=of_encoder, key=key)

    def error(self, xs: AnyArray, code: Any = None, *, key: Any = None) -> float:
        """Share of the variance of pictures `"sample height width chan"` that is lost,
        with the weights on the chip."""
        pictures = jnp.asarray(_pictures(self.coder, xs))
        lost, whole = _errors(self.programmed(code, key=key), pictures)
        return float(lost / whole)


def fit_encoder(
    coder: FrontEndCoder,
    xs: AnyArray,
    code: Code | None = None,
    *,
    epochs: int = 5,
    batch: int = 128,
    lr: float = 3e-3,
    seed: int = 0,
) -> FittedEncoder:
    """Train a front-end coder, its encoder quantisation-aware.

    The recipe: six bits a weight (`quantise(6)`), one scale a tensor, gradients that
    pass through the levels, Adam with a cosine, the mean square of what is lost.

    **Shapes**: `xs` `"sample height width chan"`.
    **Arguments:** `code`: `quantise(6)`, another code, or None for exact weights;
    `epochs`, `batch`, `lr`, `seed`: of the training.
    **Returns:** a `FittedEncoder`.
    **Raises:** `ShapeError`, `DataError`, `ConfigError`.

    ```python
    >>> import jax, numpy as np
    >>> from pendula.hardware import FrontEndCoder, fit_encoder, quantise
    >>> coder = FrontEndCoder((4, 4, 1), latent=2, key=jax.random.key(0))
    >>> xs = np.random.default_rng(0).random((64, 4, 4, 1))
    >>> fitted = fit_encoder(coder, xs, quantise(6), epochs=1, batch=32)
    >>> len(np.unique(fitted.programmed().filters.weight)) <= 63
    True

    ```
    """
    began = time.perf_counter()
    pictures = _pictures(coder, xs)
    if epochs < 1 or not 1 <= batch <= len(pictures):
        raise ConfigError(
            f"epochs {epochs} and batches of {batch} from {len(pictures)} pictures; "
            "expected at least one epoch, and batches of 1 to all pictures."
        )
    whole(1, "fit_encoder", epochs=epochs, batch=batch)
    positive("fit_encoder", lr=lr)
    batches = ShuffledBatches((pictures,), batch, seed)
    num_steps = batches.per_epoch * epochs
    transform = adam_cosine(lr, num_steps)

    def loss(model: FrontEndCoder, xs: Array, key: PRNGKeyArray) -> Array:
        if code is not None:
            model = quantised(model, code, where=of_encoder, key=key)
        return jnp.mean((jax.vmap(model)(xs) - xs) ** 2)

    key = jax.random.fold_in(jax.random.key(seed), 1)
    weights, rest = eqx.partition(coder, eqx.is_inexact_array)
    of_weights = lambda w, batch, key: loss(eqx.combine(w, rest), batch[0], key)
    state = TrainState.start(weights, init_opt(transform, weights), key)
    step = gradient_step(of_weights, transform)
    state, reason = run(step, state, batches, num_steps=num_steps)
    seconds = time.perf_counter() - began
    return FittedEncoder(eqx.combine(state.params, rest), code, seconds, reason)


def _pictures(coder: FrontEndCoder, xs: AnyArray) -> np.ndarray:
    """Pictures as float32. Refuses others than the coder's."""
    made = np.asarray(xs, np.float32)
    if made.ndim != 4 or made.shape[1:] != coder.shape:
        raise ShapeError(
            f"pictures have shape {made.shape}; expected (sample, "
            f"{', '.join(map(str, coder.shape))}), those of the coder."
        )
    if not len(made) or not np.isfinite(made).all():
        raise DataError(
            "pictures are empty or hold a number that is not finite; give at least "
            "one, and finite pixels."
        )
    return made

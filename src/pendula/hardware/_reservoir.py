"""Reservoirs: fixed recurrent networks of device weights, read by something linear."""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import Any, ClassVar, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from .._checks import choice, whole
from .._errors import ConfigError, DataError, ShapeError
from .._registry import register
from .._source import Source
from .._tree import Fixed
from ._crossbar import Crossbar, RandomPairs, check_level
from ._spikes import LIF


Number = float | Float[Array, ""]
Activation = Literal["tanh", "identity"]
_ACTIVATIONS = {"tanh": jnp.tanh, "identity": lambda x: x}


class AbstractReservoir(Fixed):
    """A fixed network driven by a stream. Its weights are those of one chip; reads of
    them carry fresh noise where a key and a level are given. Nothing in it is trained.
    """

    inputs: eqx.AbstractVar[Crossbar]
    """From the stream and a constant line."""
    recurrent: eqx.AbstractVar[Crossbar]
    """From the neurons."""
    bias: eqx.AbstractVar[Float[Array, ""]]
    """What the constant line carries."""

    @property
    def size(self) -> int:
        """Neurons, and features a sample."""
        return self.recurrent.weight.shape[0]

    @property
    def in_size(self) -> int:
        """Channels of the stream."""
        return self.inputs.weight.shape[1] - 1

    @abc.abstractmethod
    def start(self) -> Any:
        """The state before the stream."""

    @abc.abstractmethod
    def output(self, state: Any) -> Float[Array, " neuron"]:
        """What the neurons send to each other."""

    @abc.abstractmethod
    def step(
        self, state: Any, current: Float[Array, " neuron"]
    ) -> tuple[Any, Float[Array, " neuron"]]:
        """The next state under a current, and the features of this sample."""

    def __call__(
        self,
        us: Float[Array, "time chan"],
        *,
        key: PRNGKeyArray | None = None,
        level: Number = 0.0,
    ) -> Float[Array, "time neuron"]:
        """The features at every sample of a stream.

        **Arguments:** `key`: draws the noise of the reads, none without it; `level`:
        its standard deviation over the range of the weights.
        **Raises:** `ShapeError` for another number of channels or an empty stream,
        `ConfigError` for a level that is negative or comes without a key.
        """
        check_level(level, key, type(self).__name__)
        check_stream(us, self.in_size)
        us = us.astype(self.recurrent.weight.dtype)  # that of the state
        constant = jnp.broadcast_to(self.bias.astype(us.dtype), (len(us), 1))
        lines = jnp.concatenate([us, constant], axis=1)
        first = second = None
        if key is not None:  # all at once: drawn one by one they take most of the time
            shape = (2, len(us), self.size)
            first, second = jax.random.normal(key, shape, us.dtype)
        axes = (0, None if first is None else 0, None)
        driven = jax.vmap(self.inputs.read, in_axes=axes)(lines, first, level)

        def one(state: Any, now: tuple[Array, Any]) -> tuple[Any, Array]:
            current, epsilon = now
            sent = self.output(state)
            return self.step(state, current + self.recurrent.read(sent, epsilon, level))

        return jax.lax.scan(one, self.start(), (driven, second))[1]


def _check_finite(where: str, bias: float) -> None:
    """A bias may have any sign."""
    if not np.isfinite(bias):
        raise ConfigError(f"{where}: bias is {bias}; it must be finite.")


def _crossbars(
    in_size: int,
    size: int,
    gain: float,
    radius: float | None,
    pairs: RandomPairs | None,
    key: PRNGKeyArray,
) -> tuple[Crossbar, Crossbar]:
    """Both arrays of a chip; the recurrent one as drawn where `radius` is None."""
    if in_size < 1 or size < 1:
        raise ConfigError(
            f"a reservoir of {size} neurons and {in_size} channels: both must be at "
            "least 1."
        )
    whole(1, in_size=in_size, size=size)
    first, second = jax.random.split(key)
    inputs = Crossbar.draw(in_size + 1, size, scale=gain, pairs=pairs, key=first)
    recurrent = Crossbar.draw(size, size, pairs=pairs, key=second)
    if radius is not None:
        recurrent = recurrent.rescaled(radius)
    return inputs, recurrent


def check_stream(us: Any, in_size: int) -> None:
    """Refuse a stream that the reservoir cannot take."""
    if us.ndim != 2 or us.shape[1] != in_size or not us.shape[0]:
        raise ShapeError(
            f"the stream has shape {us.shape}; this reservoir takes (time, {in_size}) "
            "with at least one sample. Code images by latency_code."
        )


@register("module")
class EchoState(AbstractReservoir):
    r"""Leaky neurons with rates, on random device pairs.

    $$ x_{k+1} = (1 - a)\,x_k
       + a \tanh\big(W x_k + V\,(u_k, b)\big) $$

    **Shapes**: stream `"time chan"`, features `"time neuron"`.
    **Arguments** of `draw`:
    - `in_size`, `size`: channels and neurons.
    - `radius`: spectral radius of W; None leaves the devices as drawn.
    - `gain`: the weight in V that the largest conductance stands for.
    - `leak`: a, in (0, 1].
    - `bias`: b, on an input line of its own.
    - `activation`: `"tanh"` or `"identity"`.
    - `pairs`: law of the conductances; `key`: draws the chip.

    **Raises:** `ConfigError`.
    **Source:** Jaeger 2001, equation 1, leaky; weights as in Lin et al. 2023.

    ```python
    >>> import jax, jax.numpy as jnp
    >>> from pendula.hardware import EchoState
    >>> chip = EchoState.draw(1, 20, key=jax.random.key(0))
    >>> chip(jnp.ones((7, 1)), key=jax.random.key(1), level=0.05).shape
    (7, 20)

    ```
    """

    source: ClassVar[Source] = Source("Jaeger2001", "equation 1")

    inputs: Crossbar
    """From the stream and a constant line."""
    recurrent: Crossbar
    """From the neurons."""
    bias: Float[Array, ""]
    """What the constant line carries."""
    leak: Float[Array, ""]
    """Share of the state that is replaced at each sample."""
    activation: str = eqx.field(static=True, default="tanh")
    """Of the neurons."""

    def __check_init__(self) -> None:
        choice("activation", self.activation, _ACTIVATIONS, "EchoState")

    @classmethod
    def draw(
        cls,
        in_size: int,
        size: int,
        *,
        radius: float | None = 0.9,
        gain: float = 2.0,
        leak: float = 1.0,
        bias: float = 0.5,
        activation: str = "tanh",
        pairs: RandomPairs | None = None,
        key: PRNGKeyArray,
    ) -> EchoState:
        """One chip."""
        if not 0.0 < leak <= 1.0:
            raise ConfigError(
                f"EchoState: leak is {leak}; it must be above 0 and at most 1."
            )
        _check_finite("EchoState", bias)
        arrays = _crossbars(in_size, size, gain, radius, pairs, key)
        return cls(*arrays, jnp.asarray(bias), jnp.asarray(leak), activation)

    def start(self) -> Float[Array, " neuron"]:
        return jnp.zeros(self.size, self.recurrent.weight.dtype)

    def output(self, state: Any) -> Float[Array, " neuron"]:
        return state

    def step(
        self, state: Any, current: Float[Array, " neuron"]
    ) -> tuple[Any, Float[Array, " neuron"]]:
        new = _ACTIVATIONS[self.activation](current)
        leak = self.leak.astype(state.dtype)
        state = (1.0 - leak) * state + leak * new
        return state, state


@register("module")
class LiquidStateMachine(AbstractReservoir):
    r"""Spiking neurons on random device pairs, read through traces of their spikes.

    $$ I_k = W s_k + V\,(u_k, b), \qquad
       (v, s)_{k+1} = \mathrm{LIF}(v_k, I_k), \qquad
       r_{k+1} = c\, r_k + (1 - c)\, s_{k+1} $$

    with $c = e^{-1/\tau_r}$; the features are the traces r.

    **Shapes**: stream `"time chan"`, features `"time neuron"`.
    **Arguments** of `draw`:
    - `in_size`, `size`: channels and neurons.
    - `neuron`: the `LIF` with its times and threshold.
    - `radius`: spectral radius of W; None leaves the devices as drawn.
    - `gain`: the weight in V that the largest conductance stands for.
    - `trace`: tau_r [samples]; 0 gives the spikes themselves.
    - `bias`: b, on an input line of its own.
    - `pairs`: law of the conductances; `key`: draws the chip.

    **Raises:** `ConfigError`.
    **Source:** Maass et al. 2002; weights as in Lin et al. 2023.

    ```python
    >>> import jax, jax.numpy as jnp
    >>> from pendula.hardware import LiquidStateMachine
    >>> chip = LiquidStateMachine.draw(2, 20, key=jax.random.key(0))
    >>> chip(jnp.ones((7, 2)), key=jax.random.key(1), level=0.05).shape
    (7, 20)

    ```
    """

    source: ClassVar[Source] = Source("Maass2002", "the liquid state machine")

    inputs: Crossbar
    """From the stream and a constant line."""
    recurrent: Crossbar
    """From the neurons."""
    bias: Float[Array, ""]
    """What the constant line carries."""
    neuron: LIF
    """The neurons."""
    trace: Float[Array, ""]
    """Time constant of the traces [samples]."""

    @classmethod
    def draw(
        cls,
        in_size: int,
        size: int,
        *,
        neuron: LIF | None = None,
        radius: float | None = 1.0,
        gain: float = 6.0,
        trace: float = 4.0,
        bias: float = 0.0,
        pairs: RandomPairs | None = None,
        key: PRNGKeyArray,
    ) -> LiquidStateMachine:
        """One chip."""
        if not (np.isfinite(trace) and trace >= 0.0):
            raise ConfigError(
                f"LiquidStateMachine: trace is {trace} samples; it must be finite and "
                "at least 0."
            )
        _check_finite("LiquidStateMachine", bias)
        arrays = _crossbars(in_size, size, gain, radius, pairs, key)
        numbers = jnp.asarray(bias), neuron or LIF.of(), jnp.asarray(trace)
        return cls(*arrays, *numbers)

    def start(self) -> Any:
        zero = jnp.zeros(self.size, self.recurrent.weight.dtype)
        return self.neuron.start((self.size,)), zero, zero

    def output(self, state: Any) -> Float[Array, " neuron"]:
        return state[1]

    def step(
        self, state: Any, current: Float[Array, " neuron"]
    ) -> tuple[Any, Float[Array, " neuron"]]:
        cells, _, trace = state
        cells, spikes = self.neuron(cells, current)
        lasting = self.trace > 0.0
        keep = jnp.exp(-1.0 / jnp.where(lasting, self.trace, 1.0))
        keep = jnp.where(lasting, keep, 0.0)
        trace = keep * trace + (1.0 - keep) * spikes
        return (cells, spikes, trace), trace


Encode = Callable[[Array], Array]


def reservoir_states(
    reservoir: AbstractReservoir,
    us: Any,
    *,
    every: int = 1,
    encode: Encode | None = None,
    key: PRNGKeyArray | None = None,
    level: float = 0.0,
    chunk: int = 64,
) -> np.ndarray:
    """Features of many streams, at the end of every `every` samples.

    **Shapes**: `us` `"sample time chan"`, or anything `"sample ..."` that `encode`
    turns into `"time chan"` one by one; result `"sample slot neuron"`, on the host.
    **Arguments:**
    - `encode`: such as `lambda x: latency_code(x, 20)`; keep one function, a new one
      compiles anew.
    - `key`, `level`: of the noise of the reads; every stream gets reads of its own.
    - `chunk`: streams at a time; the result is the same up to rounding.

    **Raises:** `ConfigError`, `ShapeError`; `DataError` for no streams and values that
    are not finite.

    ```python
    >>> import jax, jax.numpy as jnp
    >>> from pendula.hardware import EchoState, latency_code, reservoir_states
    >>> chip = EchoState.draw(4, 20, key=jax.random.key(0))
    >>> images = jnp.linspace(0.0, 1.0, 12).reshape(3, 4)
    >>> code = lambda image: latency_code(image, 6)
    >>> reservoir_states(chip, images, encode=code, every=3).shape
    (3, 2, 20)

    ```
    """
    check_level(level, key, type(reservoir).__name__)
    whole(1, every=every, chunk=chunk)
    us = np.asarray(us)
    if us.ndim < 2 or not us.size:
        raise DataError(
            f"there are no streams: the shape is {us.shape}; expected (sample, time, "
            "channel), none of them 0."
        )
    us = us.astype(np.float32) if us.dtype.kind != "f" else us
    if not np.isfinite(us).all():
        where = int(np.argwhere(~np.isfinite(us))[0][0])
        raise DataError(
            f"stream {where} holds NaN or infinity. Fill or drop what is missing."
        )
    eta = jnp.asarray(level, jnp.float32)  # traced: levels share a compilation
    made = [
        np.asarray(_chunk(reservoir, part, start, key, eta, encode, every))
        for start, part in _padded(us, chunk)
    ]
    return np.concatenate(made)[: len(us)]


def _padded(us: np.ndarray, chunk: int) -> list[tuple[Array, Array]]:
    """Pieces of one size with the index of their first stream: one compilation."""
    chunk = min(chunk, len(us))
    pieces = []
    for start in range(0, len(us), chunk):
        part = us[start : start + chunk]
        part = np.concatenate([part, np.repeat(part[-1:], chunk - len(part), axis=0)])
        pieces.append((jnp.asarray(start), jnp.asarray(part)))
    return pieces


@eqx.filter_jit
def _chunk(
    reservoir: AbstractReservoir,
    us: Array,
    start: Array,
    key: PRNGKeyArray | None,
    level: Array,
    encode: Encode | None,
    every: int,
) -> Array:
    def one(u: Array, index: Array) -> Array:
        own = None if key is None else jax.random.fold_in(key, index)
        stream = u if encode is None else encode(u)
        return reservoir(stream, key=own, level=level)[every - 1 :: every]

    return jax.vmap(one)(us, start + jnp.arange(len(us)))

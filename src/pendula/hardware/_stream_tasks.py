"""What reservoirs are tried on: bits to be combined, inputs to be recalled."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import jax
import numpy as np
from jaxtyping import PRNGKeyArray

from .._checks import positive, whole
from .._errors import ConfigError, DataError, ShapeError
from ._readout import RIDGES, fit_ridge
from ._reservoir import AbstractReservoir, reservoir_states


@dataclasses.dataclass(frozen=True)
class BitStream:
    """A stream of bits and the exclusive or of two of them.

    **Shapes:** `us` `"time 2"`: each bit holds one of two channels at 1 for `hold`
    samples; `bits`, `targets` `"bit"` of 0 and 1; the first `delay` targets are 0 and
    mean nothing.
    """

    us: np.ndarray
    bits: np.ndarray
    targets: np.ndarray
    hold: int
    delay: int

    def window(self) -> np.ndarray:
        """What a linear readout of the raw inputs sees: this bit and all back to the
        delayed one as channels, `"bit feature"`."""
        channels = np.eye(2, dtype=np.float32)[self.bits]
        parts = [np.roll(channels, k, axis=0) for k in range(self.delay + 1)]
        return np.concatenate(parts, axis=1)


def delayed_xor(
    length: int, *, delay: int = 2, hold: int = 1, key: PRNGKeyArray
) -> BitStream:
    r"""Random bits, and for each its exclusive or with one that came before.

    $$ y_k = b_k \oplus b_{k - d} $$

    The linear map of least squares is zero for any window of the bits; what it is for a
    finite stream has at most three of the four cases right, and no more than chance on
    average.

    **Arguments:** `length`: number of bits; `delay`: d, at least 1; `hold`: samples of
    the stream a bit.
    **Raises:** `ConfigError`.

    ```python
    >>> import jax
    >>> from pendula.hardware import delayed_xor
    >>> stream = delayed_xor(10, hold=3, key=jax.random.key(0))
    >>> stream.us.shape, bool(stream.targets[9] == stream.bits[9] ^ stream.bits[7])
    ((30, 2), True)

    ```
    """
    if delay < 1 or hold < 1 or length <= delay:
        raise ConfigError(
            f"delayed_xor: length {length}, delay {delay}, hold {hold}; expected hold "
            "and delay of at least 1, and more bits than the delay."
        )
    whole(1, "delayed_xor", length=length, delay=delay, hold=hold)
    bits = np.asarray(jax.random.bernoulli(key, 0.5, (length,)), np.int32)
    targets = np.zeros_like(bits)
    targets[delay:] = bits[delay:] ^ bits[:-delay]
    us = np.repeat(np.eye(2, dtype=np.float32)[bits], hold, axis=0)
    return BitStream(us, bits, targets, hold, delay)


@dataclasses.dataclass(frozen=True)
class MemoryCapacity:
    """How much of the past inputs a readout recalls: `by_delay` `"delay"`, from the
    present input on, each between 0 and 1; `total` their sum."""

    by_delay: np.ndarray

    @property
    def total(self) -> float:
        """Inputs that are recalled, in all."""
        return float(self.by_delay.sum())


def memory_capacity(
    reservoir: AbstractReservoir,
    *,
    key: PRNGKeyArray,
    max_delay: int | None = None,
    length: int = 4000,
    washout: int = 200,
    hold: int = 1,
    level: float = 0.0,
    ridge: float | Sequence[float] = (1e-10, 1e-8, 1e-6, 1e-4, 1e-2),
) -> MemoryCapacity:
    r"""The memory of a reservoir for independent inputs.

    $$ C = \sum_{k \ge 0} \max\Big(0,\; 1 -
       \frac{\langle (u_{t-k} - \hat u_{t-k})^2 \rangle}
            {\langle (u - \bar u)^2 \rangle}\Big) $$

    of inputs uniform in [-1, 1], with a ridge readout for every delay, fitted to the
    first half of the stream and judged on the other. It counts the present input; a
    linear line of N delays has N.

    **Arguments:**
    - `max_delay`: the last k; default twice the number of neurons, at most 100.
    - `length`, `washout`: inputs that count, and those before them.
    - `hold`: samples for which each input is held; features are read at the last.
    - `level`: of the read noise.

    **Raises:** `ShapeError` for a reservoir of several channels, `ConfigError`.
    **Source:** Jaeger 2002, equation 3, with the present input and on data that were
    not fitted.

    ```python
    >>> import jax
    >>> from pendula.hardware import EchoState, memory_capacity
    >>> chip = EchoState.draw(1, 10, key=jax.random.key(0))
    >>> found = memory_capacity(chip, key=jax.random.key(1), length=400)
    >>> bool(1.0 < found.total <= 10.0)
    True

    ```
    """
    if reservoir.in_size != 1:
        raise ShapeError(
            f"the reservoir takes {reservoir.in_size} channels; its memory is measured "
            "on a stream of one. Draw it with in_size=1."
        )
    last = min(2 * reservoir.size, 100) if max_delay is None else max_delay
    if last < 0 or hold < 1 or washout < last:
        raise ConfigError(
            f"memory_capacity: max_delay {last}, hold {hold}, washout {washout}; "
            "expected hold of at least 1 and a washout of at least the delay."
        )
    whole(0, "memory_capacity", max_delay=last, hold=hold, washout=washout)
    if whole(0, "memory_capacity", length=length) < 4:
        raise DataError(f"{length} inputs are too few to measure a memory.")
    first, second = jax.random.split(key)
    total = washout + length
    u = np.asarray(jax.random.uniform(first, (total,), minval=-1.0, maxval=1.0))
    stream = np.repeat(u, hold)[None, :, None]
    states = reservoir_states(reservoir, stream, every=hold, key=second, level=level)
    x = states[0, washout:]
    past = np.stack([u[washout - k : total - k] for k in range(last + 1)], axis=1)
    half = length // 2
    readout = fit_ridge(x[:half], past[:half], ridge=ridge)
    missed = np.mean((readout.scores(x[half:]) - past[half:]) ** 2, axis=0)
    variance = np.var(past[half:].astype(np.float64), axis=0)
    return MemoryCapacity(np.maximum(0.0, 1.0 - missed / variance))


def bits_accuracy(
    features: np.ndarray,
    stream: BitStream,
    *,
    judged: np.ndarray | None = None,
    washout: int = 50,
    train: float = 0.75,
    ridge: float | Sequence[float] = RIDGES,
) -> float:
    """Accuracy of a ridge readout on a stream of bits.

    **Shapes**: `features` `"bit feature"`.
    **Arguments:** `judged`: other features of the same bits to judge on (fresh noise);
    `washout`: bits that are dropped at the beginning; `train`: share of the bits up to
    which is fitted, the rest is judged.
    **Raises:** `ShapeError`, `DataError` for a stream that is too short.

    ```python
    >>> import jax
    >>> from pendula.hardware import bits_accuracy, delayed_xor
    >>> stream = delayed_xor(2000, key=jax.random.key(0))
    >>> bits_accuracy(stream.window(), stream) < 0.8
    True

    ```
    """
    judged = features if judged is None else judged
    for what in (features, judged):
        if len(what) != len(stream.bits):
            raise ShapeError(f"{len(what)} features for {len(stream.bits)} bits.")
    positive("bits_accuracy", train=train)
    first = max(washout, stream.delay)
    cut = round(train * len(stream.bits))
    if not first + 2 < cut < len(stream.bits):
        raise DataError(
            f"a stream of {len(stream.bits)} bits is too short for {first} that are "
            "dropped, some to fit and some to judge."
        )
    aims = 2.0 * stream.targets[:, None] - 1.0
    readout = fit_ridge(features[first:cut], aims[first:cut], ridge=ridge)
    right = (readout.scores(judged[cut:]) > 0.0) == (aims[cut:] > 0.0)
    return float(np.mean(right))

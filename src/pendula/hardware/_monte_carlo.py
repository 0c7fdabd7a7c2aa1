"""Many chips of one twin: a metric against the noise level."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from .._checks import choice, whole
from .._errors import ConfigError, DataError, ShapeError
from ._device import Scalar, in_shares
from ._noise_report import NoiseReport
from ._twin import AnalogTwin, checked, levels_of, moment
from ._twin_table import ratios
from ._unfold import Unfolded


Metric = Callable[[Any, Any], Float[Array, "..."]]
LEVELS = tuple(round(0.02 * k, 2) for k in range(11))
"""0 to 0.2, those of the thesis."""


def monte_carlo(
    twin: AnalogTwin,
    metric: Metric,
    data: Any,
    key: PRNGKeyArray,
    n: int = 50,
    levels: Any = None,
    *,
    t: Scalar | None = None,
    chunk: int | str = "auto",
    batch_size: int | None = None,
    tell: Callable[[str], None] = lambda text: None,
) -> NoiseReport:
    """A metric of `n` chips at every noise level, with one compilation for all.

    The chips are the same at every level: chip j draws the same errors, which are
    multiplied by the level. A chip is drawn once and sees all data.

    **Arguments:**
    - `metric`: `metric(chip, batch)`, the values of the samples `"sample"` (of which
      the mean is taken, exactly so for accuracies), or one number, the mean itself.
    - `data`: pytree of arrays with one leading axis, the samples, or None.
    - `levels`: numbers, or dicts of numbers by kind or path that have the same keys.
      Without, `LEVELS`, 0 to 0.2 of the range; of devices whose levels multiply
      measured errors, ten times as much, 0 to 2.
    - `t`: seconds after programming.
    - `chunk`: chips at a time (`vmap`); `"auto"` is 1 on a CPU and 16 elsewhere.
    - `batch_size`: samples at a time; all without.
    - `tell`: called with a line of text after each level.

    **Returns:** a `NoiseReport`; `print` shows it as a table.
    **Raises:** `ConfigError` for a metric that cannot be called or numbers that make no
    sense; `ShapeError` for a metric of another shape; `DataError` for empty data.

    ```python
    >>> import equinox as eqx, jax, jax.numpy as jnp
    >>> from pendula.hardware import RangeNoise, monte_carlo, to_analog
    >>> net = eqx.nn.Linear(2, 1, key=jax.random.key(0))
    >>> x = jax.random.normal(jax.random.key(1), (20, 2))
    >>> data = (x, jax.vmap(net)(x))
    >>> def error(chip, batch):
    ...     return jnp.mean((jax.vmap(chip)(batch[0]) - batch[1]) ** 2, axis=1)
    >>> twin = to_analog(net, RangeNoise())
    >>> found = monte_carlo(twin, error, data, jax.random.key(2), 20, (0.0, 0.1))
    >>> found.values.shape, bool(found.mean[0] == 0.0 < found.mean[1])
    ((2, 20), True)

    ```
    """
    _check(metric, n, chunk, batch_size)
    shared = in_shares(twin.device)
    if levels is None:
        levels = LEVELS if shared else [10.0 * level for level in LEVELS]
    table = _levels(levels, twin)
    size = _samples(data)
    width = _width(chunk)
    keys = jax.vmap(lambda j: jax.random.fold_in(key, j))(jnp.arange(n))
    program = functools.partial(_chips, metric, batch_size, size, width)
    t = jnp.asarray(0.0 if t is None else moment(t), jnp.float32)
    values = []
    for level in table:
        found = np.asarray(program(twin, data, keys, level, t))
        values.append(found)
        tell(f"level {_plain(level)}: {found.mean():.4g}")
    digital = float(program(twin, data, None, table[0], t)[0])
    independent = any(
        isinstance(node, Unfolded) and node.mode == "marginal"
        for node in jax.tree.leaves(
            twin.model, is_leaf=lambda node: isinstance(node, Unfolded)
        )
    )
    return NoiseReport(
        tuple(_plain(level) for level in table),
        np.stack(values).astype(np.float64),
        digital,
        str(jax.random.key_data(key).tolist()),
        tuple(twin.table()),
        not independent,
        float(t),
        ratios(twin),
        shared,
    )


@eqx.filter_jit
def _chips(
    metric: Metric,
    batch_size: int | None,
    size: int | None,
    width: int,
    twin: AnalogTwin,
    data: Any,
    keys: Any,
    level: Any,
    t: Array,
) -> Array:
    """The metric of each chip; without keys that of the digital model."""
    score = lambda chip: _score(metric, chip, data, batch_size, size)
    if keys is None:
        return score(twin.model)[None]
    one = lambda key: score(twin.sample(key, level, t))
    return jax.lax.map(one, keys, batch_size=None if width == 1 else width)


def _score(
    metric: Metric, chip: Any, data: Any, batch_size: int | None, size: int | None
) -> Array:
    """Mean over all samples."""
    if size is None or batch_size is None or batch_size >= size:
        return _total(metric(chip, data), size) / (size or 1)
    whole = size // batch_size
    cut = lambda x: x[: whole * batch_size].reshape(whole, batch_size, *x.shape[1:])
    part = lambda batch: _total(metric(chip, batch), batch_size)
    total = jnp.sum(jax.lax.map(part, jax.tree.map(cut, data)))
    left = size - whole * batch_size
    if left:
        rest = jax.tree.map(lambda x: x[whole * batch_size :], data)
        total = total + _total(metric(chip, rest), left)
    return total / size


def _total(found: Any, size: int | None) -> Array:
    """The sum over the samples of a batch."""
    if not eqx.is_array(found) or found.ndim > 1:
        shape = getattr(found, "shape", type(found).__name__)
        raise ShapeError(
            f"the metric gives {shape}; expected one number, or one a sample. Take "
            "the mean over what is left, as an array."
        )
    found = found.astype(jnp.promote_types(found.dtype, jnp.float32))
    if found.ndim == 0:
        return found * (size or 1)
    if size is not None and found.shape[0] != size:
        raise ShapeError(
            f"the metric gives {found.shape[0]} numbers for {size} samples; expected "
            "one each."
        )
    return jnp.sum(found) if size is not None else jnp.mean(found)


def _levels(levels: Any, twin: AnalogTwin) -> list[Any]:
    """Levels as arrays, so that none is compiled in; checked before that."""
    if isinstance(levels, Mapping) or np.ndim(levels) == 0:
        levels = [levels]
    found: list[Any] = []
    for level in levels:
        levels_of(twin, level)
        if isinstance(level, Mapping):
            one = {k: jnp.asarray(checked(v, k), jnp.float32) for k, v in level.items()}
        else:
            one = jnp.asarray(checked(level), jnp.float32)
        found.append(one)
    if not found:
        raise ConfigError("there are no noise levels. Give at least one number.")
    return found


def _plain(level: Any) -> Any:
    """A level as one reads it."""
    number = lambda x: float(f"{float(x):.7g}")  # those of float32
    if isinstance(level, Mapping):
        return tuple((k, number(v)) for k, v in level.items())
    return number(level)


def _samples(data: Any) -> int | None:
    """How many samples there are; None for data that have none."""
    leaves = jax.tree.leaves(data)
    for x in leaves:
        if not isinstance(x, np.ndarray | np.generic | jax.Array):
            raise DataError(
                f"data holds a {type(x).__name__}; expected a pytree of arrays. Turn "
                "lists of numbers into arrays."
            )
    sizes = {x.shape[0] if x.ndim else 0 for x in leaves}
    if not sizes:
        return None
    if len(sizes) > 1 or 0 in sizes:
        raise DataError(
            f"the arrays of data have {sorted(sizes)} samples; they need one leading "
            "axis in common, and at least one sample."
        )
    return sizes.pop()


def _width(chunk: int | str) -> int:
    if not isinstance(chunk, str):
        return int(chunk)
    return 1 if jax.default_backend() == "cpu" else 16


def _check(metric: Any, n: int, chunk: Any, batch_size: int | None) -> None:
    if not callable(metric):
        raise ConfigError(
            f"metric is a {type(metric).__name__}; expected a function "
            "metric(chip, batch) that gives a number for each sample."
        )
    if n < 1:
        raise ConfigError(f"n is {n}; there must be at least one chip.")
    whole(1, n=n)
    if isinstance(chunk, str):
        choice("chunk", chunk, ("auto",))
    else:
        whole(1, chunk=chunk)
    if batch_size is not None:
        whole(1, batch_size=batch_size)


def is_right(
    logits: Float[Array, "sample class"], labels: Sequence[int] | Array | np.ndarray
) -> Float[Array, " sample"]:
    """1 for each sample whose largest logit is that of its label, else 0: what
    `monte_carlo` takes the mean of."""
    hit = jnp.argmax(logits, axis=1) == jnp.asarray(labels)
    return hit.astype(jnp.float32)

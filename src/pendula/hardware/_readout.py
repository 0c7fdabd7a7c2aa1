"""Linear readouts: by a closed form, or softmax regression."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._checks import positive, whole
from .._errors import ConfigError, DataError, ShapeError
from .._precision import precision
from .._registry import register
from .._source import Source
from ..train import TrainState, adam_cosine, gradient_step, init_opt, run
from ._tables import as_table, check_labels, spreads


RIDGES = (1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2)
"""Ridges that are tried where none is given."""


@register("module")
class LinearReadout(eqx.Module):
    r"""Scores of features.

    $$ y = W x + b $$

    **Shapes**: features `"feature"`, scores `"out"`.
    **Source:** Jaeger 2001, section 3.1.

    ```python
    >>> import numpy as np
    >>> from pendula.hardware import fit_ridge
    >>> x = np.linspace(-1.0, 1.0, 9)[:, None]
    >>> readout = fit_ridge(x, 2.0 * x + 1.0, ridge=0.0)
    >>> np.round(readout.scores(x[:2]), 4).tolist()
    [[-1.0], [-0.5]]

    ```
    """

    source: ClassVar[Source] = Source("Jaeger2001", "section 3.1")

    weight: Float[Array, "out feature"]
    """W."""
    bias: Float[Array, " out"]
    """b."""

    def __call__(self, x: Float[Array, " feature"]) -> Float[Array, " out"]:
        return self.weight @ x + self.bias

    def scores(self, features: Any) -> np.ndarray:
        """Scores of many samples, `"sample feature"` to `"sample out"`, on the host."""
        x = as_table(features, "features")
        if x.shape[1] != self.weight.shape[1]:
            raise ShapeError(
                f"{x.shape[1]} features a sample; this readout was fitted to "
                f"{self.weight.shape[1]}."
            )
        return x @ np.asarray(self.weight, np.float64).T + np.asarray(self.bias)

    def labels(self, features: Any) -> np.ndarray:
        """The class of the largest score of each sample."""
        return np.argmax(self.scores(features), axis=1)

    def accuracy(self, features: Any, labels: Any) -> float:
        """Share of the samples whose label is right."""
        wanted = check_labels(
            labels, len(features), self.weight.shape[0], switches=True
        )
        return float(np.mean(self.labels(features) == wanted))


def fit_ridge(
    features: Any,
    targets: Any,
    *,
    ridge: float | Sequence[float] = RIDGES,
    held_out: float = 0.2,
) -> LinearReadout:
    r"""A readout by its closed form, in float64.

    $$ \min_{W, b}\; \frac 1 n \sum_i \lVert W x_i + b - y_i \rVert^2
       + \lambda\, \bar v\, \lVert W \rVert^2 $$

    with $\bar v$ the mean variance of a feature, so that a ridge $\lambda$ means the
    same for features of any unit.

    **Shapes**: `features` `"sample feature"`, `targets` `"sample out"`.
    **Arguments:** `ridge`: lambda, at least 0; of several each output takes the one of
    least mean square error on the last samples (a share `held_out`), and is then fitted
    to all.
    **Returns:** the readout, its numbers of the default type.
    **Raises:** `ConfigError`, `ShapeError`; `DataError` for no samples, values that are
    not finite.
    **Source:** Jaeger 2001, section 3.1; Hoerl and Kennard 1970 (the ridge).

    ```python
    >>> import numpy as np
    >>> from pendula.hardware import fit_ridge
    >>> x = np.eye(3)
    >>> readout = fit_ridge(x, np.asarray([[1.0], [0.0], [0.0]]), ridge=1e-6)
    >>> readout.labels(x).tolist()
    [0, 0, 0]

    ```
    """
    x, y = as_table(features, "features"), as_table(targets, "targets")
    if len(x) != len(y):
        raise ShapeError(f"{len(x)} samples of features, {len(y)} of targets.")
    tried = [float(r) for r in np.atleast_1d(ridge)]
    if not tried or any(not (np.isfinite(r) and r >= 0.0) for r in tried):
        raise ConfigError(f"ridge is {ridge}; expected finite numbers of at least 0.")
    if not 0.0 <= held_out < 1.0:
        raise ConfigError(f"held_out is {held_out}; a share lies in [0, 1).")
    best = np.zeros(y.shape[1], int)
    if len(tried) > 1:
        cut = len(x) - max(1, round(held_out * len(x)))
        if cut < 2:
            raise DataError(
                f"{len(x)} samples are too few to choose a ridge on some of them; give "
                "one ridge."
            )
        fits = _solutions(x[:cut], y[:cut], tried)
        missed = [np.mean((x[cut:] @ w + b - y[cut:]) ** 2, axis=0) for w, b in fits]
        best = np.argmin(missed, axis=0)
    every = _solutions(x, y, tried)
    weight = np.stack([every[k][0][:, out] for out, k in enumerate(best)])
    bias = np.stack([every[k][1][out] for out, k in enumerate(best)])
    dtype = jnp.result_type(float)
    return LinearReadout(jnp.asarray(weight, dtype), jnp.asarray(bias, dtype))


def _solutions(
    x: np.ndarray, y: np.ndarray, ridges: Sequence[float]
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Weights `"feature out"` and biases for each ridge, by one eigendecomposition."""
    with precision(np.float64):
        middle, aim = jnp.asarray(x.mean(axis=0)), jnp.asarray(y.mean(axis=0))
        dx = jnp.asarray(x) - middle[None, :]
        dy = jnp.asarray(y) - aim[None, :]
        n, size = dx.shape
        covariance = dx.T @ dx / n
        values, vectors = jnp.linalg.eigh(covariance)
        along = vectors.T @ (dx.T @ dy / n)
        mean = jnp.maximum(jnp.trace(covariance) / size, 1e-300)
        # what rounding leaves of a direction without variance is no direction
        floor = values[-1] * size * np.finfo(np.float64).eps
        found = []
        for ridge in ridges:
            total = values + ridge * mean
            seen = (total > floor) & (total > 0.0)
            over = jnp.where(seen, 1.0 / jnp.where(seen, total, 1.0), 0.0)
            weight = vectors @ (over[:, None] * along)
            found.append((np.asarray(weight), np.asarray(aim - middle @ weight)))
    return found


def fit_classes(
    features: Any,
    labels: Any,
    classes: int,
    *,
    ridge: float | Sequence[float] = RIDGES,
) -> LinearReadout:
    """A readout of classes by `fit_ridge`, to 1 for the right class and -1 for others.

    **Shapes**: `features` `"sample feature"`, `labels` `"sample"` from 0.
    **Raises:** as `fit_ridge`; `ConfigError` for less than two classes, `DataError` for
    a label out of range.

    ```python
    >>> import numpy as np
    >>> from pendula.hardware import fit_classes
    >>> x = np.asarray([[0.0], [0.1], [0.9], [1.0]])
    >>> fit_classes(x, [0, 0, 1, 1], 2, ridge=0.0).accuracy(x, [0, 0, 1, 1])
    1.0

    ```
    """
    table, marks = _classified(features, labels, classes)
    return fit_ridge(table, 2.0 * np.eye(classes)[marks] - 1.0, ridge=ridge)


def fit_softmax(
    features: Any,
    labels: Any,
    classes: int,
    *,
    decay: float = 1e-3,
    num_steps: int = 500,
    lr: float = 0.05,
) -> LinearReadout:
    r"""Softmax regression on standardised features, by Adam on all samples at once.

    $$ \min_{W, b}\; -\frac 1 n \sum_i \log \mathrm{softmax}(W x_i + b)_{c_i}
       + \frac{\lambda}{2} \lVert W \rVert^2 $$

    **Shapes**: `features` `"sample feature"`, `labels` `"sample"` from 0.
    **Arguments:** `decay`: lambda, for features of variance 1; `num_steps`, `lr`: of
    the training.
    **Returns:** the readout for features as they were given.
    **Raises:** `ConfigError`, `ShapeError`, `DataError`, as `fit_classes`.
    **Source:** Goodfellow et al. 2016, section 6.2.2.3.

    ```python
    >>> import numpy as np
    >>> from pendula.hardware import fit_softmax
    >>> x = np.asarray([[0.0], [0.1], [0.9], [1.0]])
    >>> fit_softmax(x, [0, 0, 1, 1], 2).accuracy(x, [0, 0, 1, 1])
    1.0

    ```
    """
    if not (np.isfinite(decay) and decay >= 0.0):
        raise ConfigError(f"decay is {decay}; it must be finite and at least 0.")
    whole(1, num_steps=num_steps)
    positive(lr=lr)
    table, marks = _classified(features, labels, classes)
    middle, spread = table.mean(axis=0), spreads(table)
    x = jnp.asarray((table - middle) / spread, jnp.float32)
    params = jnp.zeros((classes, table.shape[1])), jnp.zeros((classes,))

    def loss(params: Any, batch: Any, key: Any) -> Array:
        weight, bias = params
        x, marks = batch
        logits = jax.nn.log_softmax(x @ weight.T + bias[None, :])
        right = jnp.take_along_axis(logits, marks[:, None], axis=1)
        return -jnp.mean(right) + 0.5 * decay * jnp.sum(weight**2)

    transform = adam_cosine(lr, num_steps)
    state = TrainState.start(params, init_opt(transform, params), jax.random.key(0))
    step = gradient_step(loss, transform)
    state, _ = run(step, state, (x, jnp.asarray(marks)), num_steps=num_steps)
    weight, bias = (np.asarray(p, np.float64) for p in state.params)
    weight = weight / spread
    bias = bias - weight @ middle
    return LinearReadout(jnp.asarray(weight, x.dtype), jnp.asarray(bias, x.dtype))


def _classified(
    features: Any, labels: Any, classes: int
) -> tuple[np.ndarray, np.ndarray]:
    if classes < 2:
        raise ConfigError(f"classes is {classes}; a readout tells at least 2 apart.")
    table = as_table(features, "features")
    return table, check_labels(labels, len(table), classes, switches=True)

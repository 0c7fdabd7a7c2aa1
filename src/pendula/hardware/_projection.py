"""Two linear projections that meet: what belongs together is brought together."""

from __future__ import annotations

from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from .._checks import positive, whole
from .._errors import ConfigError, ShapeError
from .._registry import register
from .._source import Source
from ..train import TrainState, adam_cosine, gradient_step, init_opt, run
from ._tables import as_table, spreads


def pair_loss(
    first: Float[Array, "sample out"],
    second: Float[Array, "sample out"],
    temperature: float,
) -> Float[Array, ""]:
    r"""The contrastive loss of pairs: each tells its partner from those of the others.

    $$ -\frac{1}{2n} \sum_i \log \frac{e^{s_{ii}}}{\sum_j e^{s_{ij}}}
       + \log \frac{e^{s_{ii}}}{\sum_j e^{s_{ji}}}, \qquad
       s_{ij} = \frac{\cos(a_i, b_j)}{T} $$

    **Shapes**: two tables `"sample out"` whose rows belong together.
    **Source:** Radford et al. 2021, figure 3; used for projections of reservoirs by
    Lin et al. 2023.

    ```python
    >>> import jax.numpy as jnp
    >>> from pendula.hardware import pair_loss
    >>> a = jnp.eye(2)
    >>> round(float(pair_loss(a, a, 1.0)), 4)  # log(1 + 1 / e)
    0.3133

    ```
    """

    def unit(z: Array) -> Array:
        return z / jnp.sqrt(jnp.sum(z * z, axis=1, keepdims=True) + 1e-12)

    s = unit(first) @ unit(second).T / temperature
    rows = jnp.diagonal(jax.nn.log_softmax(s, axis=1))
    columns = jnp.diagonal(jax.nn.log_softmax(s, axis=0))
    return -0.5 * jnp.mean(rows + columns)


@register("module")
class ProjectionPair(eqx.Module):
    r"""Projections of two kinds of features into one space.

    $$ a = A\, \tilde x, \qquad b = B\, \tilde y $$

    with features less their mean over their standard deviation; nearness is the cosine.

    **Shapes**: `"first"` and `"second"` features to `"out"`.
    **Source:** Lin et al. 2023.

    ```python
    >>> import numpy as np
    >>> from pendula.hardware import fit_projections
    >>> x = np.eye(6)
    >>> pair = fit_projections(x, x[:, ::-1], 4, num_steps=100, lr=0.05)
    >>> pair.retrieval(x, x[:, ::-1])
    1.0

    ```
    """

    source: ClassVar[Source] = Source("Lin2023", "the trained projections")

    first: Float[Array, "out first"]
    """A, with the scale of the features in it."""
    second: Float[Array, "out second"]
    """B, likewise."""
    first_mean: Float[Array, " first"]
    """Mean of the first features."""
    second_mean: Float[Array, " second"]
    """Mean of the second features."""

    def project(self, x: Any, which: int) -> np.ndarray:
        """Unit vectors of samples of the first (0) or second (1) kind."""
        matrix = (self.first, self.second)[which]
        mean = (self.first_mean, self.second_mean)[which]
        table = as_table(x, "features")
        if table.shape[1] != matrix.shape[1]:
            raise ShapeError(
                f"{table.shape[1]} features a sample; this projection was fitted to "
                f"{matrix.shape[1]}."
            )
        z = (table - np.asarray(mean)) @ np.asarray(matrix).T
        return z / np.maximum(np.linalg.norm(z, axis=1, keepdims=True), 1e-12)

    def retrieval(self, first: Any, second: Any) -> float:
        """Share of the first samples whose nearest second one is their partner."""
        near = self.project(first, 0) @ self.project(second, 1).T
        return float(np.mean(np.argmax(near, axis=1) == np.arange(len(near))))


def fit_projections(
    first: Any,
    second: Any,
    size: int = 32,
    *,
    temperature: float = 0.1,
    batch: int = 128,
    num_steps: int = 500,
    lr: float = 3e-3,
    key: PRNGKeyArray | None = None,
) -> ProjectionPair:
    """Two linear projections, trained so that pairs come near each other.

    **Shapes**: `first` `"sample first"`, `second` `"sample second"`, row by row of the
    same thing.
    **Arguments:** `size`: of the common space; `temperature`: of `pair_loss`; `batch`:
    pairs that are told apart at once, at most all; `num_steps`, `lr`: of the training;
    `key`: draws the matrices and the batches.
    **Raises:** `ConfigError`, `ShapeError`, `DataError`.
    **Source:** Lin et al. 2023.
    """
    tables = as_table(first, "features"), as_table(second, "features")
    n = len(tables[0])
    if len(tables[1]) != n:
        raise ShapeError(f"{n} first samples, {len(tables[1])} second ones.")
    if n < 2:
        raise ConfigError(f"fit_projections: {n} pairs; give 2 or more.")
    whole(1, "fit_projections", size=size)
    whole(2, "fit_projections", batch=batch)
    positive("fit_projections", temperature=temperature)
    whole(0, "fit_projections", num_steps=num_steps)
    positive("fit_projections", lr=lr)
    key = jax.random.key(0) if key is None else key
    scaled, params, back = [], [], []
    for k, table in enumerate(tables):
        spread = spreads(table)
        scaled.append(jnp.asarray((table - table.mean(axis=0)) / spread, jnp.float32))
        shape = (size, table.shape[1])
        drawn = jax.random.normal(jax.random.fold_in(key, k), shape)
        params.append(drawn / np.sqrt(shape[1]))
        back.append((spread, table.mean(axis=0)))
    count = min(batch, n)

    def loss(params: Any, data: Any, key: Any) -> Array:
        some = jax.random.choice(key, n, (count,), replace=False)
        a, b = (x[some] @ matrix.T for x, matrix in zip(data, params, strict=True))
        return pair_loss(a, b, temperature)

    transform = adam_cosine(lr, num_steps)
    own = jax.random.fold_in(key, 2)
    state = TrainState.start(tuple(params), init_opt(transform, tuple(params)), own)
    step = gradient_step(loss, transform)
    state, _ = run(step, state, tuple(scaled), num_steps=num_steps)
    matrices = [
        jnp.asarray(np.asarray(m) / spread, jnp.float32)
        for m, (spread, _) in zip(state.params, back, strict=True)
    ]
    means = [jnp.asarray(mean, jnp.float32) for _, mean in back]
    return ProjectionPair(*matrices, *means)

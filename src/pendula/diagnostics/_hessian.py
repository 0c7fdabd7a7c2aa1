"""Curvature of a loss as a linear map: Hessian and Gauss-Newton times a vector."""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Array, Float
from numpy.typing import ArrayLike

from .._errors import ConfigError, ShapeError
from ._products import GaussNewtonTerm, HessianTerm, Products, ScaledProducts


Loss = Callable[[Any, Any], Float[Array, ""]]
Where = Callable[[Any], Any]


class AbstractCurvature(abc.ABC):
    """A symmetric matrix of curvature at given parameters, known by its products.

    What takes one: `top_eigenvalues`, `trace`, `spectral_density`, `landscape`. The
    vector is the flat one of the chosen arrays, in tree order.
    """

    _machine: Products | ScaledProducts

    @abc.abstractmethod
    def part(self, where: Where) -> AbstractCurvature:
        """The diagonal block of a part of the parameters, `where(params)` as for
        `equinox.tree_at`: one node or a tuple of nodes. Of an operator of a part, what
        is in both."""

    def __call__(self, v: ArrayLike) -> np.ndarray:
        """The product with a vector `"n"`, NumPy in `dtype`.

        **Raises:** `ShapeError`; `DataError` where it is not finite, or the gradient
        is not (with the first array in which it is not).
        """
        return self._machine(v)

    @property
    def size(self) -> int:
        """Number n of parameters."""
        return self._machine.size

    @property
    def dtype(self) -> np.dtype:
        """Of products and parameters, float32 or float64."""
        return self._machine.dtype

    @property
    def slices(self) -> dict[str, slice]:
        """Path of an array -> its place in the flat vector."""
        return self._machine.slices

    @property
    def flat(self) -> np.ndarray:
        """The parameters as one vector, `"n"` (read only)."""
        return self._machine.flat

    @property
    def place(self) -> np.ndarray:
        """The parameters in their own units, `"n"`: `flat`, unless the operator counts
        from there (`ScaledCurvature`)."""
        return self._machine.place

    def steps(self, change: ArrayLike) -> np.ndarray:
        """Changes of the parameters in their own units, `"n"` or `"d n"`, as vectors of
        this operator."""
        return self._machine.steps(np.asarray(change, self.dtype))

    @property
    def value(self) -> float:
        """The loss over all data."""
        return self._machine.prepared[0]

    @property
    def gradient(self) -> np.ndarray:
        """The gradient of the loss over all data, `"n"`."""
        return self._machine.prepared[1]

    def tree(self, v: ArrayLike) -> Any:
        """A flat vector as the pytree of the chosen arrays (None elsewhere)."""
        return self._machine.tree(v)

    def surface(self) -> tuple[Any, list[Any]]:
        """The loss as a function of the flat vector, for `landscape`: a form, whose
        `join(arrays)` is that function, and the arrays."""
        return self._machine.surface()


class HessianOperator(AbstractCurvature):
    r"""The Hessian of a loss over a data set times a vector, without the matrix.

    $$ H v = \frac{\partial}{\partial \epsilon} \nabla L(\theta + \epsilon v), \quad
       L = \sum_b \frac{N_b}{N} L_b $$

    forward over reverse mode. With one batch the gradient is linearised once and kept:
    a product then costs no second pass through the network (and the memory of one).
    With several, each batch is passed again at every product; the last, smaller one
    counts by its size. A loss with convolutions is called batch by batch: within a
    compiled loop their slopes are slow on a CPU. Accelerators multiply in full.

    **Arguments:**
    - `loss`: `loss(params, batch) -> scalar`, the mean over the batch.
    - `params`: any pytree; its floating arrays are the parameters, but for statistics
      of norms (`equinox.nn.State`, `NormState`) and what a model holds as fixed. Layers
      with a mode (dropout, batch norm) are put into inference mode; of a model whose
      flags were partitioned off, the loss has to do that.
    - `data`: pytree of arrays with one leading axis in common, or None for a loss that
      needs none (or holds its own).
    - `batch_size`: samples at a time; None takes all at once.
    - `dtype`: `float64` promotes parameters and data; None keeps the parameters' own.
    - `where`: only a part of the parameters, see `part`; a tuple of such functions:
      what is in all of them.

    **Raises:** `ConfigError` for no parameters, a `where` that gives no node of them or
    a batch size below 1, `ShapeError` for a loss that is no scalar or data of
    different lengths; at the first product `DataError` for a loss or gradient that is
    not finite, with the first array it is found in, and `ConfigError` for a loss
    without forward mode, such as that of an `OdeBlock` with the continuous adjoint
    (take its `adjoint="discrete"`).
    **Source:** Pearlmutter 1994, Neural Computation 6, 147-160; batches as in Yao,
    Gholami, Keutzer, Mahoney 2020, arXiv:1912.07145.

    ```python
    >>> import jax.numpy as jnp, numpy as np
    >>> from pendula.diagnostics import HessianOperator
    >>> loss = lambda w, x: jnp.mean((x @ w) ** 2)
    >>> x = np.array([[1.0, 0.0], [0.0, 2.0], [1.0, 1.0]])
    >>> op = HessianOperator(loss, np.ones(2), x, batch_size=2, dtype=np.float64)
    >>> print((3 * op([1.0, 0.0])).round(12))  # 2 x'x
    [4. 2.]

    ```
    """

    def __init__(
        self,
        loss: Loss,
        params: Any,
        data: Any = None,
        batch_size: int | None = None,
        *,
        dtype: Any = None,
        where: Where | tuple[Where, ...] | None = None,
    ) -> None:
        told = (params, data, batch_size, dtype, where)
        self._told, self._where = (loss, params, data, batch_size), where
        self._machine = Products(HessianTerm, loss, *told)

    def part(self, where: Where) -> HessianOperator:
        """The diagonal block of a part of the parameters.

        ```python
        >>> import jax, jax.numpy as jnp
        >>> from pendula.diagnostics import HessianOperator
        >>> from pendula.nn import MLP
        >>> net = MLP(1, 1, width=4, depth=1, key=jax.random.key(0))
        >>> loss = lambda net, x: jnp.mean(jax.vmap(net)(x) ** 2)
        >>> op = HessianOperator(loss, net, jnp.ones((3, 1)))
        >>> op.size, op.part(lambda net: net.weight_out).size
        (13, 4)

        ```
        """
        both = _within(self._where, where)
        return HessianOperator(*self._told, dtype=self.dtype, where=both)


class GaussNewtonOperator(AbstractCurvature):
    r"""The Gauss-Newton matrix of a loss of a network's outputs times a vector.

    $$ G v = \sum_b \frac{N_b}{N} J_b^T \, \nabla_z^2 \ell \, J_b v,
       \quad z = f(\theta, x) $$

    what is left of the Hessian without the curvature of the network itself; positive
    semi-definite for a convex loss, and equal to the Hessian for a network that is
    linear in its parameters.

    **Arguments:** `predict`: `predict(params, batch) -> z`, the outputs of a whole
    batch, one array or a pytree; `loss`: `loss(z, batch) -> scalar`, the mean over the
    batch; the others as for `HessianOperator`.
    **Raises:** as `HessianOperator`.
    **Source:** Schraudolph 2002, Neural Computation 14, 1723-1738.

    ```python
    >>> import jax, jax.numpy as jnp, numpy as np
    >>> from pendula.diagnostics import GaussNewtonOperator
    >>> predict = lambda w, x: jnp.exp(x * w)
    >>> loss = lambda z, x: 0.5 * jnp.mean((z - 5.0) ** 2)
    >>> op = GaussNewtonOperator(predict, loss, np.zeros(1), np.array([1.0, 2.0]))
    >>> print(op([1.0]))  # (1 + 4) / 2
    [2.5]

    ```
    """

    def __init__(
        self,
        predict: Callable[[Any, Any], Any],
        loss: Loss,
        params: Any,
        data: Any = None,
        batch_size: int | None = None,
        *,
        dtype: Any = None,
        where: Where | tuple[Where, ...] | None = None,
    ) -> None:
        told = (params, data, batch_size, dtype, where)
        self._told, self._where = (predict, loss, params, data, batch_size), where
        self._machine = Products(GaussNewtonTerm, (predict, loss), *told)

    def part(self, where: Where) -> GaussNewtonOperator:
        """The diagonal block of a part of the parameters."""
        both = _within(self._where, where)
        return GaussNewtonOperator(*self._told, dtype=self.dtype, where=both)


def _within(outer: Any, inner: Where) -> tuple[Where, ...]:
    """Both restrictions, one after the other."""
    before = outer if isinstance(outer, tuple) else (outer,)
    return (*(one for one in before if one is not None), inner)


class ScaledCurvature(AbstractCurvature):
    r"""A curvature with every parameter measured in a unit of its own.

    $$ A = S H S, \quad S = \mathrm{diag}(s), \quad w = w_0 + S u $$

    is the curvature by u, where u = 0 is the operator's place (`flat` is 0, `place` is
    w_0). With s the standard deviations of a perturbation, half its trace is what that
    adds to the loss. What has no unit (s = 0) does not move.

    **Arguments:** `op`: the curvature H; `scale`: s `"n"`, at least 0.
    **Raises:** `ShapeError`; `ConfigError` for a scale that is negative or not finite.

    ```python
    >>> import jax.numpy as jnp, numpy as np
    >>> from pendula.diagnostics import HessianOperator, ScaledCurvature, trace
    >>> loss = lambda w, _: 0.5 * jnp.sum(jnp.asarray([1.0, 4.0]) * w**2)
    >>> op = HessianOperator(loss, np.ones(2), dtype=np.float64)
    >>> scaled = ScaledCurvature(op, [2.0, 0.5])
    >>> print(trace(scaled).value, scaled.gradient)
    5.0 [2. 2.]

    ```
    """

    _machine: ScaledProducts

    def __init__(self, op: AbstractCurvature, scale: ArrayLike) -> None:
        scale = np.asarray(scale, op.dtype)
        if scale.shape != (op.size,):
            raise ShapeError(
                f"the scale has shape {scale.shape}; expected ({op.size},), one entry "
                "for each parameter."
            )
        bad = np.flatnonzero(~(np.isfinite(scale) & (scale >= 0.0)))
        if bad.size:
            raise ConfigError(
                f"entry {bad[0]} of the scale is {scale[bad[0]]}; it must be finite "
                "and at least 0."
            )
        self._op = op
        self._machine = ScaledProducts(op, scale)

    @property
    def scale(self) -> np.ndarray:
        """Units of the parameters, `"n"`."""
        return self._machine.scale

    def part(self, where: Where) -> ScaledCurvature:
        """The diagonal block of a part of the parameters."""
        block = self._op.part(where)
        own = [self.scale[self._op.slices[name]] for name in block.slices]
        return ScaledCurvature(block, np.concatenate(own))

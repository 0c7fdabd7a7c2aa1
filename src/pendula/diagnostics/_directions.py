"""Directions of a landscape: random ones filter by filter, and to another network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import PRNGKeyArray

from .._checks import whole
from .._errors import ConfigError, ShapeError
from .._precision import precision
from ._hessian import AbstractCurvature
from ._products import choose


Leading = Callable[[str, tuple[int, ...]], int]


def random_directions(
    op: AbstractCurvature,
    count: int = 2,
    *,
    leading: Leading | None = None,
    key: PRNGKeyArray,
) -> np.ndarray:
    r"""Random directions `"count n"`, filter by filter as long as the parameters.

    $$ d_{ij} \leftarrow \frac{d_{ij}}{\|d_{ij}\|} \|\theta_{ij}\| $$

    so that landscapes of nets with different scales can be held beside each other. A
    filter is all that leads to one output: a row of a weight matrix, the kernel of an
    output channel; biases (fields whose name begins so), scales of norms and other
    vectors are left where they are (their direction is 0).

    A layer says how its arrays lie: outputs stand on the first axis, or on that of its
    class attribute `out_axis`; arrays in the fields of its class attribute `stacked`
    have an axis more in front, of layers or of nodes in depth (`nn.MLP`,
    `depth.OdeBlock`).

    **Arguments:** `leading`: instead of that, of an array's path and shape, how many
    leading axes number its filters; 0 leaves the array where it is.
    **Raises:** `ConfigError` where there are no filters, or all have the length 0:
    nothing would move.
    **Source:** Li, Xu, Taylor, Studer, Goldstein 2018, arXiv:1712.09913, section 4.

    ```python
    >>> import jax, jax.numpy as jnp, numpy as np
    >>> from pendula.diagnostics import HessianOperator, random_directions
    >>> params = {"w": np.array([[3.0, 4.0], [0.6, 0.8]]), "b": np.ones(2)}
    >>> op = HessianOperator(lambda p, _: jnp.sum(p["w"]), params, dtype=np.float64)
    >>> d = op.tree(random_directions(op, 1, key=jax.random.key(0))[0])
    >>> print(np.linalg.norm(d["w"], axis=1).round(9), d["b"])
    [5. 1.] [0. 0.]

    ```
    """
    whole(1, count=count)
    theta = op.tree(op.place)
    flat, _ = jax.tree_util.tree_flatten_with_path(theta)
    axes = [_filter_axes(theta, path, value, leading) for path, value in flat]
    if leading is None and not any(axes):
        raise ConfigError(
            "the parameters are vectors, numbers and biases: they have no filters, and "
            "nothing would move. Give leading, or directions of your own."
        )
    out = []
    for number in range(count):
        parts = []
        for index, (_, value) in enumerate(flat):
            own_key = jax.random.fold_in(key, number * len(flat) + index)
            if not axes[index]:
                parts.append(np.zeros(value.size))
                continue
            with precision(np.float32):
                draw = np.asarray(jax.random.normal(own_key, value.shape), np.float64)
            own = tuple(k for k in range(value.ndim) if k not in axes[index])
            length = lambda x, own=own: np.sqrt(np.sum(x**2, axis=own, keepdims=True))
            parts.append((draw / length(draw) * length(value)).ravel())
        out.append(np.concatenate(parts))
    found = op.steps(np.stack(out))
    if any(axes) and not found.any():
        raise ConfigError(
            "all filters have the length 0, and so have directions that are as long. "
            "Give parameters that are not all zero, and units that are not."
        )
    return found


def _filter_axes(
    theta: Any, path: Any, value: np.ndarray, leading: Leading | None
) -> tuple[int, ...]:
    """The axes that number the filters of an array; none for one that stays."""
    if leading is not None:
        name = jax.tree_util.keystr(path).lstrip(".") or "params"
        return tuple(range(leading(name, value.shape)))
    node, front, out_axis, field = theta, 0, 0, ""
    for step in path:
        if isinstance(node, eqx.nn.LayerNorm | eqx.nn.RMSNorm):
            return ()  # scales, also where they have several axes
        if isinstance(step, jax.tree_util.GetAttrKey):
            field, out_axis = step.name, getattr(type(node), "out_axis", 0)
            front += field in getattr(type(node), "stacked", ())
            node = getattr(node, field)
        else:
            node = _child(node, step)
    own = value.ndim - front
    if own < 2 or field.startswith("bias"):
        return ()
    return (*range(front), front + out_axis % own)


def _child(node: Any, step: Any) -> Any:
    """What a pytree holds at a step of a path other than an attribute."""
    if isinstance(step, jax.tree_util.DictKey):
        return node[step.key]
    if isinstance(step, jax.tree_util.SequenceKey):
        return node[step.idx]
    # of a class that was registered without names
    return jax.tree.leaves(node, is_leaf=lambda x: x is not node)[step.key]


def line_to(op: AbstractCurvature, params: Any) -> np.ndarray:
    """The direction `"1 n"` from the operator's parameters to others of the same
    structure: alpha = 0 is here, 1 is there.

    **Raises:** `ShapeError`; `ConfigError` for parameters that differ where the unit of
    a `ScaledCurvature` is 0.

    ```python
    >>> import jax.numpy as jnp, numpy as np
    >>> from pendula.diagnostics import HessianOperator, landscape, line_to
    >>> loss = lambda w, _: jnp.sum((w - 1.0) ** 2)
    >>> op = HessianOperator(loss, np.zeros(2), dtype=np.float64)
    >>> way = line_to(op, np.ones(2))
    >>> print(landscape(op, way, span=(0.0, 2.0), points=5).loss)
    [2.  0.5 0.  0.5 2. ]

    ```
    """
    here = op.tree(op.place)
    like, structure = jax.tree.flatten(here)
    there, _ = choose(params)
    leaves = jax.tree.leaves(there)
    if [np.shape(x) for x in leaves] != [x.shape for x in like] or (
        jax.tree.structure(there) != structure
    ):
        raise ShapeError(
            "the other parameters have another structure than the operator's "
            f"({len(leaves)} arrays, here {len(like)}). Give a model of the same "
            "kind and size, and an operator of the whole of it."
        )
    other = np.concatenate([np.ravel(np.asarray(x, op.dtype)) for x in leaves])
    way = (other - op.place)[None]
    found = op.steps(way)
    if np.any((found == 0.0) & (way != 0.0)):
        raise ConfigError(
            "the other parameters differ where the unit of the curvature is 0: nothing "
            "moves there. Give these a unit, or take the operator without units."
        )
    return found

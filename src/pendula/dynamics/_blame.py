"""What made a training stop: the first sample whose loss or gradient is not finite,
and, where asked, the operation in which it happens."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._tree import all_finite
from ._look import Look
from ._stages import Stage
from ._times import said_time


LIBRARIES = ("jax", "jaxlib", "equinox", "diffrax", "optax", "numpy")


def blame(stage: Stage, params: Any, bad: np.ndarray, *, debug: bool) -> str:
    """One sentence about the first member that stopped.

    **Arguments:** `params`: those of the state in which the steps failed; `bad`
    `"member"`: bad steps in a row; `debug`: go through that case operation by
    operation. **Returns:** an empty text where no case of its own is bad (a sum over
    all of them may overflow).
    """
    if stage.look is None or not np.any(bad):
        return ""
    which = int(np.argmax(bad > 0))
    look = stage.look(params, which)
    data = look.data
    value, slope = _health(look)
    wrong = np.flatnonzero(~(np.isfinite(value) & slope))
    if not len(wrong):
        return ""
    k = int(wrong[np.lexsort((look.times[wrong], look.rows[wrong]))[0]])
    what = "the gradient" if np.isfinite(value[k]) else "the loss"
    place = f"trajectory {data.labels[int(look.rows[k])]} " if data.num > 1 else ""
    text = (
        f"The first is {what} of {place}from "
        f"{said_time(look.times[k], data.time_unit, 6)} on "
        f"({len(wrong)} of {len(value)} cases)."
    )
    return f"{text} {_operation(look, k)}".strip() if debug else text


def _health(look: Look) -> tuple[np.ndarray, np.ndarray]:
    """Squared residual of each case, and whether its gradient is finite."""

    @eqx.filter_jit
    def each(params: Any, cases: Any) -> Any:
        def one(case: Any) -> Any:
            f = lambda p: jnp.sum(look.residual(p, case) ** 2)
            value, grads = jax.value_and_grad(f)(params)
            return value, all_finite(grads)

        return jax.lax.map(one, cases)

    value, slope = each(look.params, look.cases)
    return np.asarray(value), np.asarray(slope)


def _operation(look: Look, k: int) -> str:
    """Where the first value that is not finite comes from, in words."""
    case = jax.tree.map(lambda x: x[k], look.cases)
    f = lambda p: jnp.sum(look.residual(p, case) ** 2)
    try:
        with jax.disable_jit(), jax.debug_nans(True):
            _, grads = jax.value_and_grad(f)(look.params)
    except FloatingPointError as error:
        found = str(error).partition(".")[0].strip()
        frames = traceback.extract_tb(error.__traceback__)
        ours = [frame for frame in frames if not _of_library(frame.filename)]
        if not ours:
            return f"Operation by operation: {found}, in the backward pass."
        place = f"{Path(ours[-1].filename).name}, line {ours[-1].lineno}"
        return f"Operation by operation: {found}, at {place}: {ours[-1].line}"
    leaves = jax.tree_util.tree_leaves_with_path(grads)
    names = [jax.tree_util.keystr(p) for p, x in leaves if not jnp.isfinite(x).all()]
    if names:
        return f"Infinite is the derivative with respect to {', '.join(names[:3])}."
    return "One operation at a time nothing is NaN: a sum overflows."


def _of_library(filename: str) -> bool:
    """Whether a file belongs to a numerical library (or to this module)."""
    parts = Path(filename).parts
    return filename == __file__ or bool(set(LIBRARIES) & set(parts))

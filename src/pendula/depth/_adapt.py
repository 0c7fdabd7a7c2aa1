"""Steps where they are needed: lengths chosen by the error of each step."""

from __future__ import annotations

import dataclasses
from fractions import Fraction
from itertools import pairwise
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from .._checks import positive, whole
from .._errors import ConfigError, DataError
from ._places import Place, halved, knots, locate, merged
from ._state import read_node, read_row
from ._step import explicit_step, tableau


# Weights of the stages, and of one more at the end of the step, that give the
# difference to a rule of another order: for Euler that of Heun; for the others a rule
# of one order less. The last two solve the conditions up to order 3.
EMBEDDED = {
    "euler": (-1 / 2, 1 / 2),
    "midpoint": (-1.0, 1.0, 0.0),
    "heun": (-1 / 2, 1 / 2, 0.0),
    "rk3": (1 / 6, -1 / 3, 1 / 6, 0.0),
    "rk4": (0.0, 0.0, 0.0, 1 / 6, -1 / 6),
    "rk4_38": (1 / 24, -1 / 8, 1 / 8, 1 / 8, -1 / 6),
}
# The pair of RK4 differs at the end of a step only, and so is blind to weights that
# change with depth: Simpson's rule is held beside Boole's, which sees two more places.
QUARTERS = {"rk4": (Fraction(1, 4), Fraction(3, 4))}
BOOLE = (4 / 45, 12 / 45, 12 / 45, 0.0, 4 / 45, -16 / 45, -16 / 45)
HIGHER = {"euler": "heun", "midpoint": "rk4", "heun": "rk4", "rk3": "rk4"}


def step_errors(block: Any, xs: Array, state: Any = None) -> np.ndarray:
    r"""The error that each step adds, by an embedded pair.

    $$ e_k = \frac{\| h_k \sum_j d_j k_j \|}{\| x_{k+1} \|} $$

    (root mean squares over the batch), with d the difference of the scheme's weights
    to those of one order less; for Euler, of one more. For RK4 the root of the sum of
    its square and that of Simpson's rule less Boole's, along the step.

    **Arguments:** `xs`: a batch `"sample ..."` of inputs; `state`: running statistics
    where the norms have them; the block is then taken in inference mode.
    **Returns:** `"step"`.
    **Source:** Hairer, Norsett, Wanner, Solving Ordinary Differential Equations I,
    section II.4.

    ```python
    >>> import jax, jax.numpy as jnp
    >>> from pendula.depth import DenseUnit, OdeBlock, step_errors
    >>> unit = DenseUnit(2, 8, key=jax.random.key(0))
    >>> block = OdeBlock(unit, n_basis=1, scheme="rk4", n_steps=2, epsilon=1.0)
    >>> step_errors(block, jnp.ones((3, 2))).shape
    (2,)

    ```
    """
    quiet = eqx.nn.inference_mode(block)
    per_sample = _per_sample(quiet, xs, state)
    error, size = (np.sqrt(np.mean(v, axis=1)) for v in per_sample)
    return error / np.maximum(size, 1e-300)


def _per_sample(block: Any, xs: Array, state: Any) -> tuple[np.ndarray, np.ndarray]:
    """Squares of the error and of x after each step, `"step sample"`."""
    if block.scheme not in EMBEDDED:
        raise ConfigError(
            f'scheme "{block.scheme}" has no second rule that tells its errors. '
            f"Manifest the block in one of {', '.join(EMBEDDED)}."
        )
    arrays, rest = eqx.partition(block.unit, eqx.is_inexact_array)
    places = []
    for row, (begin, end) in zip(
        block.places(), pairwise(knots(block.steps)), strict=True
    ):
        quarters = QUARTERS.get(block.scheme, ())
        between = [Place(begin + u * (end - begin), False) for u in quarters]
        places.append([*row, Place(end, True), *between])
    block.check_state(state)
    found = None if state is None else block.visits(places)

    def read(k: int, j: int) -> Any:
        if found is None:
            return None
        if found.rows is None:
            return read_node(state, int(found.node[k, j]))
        return read_row(state, found.rows[k, j])

    errors, sizes = [], []
    for k, (row, h) in enumerate(zip(places, block.factors(), strict=True)):
        theta = block.basis.values(arrays, row)
        states = [read(k, j) for j in range(len(row))]
        length = jnp.asarray(h, xs.dtype)  # a number would be compiled in
        xs, error, size = _step(block.scheme, theta, rest, states, xs, length)
        errors.append(np.asarray(error, np.float64))
        sizes.append(np.asarray(size, np.float64))
    return np.stack(errors), np.stack(sizes)


@eqx.filter_jit
def _step(
    name: str, theta: Any, rest: Any, states: list[Any], xs: Array, h: Array
) -> tuple[Array, Array, Array]:
    """One step of a batch, and the squares of its error and of x after it.

    It takes the weights of its own stages only, and so is compiled once for steps of
    all lengths and any number of them.
    """
    rule, weights, quarters = tableau(name), EMBEDDED[name], QUARTERS.get(name, ())

    def slope(j: int, y: Array) -> Array:
        mine = eqx.combine(jax.tree.map(lambda v: v[j], theta), rest)
        return mine(y, states[j])[0].astype(y.dtype)

    def one(begin: Array) -> tuple[Array, Array, Array]:
        x, slopes = explicit_step(slope, rule, begin, h)
        if weights[-1]:
            slopes.append(slope(len(rule.c), x))
        error = _combined(weights, slopes, h)
        if quarters:
            for u in map(float, quarters):
                mine = _between(u, begin, x, slopes[0], slopes[len(rule.c)], h)
                slopes.append(slope(len(slopes), mine))
            error = error + _combined(BOOLE, slopes, h)
        return x, error, jnp.sum(x**2)

    return jax.vmap(one, axis_name="batch")(xs)


def _combined(weights: tuple[float, ...], slopes: list[Array], h: Array) -> Array:
    """Squared size of a weighted sum of slopes, times the step."""
    terms = [(h * d) * s for d, s in zip(weights, slopes, strict=False) if d]
    return jnp.sum(sum(terms[1:], terms[0]) ** 2)


def _between(u: float, x: Array, end: Array, k: Array, k_end: Array, h: Array) -> Array:
    """Hermite's cubic at the share u of a step."""
    v = 1.0 - u
    states = (v * v * (1.0 + 2.0 * u)) * x + (u * u * (1.0 + 2.0 * v)) * end
    return states + (h * u * v * v) * k - (h * u * u * v) * k_end


@dataclasses.dataclass(frozen=True)
class Adapted:
    """A block with other steps, and how it came to them.

    **Shapes:** `errors` `"step"`: what its steps add; `history`: number of steps,
    scheme and largest error in each round; `reached`: whether all errors are below the
    tolerance; `state`: the running statistics given, on its basis.
    """

    block: Any
    errors: np.ndarray
    history: tuple[tuple[int, str, float], ...]
    reached: bool
    state: Any = None


def adapt(
    block: Any,
    xs: Array,
    tol: float,
    *,
    state: Any = None,
    cells: bool = False,
    rounds: int = 50,
) -> Adapted:
    """Cut the step of the largest error until all are below `tol`, then join
    neighbours that need not be two.

    First the length: the worst step is cut in two. Where that does not lower its
    error, or the rounds are spent above the tolerance, the order: the scheme becomes
    the next higher one (euler, heun, rk4; midpoint, rk4). Neighbours are joined, those
    of the smallest error first, while the error of the longer step stays below the
    tolerance.

    **Arguments:** `xs`: a batch of inputs; `state`: see `step_errors`; `cells`: cut
    the basis' cell under a step together with it (the function of depth stays), for a
    block that is trained on; `rounds`: most cuts and changes of the scheme before the
    order is all that is left.
    **Raises:** `ConfigError` for a tolerance that is not positive, for no rounds, or
    cells that the basis does not have; `DataError` for no inputs, or some that are not
    finite.

    ```python
    >>> import jax, jax.numpy as jnp
    >>> from pendula.depth import DenseUnit, OdeBlock, adapt
    >>> unit = DenseUnit(2, 8, key=jax.random.key(0))
    >>> block = OdeBlock(unit, n_basis=1, scheme="heun", epsilon=1.0)
    >>> found = adapt(block, jnp.ones((3, 2)), 1e-2)
    >>> found.reached, bool(found.errors.max() <= 1e-2)
    (True, True)

    ```
    """
    positive("adapt", tol=tol)
    whole(1, "adapt", rounds=rounds)
    if not (xs.size and bool(jnp.isfinite(xs).all())):
        raise DataError(
            f"adapt: the inputs {xs.shape} are none, or not all finite, and no step "
            "would be short enough. Give a batch of what enters the block."
        )
    if cells:
        block.cut(())  # raises where there are none
    history: list[tuple[int, str, float]] = []
    before: tuple[int, float] | None = None
    errors = step_errors(block, xs, state)
    for _ in range(rounds):
        worst = int(np.argmax(errors))
        history.append((block.n_steps, block.scheme, float(errors[worst])))
        if errors[worst] <= tol:
            break
        stuck = before is not None and errors[worst] > 0.7 * before[1]
        near = before is not None and worst in (before[0], before[0] + 1)
        higher = HIGHER.get(block.scheme)
        if stuck and near and higher is not None:
            block, before = block.manifest(higher), None
        else:
            before = (worst, float(errors[worst]))
            block, state = _cut(block, state, worst, cells)
        errors = step_errors(block, xs, state)
    higher = block
    while errors.max() > tol and higher.scheme in HIGHER:
        # Euler and Heun share their pair, so the next may help where this one does not
        higher = higher.manifest(HIGHER[higher.scheme])
        after = step_errors(higher, xs, state)
        history.append((higher.n_steps, higher.scheme, float(after.max())))
        if after.max() < errors.max():
            block, errors = higher, after
    if errors.max() <= tol:
        block, errors = _joined(block, xs, state, errors, tol)
        history.append((block.n_steps, block.scheme, float(errors.max())))
    reached = bool(errors.max() <= tol)
    return Adapted(block, errors, tuple(history), reached, state)


def _cut(block: Any, state: Any, which: int, cells: bool) -> tuple[Any, Any]:
    """One step in two, and the cell of the basis in which its middle lies."""
    at = knots(block.steps)
    new = block.solved(block.scheme, halved(block.steps, [which]))
    if not cells:
        return new, state
    middle = Place((at[which] + at[which + 1]) / 2, False)
    cell, _ = locate(middle, knots(block.basis.cells))
    new = new.cut([cell])
    return new, new.carry_state(block, state)


def _joined(
    block: Any, xs: Array, state: Any, errors: np.ndarray, tol: float
) -> tuple[Any, np.ndarray]:
    """Neighbouring steps made one, the smallest errors first, while all stay below."""
    refused: set[tuple[Fraction, Fraction]] = set()
    while block.n_steps > 1:
        at = knots(block.steps)
        pairs = [
            (float(errors[k] + errors[k + 1]), k)
            for k in range(block.n_steps - 1)
            if (at[k], at[k + 2]) not in refused and errors[k] + errors[k + 1] < tol
        ]
        if not pairs:
            break
        _, k = min(pairs)
        longer = block.solved(block.scheme, merged(block.steps, k))
        after = step_errors(longer, xs, state)
        if after.max() <= tol:
            block, errors = longer, after
        else:
            refused.add((at[k], at[k + 2]))
    return block, errors

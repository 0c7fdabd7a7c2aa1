"""Running statistics as functions of depth: read and written at each stage."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._errors import ConfigError, FitWarning, ShapeError
from ..nn import NORM_FLOOR, NormState
from ._basis import AbstractBasis, AbstractLinearBasis
from ._places import Place, knots, locate
from ._project import project


StateMode = Literal["nodes", "projected", "stages"]


class Visits(NamedTuple):
    """Which part of the state each stage reads: its entry, `node` `"step stage"`, or
    the values of the basis there, `rows` `"step stage M"`, and the fit `"M visit"`."""

    node: np.ndarray
    rows: np.ndarray | None
    fit: np.ndarray | None


Places = Sequence[Sequence[Place]]

# A combination of coefficients is seen where it makes at least this share of the
# largest difference to what the stages read: one of less would follow their noise,
# larger by its inverse (the last hat function of Euler's steps is such a one).
_SEEN = 0.1


def visits(basis: AbstractBasis, mode: str, places: Places, kept: Places) -> Visits:
    """What the stages of one pass read and write; `kept`: the stages that have an entry
    of their own in the mode `"stages"`.

    In the mode `"projected"` the statistics recorded at all stages are fitted by least
    squares, as a correction of least norm to the old coefficients: what no stage has
    seen, or next to none, stays as it was.
    """
    if mode == "stages":
        return Visits(nearest(places, kept), None, None)
    ends = knots(basis.regions().cells)
    node = np.asarray([[locate(p, ends)[0] for p in row] for row in places])
    if mode == "nodes":
        return Visits(node, None, None)
    if not isinstance(basis, AbstractLinearBasis):
        raise ConfigError(
            f'state_mode "projected" needs a basis that is linear in its coefficients; '
            f'"{basis.name}" is not. Use state_mode="nodes".'
        )
    flat = basis.matrix([p for row in places for p in row])
    rows = flat.reshape(*node.shape, basis.n_basis)
    return Visits(node, rows, np.linalg.pinv(flat, rtol=_SEEN))


def nearest(places: Places, kept: Places) -> np.ndarray:
    """Which of the kept stages lies nearest in depth to each, `"step stage"`: in the
    same pass itself (places after its last stage aside); of several equally near the
    first, whose x other schemes meet too (midpoint's second stage is that of RK4)."""
    flat, each = [p for row in kept for p in row], len(kept[0])
    same = [tuple(row[:each]) for row in places] == list(map(tuple, kept))

    def one(step: int, stage: int, place: Place) -> int:
        if same and stage < each:
            return step * each + stage
        away = lambda i: (abs(flat[i].t - place.t), flat[i].ends != place.ends)
        return min(range(len(flat)), key=away)

    found = [[one(k, j, p) for j, p in enumerate(row)] for k, row in enumerate(places)]
    return np.asarray(found)


def gathered(state: Any, found: Visits) -> Any:
    """What each stage reads, `"visit ..."`: a state for the mode `"stages"`."""
    flat = found.node.ravel()
    if found.rows is None:
        return jax.tree.map(lambda x: x[flat], state)
    rows = found.rows.reshape(len(flat), -1)
    parts = [read_row(state, row) for row in rows]
    return jax.tree.map(lambda *v: jnp.stack(v), *parts)


def unseen(found: Visits) -> int:
    """How many coefficients, or combinations of them, next to no stage sees."""
    if found.rows is None:
        return 0
    flat = found.rows.reshape(-1, found.rows.shape[-1])
    return int(flat.shape[-1] - np.linalg.matrix_rank(flat, rtol=_SEEN))


def check_fits(state: Any, number: int) -> None:
    """**Raises:** `ShapeError` for a state that has not this number of entries in
    depth: out of range, an index would be taken for the last one."""
    for x in jax.tree.leaves(state):
        if jnp.shape(x)[:1] != (number,):
            raise ShapeError(
                f"a running state of shape {jnp.shape(x)} in a block with {number} "
                "entries in depth: it is that of a network before a change. Take it "
                "along with new.carry_state(old, state)."
            )


def read_node(state: Any, node: Any) -> Any:
    """The state of one node; its index may be traced."""
    return jax.tree.map(lambda x: x[node], state)


def write_node(state: Any, node: Any, new: Any) -> Any:
    """The state with that of one node replaced."""
    return jax.tree.map(lambda x, v: x.at[node].set(v), state, new)


def read_row(state: Any, row: Any) -> Any:
    """The state at one depth, `row` being the basis there; counters start at zero."""

    def one(x: Any) -> Any:
        if not jnp.issubdtype(x.dtype, jnp.inexact):
            return jnp.zeros_like(x[0])
        weights = jnp.asarray(row, x.dtype)
        return jnp.tensordot(weights, x, 1, precision=jax.lax.Precision.HIGHEST)

    return jax.tree.map(one, state)


def fitted(state: Any, records: Any, found: Visits) -> Any:
    """Coefficients after a pass, from what its stages recorded, `"visit ..."`."""
    assert found.rows is not None
    assert found.fit is not None
    flat = found.rows.reshape(-1, found.rows.shape[-1])
    onto = found.fit

    def one(x: Any, seen: Any) -> Any:
        if not jnp.issubdtype(x.dtype, jnp.inexact):
            return x.at[0].add(jnp.sum(seen, axis=0))
        high = jax.lax.Precision.HIGHEST
        old = jnp.tensordot(jnp.asarray(flat, x.dtype), x, 1, precision=high)
        return x + jnp.tensordot(
            jnp.asarray(onto, x.dtype), seen - old, 1, precision=high
        )

    return jax.tree.map(one, state, records)


def carried(
    state: Any, mode: str, old: AbstractBasis, new: AbstractBasis, what: str
) -> Any:
    """The state of a block on another basis, by projection; counters begin anew.

    Warns of variances, kept as they are and not as logarithms, that come out below
    the least that is divided by.

    **Raises:** `ConfigError` for a state that is not made of `NormState`.
    """
    if state is None:
        return None
    kinds = [
        type(node).__name__
        for node in jax.tree.leaves(state, is_leaf=_is_norm)
        if not _is_norm(node)
    ]
    if kinds:
        raise ConfigError(
            f"{what}: the unit's state holds a {kinds[0]}, and what it would be on "
            "another basis is not known. Use units whose state is a NormState, or "
            "begin with a new state and recalibrate it."
        )
    source: AbstractBasis = old if mode == "projected" else old.regions()
    target: Any = new if mode == "projected" else new.regions()

    def one(node: NormState) -> NormState:
        mean, spread = project((node.mean, node.spread), source, target)
        low = 0 if node.logarithmic else int(jnp.sum(spread < NORM_FLOOR))
        if low:
            warnings.warn(
                f"{what}: {low} of {spread.size} running variances come out below "
                f"{NORM_FLOOR:g} on the new basis and are held there. Recalibrate, or "
                "keep their logarithms (logarithmic=True).",
                FitWarning,
                stacklevel=2,
            )
        return NormState(
            mean, spread, jnp.zeros(target.n_basis, jnp.int32), node.logarithmic
        )

    return of_norms(one, state)


def of_norms(change: Callable[[NormState], NormState], state: Any) -> Any:
    """The state with that of each norm changed; any other stays."""
    return jax.tree.map(
        lambda node: change(node) if _is_norm(node) else node, state, is_leaf=_is_norm
    )


def warn_if_clamped(state: Any) -> None:
    """Warns of variances, kept as they are, that a fit in the basis had made smaller
    than the least that is divided by."""
    norms = filter(_is_norm, jax.tree.leaves(state, is_leaf=_is_norm))
    times = sum(int(n.clamped.sum()) for n in norms if not n.logarithmic)
    if times:
        warnings.warn(
            f"running variances fell below {NORM_FLOOR:g} and were held there, {times} "
            "times. Keep their logarithms (logarithmic=True), or a state for each node "
            'or stage (state_mode="stages").',
            FitWarning,
            stacklevel=3,
        )


def _is_norm(node: Any) -> bool:
    return isinstance(node, NormState)


def repeated(tree: Any, number: int) -> Any:
    """Each array `number` times on a new leading axis."""
    wide = lambda x: jnp.broadcast_to(x, (number, *jnp.shape(x)))
    return jax.tree.map(lambda x: wide(x) if eqx.is_array(x) else x, tree)

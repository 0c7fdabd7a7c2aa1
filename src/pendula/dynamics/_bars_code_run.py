"""The motion of a chain whose cycles have learned coordinates."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._errors import ShapeError
from ._bar_chain import BarChain
from ._bars_code import CycleCode


def code_path(
    code: CycleCode,
    chain: BarChain,
    places: Float[np.ndarray, "bar 2"],
    start: Float[np.ndarray, "bar code"],
    ts: Float[np.ndarray, "time"],
    *,
    substeps: int = 5,
) -> Float[np.ndarray, "time bar 3"]:
    r"""Bars of a chain that moves in learned coordinates c, from rest.

    $$ J^\top M J\,\ddot c = -\partial_c V - J^\top M\, \psi''[\dot c, \dot c],
       \qquad J = \psi'(c) $$

    (d'Alembert): nodes are where the decoder puts them, their masses M are those of the
    wire, V is the chain's elastic energy of the decoded bars and the weight of the
    nodes. RK4.
    **Arguments:** `chain` with its energy, masses and weight, without drag; `places` of
    the cycles before they are let go [m]; codes at the `start`; times [s].
    **Returns:** bars (x, y, alpha), the tilt within -pi and pi; NaN from a failure on.
    **Raises:** `ShapeError` for places or codes that do not fit.
    **Source:** ours.
    """
    places, start = np.asarray(places, np.float64), np.asarray(start, np.float64)
    if start.ndim != 2 or places.shape != (len(start), 2) or len(start) < 3:
        raise ShapeError(
            f"codes of shape {start.shape} with places of shape {places.shape}; "
            "expected (bar, code) and (bar, 2), of at least 3 bars."
        )
    put = lambda x: jnp.asarray(np.asarray(x), jnp.float32)
    own, held = (jax.tree.map(jnp.asarray, x) for x in (code, chain))
    path = _path(own, held, put(places), put(start), put(np.diff(ts)), substeps)
    return np.asarray(path, np.float64)


def bars_at(
    code: CycleCode, places: Float[Array, "bar 2"], codes: Float[Array, "bar code"]
) -> Float[Array, "bar 3"]:
    """Bars of the decoded cycles: between their first node and their ninth."""
    nodes = jax.vmap(code.decode)(codes)
    top, low = nodes[:, 0, :2], nodes[:, nodes.shape[1] // 2, :2]
    along = top - low
    tilt = jnp.arctan2(-along[:, 0], along[:, 1])
    return jnp.concatenate([0.5 * (top + low) + places, tilt[:, None]], axis=1)


@eqx.filter_jit
def _path(
    code: CycleCode,
    chain: BarChain,
    places: Array,
    start: Array,
    dts: Array,
    parts: int,
) -> Array:
    world = chain.world
    count = code.decoder.out_size // 3
    share = np.full(count, 1.0 / (count - 1))
    share[[0, -1]] *= 0.5  # both ends belong to two cycles
    mass = world.mass.astype(start.dtype) * jnp.asarray(share, start.dtype)
    pull = jnp.concatenate([world.gravity, jnp.zeros(1)]).astype(start.dtype)
    free = np.ones((len(start), 1))
    free[0] -= chain.first
    free[-1] -= chain.last
    mask = jnp.asarray(free, start.dtype)

    def potential(codes: Array) -> Array:
        nodes = jax.vmap(code.decode)(codes)
        weight = -jnp.einsum("bnc,n,c->", nodes, mass, pull)
        return chain.elastic(bars_at(code, places, codes)) + weight

    def inertia(c: Array, rate: Array) -> tuple[Array, Array]:
        jacobian = jax.jacfwd(code.decode)(c)
        along = lambda c: jax.jvp(code.decode, (c,), (rate,))[1]
        curved = jax.jvp(along, (c,), (rate,))[1]
        heavy = mass[:, None, None] * jacobian
        matrix = jnp.einsum("nci,ncj->ij", jacobian, heavy)
        return matrix, jnp.einsum("nci,nc->i", heavy, curved)

    def rates(item: tuple[Array, Array]) -> tuple[Array, Array]:
        codes, speed = item
        matrix, turn = jax.vmap(inertia)(codes, speed)
        push = -jax.grad(potential)(codes) - turn
        return speed, mask * jnp.linalg.solve(matrix, push[..., None])[..., 0]

    def step(item: tuple, h: Array) -> tuple:
        ahead = lambda k, s: jax.tree.map(lambda x, d: x + s * h * d, item, k)
        k1 = rates(item)
        k2 = rates(ahead(k1, 0.5))
        k3 = rates(ahead(k2, 0.5))
        k4 = rates(ahead(k3, 1.0))
        mean = lambda a, b, c, d: (a + 2.0 * b + 2.0 * c + d) / 6.0
        return ahead(jax.tree.map(mean, k1, k2, k3, k4), 1.0)

    def frame(item: tuple, dt: Array) -> tuple[tuple, Array]:
        h = dt / parts
        item = jax.lax.fori_loop(0, parts, lambda _, s: step(s, h), item)
        return item, bars_at(code, places, item[0])

    begin = (start, jnp.zeros_like(start))
    path = jax.lax.scan(frame, begin, dts)[1]
    return jnp.concatenate([bars_at(code, places, start)[None], path])

"""Part `exact` of study `depth`: what holds for any weights, without training."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ..depth import ConvUnit, DenseUnit, OdeBlock, project
from ..train import load_tree, save_tree
from ._claim import Claim
from ._depth import depth
from ._row import Row
from ._study import Run


_DIM = 3
_PIECEWISE = ("piecewise_constant", "linear", "piecewise_linear")
_BASES = (*_PIECEWISE, "polynomial")
_ORDERS = {"euler": 1, "midpoint": 2, "heun": 2, "rk4": 4, "rk4_38": 4}
_STEPS = (16, 32, 64)
_WAYS = [(s, n) for s in ("euler", "midpoint", "rk4", "rk4_38") for n in (1, 3, 7)]
_FINE = 256
_TRIED = "Random weights, every M from 1 to 50 that the basis can have."
_RANDOM = "random weights, every M from 1 to 50"


def _sizes(basis: str, most: int) -> list[int]:
    """The M that a basis can have: an even one for two coefficients a cell."""
    return [m for m in range(1, most + 1) if basis != "piecewise_linear" or m % 2 == 0]


def _count(bases: tuple[str, ...]) -> int:
    return sum(len(_sizes(basis, 50)) for basis in bases)


def _rows() -> Iterator[Row]:
    counts = {
        "residual": (
            50,
            "Euler on constants against the residual chain by hand, values and "
            "gradients, float64: equal to 1e-13 of their size",
        ),
        "bits": (50, "The same with convolutions, float32, values: equal to the bit"),
        "refined": (
            _count(_PIECEWISE),
            "Three piecewise bases refined at fixed steps, four schemes in 1, 3 and 7 "
            "of them: output equal to 1e-13 (float64)",
        ),
        "same": (
            _count(_BASES),
            "Four bases projected on themselves (by the integrals, from cells of other "
            "units): coefficients equal to 1e-6",
        ),
        "back": (
            _count(_PIECEWISE),
            "Three bases refined and projected back: coefficients equal to 1e-6",
        ),
        "pairs": (50, "2 M constants projected on M: means of pairs to 1e-12"),
        "file": (
            _count(_BASES),
            "Written and read: basis, epsilon, scheme and steps kept, output equal to "
            "the bit",
        ),
    }
    for key, (total, words) in counts.items():
        yield Row(
            f"depth.exact.{key}",
            f"{words}; {_RANDOM}: how many hold.",
            better="equal",
            target=total,
            source="derived",
            tried=_TRIED,
        )
    for name, order in _ORDERS.items():
        yield Row(
            f"depth.exact.order_{name}",
            f"Weights smooth in depth, tanh, {name} in 32 and 64 steps against RK4 in "
            f"{_FINE}, {_RANDOM}: largest distance of the slope from {order}.",
            target=0.2,
            source="derived",
            tried=_TRIED,
        )
    yield Row(
        "depth.exact.limit",
        "The same: distance between the limits of five schemes (by Richardson's "
        "extrapolation) and RK4, relative, the largest.",
        target=1e-3,
        source="derived",
        tried=_TRIED,
    )


@depth.part("exact", tuple(_rows()), full={"most": 50}, quick={"most": 4})
def exact(run: Run) -> Iterator[Claim]:
    """Each identity at every M."""
    most = run.settings["most"]
    sizes = range(1, most + 1)
    run.progress("blocks against residual chains")
    with jax.enable_x64(True):
        held = sum(_is_residual(m) for m in sizes)
    yield run.row("depth.exact.residual").measured(held)
    yield run.row("depth.exact.bits").measured(sum(map(_is_residual_conv, sizes)))
    over = lambda bases, test: sum(
        test(basis, m) for basis in bases for m in _sizes(basis, most)
    )
    run.progress("refined bases")
    with jax.enable_x64(True):
        held = over(_PIECEWISE, _is_refined)
    yield run.row("depth.exact.refined").measured(held)
    run.progress("projections")
    yield run.row("depth.exact.same").measured(over(_BASES, _is_projected))
    yield run.row("depth.exact.back").measured(over(_PIECEWISE, _comes_back))
    with jax.enable_x64(True):
        held = sum(map(_is_means, sizes))
    yield run.row("depth.exact.pairs").measured(held)
    run.progress("files")
    path = run.scratch / "block.safetensors"
    file = lambda basis, m: _is_read_back(path, basis, m)
    yield run.row("depth.exact.file").measured(over(_BASES, file))
    yield from _limits(run, sizes)


def _key(m: int) -> Array:
    return jax.random.fold_in(jax.random.key(0), m)


def _dense(m: int, basis: str = "piecewise_constant", **settings: Any) -> OdeBlock:
    key = _key(m)
    return OdeBlock(DenseUnit(_DIM, 5, key=key), basis, m, key=key, **settings)


def _input() -> Array:
    return jnp.arange(1.0, _DIM + 1.0)


def _chain(unit: Any, x: Array, m: int) -> Array:
    """The residual network by hand."""
    for k in range(m):
        one = jax.tree.map(lambda v, k=k: v[k] if eqx.is_array(v) else v, unit)
        x = x + one(x, None)[0]
    return x


def _close(a: Any, b: Any, tolerance: float) -> bool:
    """Whether all arrays of two trees agree, relative to the size of each."""
    pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    return all(
        float(jnp.max(jnp.abs(x - y))) <= tolerance * (float(jnp.max(jnp.abs(y))) or 1)
        for x, y in pairs
    )


def _is_residual(m: int) -> bool:
    """Values and gradients of a block and of the chain."""
    block = _dense(m)
    arrays, rest = eqx.partition(block.unit, eqx.is_inexact_array)

    def both(function: Callable[[Any, Array], Array]) -> Any:
        call = lambda arrays, x: jnp.sum(function(eqx.combine(arrays, rest), x) ** 2)
        return jax.jit(jax.value_and_grad(call, (0, 1)))(arrays, _input())

    ours = both(lambda unit, x: eqx.tree_at(lambda b: b.unit, block, unit)(x)[0])
    return _close(ours, both(lambda unit, x: _chain(unit, x, m)), 1e-13)


def _is_residual_conv(m: int) -> bool:
    key = _key(m)
    block = OdeBlock(ConvUnit(2, norm="group", key=key), n_basis=m, key=key)
    x = jax.random.normal(key, (4, 4, 2))
    return bool(jnp.array_equal(block(x)[0], _chain(block.unit, x, m)))


def _is_refined(basis: str, m: int) -> bool:
    """Steps stay, the basis changes, the function of depth does not."""
    if m % 10 == 0:  # as in `_limits`
        jax.clear_caches()
    block = _dense(m, basis, epsilon=1.0)
    return _close(_each_way(block.refine()), _each_way(block), 1e-13)


@eqx.filter_jit
def _each_way(block: OdeBlock) -> list[Array]:
    return [block.manifest(*way)(_input())[0] for way in _WAYS]


def _is_projected(basis: str, m: int) -> bool:
    """Cells of length 2 are those of length 1, but another basis: an equal one would
    not be solved for."""
    block = _dense(m, basis)
    arrays = eqx.filter(block.unit, eqx.is_inexact_array)
    new: Any = block.basis
    old = dataclasses.replace(new, cells=tuple(2 * v for v in new.cells))
    return old != new and _close(project(arrays, old, new), arrays, 1e-6)


def _comes_back(basis: str, m: int) -> bool:
    block = _dense(m, basis)
    return _close(block.refine().project(basis, m), block, 1e-6)


def _is_means(m: int) -> bool:
    block = _dense(2 * m)
    mean = lambda v: v.reshape(m, 2, *v.shape[1:]).mean(1)
    arrays = eqx.filter(block.unit, eqx.is_inexact_array)
    found = block.project("piecewise_constant", m).unit
    wanted = jax.tree.map(mean, arrays)
    return _close(eqx.filter(found, eqx.is_inexact_array), wanted, 1e-12)


def _is_read_back(path: Path, basis: str, m: int) -> bool:
    block = _dense(m, basis, n_steps=6, scheme="heun", epsilon=1.7)
    save_tree(path, block, {})
    again = jax.tree.map(jnp.asarray, load_tree(path)[0])
    kept = lambda b: (b.basis, b.epsilon, b.scheme, b.steps)
    if kept(again) != kept(block):
        return False
    return bool(jnp.array_equal(again(_input())[0], block(_input())[0]))


def _limits(run: Run, sizes: range) -> Iterator[Claim]:
    """Orders and limits on weights that are smooth functions of depth."""
    off: dict[str, list[float]] = {name: [] for name in _ORDERS}
    apart = []
    for m in sizes:
        if m % 5 == 1:  # each program is used once; thousands of them fill the memory
            run.progress(f"orders: M = {m} of {len(sizes)}")
            jax.clear_caches()
        with jax.enable_x64(True):
            block = _smooth(m)
            ends = lambda name, n, b=block: np.asarray(_ended(b.manifest(name, n)))
            fine = ends("rk4", _FINE)
            for name, order in _ORDERS.items():
                outs = [ends(name, n) for n in _STEPS]
                errors = [np.linalg.norm(out - fine) for out in outs]
                slope = np.log2(errors[-2] / errors[-1])
                off[name].append(float(abs(slope - order)))
                limit = outs[-1] + (outs[-1] - outs[-2]) / (2.0**order - 1.0)
                apart.append(np.linalg.norm(limit - fine) / np.linalg.norm(fine))
    for name in _ORDERS:
        yield run.row(f"depth.exact.order_{name}").measured(max(off[name]))
    yield run.row("depth.exact.limit").measured(float(max(apart)))


def _smooth(m: int) -> OdeBlock:
    """Legendre coefficients that halve from degree to degree."""
    block = _dense(m, "polynomial", n_steps=16, epsilon=1.0)
    arrays, rest = eqx.partition(block.unit, eqx.is_inexact_array)
    falling = lambda v: v * (0.5 ** np.arange(m)).reshape(-1, *[1] * (v.ndim - 1))
    unit = eqx.combine(jax.tree.map(falling, arrays), rest)
    return eqx.tree_at(lambda b: b.unit, block, unit)


@eqx.filter_jit
def _ended(block: OdeBlock) -> Array:
    return block(_input())[0]

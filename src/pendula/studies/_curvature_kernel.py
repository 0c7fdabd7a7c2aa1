"""Part `kernel` of study `curvature`: the tangent kernel of a network that stands for a
solution, and norms from layer to layer at the start."""

from __future__ import annotations

from collections.abc import Iterator

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from .._precision import cast, precision
from .._types import AnyArray
from ..diagnostics import SignalNorms, TangentKernel, signal_norms, tangent_kernel
from ..nn import MLP
from ._claim import Claim
from ._convection_pinn import Convection
from ._curvature import curvature
from ._row import Row
from ._study import Run


_P = "curvature"
_TRIED = "Nothing else: this is the first way that was written."
_PINN = (
    "convection, network 2-50-50-50-50-1 at its start, 300 points of the equation, 100 "
    "of the initial and 100 of the periodic condition"
)
_NETS = {
    "lecun": "tanh network of width 128, weights N(0, 1/fan)",
    "uniform": "the same, weights U(+-1/sqrt(fan)), PyTorch's default",
    "residual": "x + tanh(W x) / 50 of width 128, weights N(0, 1/fan)",
}
_WAYS = ("forward", "backward")


def _init_rows() -> Iterator[Row]:
    for name, words in _NETS.items():
        for way in _WAYS:
            yield Row(
                f"{_P}.init.{name}_{way}_low",
                f"Smallest ratio of norms of one of 50 layers, {way}; {words}.",
                better="higher",
                target=0.5,
                tried=_TRIED,
            )
            yield Row(
                f"{_P}.init.{name}_{way}_high",
                f"Largest ratio of norms of one of 50 layers, {way}; {words}.",
                target=2,
                tried=_TRIED,
            )
            yield Row(
                f"{_P}.init.{name}_{way}_total",
                f"Ratio of norms over all 50 layers, {way}; {words}.",
            )


_ROWS = (
    Row(
        f"{_P}.kernel.dense",
        "Tangent kernel against J J' of the dense Jacobian by forward mode, largest "
        f"difference over the largest entry; {_PINN}.",
        target=1e-8,
        tried=_TRIED,
    ),
    Row(
        f"{_P}.kernel.spectrum",
        "Largest eigenvalue of each term's block against the singular values of its "
        "Jacobian, relative difference.",
        target=1e-8,
        tried=_TRIED,
    ),
    *(
        Row(
            f"{_P}.kernel.{term}_{beta}",
            f"Weight of the {term} term by ratios of traces, per point; beta = {beta}.",
        )
        for beta in (1, 40)
        for term in ("equation", "initial", "periodic")
    ),
    *_init_rows(),
)


@curvature.part(
    "kernel",
    _ROWS,
    full={"width": 50, "points": (300, 100, 100), "init": 128, "depth": 51},
    quick={"width": 6, "points": (30, 10, 10), "init": 32, "depth": 51},
)
def kernel(run: Run) -> Iterator[Claim]:
    """beta = 1 and 40 of the wave; three kinds of layers, 50 deep."""
    row = lambda name: run.row(f"{_P}.{name}")
    s = run.settings
    net = MLP(2, 1, s["width"], 4, key=jax.random.key(0))
    made = {}
    for beta in (1, 40):
        inside, start, times = s["points"]
        problem = Convection.of(beta, inside)
        some = lambda x, n: x[np.linspace(0, len(x) - 1, n).round().astype(int)]
        at = lambda p: (p.start, p.times)
        few = (some(problem.start, start), some(problem.times, times))
        problem = eqx.tree_at(at, problem, few)
        made[beta] = (problem, tangent_kernel(problem.terms(), net))
    yield from _dense_rows(run, net, *made[40])
    weights = {b: k.weights(per_point=True) for b, (_, k) in made.items()}
    for beta, found in weights.items():
        for term, weight in found.items():
            yield row(f"kernel.{term}_{beta}").measured(weight)
    for name in _NETS:
        found = _norms(name, s["init"], s["depth"])
        ratios = {"forward": found.forward, "backward": found.backward}
        for way, total in zip(_WAYS, found.total, strict=True):
            low, high = float(ratios[way].min()), float(ratios[way].max())
            yield row(f"init.{name}_{way}_low").measured(low)
            yield row(f"init.{name}_{way}_high").measured(high)
            yield row(f"init.{name}_{way}_total").measured(total)


def _dense_rows(
    run: Run, net: MLP, problem: Convection, found: TangentKernel
) -> Iterator[Claim]:
    row = lambda name: run.row(f"{_P}.kernel.{name}")
    with precision(np.float64):
        params, rest = eqx.partition(cast(net, np.float64), eqx.is_inexact_array)
        flat, unravel = ravel_pytree(params)
        problem = jax.tree.map(jnp.asarray, problem)

        def everything(flat: jax.Array) -> jax.Array:
            net = eqx.combine(unravel(flat), rest)
            parts = [
                jax.vmap(lambda p, term=term: term(net, p))(points)
                for term, points in problem.terms().values()
            ]
            return jnp.concatenate(parts)

        # one column at a time under a map: all at once would take gigabytes
        column = lambda v: jax.jvp(everything, (flat,), (v,))[1]
        unit = lambda i: jnp.zeros_like(flat).at[i].set(1.0)
        columns = jax.jit(
            lambda: jax.lax.map(
                lambda i: column(unit(i)), jnp.arange(flat.size), batch_size=64
            )
        )
        j = np.asarray(columns()).T
    dense = j @ j.T
    gap = np.abs(found.matrix - dense).max() / np.abs(dense).max()
    yield row("dense").measured(float(gap))
    off = []
    for name, at in found.slices.items():
        exact = np.linalg.svd(j[at], compute_uv=False)[0] ** 2
        off.append(abs(found.spectrum(name)[0] / exact - 1.0))
    yield row("spectrum").measured(float(max(off)))


def _norms(name: str, width: int, depth: int) -> SignalNorms:
    """Ratios of 50 layers from 64 normal samples."""
    x = np.random.default_rng(0).normal(size=(64, width))
    key = jax.random.key(0)
    if name != "residual":
        net = MLP(width, 1, width, depth, init=name, key=key)
        return signal_norms(net, x, key=jax.random.key(1))
    keys = jax.random.split(key, depth - 1)
    make = lambda k: np.asarray(jax.random.normal(k, (width, width))) / np.sqrt(width)
    scale = 1.0 / (depth - 1)
    layers = [Residual(make(k), np.asarray(scale)) for k in keys]
    return signal_norms(layers, x, key=jax.random.key(1))


class Residual(eqx.Module):
    """x + scale tanh(W x)."""

    weight: AnyArray
    scale: AnyArray

    def __call__(self, h: jax.Array) -> jax.Array:
        return h + self.scale * jnp.tanh(self.weight @ h)

"""Part `quadratic` of study `curvature`: a loss whose Hessian is known."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from .._types import AnyArray
from ..diagnostics import HessianOperator, spectral_density, top_eigenvalues, trace
from ._claim import Claim
from ._curvature import curvature
from ._row import Row
from ._study import Run


_P = "curvature.quadratic"
_LOSS = "loss w'Aw/2, 200 unknowns, eigenvalues 10, 5, 1, -7, -3 and 195 within 0.5"
_TRIED = "Nothing else: this is the first way that was written."
_ROWS = (
    Row(
        f"{_P}.top",
        f"Largest relative error of five eigenvalues by Lanczos; {_LOSS}.",
        target=1e-6,
        tried=_TRIED,
    ),
    Row(
        f"{_P}.ends",
        "The same, three largest and two smallest in value asked for apart.",
        target=1e-6,
        tried=_TRIED,
    ),
    Row(
        f"{_P}.residual",
        "Largest residual |Hv - lambda v| / |lambda| of the five.",
        target=1e-4,
        tried=_TRIED,
    ),
    Row(
        f"{_P}.trace_hits",
        "Share of seeds whose Hutchinson trace (100 probes) lies within three of its "
        "standard errors of the truth.",
        better="higher",
        target=0.95,
        tried=_TRIED,
    ),
    Row(
        f"{_P}.trace_plus_hits",
        "The same of Hutch++ with 99 products.",
        better="higher",
        target=0.95,
        tried=_TRIED,
    ),
    Row(f"{_P}.trace_error", "Median relative standard error, Hutchinson."),
    Row(f"{_P}.trace_plus_error", "The same, Hutch++ with 99 products."),
    Row(
        f"{_P}.luck",
        "Share of seeds in which the published rule (two successive running means "
        "within 1e-3) ends more than 5 % off the trace.",
        source="Yao2020, PyHessian's rule",
    ),
    Row(
        f"{_P}.moment1",
        "First moment of the spectral density, distance from tr A / n in standard "
        "errors.",
        target=3,
        tried=_TRIED,
    ),
    Row(
        f"{_P}.moment2",
        "Second moment, distance from |A|^2 / n in standard errors.",
        target=3,
        tried=_TRIED,
    ),
    Row(
        f"{_P}.symmetry",
        "Largest |u'Hv - v'Hu| / (|u| |Hv|) of 100 random pairs.",
        target=1e-6,
        tried=_TRIED,
    ),
)


class Quadratic(eqx.Module):
    """w'Aw / 2, without data."""

    matrix: AnyArray

    def __call__(self, w: Array, _: None) -> Array:
        return 0.5 * jnp.dot(w, self.matrix @ w)


def spectrum(n: int) -> np.ndarray:
    """Five eigenvalues that stand out, negative ones among them, and a bulk."""
    top = [10.0, 5.0, 1.0, -7.0, -3.0]
    return np.concatenate([top, np.linspace(-0.4, 0.5, n - len(top))])


@curvature.part(
    "quadratic", _ROWS, full={"n": 200, "seeds": 100}, quick={"n": 60, "seeds": 5}
)
def quadratic(run: Run) -> Iterator[Claim]:
    """A random frame, float64."""
    row = lambda name: run.row(f"{_P}.{name}")
    n, seeds = run.settings["n"], run.settings["seeds"]
    rng = np.random.default_rng(0)
    values = spectrum(n)
    frame = np.linalg.qr(rng.normal(size=(n, n)))[0]
    matrix = (frame * values) @ frame.T
    op = HessianOperator(Quadratic(matrix), np.zeros(n), dtype=np.float64)
    off = lambda found, exact: float(np.max(np.abs(found / np.array(exact) - 1.0)))
    found = top_eigenvalues(op, 5)
    yield row("top").measured(off(found.values, [10.0, -7.0, 5.0, -3.0, 1.0]))
    largest = top_eigenvalues(op, 3, "largest").values
    smallest = top_eigenvalues(op, 2, "smallest").values
    ends = np.concatenate([largest, smallest])
    yield row("ends").measured(off(ends, [10.0, 5.0, 1.0, -7.0, -3.0]))
    yield row("residual").measured(float(found.residuals.max()))
    yield from _traces(run, op, values.sum(), seeds)
    density = spectral_density(op)
    for power in (1, 2):
        mean, error = density.moment(power)
        exact = np.mean(values**power)
        yield row(f"moment{power}").measured(float(abs(mean - exact) / error))
    yield row("symmetry").measured(symmetry(op, 100))


def _traces(run: Run, op: HessianOperator, exact: float, seeds: int) -> Iterator[Claim]:
    row = lambda name: run.row(f"{_P}.{name}")
    lucky = 0
    found: dict[str, list[Any]] = {"hutchinson": [], "hutch++": []}
    for seed in range(seeds):
        for method, probes in (("hutchinson", 100), ("hutch++", 99)):
            key = jax.random.key(seed)
            found[method].append(trace(op, method=method, probes=probes, key=key))
        _, mean = published_trace(found["hutchinson"][-1].samples)
        lucky += abs(mean / exact - 1.0) > 0.05
    for method, name in (("hutchinson", "trace"), ("hutch++", "trace_plus")):
        hits = [abs(t.value - exact) <= 3.0 * t.error for t in found[method]]
        yield row(f"{name}_hits").measured(float(np.mean(hits)), n=seeds)
        errors = [t.error / abs(exact) for t in found[method]]
        yield row(f"{name}_error").measured(float(np.median(errors)), n=seeds)
    yield row("luck").measured(lucky / seeds, n=seeds)


def published_trace(samples: np.ndarray) -> tuple[int, float]:
    """Probes and mean of the published rule: stop when two successive running means
    differ by less than 1e-3 of the former."""
    means = np.cumsum(samples) / np.arange(1, len(samples) + 1)
    change = np.abs(np.diff(means)) / (np.abs(means[:-1]) + 1e-6)
    small = np.flatnonzero(change < 1e-3)
    used = int(small[0]) + 2 if small.size else len(samples)
    return used, float(means[used - 1])


def symmetry(op: HessianOperator, pairs: int) -> float:
    """Largest |u'Hv - v'Hu| of random pairs, of |u| |Hv|."""
    rng = np.random.default_rng(1)
    worst = 0.0
    for _ in range(pairs):
        u, v = rng.normal(size=(2, op.size)).astype(op.dtype)
        hu, hv = op(u), op(v)
        size = float(np.linalg.norm(u) * np.linalg.norm(hv))
        worst = max(worst, abs(float(u @ hv) - float(v @ hu)) / size)
    return worst

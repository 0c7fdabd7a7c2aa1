"""The elastic rod at the sizes of a Slinky of 10, 40 and 76 cycles.

    make bench                                             # all benchmarks
    .venv/bin/python -m pytest -o addopts= benchmarks/test_rod.py

Groups: the stiffness and its solution, which are one iteration of Newton's method; the
linear solve alone, beside SciPy's `solveh_banded` on the same band; a step of the drop
and the derivative of its end in the gravity.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.linalg import solveh_banded

from pendula.systems import Slinky, rod_path
from pendula.systems._rod_energy import stiffness


CYCLES = (10, 40, 76)
STEPS = 5

pytestmark = [
    pytest.mark.filterwarnings("default"),
    pytest.mark.benchmark(min_rounds=5),
    pytest.mark.parametrize("cycles", CYCLES),
]


@pytest.fixture(autouse=True)
def _double():
    with jax.enable_x64(True):
        yield


def system(cycles):
    """Rod, start, clamps; its stiffness with inertia, clamps held; a right side."""
    rod, state, held = Slinky(cycles).horizontal()
    _, blocks = jax.jit(stiffness)(jnp.asarray(state.z), state.frames, rod.elastic)
    matrix = blocks.plus(jnp.asarray(rod.mass) / 1e-6).held(held.held())
    v = jnp.asarray(np.random.default_rng(0).normal(size=rod.mass.shape))
    return rod, state, held, matrix, v


def timed(benchmark, work, *given):
    """Compiled and warm."""
    jax.block_until_ready(work(*given))
    return benchmark(lambda: jax.block_until_ready(work(*given)))


@pytest.mark.parametrize("solver", ["blocks", "lapack"])
def test_iteration(benchmark, cycles, solver):
    rod, state, held, _, v = system(cycles)
    benchmark.group = f"iteration, {rod.number} nodes"
    inertia, fixed = jnp.asarray(rod.mass) / 1e-6, held.held()

    @jax.jit
    def once(z, v):
        g, blocks = stiffness(z, state.frames, rod.elastic)
        return blocks.plus(inertia).held(fixed).solve(g + v, solver)

    out = timed(benchmark, once, jnp.asarray(state.z), v)
    assert bool(jnp.all(jnp.isfinite(out)))


@pytest.mark.parametrize("solver", ["blocks", "lapack", "scipy"])
def test_solve(benchmark, cycles, solver):
    """The same matrix; SciPy is given its band ready-made."""
    *_, matrix, v = system(cycles)
    benchmark.group = f"solve, {v.shape[1]} nodes"
    if solver == "scipy":
        band, flat = np.asarray(matrix._band()), np.asarray(v).T.ravel()
        out = benchmark(lambda: solveh_banded(band, flat, lower=True)).reshape(-1, 4).T
    else:
        solve = jax.jit(lambda matrix, v: matrix.solve(v, solver))
        out = timed(benchmark, solve, matrix, v)
    off = np.abs(matrix.times(jnp.asarray(out)) - v).max()
    assert off < 1e-9 * float(jnp.abs(v).max())


@pytest.mark.parametrize("what", ["path", "derivative"])
def test_steps(benchmark, cycles, what):
    rod, state, held, *_ = system(cycles)
    benchmark.group = f"{STEPS} steps, {rod.number} nodes"

    def end(g):
        path = rod_path(
            rod,
            STEPS,
            1e-3,
            state=state,
            boundary=held,
            gravity=jnp.stack([0.0 * g, -g, 0.0 * g]),
            tolerance=1e-9,
            solver="lapack",
        )
        return path[-1, 1, rod.number // 2]

    work = jax.jit(end if what == "path" else jax.grad(end))
    assert np.isfinite(float(timed(benchmark, work, jnp.asarray(9.8))))

"""Part `lyapunov` of study `latent`: the prior against SciPy, differences, and the
linear system of its n^2 equations."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy.linalg import solve_discrete_lyapunov

from .._precision import precision
from ..latent import discrete_lyapunov, lyapunov_prior
from ._claim import Claim
from ._latent import PAE, latent
from ._row import Row
from ._study import Run


_SIZES = (8, 15, 24)
_MODULI = (1.01, 1.03, 1.05, 1.1, 1.3)
_MOST = 20  # latent numbers up to which the n^2 equations are solved, too

_ROWS = (
    Row(
        "latent.lyapunov.solution",
        "Largest relative difference of P from SciPy's solver, n = 8, 15, 24, spectral "
        "radius 0.99 and 1.05, float64.",
        target=1e-10,
        tried="Eigenvalues in float64.",
    ),
    Row(
        "latent.lyapunov.gradient",
        "Largest relative difference of the prior's gradient from central differences, "
        "n = 8, spectral radius 1.08, float64.",
        target=1e-6,
        source=PAE,
        tried="The derivative 2 P Omega Y.",
    ),
    Row(
        "latent.lyapunov_speed",
        "Time of value and gradient of the prior by the n^2 equations over that by "
        "eigenvalues, n = 15, one jitted call each in turns, solved in float64.",
        better="higher",
        target=4.0,
        tried="Eigenvalues once for value and gradient.",
    ),
    *(
        Row(
            f"latent.lyapunov.{way}_{n}",
            f"Value and gradient of the prior by {words}, n = {n}.",
            "ms",
        )
        for n in _SIZES
        for way, words in (("eig", "eigenvalues"), ("kron", "the n^2 equations"))
        if way == "eig" or n <= _MOST
    ),
    *(
        Row(
            f"latent.lyapunov.rho_{round(100 * w)}",
            f"The prior rho of one eigenvalue of modulus {w}, gamma = 4.",
            source=PAE,
        )
        for w in _MODULI
    ),
)


def _drawn(n: int, radius: float) -> np.ndarray:
    omega = np.random.default_rng(n).normal(size=(n, n))
    return omega * radius / np.abs(np.linalg.eigvals(omega)).max()


def _solution() -> float:
    worst = 0.0
    with precision(np.float64):
        for n in _SIZES:
            for radius in (0.99, 1.05):
                omega = _drawn(n, radius)
                true = solve_discrete_lyapunov(omega.T, np.eye(n))
                found = np.asarray(discrete_lyapunov(jnp.asarray(omega), jnp.eye(n)))
                worst = max(worst, np.abs(found - true).max() / np.abs(true).max())
    return worst


def _gradient() -> float:
    with precision(np.float64):
        omega = jnp.asarray(_drawn(8, 1.08))
        prior = jax.jit(lyapunov_prior)
        slope = np.asarray(jax.grad(prior)(omega))
        difference = np.zeros_like(slope)
        for at in np.ndindex(slope.shape):
            step = np.zeros_like(slope)
            step[at] = 1e-5
            difference[at] = (prior(omega + step) - prior(omega - step)) / 2e-5
    return float(np.abs(slope - difference).max() / np.abs(slope).max())


def _seconds(call: Callable[[Any], Any], omega: Any, calls: int) -> float:
    jax.block_until_ready(call(omega))
    began = time.perf_counter()
    for _ in range(calls):
        jax.block_until_ready(call(omega))
    return (time.perf_counter() - began) / calls


@latent.part(
    "lyapunov",
    _ROWS,
    full={"rounds": 9, "calls": 200},
    quick={"rounds": 1, "calls": 2},
)
def lyapunov(run: Run) -> Iterator[Claim]:
    """Seconds in all; nothing else should run meanwhile."""
    s = run.settings
    yield run.row("latent.lyapunov.solution").measured(_solution())
    yield run.row("latent.lyapunov.gradient").measured(_gradient())
    both = jax.jit(jax.value_and_grad(lyapunov_prior))
    system = jax.jit(
        jax.value_and_grad(lambda omega: lyapunov_prior(omega, 4.0, "kron"))
    )
    for n in _SIZES:
        omega = jnp.asarray(_drawn(n, 1.03), jnp.float32)
        ways = {"eig": both} | ({"kron": system} if n <= _MOST else {})
        found: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(s["rounds"]):
            for way, call in ways.items():
                found[way].append(_seconds(call, omega, s["calls"]))
        if n == 15:
            ratio = np.array(found["kron"]) / np.array(found["eig"])
            yield run.row("latent.lyapunov_speed").measured(ratio)
        for way, seconds in found.items():
            row = run.row(f"latent.lyapunov.{way}_{n}")
            yield row.measured(1e3 * np.array(seconds))
    for w in _MODULI:
        value = float(lyapunov_prior(jnp.full((1, 1), w)))
        yield run.row(f"latent.lyapunov.rho_{round(100 * w)}").measured(value)

"""The problem that both libraries solve: the spiral of torchdiffeq's own example.

A neural ODE 2-32-32-2 with tanh learns dy/dt = A y^3 from 16 trajectories of 21
samples; 8 others are for validation. Only NumPy and SciPy here, so that neither side
pays for the other's imports.
"""

from __future__ import annotations

import itertools

import numpy as np


SIZES = (2, 32, 32, 2)
TIMES = np.linspace(0.0, 2.0, 21)
LEARNING_RATE = 3e-3
RTOL, ATOL = 1e-5, 1e-6
# A whole fit is over when the validation error is below this (the data's spread is
# 0.86), looked at every EVERY steps: 2000 to 2900 steps, about as many as the 2000 of
# torchdiffeq's own example.
ENOUGH = 0.03
EVERY = 50
MOST = 5000


def spiral(seed: int, count: int) -> np.ndarray:
    """Trajectories `"traj time dim"` of the spiral from random starts, float32."""
    from scipy.integrate import solve_ivp

    rng = np.random.default_rng(seed)
    matrix = np.array([[-0.1, 2.0], [-2.0, -0.1]])
    angle = rng.uniform(0.0, 2.0 * np.pi, count)
    radius = rng.uniform(0.7, 1.8, count)
    out = []
    for a, r in zip(angle, radius, strict=True):
        y0 = r * np.array([np.cos(a), np.sin(a)])
        solution = solve_ivp(
            lambda t, y: matrix @ y**3,
            (TIMES[0], TIMES[-1]),
            y0,
            method="DOP853",
            t_eval=TIMES,
            rtol=1e-10,
            atol=1e-12,
        )
        out.append(solution.y.T)
    return np.stack(out).astype(np.float32)


def training() -> np.ndarray:
    """The 16 trajectories to learn from."""
    return spiral(0, 16)


def validation() -> np.ndarray:
    """The 8 trajectories to judge by."""
    return spiral(1, 8)


def weights(seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Initial weights and biases of each layer, U(-1/sqrt(fan), 1/sqrt(fan)), the
    usual ones of both libraries."""
    rng = np.random.default_rng(100 + seed)
    layers = []
    for fan, rows in itertools.pairwise(SIZES):
        limit = fan**-0.5
        draw = lambda shape, limit=limit: rng.uniform(-limit, limit, shape)
        layers.append(
            (draw((rows, fan)).astype(np.float32), draw(rows).astype(np.float32))
        )
    return layers

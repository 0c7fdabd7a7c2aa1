"""The flow around a cylinder by a lattice Boltzmann method, to compare with.

D2Q9 with a single relaxation time (BGK) on 25 D x 15 D, the wall by bounce-back,
free-stream populations on three sides, no gradient at the outlet; float32, one fused
program a step.

    python benchmarks/_wake_lattice.py --until 80 --window 30

Prints seconds for each D/U (without compiling), and the forces of the last `window`.
**Source:** Kruger et al., The Lattice Boltzmann Method, Springer 2017, chapters 3 to 5.
"""

from __future__ import annotations

import argparse
import json
import time

import jax
import jax.numpy as jnp
import numpy as np

from pendula.systems import wake_numbers


RE = 100.0
SPEED = 0.08  # of the stream, in cells a step: a Mach number of 0.14
DIRECTIONS = np.array(
    [[0, 0], [1, 0], [0, 1], [-1, 0], [0, -1], [1, 1], [-1, 1], [-1, -1], [1, -1]]
)
WEIGHTS = np.array([4 / 9] + [1 / 9] * 4 + [1 / 36] * 4)
OPPOSITE = [0, 3, 4, 1, 2, 7, 8, 5, 6]


def equilibrium(rho, u, v):
    """The nine populations of a density and a velocity."""
    square = 1.5 * (u * u + v * v)
    found = []
    for (cx, cy), weight in zip(DIRECTIONS.tolist(), WEIGHTS.tolist(), strict=True):
        along = 3.0 * (cx * u + cy * v)
        found.append(weight * rho * (1.0 + along + 0.5 * along * along - square))
    return found


def collide(f, rate):
    """Populations nearer to their equilibrium."""
    rho = sum(f[1:], f[0])
    u = (f[1] + f[5] + f[8] - f[3] - f[6] - f[7]) / rho
    v = (f[2] + f[5] + f[6] - f[4] - f[7] - f[8]) / rho
    even = equilibrium(rho, u, v)
    return [a + rate * (b - a) for a, b in zip(f, even, strict=True)]


def stepper(cells, solid, rate):
    """One step, and the momentum that the wall takes from the fluid."""
    at = np.argwhere(solid)
    x, y = (
        slice(at[:, 0].min(), at[:, 0].max() + 1),
        slice(at[:, 1].min(), at[:, 1].max() + 1),
    )
    inside = jnp.asarray(solid[x, y])
    free = [float(e) for e in equilibrium(1.0, SPEED, 0.0)]

    def step(f, _):
        out = collide(f, rate)
        # where the wall is, populations turn around; a window holds all of it
        turned = [f[OPPOSITE[i]][x, y] for i in range(9)]
        out = [
            a.at[x, y].set(jnp.where(inside, b, a[x, y]))
            for a, b in zip(out, turned, strict=True)
        ]
        force = [
            2.0
            * sum(
                c * jnp.sum(jnp.where(inside, f[i][x, y], 0.0))
                for i, c in enumerate(DIRECTIONS[:, k].tolist())
                if c
            )
            for k in (0, 1)
        ]
        moved = []
        for i, (cx, cy) in enumerate(DIRECTIONS.tolist()):
            inner = out[i][1 - cx : cells[0] - 1 - cx, 1 - cy : cells[1] - 1 - cy]
            full = jnp.pad(inner, 1, constant_values=free[i])
            moved.append(full.at[-1].set(full[-2]))
        return moved, jnp.stack(force)

    return step


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--cells", type=int, default=20, help="of a diameter")
    parser.add_argument("--until", type=float, default=80.0)
    parser.add_argument("--window", type=float, default=30.0)
    told = parser.parse_args()
    size = told.cells
    cells = (25 * size, 15 * size)
    place = np.stack(np.meshgrid(*map(np.arange, cells), indexing="ij"), axis=-1)
    middle = np.array([8 * size, 7.5 * size - 0.5])
    solid = 0.5 * size > np.hypot(*(place - middle).T).T
    rate = 1.0 / (0.5 + 3.0 * SPEED * size / RE)
    per = round(size / SPEED)  # steps of a D/U

    ones = jnp.ones(cells, jnp.float32)
    # a stream that is not even: without, shedding takes hundreds of D/U to start
    side = 0.3 * np.exp(-(((place - middle) / (2 * size)) ** 2).sum(axis=-1))
    fluid = jnp.asarray(SPEED * ~solid, jnp.float32)
    f = equilibrium(ones, fluid, fluid * jnp.asarray(side, jnp.float32))
    step = stepper(cells, solid, rate)
    unit = jax.jit(lambda f: jax.lax.scan(step, f, None, per))
    jax.block_until_ready(unit(f))
    forces, seconds = [], []
    for _ in range(round(told.until)):
        began = time.perf_counter()
        f, force = unit(f)
        forces.append(np.asarray(force))
        seconds.append(time.perf_counter() - began)
    force = np.concatenate(forces)[-round(told.window * per) :]
    drag, lift = 2.0 * force.T / (size * SPEED**2)
    found = wake_numbers(np.arange(len(drag)) / per, drag, lift)
    print(
        json.dumps(
            {
                "seconds": float(np.median(seconds)),
                "drag": found.drag,
                "lift": found.lift_amplitude,
                "strouhal": found.strouhal,
                "cells": int(np.prod(cells)),
                "steps": per,
            }
        )
    )


if __name__ == "__main__":
    main()

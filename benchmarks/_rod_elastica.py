"""A Slinky that hangs from one end and is let go, in PyElastica: the peer of our rod.

    python benchmarks/_rod_elastica.py --data rod.npz --seconds 0.005 --step 2e-7 \
        --out out.npz

runs it in a process of its own. The data file holds the nodes at rest `points`
(node, 3), the wire's `radius`, `youngs`, `shear`, `density`. The output holds the times
`ts`, the last node `tip` (time, 3), and the `seconds` that stepping took, compiled and
warm. Cosserat rods shear and stretch: a wire as thin as a Slinky's asks an explicit
scheme for steps below a microsecond.
"""

from __future__ import annotations

import argparse
import importlib
import time
from typing import Any

import numpy as np


# By name: type checks pass where the peer is not installed
elastica: Any = importlib.import_module("elastica")
rods: Any = importlib.import_module("elastica.rod.cosserat_rod")


def rod(data: Any) -> Any:
    """The helix, free of stress as it is placed."""
    points = np.asarray(data["points"]).T
    edges = np.diff(points, axis=1)
    lengths = np.linalg.norm(edges, axis=0)
    tangents = edges / lengths
    # rows d1, d2, d3 of each element: d3 along the wire, d1 carried on along it
    directors = np.zeros((3, 3, tangents.shape[1]))
    normal = np.cross(tangents[:, 0], [0.0, 0.0, 1.0])
    for k in range(tangents.shape[1]):
        normal = normal - (normal @ tangents[:, k]) * tangents[:, k]
        normal = normal / np.linalg.norm(normal)
        directors[0, :, k] = normal
        directors[1, :, k] = np.cross(tangents[:, k], normal)
        directors[2, :, k] = tangents[:, k]
    made = elastica.CosseratRod.straight_rod(
        tangents.shape[1],
        points[:, 0],
        tangents[:, 0],
        directors[0, :, 0],
        float(lengths.sum()),
        float(data["radius"]),
        float(data["density"]),
        youngs_modulus=float(data["youngs"]),
        shear_modulus=float(data["shear"]),
        position=points,
        directors=directors,
    )
    kappa = np.zeros_like(made.rest_kappa)
    rods._compute_bending_twist_strains(directors, made.rest_voronoi_lengths, kappa)
    made.rest_kappa[:] = kappa
    return made


class Simulator(elastica.BaseSystemCollection, elastica.Constraints, elastica.Forcing):
    """One rod, held and loaded."""


def run(data: Any, seconds: float, step: float, saves: int) -> dict[str, Any]:
    """The tip's path and the time that it took."""
    simulator = Simulator()
    made = rod(data)
    simulator.append(made)
    simulator.constrain(made).using(
        elastica.OneEndFixedBC,
        constrained_position_idx=(0,),
        constrained_director_idx=(0,),
    )
    simulator.add_forcing_to(made).using(
        elastica.GravityForces, acc_gravity=np.array([0.0, -9.8, 0.0])
    )
    simulator.finalize()
    stepper = elastica.PositionVerlet()
    now = stepper.step(simulator, 0.0, 1e-12)  # compiles
    steps = max(1, round(seconds / saves / step))
    dt = np.float64(seconds / saves / steps)
    ts, tip = [0.0], [made.position_collection[:, -1].copy()]
    began = time.perf_counter()
    for _ in range(saves):
        for _ in range(steps):
            now = stepper.step(simulator, now, dt)
        ts.append(float(now))
        tip.append(made.position_collection[:, -1].copy())
    took = time.perf_counter() - began
    return {
        "ts": np.asarray(ts),
        "tip": np.asarray(tip),
        "seconds": took,
        "steps": saves * steps,
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--step", type=float, required=True)
    parser.add_argument("--saves", type=int, default=10)
    parser.add_argument("--out", required=True)
    own = parser.parse_args()
    with np.load(own.data) as data:
        np.savez(own.out, **run(data, own.seconds, own.step, own.saves))

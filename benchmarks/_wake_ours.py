"""The same flow by Pendula: prints seconds for each D/U (without compiling), and the
forces of the last `window`.

    python benchmarks/_wake_ours.py --mesh 80,160,0.00625 --until 80 --window 30
"""

from __future__ import annotations

import argparse
import json
import time

import numpy as np

from pendula.systems import CylinderConfig, CylinderMesh, simulate_cylinder


RE = 100.0


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--mesh", default="80,160,0.00625")
    parser.add_argument("--until", type=float, default=80.0)
    parser.add_argument("--window", type=float, default=30.0)
    told = parser.parse_args()
    radial, angular, dt = told.mesh.split(",")
    mesh = CylinderMesh(int(radial), int(angular), float(dt))
    config = CylinderConfig(
        re=RE, mesh=mesh, start=told.until - 1.0, num=2, spacing=1.0
    )
    seen = []
    run = simulate_cylinder(
        config, tell=lambda t, drag, lift: seen.append((t, time.perf_counter()))
    )
    found = run.numbers(told.until - told.window, told.until)
    # between two looks at the forces; the first ones compile
    t, clock = np.array(seen[3:-1]).T
    print(
        json.dumps(
            {
                "seconds": float(np.median(np.diff(clock) / np.diff(t))),
                "drag": found.drag,
                "lift": found.lift_amplitude,
                "strouhal": found.strouhal,
                "steps": round(1.0 / config.dt),
            }
        )
    )


if __name__ == "__main__":
    main()

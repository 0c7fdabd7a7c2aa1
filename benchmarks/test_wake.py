"""A flow around a cylinder beside a lattice Boltzmann method.

    make bench                                                # all benchmarks
    .venv/bin/python -m pytest -o addopts= -s benchmarks/test_wake.py

Re = 100; programs in turn, each in a process of its own. Ours is as coarse as the
lattice's error of the drag allows; the drag that both are held against is that of the
finest preset (study `wake.speed` measures all of it: some minutes).
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest


HERE = Path(__file__).parent
SIDES = {"ours": ["--mesh", "64,96,0.0125"], "lattice": ["--cells", "20"]}

pytestmark = pytest.mark.filterwarnings("default")


def test_time_of_a_unit():
    found = {side: [] for side in SIDES}
    for _ in range(3):
        for side, options in SIDES.items():
            until = "3" if side == "lattice" else "8"
            command = [sys.executable, str(HERE / f"_wake_{side}.py"), *options]
            command += ["--until", until, "--window", "1"]
            done = subprocess.run(
                command, check=True, cwd=HERE, capture_output=True, text=True
            )
            found[side].append(json.loads(done.stdout.splitlines()[-1])["seconds"])
    ours, lattice = (np.median(found[side]) for side in SIDES)
    print(f"\na D/U: ours {ours:.3g} s, lattice {lattice:.3g} s, {lattice / ours:.1f}")
    assert np.isfinite(lattice / ours)

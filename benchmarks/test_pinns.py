"""Convection beta = 1 and Burgers' equation, Pendula beside DeepXDE.

    make bench                                                # all benchmarks
    .venv/bin/python -m pytest -o addopts= -s benchmarks/test_pinns.py

Programs of one thread in turn, float64, times of the processor, ours with compiling.
DeepXDE has its network and points of part `A7` of study `pinns`, and fewer steps: that
part is the whole comparison. Both sides have to solve the problem, and ours must be at
least as good before times are compared.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pendula.studies._pinns_deepxde import PEERS, arrays, reached


HERE = Path(__file__).parent
FEWER = {
    "points": [2540, 80, 160],
    "adam": 1000,
    "lbfgs": 2000,
    "every": 200,
    "budget": 300.0,
}

pytestmark = pytest.mark.filterwarnings("default")


def program(side, folder, told):
    """What one side writes."""
    np.savez(folder / "data.npz", **told)
    command = [sys.executable, str(HERE / f"_pinns_{side}.py")]
    command += ["--data", str(folder / "data.npz"), "--out", str(folder / "out.json")]
    subprocess.run(command, check=True, cwd=HERE)
    return json.loads((folder / "out.json").read_text())


@pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("torch", "deepxde")),
    reason='the peers are not installed: pip install "pendula[bench]"',
)
@pytest.mark.parametrize(("key", "solved"), [("convection", 1e-2), ("burgers", 0.2)])
def test_time_to_equal_error(tmp_path, key, solved):
    told = arrays(PEERS[key], FEWER, 0)
    theirs = reached(program("deepxde", tmp_path, told))
    assert theirs["error"] < solved
    for tol in (1e-1, 1e-2, 1e-3, 1e-4):
        ours = program("ours", tmp_path, {**told, "tol": tol})
        if ours["error"] <= theirs["error"]:
            break
    assert ours["error"] <= theirs["error"]
    print(f"\n{key}, DeepXDE over Pendula: {theirs['cpu'] / ours['cpu']:.2f}")
    assert 0.0 < ours["cpu"] < np.inf

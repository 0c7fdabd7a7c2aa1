"""Chips a second beside a loop in PyTorch.

    make bench                                                # all benchmarks
    .venv/bin/python -m pytest -o addopts= benchmarks/test_chips.py

Both sides have the same network and images from one file, the same noise (0.1 of the
span of every array, normal), one thread each, and must agree in the mean accuracy to 2
points before their times count. The ratio is printed with `-s`.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pendula.studies._analog_speed import arrays


HERE = Path(__file__).parent

pytestmark = pytest.mark.filterwarnings("default")


@pytest.mark.skipif(
    importlib.util.find_spec("torch") is None,
    reason='torch is not installed: pip install "pendula[bench]"',
)
def test_chips(request, tmp_path):
    np.savez(tmp_path / "data.npz", **arrays())
    rounds = request.config.getoption("--rounds")
    found = {"ours": [], "torch": []}
    for _ in range(3):
        for side, done in found.items():
            out = tmp_path / f"{side}.json"
            command = [sys.executable, HERE / f"_chips_{side}.py"]
            command += ["--data", tmp_path / "data.npz", "--rounds", rounds]
            command += ["--chips", 100, "--out", out]
            subprocess.run([str(part) for part in command], check=True)
            done.append(json.loads(out.read_text()))
    of = lambda side, what: np.median([one[what] for one in found[side]])
    assert abs(of("ours", "accuracy") - of("torch", "accuracy")) <= 0.02
    ratio = of("torch", "seconds") / of("ours", "seconds")
    print(
        f"\n{1e3 * of('ours', 'seconds'):.2f} ms a chip; chips a second, Pendula / "
        f"PyTorch {ratio:.2f}"
    )

"""One training step of the network 2-2-2 beside the ResNet of its shape in PyTorch.

    make bench                                                # all benchmarks
    .venv/bin/python -m pytest -o addopts= -s benchmarks/test_depth_step.py

Batch 128 of 32 x 32, batch norm, SGD with momentum, cross entropy, float32; programs of
one thread in turn, PyTorch in the faster of its two layouts. The numbers of weights
must be the same, and the first loss that of an untrained network.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pendula.studies._depth_speed import arrays


HERE = Path(__file__).parent

pytestmark = pytest.mark.filterwarnings("default")


@pytest.mark.skipif(
    importlib.util.find_spec("torch") is None,
    reason='torch is not installed: pip install "pendula[bench]"',
)
def test_training_step(request, tmp_path):
    np.savez(tmp_path / "data.npz", **arrays(128))
    rounds = str(request.config.getoption("--rounds"))
    found = {"ours": [], "torch": []}
    for _ in range(3):
        for side, done in found.items():
            command = [sys.executable, str(HERE / f"_depth_{side}.py")]
            command += ["--data", str(tmp_path / "data.npz"), "--rounds", rounds]
            command += ["--out", str(tmp_path / "out.json")]
            subprocess.run(command, check=True, cwd=HERE)
            done.append(json.loads((tmp_path / "out.json").read_text()))
    ours, theirs = found["ours"], found["torch"]
    assert ours[0]["size"] == theirs[0]["size"]
    for side in (ours, theirs):  # both begin where nothing is known, and learn
        losses = side[0]["losses"]
        assert abs(losses[0] - np.log(10.0)) < 1.0
        assert losses[-1] < losses[0]
    fastest = [min(one["nchw"], one["nhwc"]) for one in theirs]
    ratio = np.median(fastest) / np.median([one["seconds"] for one in ours])
    print(f"\ntraining step, PyTorch over Pendula: {ratio:.2f}")
    assert np.isfinite(ratio)

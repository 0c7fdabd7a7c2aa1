"""A Hessian-vector product beside PyTorch's double backward.

    make bench                                                # all benchmarks
    .venv/bin/python -m pytest -o addopts= benchmarks/test_hessian_product.py

A tanh network of three hidden layers and a small convolutional one with frozen norms:
both sides have the same weights, data and vector from one file, run in processes of one
thread in turn, and must give the same product to 1e-5 of its largest entry before their
times count. Both keep what the first gradient computed. The ratio is printed with `-s`.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pendula.studies._curvature_speed import arrays


HERE = Path(__file__).parent

pytestmark = pytest.mark.filterwarnings("default")


@pytest.mark.skipif(
    importlib.util.find_spec("torch") is None,
    reason='torch is not installed: pip install "pendula[bench]"',
)
@pytest.mark.parametrize("net", ["mlp", "conv"])
def test_product(net, request, tmp_path):
    np.savez(tmp_path / "data.npz", **arrays(net, 64, 200))
    rounds = 10 * request.config.getoption("--rounds")
    found = {"ours": [], "torch": []}
    for _ in range(3):
        for side, done in found.items():
            out = tmp_path / f"{side}.json"
            command = [sys.executable, HERE / f"_hessian_{side}.py", "--net", net]
            command += ["--data", tmp_path / "data.npz", "--rounds", rounds]
            command += ["--out", out]
            subprocess.run([str(part) for part in command], check=True)
            done.append(json.loads(out.read_text()))
    ours, theirs = (np.array(found[k][0]["product"]) for k in ("ours", "torch"))
    assert np.abs(ours - theirs).max() <= 1e-5 * np.abs(ours).max()
    seconds = {k: np.median([one["seconds"] for one in v]) for k, v in found.items()}
    full = np.median([one["full"] for one in found["torch"]])
    print(
        f"\n{net}: {1e3 * seconds['ours']:.3f} ms; PyTorch / Pendula "
        f"{seconds['torch'] / seconds['ours']:.2f} (graph kept), "
        f"{full / seconds['ours']:.2f} (from the start)"
    )

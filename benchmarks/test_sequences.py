"""Forward and backward passes of recurrent networks beside PyTorch.

    make bench                                                # all benchmarks
    .venv/bin/python -m pytest -o addopts= -s benchmarks/test_sequences.py

N = 128, T = 784, batch 128, float32, the loss of ten classes at the last step; programs
in turn. PyTorch's cells are loops over time, its LSTM also the fused one. Both sides
have the same weights, and must have the same loss and norm of the gradient.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pendula.studies._sequences_speed import PAIRS, arrays


HERE = Path(__file__).parent

pytestmark = pytest.mark.filterwarnings("default")


@pytest.mark.skipif(
    importlib.util.find_spec("torch") is None,
    reason='torch is not installed: pip install "pendula[bench]"',
)
@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
def test_forward_and_backward(ours, theirs, request, tmp_path):
    np.savez(tmp_path / "data.npz", **arrays())
    rounds = str(request.config.getoption("--rounds"))
    found = {}
    for side, net in (("ours", ours), ("torch", theirs)):
        command = [sys.executable, str(HERE / f"_sequences_{side}.py"), "--net", net]
        command += ["--data", str(tmp_path / "data.npz"), "--rounds", rounds]
        command += ["--out", str(tmp_path / "out.json")]
        subprocess.run(command, check=True, cwd=HERE)
        found[side] = json.loads((tmp_path / "out.json").read_text())
    for what in ("loss", "norm"):
        assert found["ours"][what] == pytest.approx(found["torch"][what], rel=1e-3)
    ratio = found["torch"]["seconds"] / found["ours"]["seconds"]
    print(
        f"\n{ours} forward and backward, PyTorch ({theirs}) over Pendula: {ratio:.2f}"
    )
    assert np.isfinite(ratio)

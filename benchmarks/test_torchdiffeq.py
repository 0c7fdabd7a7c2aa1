"""One training step of a neural ODE, Pendula beside torchdiffeq.

    make bench                                             # all benchmarks
    .venv/bin/python -m pytest -o addopts= benchmarks/test_torchdiffeq.py

Both sides start from the same weights and must give the same loss and gradient before
anything is timed. A step is forward, backward and Adam, on 16 trajectories of 21
samples; compiling and five warm steps come before the clock. Fixed schemes take the
same 20 steps; dopri5 has the same tolerances, and its number of steps is its own
(torchdiffeq takes one step for the whole batch, Pendula one for each trajectory).
torchdiffeq runs with 1 and 2 threads, as it is and through `torch.compile`: the best of
the four is what Pendula is compared with.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import jax
import numpy as np
import pytest


sys.path.insert(0, str(Path(__file__).parent))

import _problem as problem
from _ours import Ours


SCHEMES = ("rk4_38", "heun", "dopri5")
# Fixed schemes do the same arithmetic; adaptive ones agree to their tolerances.
AGREE = {"rk4_38": 1e-5, "heun": 1e-5, "dopri5": 1e-3}
ITERATIONS, WARM = 5, 5

pytestmark = [
    pytest.mark.filterwarnings("default"),
    pytest.mark.benchmark(group="torchdiffeq", min_rounds=5),
]
needs_torch = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("torch", "torchdiffeq")),
    reason='the peers are not installed: pip install "pendula[bench]"',
)


@pytest.fixture(scope="module", params=SCHEMES)
def name(request):
    """The scheme; programs of one are forgotten before the next."""
    yield request.param
    jax.clear_caches()


@pytest.fixture(scope="module")
def agreement(name):
    """Largest relative difference of loss and gradient for the same weights, and of
    the weights after one step of Adam."""
    if importlib.util.find_spec("torchdiffeq") is None:
        return None
    from _torch import Torch

    ours, theirs = Ours(name), Torch(name)
    (loss, grad), (other, peer) = ours.value_and_gradient(), theirs.value_and_gradient()
    ours.step()
    theirs.step()
    moved, other_moved = ours.parameters(), theirs.parameters()
    found = {
        "loss": abs(loss - other) / abs(other),
        "gradient": float(np.abs(grad - peer).max() / np.abs(peer).max()),
        "step": float(np.abs(moved - other_moved).max() / np.abs(other_moved).max()),
    }
    for what, difference in found.items():
        assert difference <= AGREE[name], f"{name}: {what} differs by {difference:.1e}"
    return found


def _time(benchmark, request, name, training, agreement, **more):
    """Warm up, time, and store what belongs beside a time: what was solved, how, and
    how well."""
    rounds = request.config.getoption("--rounds")
    for _ in range(WARM):
        training.step()
    benchmark.pedantic(training.step, rounds=rounds, iterations=ITERATIONS)
    benchmark.extra_info.update(
        scheme=name,
        trajectories=16,
        samples=21,
        parameters=int(training.parameters().size),
        updates=ITERATIONS * rounds + WARM,
        validation=training.validation(),
        agreement=agreement,
        **more,
    )
    assert np.isfinite(training.validation())


def test_ours(benchmark, request, name, agreement):
    _time(benchmark, request, name, Ours(name), agreement, side="ours")


@needs_torch
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
def test_torchdiffeq(benchmark, request, name, agreement, threads, compiled):
    import torch
    from _torch import Torch

    if compiled and name == "dopri5":
        pytest.skip("torch.compile breaks at every adaptive step")
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        training = Torch(name, compiled=compiled)
        about = {"threads": threads, "compiled": compiled}
        _time(
            benchmark,
            request,
            name,
            training,
            agreement,
            side="torchdiffeq",
            **about,
        )
    finally:
        torch.set_num_threads(before)
        torch._dynamo.reset()


def test_the_problem_is_the_same_for_both():
    """21 samples of 16 trajectories, and a validation set apart."""
    assert problem.training().shape == (16, 21, 2)
    assert not np.isin(problem.validation()[:, 0], problem.training()[:, 0]).any()

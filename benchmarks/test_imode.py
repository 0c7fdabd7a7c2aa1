"""The published iMODE pendulum, Pendula beside PyTorch and torchdiffeq.

    make bench                                             # all benchmarks
    .venv/bin/python -m pytest -o addopts= benchmarks/test_imode.py

Both sides start from the same weights and see the same clips: losses and weights of the
first updates must be the same before anything is timed. An update is four inner steps
and the gradient of the fifth pass for 5 pendulums of 20 clips of 100 samples, and Adam;
both by RK4 of 0.1 s and a cubic. Times are those of the processor.
"""

from __future__ import annotations

import importlib.util
import sys
import time
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest


sys.path.insert(0, str(Path(__file__).parent))

import _imode_ours as ours

from pendula._precision import precision
from pendula._tree import split_trainable
from pendula.dynamics._family_data import Clips, family_data
from pendula.dynamics._family_fit import Setup
from pendula.dynamics._family_programs import by_gradient
from pendula.studies._families import PENDULUM
from pendula.train import TrainState, init_opt


UPDATES = 3

pytestmark = [
    pytest.mark.filterwarnings("default"),
    pytest.mark.benchmark(group="imode", timer=time.process_time, min_rounds=3),
]
needs_torch = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("torch", "torchdiffeq")),
    reason='the peers are not installed: pip install "pendula[bench]"',
)


@pytest.fixture(scope="module")
def data():
    """Times, and one exact record of each training length."""
    runs = [PENDULUM.motion(p, (np.pi / 2, 0.0)) for p in PENDULUM.params]
    return runs[0][0], np.stack([ys for _, ys in runs])


class Ours:
    """The outer update of mode `reference`, as `meta_fit` makes it."""

    def __init__(self, ts, ys, seed=1029):
        config = ours.config("reference", seed)
        self.data = ours.records(ts, ys)
        self.setup = Setup(family_data(self.data, config.model, 1, seed), config)
        model = self.setup._model((config.head, config.size))
        model = jax.tree.map(
            lambda x: x.astype(np.float32) if eqx.is_inexact_array(x) else x, model
        )
        params, self.static = split_trainable(model)
        self.step, self.transform = by_gradient(
            "reference", config.lr, 200, config.inner_steps, config.inner_rate, 1e-3
        )
        self.start(params, jnp.ones(1, jnp.float32))

    def start(self, params, eta):
        """A state before the first update."""
        pair = (params, eta)
        opt = init_opt(self.transform, pair)
        self.state = TrainState.start(pair, opt, jax.random.key(0))

    def clips(self, starts):
        """The clips that begin at the given samples, `"system clip"`."""
        every = self.setup.found.clips(ours.CLIP, 1, np.float32)
        picked = [
            jax.tree.map(lambda x, s=s: np.asarray(x)[s], mine)
            for mine, s in zip(every, starts, strict=True)
        ]
        return jax.tree.map(lambda *x: jnp.asarray(np.stack(x)), *picked)

    def update(self, clips: Clips):
        """One update; its loss."""
        fixed = (self.static, self.setup.weight())
        self.state, info = self.step(self.state, (fixed, clips))
        return info["loss"]


def _theirs(params, weights):
    """The trained arrays with the values of the peer's network."""
    names = list(weights)
    first, hidden, last = names[:2], names[2:-2], names[-2]
    assert weights[first[0]].shape == (32, 2)
    assert names[-1] == "eta"
    net = lambda tree: tree.field.force.potential.net

    def where(tree):
        base = net(tree).base
        layers = [x for m in base.layers for x in (m.weight_out, m.bias_out)]
        first = [base.first.weight_out, net(tree).shift, base.first.bias_out]
        return [*first, *layers, base.last.weight_out]

    w, b = (weights[n] for n in first)
    given = [w[:, :1], w[:, 1:], b, *(weights[n] for n in hidden), weights[last]]
    return eqx.tree_at(where, params, [jnp.asarray(x) for x in given]), where


@needs_torch
def test_the_first_updates_are_those_of_the_peer(data):
    import _imode_torch as peer

    done = peer.run(*data, updates=UPDATES, threads=1, solver="rk4")
    with precision(np.float32):
        mine = Ours(*data)
        params, where = _theirs(mine.state.params[0], done["initial"])
        mine.start(params, jnp.asarray(done["initial"]["eta"]))
        losses = [float(mine.update(mine.clips(s))) for s in done["starts"]]
        np.testing.assert_allclose(losses, done["losses"], rtol=2e-3)
        params, eta = mine.state.params
        expected = where(_theirs(params, done["final"])[0])
        for got, wanted in zip(where(params), expected, strict=True):
            np.testing.assert_allclose(got, wanted, atol=2e-3)
        np.testing.assert_allclose(eta, done["final"]["eta"], atol=2e-3)


def test_ours(benchmark, data):
    with precision(np.float32):
        mine = Ours(*data)
        begins = np.random.default_rng(0).integers(0, 901, (5, ours.CLIPS))
        clips = mine.clips(begins)
        mine.update(clips)
        run = lambda: jax.block_until_ready(mine.update(clips))
        benchmark.pedantic(run, rounds=10, iterations=1)


@needs_torch
@pytest.mark.parametrize("solver", ["rk4", "dopri5"])
@pytest.mark.parametrize("threads", [1, 2])
def test_torch(benchmark, data, solver, threads):
    import _imode_torch as peer
    import torch

    before = torch.get_num_threads()
    try:
        run = lambda: peer.run(*data, updates=1, threads=threads, solver=solver)
        benchmark.pedantic(run, rounds=5, iterations=1, warmup_rounds=1)
    finally:
        torch.set_num_threads(before)

"""One training step of the network 2-2-2 (Euler, batch norm, batch 128 of 32 x 32,
SGD with momentum, cross entropy) against the ResNet of the same shape in PyTorch, the
faster of its two layouts; steps of both take turns.

    python -m pytest -o addopts= -s benchmarks/test_depth_step.py
"""

import time

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from pendula._tree import num_parameters
from pendula.depth import ImageNet, ImageNetConfig, apply_batch


torch = pytest.importorskip("torch")
BATCH = 128


class Ours:
    """Training steps of the same kind."""

    def __init__(self, xs, labels, **settings):
        net = ImageNet(ImageNetConfig(**settings), key=jax.random.key(0))
        self.size = num_parameters(net)
        params, static = eqx.partition(net, eqx.is_inexact_array)
        sgd = optax.sgd(0.1, momentum=0.9)
        self.state = (params, sgd.init(params), net.initial_state())
        self.batch = (jnp.asarray(xs), jnp.asarray(labels))

        def loss(params, running, xs, labels):
            ys, running = apply_batch(eqx.combine(params, static), xs, running)
            each = optax.softmax_cross_entropy_with_integer_labels(ys, labels)
            return each.mean(), running

        def update(state, xs, labels):
            params, opt, running = state
            (value, running), grads = jax.value_and_grad(loss, has_aux=True)(
                params, running, xs, labels
            )
            moves, opt = sgd.update(grads, opt)
            return (optax.apply_updates(params, moves), opt, running), value

        self.update = jax.jit(update, donate_argnums=0)

    def step(self):
        """One update; the loss before it."""
        self.state, value = self.update(self.state, *self.batch)
        return float(value)


def seconds(call):
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def test_training_step():
    from _depth_torch import Torch

    rng = np.random.default_rng(0)
    xs = rng.normal(size=(BATCH, 32, 32, 3)).astype(np.float32)
    labels = rng.integers(0, 10, BATCH)
    threads = len(__import__("os").sched_getaffinity(0))
    torch.set_num_threads(threads)
    peers = {last: Torch(xs, labels, channels_last=last) for last in (False, True)}
    ours = Ours(xs, labels)
    assert ours.size == peers[False].size()
    sides = {"pendula": ours, "nchw": peers[False], "nhwc": peers[True]}
    for side in sides.values():
        for _ in range(2):
            side.step()
    times = {name: [] for name in sides}
    for _ in range(8):
        for name, side in sides.items():
            times[name].append(seconds(side.step))
    found = {name: float(np.median(values)) for name, values in times.items()}
    peer = min(found["nchw"], found["nhwc"])
    print(
        f"\n{threads} threads: ours {found['pendula']:.3f} s, PyTorch "
        f"{found['nchw']:.3f} s (NCHW), {found['nhwc']:.3f} s (NHWC): ratio "
        f"{peer / found['pendula']:.2f}"
    )
    assert np.isfinite(ours.step())

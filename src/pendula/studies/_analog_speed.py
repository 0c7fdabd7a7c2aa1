"""Part `speed` of study `analog`: chips a second beside a loop in PyTorch."""

from __future__ import annotations

import time
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
import optax

from .._files import replacing
from ..hardware import RangeNoise, to_analog
from ..train import TrainState, gradient_step
from ._analog import analog
from ._analog_nets import SIZES, WAYS, mean_loss, started
from ._benchmarks import benchmarks, in_turn
from ._claim import Claim
from ._row import Row
from ._study import Run


_PEER = "torch 2.13.0: for each chip normal numbers of every array, then the images"
_HOW = (
    "ReLU network 784-256-128-10, 1000 images, noise 0.1 of the span of every array, "
    "one thread each, after compiling, processes in turn"
)
_ROWS = (
    Row(
        "analog.speed.ratio",
        f"Chips a second, Pendula over PyTorch; {_HOW}.",
        better="higher",
        target=1.2,
        source=_PEER,
        tried="lax.map over chips, weights and images as arguments.",
    ),
    Row("analog.speed.ours", f"Pendula: time of a chip; {_HOW}.", "ms"),
    Row("analog.speed.torch", f"PyTorch: time of a chip; {_HOW}.", "ms"),
    Row(
        "analog.speed.accuracy_gap",
        "The same: difference of both mean accuracies over the chips, absolute.",
        target=0.02,
        source=_PEER,
        tried="The same noise.",
    ),
    Row(
        "analog.speed.ha_step",
        "Time of a training step with HA-SGD, L = 1, over that of a plain one; network "
        "784-256-128-10, batch 128, steps in turn, one process.",
        target=3.0,
        source="ours",
        tried="The normal numbers of JAX's default generator.",
    ),
    Row(
        "analog.speed.aihwkit",
        "Chips a second against aihwkit.",
        source="aihwkit",
    ),
)


@analog.part(
    "speed",
    _ROWS,
    full={"turns": 5, "chips": 200, "rounds": 5, "steps": 200},
    quick={"turns": 1, "chips": 4, "rounds": 1, "steps": 2},
)
def speed(run: Run) -> Iterator[Claim]:
    """Programs in processes of their own; nothing else should run meanwhile."""
    yield run.row("analog.speed.aihwkit").not_run(
        "aihwkit has no wheel for this Python and does not build on this machine."
    )
    s = run.settings
    row = run.row("analog.speed.ha_step")
    yield row.measured(_steps(s["steps"], s["turns"]))
    folder = benchmarks("_chips_torch.py", ("torch",))
    data = run.scratch / "chips.npz"
    if not data.exists():
        with replacing(data) as out:
            np.savez(out, allow_pickle=False, **arrays())
    options = ("--rounds", s["rounds"], "--data", data, "--chips", s["chips"])
    sides = {k: (folder / f"_chips_{k}.py", options) for k in ("ours", "torch")}
    found = in_turn(run, s["turns"], sides)
    of = lambda side, what: np.array([one[what] for one in found[side]], float)
    ours, theirs = of("ours", "seconds"), of("torch", "seconds")
    yield run.row("analog.speed.ratio").measured(theirs / ours)
    yield run.row("analog.speed.ours").measured(1e3 * ours)
    yield run.row("analog.speed.torch").measured(1e3 * theirs)
    gap = abs(of("ours", "accuracy").mean() - of("torch", "accuracy").mean())
    yield run.row("analog.speed.accuracy_gap").measured(float(gap))


def _steps(count: int, turns: int) -> list[float]:
    """Ratios of times of some steps, both ways in turn."""
    rng = np.random.default_rng(0)
    batch = (
        rng.normal(size=(128, SIZES[0])).astype(np.float32),
        rng.integers(0, 10, size=128).astype(np.int32),
    )
    net = started(SIZES, 0)
    twin = to_analog(net, RangeNoise())
    sides = []
    for way in ("vanilla", "ha05"):
        base = optax.sgd(0.01, momentum=0.9)
        estimator, transform = WAYS[way].make(twin, count, base)
        loss = lambda net, batch, key: mean_loss(net, batch)
        step = gradient_step(loss, transform, estimator=estimator)
        state = TrainState.start(net, transform.init(net), jax.random.key(0))
        sides.append((step, jax.block_until_ready(step(state, batch)[0])))
    ratios = []
    for _ in range(turns):
        took = []
        for step, state in sides:
            began = time.perf_counter()
            now = state
            for _ in range(count):
                now, _ = step(now, batch)
            jax.block_until_ready(now.params)
            took.append(time.perf_counter() - began)
        ratios.append(took[1] / took[0])
    return ratios


def arrays() -> dict[str, np.ndarray]:
    """A network, images of random numbers, and the labels that it gives them."""
    net = started(SIZES, 0)
    x = np.random.default_rng(0).normal(size=(1000, SIZES[0])).astype(np.float32)
    labels = np.asarray(jax.vmap(net)(jnp.asarray(x))).argmax(axis=1)
    found = {"x": x, "y": labels.astype(np.int64)}
    for k, (w, b) in enumerate(zip(net.weights, net.biases, strict=True)):
        found |= {f"w{k}": np.asarray(w), f"b{k}": np.asarray(b) + 0.01}
    return found

"""The Slinky's rod beside PyElastica, its network beside PyTorch.

    make bench                                             # all benchmarks
    .venv/bin/python -m pytest -o addopts= benchmarks/test_slinky.py

Group `network`: accelerations of 76 bars, of one state and of five; both sides have the
same weights and give the same numbers before anything is timed. The rods hang from one
end as they rest and are let go: 10 cycles for `--hang` seconds, 76 cycles for 5 ms;
both tips must fall alike within 2 % of their way (up to 0.1 s). Each side takes the
steps that it needs: 1 ms of an implicit scheme here, 0.2 microseconds of an explicit
one there. The ratio of both times for the same stretch of motion is printed with `-s`;
PyElastica's is compiled and warm.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import time
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pendula.dynamics import slinky_network, slinky_record
from pendula.dynamics._bars import GROUPS, SCALE
from pendula.systems import Slinky, bars_of, drop


HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
STEP = 2e-7  # s, of the explicit scheme; twice as long ones leave the finite numbers

pytestmark = pytest.mark.filterwarnings("default")


def needs(name):
    return pytest.mark.skipif(
        importlib.util.find_spec(name) is None,
        reason=f'{name} is not installed: pip install "pendula[bench]"',
    )


SIDES = ["pendula", pytest.param("torch", marks=needs("torch"))]


@pytest.fixture(scope="module")
def bars():
    """The network's chain, and states of the record."""
    chain = jax.tree.map(jnp.asarray, slinky_network().model().field.force)
    _, u, _ = bars_of(slinky_record())
    return chain, u[10:60:10].astype(np.float32)


@pytest.mark.benchmark(min_rounds=20)
@pytest.mark.parametrize("batch", [1, 5])
@pytest.mark.parametrize(
    "side", ["pendula", pytest.param("torch", marks=needs("torch"))]
)
def test_network(benchmark, bars, side, batch):
    chain, u = bars
    u = u[:batch]
    benchmark.group = f"network, {batch} states of {u.shape[1]} bars"
    still = lambda u: jnp.concatenate([u.ravel(), jnp.zeros(u.size, u.dtype)])
    ours = eqx.filter_jit(
        lambda u: jax.vmap(lambda u: chain(0.0, still(u), None, None))(u)
    )
    expected = np.asarray(ours(jnp.asarray(u))).reshape(u.shape)
    if side == "pendula":
        own = jnp.asarray(u)
        benchmark(lambda: jax.block_until_ready(ours(own)))
        return
    import _slinky_torch as peer

    peer.torch.set_num_threads(1)
    net, world = chain.energy.net, chain.world
    weights = {
        "first": [net.first, net.first_bias],
        "weights": net.weights,
        "biases": net.biases,
        "last": [net.last, net.last_bias],
    }
    masses = np.asarray(world.masses(jnp.zeros(1, jnp.float32)))
    rates = peer.accelerations(
        weights,
        list(GROUPS[chain.energy.group]),
        np.array(SCALE),
        masses,
        world.gravity,
    )
    own = peer.torch.tensor(u)
    got = rates(own).numpy()
    np.testing.assert_allclose(got, expected, atol=2e-4 * np.abs(expected).max())
    benchmark(lambda: rates(own))


@needs("elastica")
@pytest.mark.parametrize("cycles", [10, 76])
def test_rod(cycles, request, tmp_path):
    seconds = request.config.getoption("--hang") if cycles == 10 else 5e-3
    slinky = Slinky(cycles)
    rod, state, held = slinky.vertical(by="edge")
    points = np.asarray(state.z)[:3].T
    shear = slinky.youngs / (2.0 * (1.0 + slinky.poisson))
    told = {"radius": slinky.wire, "youngs": slinky.youngs, "shear": shear}
    np.savez(tmp_path / "rod.npz", points=points, density=slinky.density, **told)
    command = [
        sys.executable,
        HERE / "_rod_elastica.py",
        "--data",
        tmp_path / "rod.npz",
    ]
    command += ["--seconds", seconds, "--step", STEP, "--out", tmp_path / "out.npz"]
    subprocess.run([str(c) for c in command], check=True)
    with np.load(tmp_path / "out.npz") as found:
        tip, theirs = found["tip"], float(found["seconds"])
        steps = int(found["steps"])
    dt = 1e-3 if seconds >= 0.02 else 2.5e-4
    fall = lambda: drop(rod, state, held, seconds, dt, save_every=1)
    fall()  # compiles
    began = time.perf_counter()
    run = fall()
    ours = time.perf_counter() - began
    assert run.good
    way = np.linalg.norm(run.nodes[:, -1] - points[-1], axis=1).max()
    off = np.linalg.norm(tip[-1] - run.nodes[-1, -1]) / way
    print(
        f"\n{cycles} cycles, {seconds:g} s: PyElastica / Pendula {theirs / ours:.1f} "
        f"({steps} steps of {STEP:g} s against {len(run.ts) - 1} of {dt:g} s); tips "
        f"{100 * off:.2f} % apart"
    )
    # a corner of angle a bends by 2 tan(a/2) here, by a there: 1.3 % with 16 nodes to
    # a cycle, which shows as a phase after a few swings
    assert off < 0.02 or seconds > 0.1

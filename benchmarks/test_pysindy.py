"""A sparse law from noisy records, Pendula beside PySINDy.

    make bench                                             # all benchmarks
    .venv/bin/python -m pytest -o addopts= benchmarks/test_pysindy.py

Both sides get the same records (5 % noise, 4 trajectories), the same library of degree
three and the same held-out part to choose on, as in the study `real_data.vs_pysindy`,
whose settings these are. Each is timed as a whole search: every candidate of PySINDy
(its own fits only, as `seconds`), all laws on Pendula's path. The first search, which
compiles, is apart in `extra_info`; the error of free runs from unseen states stands
beside the time.
"""

from __future__ import annotations

import importlib.util

import pytest

from pendula.studies._pysindy import FULL, records, side_ours, side_peer, unseen


ROUNDS = 5
SYSTEMS = tuple(FULL["systems"])

pytestmark = [
    pytest.mark.filterwarnings("default"),
    pytest.mark.benchmark(group="pysindy"),
]
needs_peer = pytest.mark.skipif(
    importlib.util.find_spec("pysindy") is None,
    reason='the peer is not installed: pip install "pendula[bench]"',
)


def _time(benchmark, system, side, search):
    """One search that compiles, then the timed ones, with what was found."""
    data, truth = records(FULL, system, 4, 0, 0.05), unseen(FULL, system, 0)
    call = lambda: search(FULL, system, data, 0, truth)
    first = call()
    last = benchmark.pedantic(call, rounds=ROUNDS, iterations=1)
    benchmark.extra_info.update(
        side=side,
        system=system,
        trajectories=data.num,
        samples=data.ts.shape[1],
        first=float(first[f"{side}_seconds"]),
        seconds=float(last[f"{side}_seconds"]),
        error=float(last[side]),
        terms=int(last[f"{side}_terms"]),
    )


@pytest.mark.parametrize("system", SYSTEMS)
def test_ours(benchmark, system):
    _time(benchmark, system, "ours", side_ours)


@needs_peer
@pytest.mark.parametrize("system", SYSTEMS)
def test_pysindy(benchmark, system):
    _time(benchmark, system, "pysindy", side_peer)

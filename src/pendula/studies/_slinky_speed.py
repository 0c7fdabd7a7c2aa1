"""Part `speed` of study `slinky`: what the elastic rod costs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ..systems import Slinky, drop, rod_path
from ._claim import Claim
from ._row import Row
from ._slinky import slinky
from ._study import Run


_TRIED = "Closed-form stiffness, banded Cholesky by LAPACK."
_ROWS = (
    Row(
        "slinky.rod.12",
        "Drop of 76 cycles (1217 nodes) at 1 ms, bdf2: wall time for each iteration of "
        "Newton's method, everything included but compilation.",
        "ms",
        target=15.0,
        goal=6.0,
        tried=_TRIED,
    ),
    Row(
        "slinky.rod.12_compile",
        "First run less the second: compilation.",
        "s",
        target=10.0,
        tried=_TRIED,
    ),
    Row(
        "slinky.rod.12_drop",
        "0.75 s of that drop, without compilation.",
        "s",
        target=45.0,
        tried=_TRIED,
    ),
    Row("slinky.rod.12_iterations", "Iterations a step, mean."),
    Row(
        "slinky.rod.12_many",
        "Time of 8 rods at once (vmap, block solver) over that of one, 20 steps.",
        target=6.0,
        tried="vmap of the scan over blocks; rods wait for the slowest of them.",
    ),
    Row(
        "slinky.rod.published",
        "Iteration of a NumPy reference with a sparse direct solver, 1217 nodes, 65 to "
        "98 ms: quoted, not measured here.",
        "ms",
        source="our specification",
    ),
)
_QUOTED = (65.0, 98.0)
_FULL: dict[str, Any] = {"cycles": 76, "seconds": 0.75, "steps": 20, "repeats": 3}
_QUICK = _FULL | {"cycles": 3, "seconds": 0.01, "steps": 2, "repeats": 1}


@slinky.part("speed", _ROWS, full=_FULL, quick=_QUICK)
def speed(run: Run) -> Iterator[Claim]:
    """One drop, several times; then eight at once."""
    s = run.settings
    rod, state, held = Slinky(s["cycles"]).horizontal()
    fall = lambda: drop(rod, state, held, s["seconds"], 1e-3)
    first, path = timed(fall)
    again = [timed(fall)[0] for _ in range(s["repeats"])]
    count = int(path.iterations.sum())
    row = lambda key: run.row(f"slinky.rod.12{key}")
    yield row("").measured([1e3 * t / count for t in again])
    yield row("_compile").measured(first - float(np.median(again)))
    yield row("_drop").measured(again)
    yield run.row("slinky.rod.published").measured(_QUOTED)
    yield row("_iterations").measured(count / round(s["seconds"] / 1e-3))
    yield row("_many").measured(many_over_one(rod, state, held, s))


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds, and what the work gives."""
    began = time.perf_counter()
    out = work()
    return time.perf_counter() - began, out


def many_over_one(rod: Any, state: Any, held: Any, settings: dict[str, Any]) -> float:
    """Eight rods with eight gravities, over one."""
    import jax
    import jax.numpy as jnp

    def path(g: Any) -> Any:
        return rod_path(
            rod,
            settings["steps"],
            1e-3,
            state=state,
            boundary=held,
            gravity=jnp.stack([0.0 * g, -g, 0.0 * g]),
            tolerance=1e-9,
        )[-1]

    with jax.enable_x64(True):
        several = jnp.linspace(8.8, 10.8, 8)
        one, many = jax.jit(path), jax.jit(jax.vmap(path))
        took = []
        for work, given in ((one, several[4]), (many, several)):
            jax.block_until_ready(work(given))
            times = [
                timed(lambda w=work, g=given: jax.block_until_ready(w(g)))[0]
                for _ in range(settings["repeats"])
            ]
            took.append(float(np.median(times)))
    return took[1] / took[0]

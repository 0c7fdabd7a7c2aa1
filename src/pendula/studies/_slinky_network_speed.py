"""Part `network_speed` of study `slinky`: the network beside the rod it replaces, and a
small one distilled from it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..dynamics import BarChain, BarsConfig, fit_bars, slinky_network, slinky_record
from ..systems import SlinkyCase, drop
from ._claim import Claim
from ._row import Row
from ._slinky import slinky
from ._slinky_cases import CASES, FRAME, distances, follow, on, truth, world
from ._slinky_speed import timed
from ._study import Run


_TRIED = "Leapfrog of 2 ms in float32, accelerations shared between steps, one program."
_BESIDE = "our own rod at 1 ms, same run, one core, both without compilation"
_ROWS = (
    Row(
        "slinky.esnn.speedup_latency.full",
        f"76 cycles, 0.75 s of the drop: how many times faster than {_BESIDE}.",
        better="higher",
        target=20.0,
        goal=60.0,
        published=60.0,
        source="Wang 2023, figure 3.12",
        tried=_TRIED,
    ),
    Row(
        "slinky.esnn.speedup_latency.distilled",
        f"The same, network of width 16 and depth 3: faster than {_BESIDE}.",
        better="higher",
        target=60.0,
        tried=_TRIED,
    ),
    Row(
        "slinky.esnn.distilled_error",
        "Its error over that of the full network, geometric mean of cases 0 to 4.",
        target=1.5,
        tried="Taught the full network's slopes around what was visited.",
    ),
    Row(
        "slinky.esnn.speedup_throughput",
        "256 motions at once, full network: motions of 0.75 s a second over the rod's.",
        better="higher",
    ),
    Row(
        "slinky.esnn.speedup_throughput_distilled",
        "The same, distilled network.",
        better="higher",
    ),
    Row("slinky.esnn.rod_iteration_ms", "The rod's time for an iteration.", "ms"),
    Row("slinky.esnn.force_ms", "Full network: time for one step of 76 bars.", "ms"),
    Row("slinky.esnn.force_distilled_ms", "Distilled network: the same.", "ms"),
)
_FULL: dict[str, Any] = {
    "cycles": None,
    "seconds": 0.75,
    "batch": 256,
    "repeats": 5,
    "distil": BarsConfig(width=16, depth=3, steps=0, start_steps=30000),
}
_QUICK = _FULL | {
    "cycles": 6,
    "seconds": 0.05,
    "batch": 3,
    "repeats": 1,
    "distil": BarsConfig(width=4, depth=1, steps=0, start_steps=100),
}


@slinky.part("network_speed", _ROWS, full=_FULL, quick=_QUICK)
def network_speed(run: Run) -> Iterator[Claim]:
    """Distil, compare errors, then time everything beside the rod."""
    s = run.settings
    full = slinky_network().model().field.force
    small = distilled(run, full, s["distil"])
    row = lambda key: run.row(f"slinky.esnn.{key}")
    case = CASES[0] if s["cycles"] is None else CASES[0].smaller(s["cycles"], 0.05)
    yield row("distilled_error").measured(error_ratio(run, full, small))
    case = dataclasses.replace(case, seconds=s["seconds"])
    rod, state, held = case.start()
    fall = lambda: drop(rod, state, held, s["seconds"], 1e-3)
    path = timed(fall)[1]
    slow = [timed(fall)[0] for _ in range(s["repeats"])]
    yield row("rod_iteration_ms").measured(
        [1e3 * t / int(path.iterations.sum()) for t in slow]
    )
    ts = FRAME * np.arange(round(s["seconds"] / FRAME) + 1)
    known = truth(case, False)
    steps = 5 * (len(ts) - 1)
    for chain, end in ((full, ""), (small, "_distilled")):
        go = lambda c=chain: follow(case, c, known | {"ts": ts})
        timed(go)
        fast = [timed(go)[0] for _ in range(s["repeats"])]
        yield row(f"force{end}_ms").measured([1e3 * t / steps for t in fast])
        name = f"speedup_latency.{'distilled' if end else 'full'}"
        pairs = zip(slow, fast, strict=True)
        yield row(name).measured([a / b for a, b in pairs])
        many = throughput(case, chain, known, ts, s)
        yield row(f"speedup_throughput{end}").measured(
            [s["batch"] * float(np.median(slow)) / t for t in many]
        )


def distilled(run: Run, full: BarChain, config: BarsConfig) -> BarChain:
    """A small network that has learned the full one's energy."""
    net = fit_bars(
        slinky_record(),
        world(CASES[0]),
        config,
        teacher=full.energy,
        out=run.scratch / "distilled",
        resume=True,
        tell=lambda row: run.progress(
            f"distilled, {row['phase']}: {row['step']} of {row['total']}"
        ),
    )
    return net.model().field.force


def error_ratio(run: Run, full: BarChain, small: BarChain) -> float:
    """Of the mean distances."""
    cycles = run.settings["cycles"]
    cases = CASES[:5]
    if cycles is not None:
        cases = tuple(c.smaller(cycles, 0.05) for c in cases)
    ratios = []
    for case in cases:
        known = run.keep(case.key, lambda c=case: truth(c, False))
        far = [
            distances(follow(case, chain, known).u, known["u"]).mean()
            for chain in (small, full)
        ]
        ratios.append(far[0] / far[1])
    return float(np.exp(np.mean(np.log(ratios))))


def throughput(
    case: SlinkyCase, chain: BarChain, known: dict[str, Any], ts: np.ndarray, s: Any
) -> list[float]:
    """Seconds for many motions at once, each from a start a little different."""
    import equinox as eqx
    import jax
    import jax.numpy as jnp

    from ..dynamics import bar_model

    own = jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), on(case, chain))
    u = known["u"][0]
    noise = np.random.default_rng(0).normal(0.0, 1e-3, (s["batch"], *u.shape))
    y0 = np.concatenate([u[None] + noise, np.zeros_like(noise)], axis=1)
    y0 = jnp.asarray(y0.reshape(s["batch"], -1), jnp.float32)
    dts = jnp.full(len(ts) - 1, FRAME, jnp.float32)
    model = bar_model(own, u.shape[0])
    zero = jnp.zeros((), jnp.float32)
    go = eqx.filter_jit(lambda m, y: jax.vmap(lambda y: m.steps(y, zero, dts).ys)(y))
    work = lambda: jax.block_until_ready(go(model, y0))
    timed(work)
    return [timed(work)[0] for _ in range(max(1, s["repeats"] // 2))]

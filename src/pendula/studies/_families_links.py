"""Part `links` of study `families`: from one and two arms to three.

The three records of the multi-arm pendulum are of the same arms. What the single and
the double one tell of the first two (moments of inertia, mass, length, friction of the
joints) is the prior with which the triple one is read off its first seconds; the third
arm is unknown. Scored by the valid time on the second half of the triple's record: how
long all three angles of a free run stay within 0.05 rad, a tenth of the motion. (It is
a calm record: within the 0.4 rad of the double pendulums every model stays for ten
seconds.) From scratch, the same body with nothing known of any arm.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..data import Trajectories
from ._claim import Claim
from ._families import families
from ._real_data import measured
from ._row import Row
from ._study import Run


_L = "families.real.links"
_SECONDS = {"05s": 0.5, "1s": 1.0, "2s": 2.0, "5s": 5.0, "10s": 10.0, "20s": 20.0}
CLOSE = 0.05  # rad
NEEDED = 0.8  # of the valid time that 20 s from scratch come to
_WHAT = (
    "Triple pendulum, median valid time (all angles within 0.05 rad) from {:g} s of "
    "its record"
)
_ROWS = (
    *[
        Row(f"{_L}_{key}{suffix}", f"{_WHAT.format(span)}, {words}.", "s", "higher")
        for key, span in _SECONDS.items()
        for suffix, words in (
            ("", "single and double as prior"),
            ("_scratch", "from scratch"),
        )
    ],
    Row(f"{_L}_still", "The same with rates that stay as they are.", "s", "higher"),
    *[
        Row(
            f"{_L}_needed{suffix}",
            "Seconds of the triple's record for 80 % of the valid time that 20 s from "
            f"scratch come to, {words}.",
            "s",
        )
        for suffix, words in (
            ("", "single and double as prior"),
            ("_scratch", "from scratch"),
        )
    ],
)
_FULL: dict[str, Any] = {
    "seconds": list(_SECONDS.values()),
    "fewer": 20.0,
    "every": 2,
    "window": 0.5,
    "least": 0.03,
    "starts": 300,
    "span": 10.0,
}
_QUICK: dict[str, Any] = copy.deepcopy(_FULL) | {
    "seconds": [1.0, 2.0],
    "fewer": 2.0,
    "starts": 5,
}


@families.part("links", _ROWS, full=_FULL, quick=_QUICK)
def links(run: Run) -> Iterator[Claim]:
    """The fewer arms first; then the triple, from more and more of its record."""
    found = run.keep("links", lambda: valid_times(run.settings))
    middle = {key: float(np.median(times)) for key, times in found.items()}
    spans = {k: s for k, s in _SECONDS.items() if s in run.settings["seconds"]}
    enough = NEEDED * middle[f"{max(spans, key=spans.__getitem__)}_scratch"]
    for name in run.rows:
        row, key = run.row(name), name.removeprefix(f"{_L}_")
        if key.startswith("needed"):
            suffix = key.removeprefix("needed")
            first = [s for k, s in spans.items() if middle[f"{k}{suffix}"] >= enough]
            yield row.measured(min(first)) if first else row.not_run("never reached")
        elif key in middle:
            yield row.measured(middle[key], n=len(found[key]))
        else:
            yield row.not_run("left out at this budget")


def arms_of(name: str, every: int) -> Trajectories:
    """The angles alone: the rates in the files were smoothed with what came later."""
    data = measured(f"multiarm_pendulum/{name}")
    angles = [n for n in data.names if n.startswith("theta")]
    return data.channels(angles).subsample(every)


def valid_times(settings: dict[str, Any]) -> dict[str, np.ndarray]:
    """Valid times [s] `"start"` by how much of the record was seen."""
    import jax.numpy as jnp

    from .._precision import precision, to_host
    from ..dynamics import layout
    from ._double_pendulums import free_times
    from ._families_arm_laws import Known, learned, model_of, unknown

    records = [arms_of(n, settings["every"]) for n in ("single", "double", "triple")]
    options = {"window": settings["window"], "least": settings["least"]}
    known = Known(*unknown(1))
    for arms in (1, 2):
        record = records[arms - 1].between(0.0, settings["fewer"])
        known = learned(record, known.with_more(arms), arms, **options)
    triple = records[2]
    middle = float(triple.ts[0].max() / 2)
    test = triple.between(middle, np.inf)
    plan = layout(triple.names, ("second",) * 3)
    asked = (settings["starts"], settings["span"], CLOSE)

    def times(eta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        with precision(np.float64):
            model = to_host(model_of(jnp.asarray(eta), 3))
        return free_times(model, plan, test, *asked)

    out: dict[str, np.ndarray] = {}
    for key, seconds in _SECONDS.items():
        if seconds not in settings["seconds"]:
            continue
        seen = triple.between(0.0, seconds + 1e-6)
        priors = {"": known.with_more(3), "_scratch": Known(*unknown(3))}
        for suffix, prior in priors.items():
            arms = learned(seen, prior, 3, **options)
            out[f"{key}{suffix}"], out["still"] = times(arms.mean)
    return out

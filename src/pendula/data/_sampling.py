"""Steps, gaps and evenness of the sampling."""

from __future__ import annotations

from typing import Any

import numpy as np

from ._trajectories import Trajectories


EVEN = 0.01  # steps within one per cent of the median count as even
GAP = 2.5  # times the median step


def steps(data: Trajectories) -> list[np.ndarray]:
    """The sampling intervals of every trajectory, without padding."""
    return [np.diff(t[:n]) for t, n in zip(data.ts, data.lengths, strict=True)]


def sampling(data: Trajectories) -> dict[str, Any]:
    """How the data are sampled, JSON-able.

    `step`: median interval; `jitter`: largest deviation from it as a share, gaps
    apart; `even`: all intervals within 1 %; `even_parts`: so between gaps;
    `gaps`: the intervals longer than 2.5
    medians (at most ten, longest first) as trajectory label, time and length, and
    `num_gaps` how many there are.
    """
    parts = steps(data)
    every = np.concatenate(parts)
    usual = float(np.median(every))
    found = []
    for i, step in enumerate(parts):
        for k in np.flatnonzero(step > GAP * usual):
            found.append((float(step[k]), data.labels[i], float(data.ts[i, k])))
    found.sort(reverse=True)
    inner = every[every <= GAP * usual]
    jitter = float(np.max(np.abs(inner - usual)) / usual)
    return {
        "step": usual,
        "jitter": jitter,
        "even": bool(np.all(np.abs(every - usual) <= EVEN * usual)),
        "even_parts": jitter <= EVEN,
        "num_gaps": len(found),
        "gaps": [
            {"trajectory": label, "after": start, "length": length}
            for length, label, start in found[:10]
        ],
    }

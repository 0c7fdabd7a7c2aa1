"""The numbers of a gauge's page, from the fitted objects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..data import Trajectories, summary
from ..dynamics import Family, Gauge, Measurement
from ._family_numbers import reproduce_facts


def gauge_report(
    gauge: Gauge,
    family: Family,
    labels: Sequence[str],
    measured: Sequence[Measurement],
    rows: Sequence[dict[str, Any]],
    data: Trajectories,
    command: str,
    decisions: Sequence[dict[str, str]],
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """What the page of a gauge shows: a report and its arrays.

    **Arguments:** `labels`: names of the calibrated systems; `measured` and `rows`:
    what was read of each system of `data`.
    """
    level = measured[0].level
    read, low, high = gauge.left_out(level)
    off = (read - gauge.labels) / np.abs(gauge.labels).mean(axis=0)
    told = summary(data)
    report = {
        "format": 1,
        "kind": "gauge",
        "title": f"Measured: {', '.join(str(row['system']) for row in rows[:4])}"
        + (", ..." if len(rows) > 4 else ""),
        "data": told,
        "decisions": [*decisions, *told["decisions"]],
        "gauge": {
            "names": list(gauge.names),
            "units": list(gauge.units),
            "labels": list(labels),
            "errors": np.sqrt(np.mean(off**2, axis=0)).tolist(),
            "summary": gauge.summary().splitlines(),
            "systems": list(rows),
        },
        "reproduce": reproduce_facts(family, command),
    }
    arrays = {
        "gauge/labels": np.asarray(gauge.labels),
        "gauge/read": read,
        "gauge/low": low,
        "gauge/high": high,
        **{
            f"measured/{name}": np.array([getattr(m, name) for m in measured])
            for name in ("value", "low", "high")
        },
    }
    return report, arrays

"""Rest states of a fitted law, with what the members of the ensemble agree on."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.spatial.distance import cdist

from ..diagnostics import Equilibrium, equilibria
from ._fitted import Fitted
from ._prepare import Prepared
from ._region import Region


STARTS = 64  # of the search
MARGIN = 0.25  # of the visited range, searched beyond each of its ends
NEAR = 0.25  # of the range: rest states of two members that are nearer are one
MOST = 12  # more rest states are a line of them


def rest_states(
    law: Region, fitted: Fitted, prepared: Prepared, told: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The rest states of the middle member in and around the visited range, each with
    its range over the members that have it too.

    **Returns:** `{"rests": [...], "text": [...]}`: `y`, `low`, `high` `"dim"`; `kind`
    as in `Equilibrium`; `eigenvalues` as pairs [1/time]; `growth`: range over the
    members of the largest real part, `usual`: its median; `undecided`: it has both
    signs; `members` that have it; `visited`: inside the range of the training data;
    `nearest`: distance to the nearest sample, as a share of the range.
    """
    low, high = law.low - MARGIN * law.width, law.high + MARGIN * law.width
    found = []
    for field in law.fields:
        if found and law.is_late:
            break
        found.append(equilibria(field, low, high, u=law.u, num=STARTS))
    first = found[0]
    if len(first) > MOST:
        return {
            "rests": [],
            "text": [
                f"The law rests at more than {MOST} states: nothing holds the motion "
                "in some direction."
            ],
        }, {}
    rests = [_one(rest, found, law) for rest in first]
    text = [] if rests else ["The law has no rest state in or near the visited range."]
    inside = [sum(_is_inside(r.y, law) for r in member) for member in found]
    if len(set(inside)) > 1:
        text.append(
            "The members of the ensemble do not agree on the number of rest states in "
            f"the visited range: {', '.join(map(str, inside))}."
        )
    arrays = {"behaviour/rests": np.array([r.y for r in first])} if first else {}
    return {"rests": rests, "text": text, "searched": len(found)}, arrays


def _is_inside(y: np.ndarray, law: Region) -> bool:
    return bool(np.all((y >= law.low) & (y <= law.high)))


def _one(
    rest: Equilibrium, found: list[list[Equilibrium]], law: Region
) -> dict[str, Any]:
    """A rest state as plain values, with its twins in the other members."""
    twins = [rest]
    for member in found[1:]:
        if not member:
            continue
        gaps = [np.abs((other.y - rest.y) / law.width).max() for other in member]
        if min(gaps) < NEAR:
            twins.append(member[int(np.argmin(gaps))])
    ys = np.array([twin.y for twin in twins])
    growth = np.array([twin.eigenvalues[0].real for twin in twins])
    nearest = cdist([rest.y / law.width], law.seen / law.width, "chebyshev").min()
    return {
        "y": rest.y.tolist(),
        "low": ys.min(0).tolist(),
        "high": ys.max(0).tolist(),
        "kind": rest.kind,
        "eigenvalues": [[float(v.real), float(v.imag)] for v in rest.eigenvalues],
        "growth": [float(growth.min()), float(growth.max())],
        "usual": float(np.median(growth)),
        "undecided": bool(growth.min() < 0 < growth.max()),
        "members": len(twins),
        "visited": _is_inside(rest.y, law),
        "nearest": float(nearest),
    }

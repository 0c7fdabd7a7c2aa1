"""The constants that vary, of each member of a family, in their own units."""

from __future__ import annotations

from collections import Counter
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from ._constants import Varying


def varying_names(known: list[dict[str, Any]]) -> list[str]:
    """Names of the constants that vary, from the `known` tables of a configuration, in
    the order of eta; with law and channel where a name stands twice."""
    each = [
        (name, law["term"], ", ".join(law.get("on") or ()))
        for law in known
        for name in law.get("varies") or ()
    ]
    often = Counter(name for name, _, _ in each)
    full = lambda name, term, on: f"{name} of {term}" + (f" on {on}" if on else "")
    return [full(*row) if often[row[0]] > 1 else row[0] for row in each]


def member_constants(
    model: Any,
    known: list[dict[str, Any]],
    eta: Float[np.ndarray, "eta"],
    sd: Float[np.ndarray, "eta"] | None = None,
) -> dict[str, tuple[float, float]]:
    """Name -> (value, standard deviation) of the constants that vary, of the member
    eta `"eta"` whose entries have standard deviations `sd` (NaN without)."""
    mine = lambda node: isinstance(node, Varying)
    nodes = [n for n in jax.tree.leaves(model, is_leaf=mine) if mine(n)]
    nodes = sorted(nodes, key=lambda node: node.entry)
    out = {}
    for name, node in zip(varying_names(known), nodes, strict=True):
        own = node.bind(eta)
        off = np.nan if sd is None else own.derivative() * float(sd[node.entry])
        out[name] = (float(own.value), off)
    return out

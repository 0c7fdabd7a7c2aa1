"""Study `physical`: networks parts of which are physical systems."""

from __future__ import annotations

from ._study import study


physical = study(
    "physical",
    "Networks parts of which are physical: training through a black box, layer by "
    "layer, by equilibria, reservoirs of device weights, few bits.",
)

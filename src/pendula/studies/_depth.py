"""Study `depth`: networks whose weights are a function of depth."""

from __future__ import annotations

from ._study import study


depth = study(
    "depth",
    "Image networks whose blocks are solved as differential equations in depth, beside "
    "residual networks of the same shape: accuracy, other schemes and steps, times.",
)

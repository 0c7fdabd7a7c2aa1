"""Study `continuity`: is a learned field continuous, or right for one step only?"""

from __future__ import annotations

from ._study import study


continuity = study(
    "continuity",
    "Shallow tanh networks are trained through one step of a scheme on exact one-step "
    "pairs of known systems; the convergence test then sweeps step and scheme. "
    "Everything in float64, tolerance 0.05 of the signal's spread.",
)

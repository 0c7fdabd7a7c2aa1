"""Which failure is it."""

from __future__ import annotations

from ._evidence import Evidence
from ._faults import FAULTS, chaos_horizon
from ._outcome import Outcome
from ._report import Diagnosis, SolveReport
from ._samples import Samples
from ._solution import Solution


ADVICE: dict[str, str] = {
    "ic_bc_incompatible": (
        "Carry the start by the diffusion of the equation, use a smoother one, or say "
        "periodic=False where it does not close."
    ),
    "blow_up": (
        "Ask for an earlier end of the time: what is shown beyond is no solution, and "
        "near it errors grow without bound."
    ),
    "chaos_horizon": "Compare and use the solution up to that time only; report it.",
    "overfit_collocation": "Take more collocation points, or fewer features.",
    "bandwidth": (
        "Take more multiples of periodic coordinates or larger slopes, or Gaussian "
        "features."
    ),
    "sharp_layer": (
        "Use graded windows and points in proportion to the residual, or the "
        "Lagrangian form."
    ),
    "not_propagated": "Solve in windows of time, by frozen features or Gauss-Newton.",
    "precision_floor": "Train in float64.",
    "gradient_conflict": (
        "Balance the terms of the loss, or use SOAP or Levenberg-Marquardt, which see "
        "them together."
    ),
    "ill_conditioned": (
        "Use a second-order method, and rescale the equation so that its terms are of "
        "one size."
    ),
    "errors_grow": (
        "Give a smaller tol, or an earlier end of the time; do not trust what this "
        "equation does from its start for so long."
    ),
    "under_optimised": (
        "Give more time or iterations, or use a second-order method (gauss_newton, "
        "quasi-Newton)."
    ),
}
"""Code of a failure -> what to do about it; what causes others comes first."""


def diagnose(
    solution: Solution,
    report: SolveReport,
    outcome: Outcome,
    *,
    chaos: bool = False,
    sampled: Samples | None = None,
) -> tuple[Diagnosis, ...]:
    """The failures whose evidence is there, in the order of `ADVICE`.

    All but `ic_bc_incompatible` need something to explain: a tolerance that was not
    reached, or an estimated error of twice as much.

    | code | evidence |
    |---|---|
    | ic_bc_incompatible | jumps of the start that the solution keeps |
    | blow_up | by the method of lines the solution changes ever faster, and ends before the end |
    | chaos_horizon | two solutions from starts 1e-8 apart part by 10 % before the end |
    | overfit_collocation | the residual between the points is 10 times that at them |
    | bandwidth | half of the residual's energy in waves that the features lack |
    | sharp_layer | the residual's largest value is 30 times its RMS outside the worst 2 % of the domain |
    | not_propagated | a small residual, and an invariant of the equation drifts by 5 %, or the estimated error is above 10 % and the end is flat |
    | precision_floor | float32, the loss falls by less than 1e-6 in 50 iterations (of a first-order method: looks at it), and by more in float64 |
    | gradient_conflict | alignment of the terms' gradients below 0, weights or residuals of terms 1e4 apart |
    | ill_conditioned | condition of Gauss-Newton above 1e12 (float32: 1e6), or, along the next step of a first-order method, curvature times length above 2 |
    | errors_grow | the residual keeps the tolerance, the estimated error is twice it and more |
    | under_optimised | stopped while the loss fell by 0.1 % in 50 iterations (looks), the damping moved tenfold, or windows were left |

    **Arguments:** `chaos`: whether twins are computed even where nothing has failed;
    `sampled`: of the solution, where they are at hand.
    **Source:** Krishnapriyan et al. 2021, arXiv:2109.01050 (propagation); Wang et al.
    2025, arXiv:2502.00604 (alignment of gradients).
    """  # noqa: E501 table
    evidence = Evidence(solution, report, outcome, sampled)
    found = []
    for code, advice in ADVICE.items():
        text = FAULTS[code](evidence)
        if chaos and code == "chaos_horizon":
            text = chaos_horizon(evidence, asked=True)
        if text:
            found.append(Diagnosis(code, text[0].upper() + text[1:] + ".", advice))
    return tuple(found)

"""From the numbers of a sweep to a verdict with its reasons."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from .._errors import Status
from ._convergence_result import Convergence
from ._words import listing, number


FARTHEST = 100.0  # S: a motion beyond has left the signal
CLOSES = 0.3  # by which the last slope may differ from the scheme's order
NEAR = 3.0  # a factor within which the predicted error is the one found
LARGE = 0.5  # of the signal: errors beyond tell no sizes
MILD = 0.7  # log10: a dip of a factor 5
ROUNDING = 1e-9  # of the signal: errors below are those of the arithmetic


def judge(c: Convergence) -> Convergence:
    """What was measured with its verdict, warning and reasons."""
    verdict, reasons = _verdict(c)
    warning = None
    if verdict == "continuous" and c.dip >= MILD and c.e_0 > ROUNDING:
        warning = "mild_dip"
        reasons.append(
            f"Mild dip: at the trained step the error is {number(10**c.dip)} times "
            "smaller than the field's own: below the tolerance the field was tuned to "
            "its step."
        )
    return dataclasses.replace(
        c, verdict=verdict, warning=warning, reasons=tuple(reasons)
    )


def _verdict(c: Convergence) -> tuple[str, list[str]]:
    tau = number(c.tolerance)
    unit = "of the signal"
    if c.status is not Status.ok or not c.left <= FARTHEST:
        if c.status is Status.ok:
            why = f"it leaves {number(FARTHEST)} times the signal's spread"
        else:
            why = (
                f"{c.status.name} at t = {number(c.t_fail)}, where it is singular or "
                "too stiff. Give an earlier t1, or check the field at that state"
            )
        return "unstable", [f"The field's own motion fails before t1: {why}."]
    if not math.isfinite(c.e_0):
        return _without_truth(c)
    both = (
        f"Error {number(c.e_train)} {unit} in {c.scheme_train} at the trained step "
        f"{number(c.h_train)}, {number(c.e_0)} for the field's own motion; tolerance "
        f"{tau}."
    )
    if c.predicted is not None and ROUNDING < c.predicted < math.inf:
        both = f"{both} {_compare(c.e_0, c.predicted, c.scheme_train)}"
    # of the error in the training scheme next to nothing is the scheme's
    alike = NEAR * c.gap <= c.e_train
    apart = f"Rollouts and own motion are {number(c.gap)} {unit} apart"
    if not c.e_train <= c.tolerance and c.e_0 > c.tolerance:
        why = "No usable discrete model"
        if alike:
            why = f"{apart}, and off alike: the field is wrong, or the truth noisy"
        return "poor", [both, f"{why}. Nothing follows on continuity."]
    if c.e_0 > c.tolerance and alike:
        return "inconclusive", [
            both,
            f"{apart}: they err alike, and the tolerance lies between them by chance.",
        ]
    if c.e_0 > c.tolerance:
        return "overfit_to_dt", [
            both,
            "It is right for the step it was trained with, and for no other.",
        ]
    if c.between > max(c.tolerance, NEAR * c.e_0):
        return "overfit_to_dt", [
            both,
            f"Midway between the samples its own motion is {number(c.between)} {unit} "
            f"away from the true one: samples {number(c.dt_train)} apart are too few "
            "to tell it. Take closer ones.",
        ]
    worse = _worse_below(c)
    far = _not_arrived(c)
    if not worse and not far:
        return "continuous", [both]
    reasons = [both]
    if worse:
        reasons.append(
            f"In {c.scheme_train} the error is above the tolerance at h = "
            f"{listing([number(h) for h in worse])}, of the steps up to the trained "
            "one."
        )
    if not c.e_train <= c.tolerance:
        reasons.append(
            "The field's own motion is right, its rollouts are not: solve it with more "
            "substeps or a scheme of higher order."
        )
    if far:
        reasons.append(
            f"{listing(far)} did not reach the field's own motion at the smallest "
            f"step, {number(c.hs[-1])}, nor close in at the order of the scheme. Give "
            "smaller steps (hs)."
        )
    return "inconclusive", reasons


def _without_truth(c: Convergence) -> tuple[str, list[str]]:
    """Only whether rollouts in the training scheme are the field's own motion."""
    gap = (
        f"Rollouts in {c.scheme_train} at the trained step {number(c.h_train)} are "
        f"{number(c.gap)} of the signal away from the field's own motion within a time "
        f"of {number(c.t1 - c.t0)}; tolerance {number(c.tolerance)}."
    )
    if c.gap <= c.tolerance:
        return "consistent_flow", [gap]
    return "depends_on_solver", [
        gap,
        "The forecast belongs to this scheme and step: keep both, or train with more "
        "substeps or a scheme of higher order.",
    ]


def _compare(found: float, predicted: float, scheme: str) -> str:
    """Was the scheme's error learned, or is the field off by more?"""
    ratio = found / predicted
    told = f"The error of {scheme} itself predicts {number(predicted)}: "
    apart = ratio > NEAR or ratio < 1.0 / NEAR
    if apart and min(found, predicted) > LARGE:  # one of the motions is lost
        return told + "both are as large as the signal, and cannot be compared."
    if ratio > NEAR:
        return told + "more is lost than it explains (little training, or few data)."
    if ratio < 1.0 / NEAR:
        return told + "the field did not learn the error of its scheme."
    return told + "the field learned the error of its scheme."


def _worse_below(c: Convergence) -> list[float]:
    """Steps up to the trained one at which the training scheme misses τ: also after
    what the field's own motion errs more at the few samples that such a step meets than
    at all of them."""
    fine = c.hs <= c.h_train * (1 + 1e-9)
    row = c.row(c.scheme_train)
    more = 0.0 if c.own_mean is None else np.maximum(c.own_mean - c.e_0, 0.0)
    return [float(h) for h in c.hs[fine & ~(row - more <= c.tolerance)]]


def _not_arrived(c: Convergence) -> list[str]:
    """Schemes that neither came within τ of the field's own motion nor close in."""
    far = []
    for name, apart in c.agreement.items():
        if apart <= c.tolerance:
            continue
        slope = c.order[name].last if name in c.order else np.nan
        if not abs(slope - c.orders_of[name]) <= CLOSES:
            far.append(name)
    return far

"""Failures one by one: the measurements that show them."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from ._evidence import Evidence, spectrum
from ._jumps import jumps, start_values


RATIO = 10.0  # of the residual between the points to that at them
DRIFT = 0.05  # of an invariant
WRONG = 0.1  # relative error at which a solution is not one
FLAT = 0.1  # of the start's variation
SMALL = 0.3  # relative residual that a training may call small
RECENT = 50  # iterations
MOVING = 1e-3  # relative decrease of the loss in the last 50 iterations
STALLED = 1e-6
CONDITION = {64: 1e12, 32: 1e6}
CURVED = 2.0  # of curvature times step, beyond which a gradient step overshoots
APART = 1e4  # of weights, or residuals, of two terms
BEYOND = 0.5  # of the residual's energy
PEAK, AREA = 30.0, 0.02


def overfit_collocation(e: Evidence) -> str:
    """Small at the points, large between them."""
    train = e.report.train.get("equation", math.nan)
    check = e.report.check.get("equation", math.nan)
    if not (e.failed and check > RATIO * train):
        return ""
    return (
        f"the equation's residual is {train:.2g} at the collocation points and "
        f"{check:.2g} between them, {check / max(train, 1e-300):.2g} times as much"
    )


def not_propagated(e: Evidence) -> str:
    """The equation holds nearly everywhere, and the start has been lost."""
    train = e.report.train.get("equation", math.inf)
    if not (e.failed and train < SMALL and e.solution.problem.time is not None):
        return ""
    begin = f"the residual at the points is only {train:.2g}, but "
    for name, drift, at in _drifts(e):
        if drift > DRIFT:
            return (
                f"{begin}the {name}, which the equation keeps, is off by "
                f"{100.0 * drift:.3g} % at t = {at:.3g}"
            )
    estimate = e.estimate
    flat = _flatness(e)
    if estimate is not None and estimate > WRONG and flat < FLAT:
        return (
            f"{begin}the estimated error is {estimate:.2g} and the solution varies "
            f"over space by {100.0 * flat:.2g} % of what it did at first"
        )
    return ""


def _drifts(e: Evidence) -> list[tuple[str, float, float]]:
    """Name, largest relative drift, and its time, of what the equation keeps."""
    form, sampled = e.form, e.samples
    domain = e.solution.problem.domain
    if isinstance(form, str) or domain is None or not all(domain.periodic):
        return []
    if any(form.cubic):
        return []
    divergence, _, g0, s = form.at(sampled.points())
    scale = 1e-9 * max(1.0, float(np.abs(divergence).max()))
    if np.abs(s).max() > scale:
        return []
    times = sampled.times.ravel()
    v = sampled.values[..., 0]
    mean = sampled.mean(v).ravel()
    energy = sampled.mean(v * v).ravel()
    first = _first(e)
    found = []
    if np.abs(divergence - g0).max() <= scale:
        gap = np.abs(mean - first[0]) / max(math.sqrt(first[1]), 1e-300)
        found.append(("mean", float(gap.max()), float(times[gap.argmax()])))
    odd = all(sum(orders) % 2 for orders in form.linear)
    if odd and np.abs(0.5 * divergence - g0).max() <= scale:
        gap = np.abs(energy / max(first[1], 1e-300) - 1.0)
        found.append(("energy", float(gap.max()), float(times[gap.argmax()])))
    return found


def _first(e: Evidence) -> tuple[float, float]:
    """Mean and mean square of the start that was asked for, of the first field."""
    value = _start_values(e)
    shares = e.samples.shares
    return float(shares @ value), float(shares @ value**2)


def _start_values(e: Evidence) -> np.ndarray:
    """The start at the points of space; the solution there where none is given."""
    problem = e.solution.problem
    zero = (0,) * len(problem.coords)
    space = e.samples.space
    start = problem.initials().get(0)
    if start is not None:
        return start_values(start.value, space)
    points = np.c_[space, np.full(len(space), problem.span()[0])]
    return e.solution.values(points, [zero])[zero][:, 0]


def _flatness(e: Evidence) -> float:
    """Variation over space in the last piece of time, over that of the start."""
    sampled = e.samples
    if len(sampled.space) < 2:
        return math.inf
    start = _start_values(e)
    spread = lambda v: np.sqrt(
        np.maximum(v**2 @ sampled.shares - (v @ sampled.shares) ** 2, 0.0)
    )
    last = sampled.values[-1, -1, :, 0]
    return float(spread(last) / max(float(spread(start)), 1e-300))


def errors_grow(e: Evidence) -> str:
    """A residual that is small everywhere, and an error that is not."""
    estimate, problem = e.estimate, e.solution.problem
    if not (e.failed and e.report.converged and problem.time and estimate):
        return ""
    if overfit_collocation(e):
        return ""
    return (
        f"the residual keeps the tolerance, also between the points, and the estimated "
        f"error is {estimate:.2g}: what the residual leaves grows in time"
    )


def under_optimised(e: Evidence) -> str:
    """Stopped while it was still getting better."""
    if not e.failed or e.report.converged:
        return ""
    problem = e.solution.problem
    if problem.time is not None:
        until = float(e.solution.windows.ends()[-1])
        t0, t1 = problem.time
        if until < t1 - 1e-9 * (t1 - t0):
            if e.outcome.ended:
                return ""  # more time would not help
            return f"the time was up at t = {until:.4g} of {t1:g}"
    s = e.signals
    if not s.get("stopped", 0.0):
        return ""
    falls, gradient = s.get("decrease"), s.get("gradient")
    damping = s.get("damping_change")
    if falls is not None and falls > MOVING:
        return (
            f"stopped after {e.report.iterations} iterations while the loss fell by "
            f"{100.0 * falls:.3g} % in the last {s.get('recent', RECENT):.0f}"
        )
    if damping is not None and abs(damping) > 1.0:
        return (
            f"stopped after {e.report.iterations} iterations while the damping still "
            f"changed, by a factor of {10.0 ** abs(damping):.2g} in the last 50"
        )
    if falls is None:
        rest = "" if gradient is None else f", gradient norm {gradient:.2g}"
        return f"stopped after {e.report.iterations} iterations{rest}"
    return ""


def precision_floor(e: Evidence) -> str:
    """Single precision sees no decrease that double precision sees."""
    s = e.signals
    falls = s.get("decrease", math.inf)
    if not (e.failed and s.get("bits") == 32.0 and falls < STALLED):
        return ""
    last = f"{s.get('recent', RECENT):.0f} iterations"
    begin = f"in float32 the loss fell by {falls:.1g} of itself in {last}"
    double = s.get("decrease64")
    if double is None:
        return begin
    if double <= STALLED:
        return ""
    return f"{begin}; evaluated in float64 one step lowers it by {100.0 * double:.2g} %"


def ill_conditioned(e: Evidence) -> str:
    """Directions of very different curvature. Least squares with frozen features is
    truncated and has no say here: its condition is large by its making."""
    s = e.signals
    if not e.failed:
        return ""
    bits = int(s.get("bits", 64.0))
    condition, overshoot = s.get("condition"), s.get("curvature_step")
    if condition is not None and condition > CONDITION.get(bits, 1e12):
        return f"the Gauss-Newton matrix has condition number {condition:.1e}"
    if overshoot is not None and overshoot > CURVED:
        return (
            f"the curvature along the next step times its length is {overshoot:.2g}, "
            "and above 2 a step raises the loss"
        )
    return ""


def gradient_conflict(e: Evidence) -> str:
    """Terms of the loss pull against each other, or one of them has no say."""
    s = e.signals
    if not e.failed:
        return ""
    alignment = s.get("alignment")
    if alignment is not None and alignment < 0.0:
        return f"the gradients of the terms have alignment {alignment:.2g}"
    weights = s.get("weight_ratio")
    if weights is not None and weights > APART:
        return f"the weights of the terms are {weights:.1e} apart"
    rows = {k: v for k, v in e.report.train.items() if v > 0.0 and math.isfinite(v)}
    if len(rows) > 1:
        low, high = min(rows, key=rows.__getitem__), max(rows, key=rows.__getitem__)
        if rows[high] > APART * rows[low]:
            return (
                f'residuals are {rows[high]:.1e} for "{high}" and {rows[low]:.1e} for '
                f'"{low}"'
            )
    return ""


def bandwidth(e: Evidence) -> str:
    """What is left has shorter waves than the features."""
    if not e.failed or e.lines is None or e.lines.features is None:
        return ""
    domain = e.solution.problem.domain
    assert domain is not None
    periodic = bool(domain.periodic[0])
    power = spectrum(e.lines.rows, periodic=periodic)
    own = spectrum(e.lines.features.T, periodic=periodic)
    band = feature_band(own)
    total = float(power[1:].sum())
    if total == 0.0:
        return ""
    beyond = float(power[band + 1 :].sum()) / total
    if beyond <= BEYOND:
        return ""
    peak = int(power[1:].argmax()) + 1
    return (
        f"{100.0 * beyond:.3g} % of the residual's energy lies in waves shorter than "
        f"the features have ({band} along x); the strongest has {peak}"
    )


def feature_band(power: np.ndarray) -> int:
    """The number of waves up to which features have an amplitude of a thousandth of
    their largest one."""
    seen = np.flatnonzero(power[1:] > 1e-6 * power[1:].max(initial=0.0))
    return int(seen.max(initial=0)) + 1


def ic_bc_incompatible(e: Evidence) -> str:
    """The start does not fit the ends, and the solution keeps the misfit."""
    found = jumps(e.solution.problem, e.solution.windows.form)
    return "; ".join(jump.text for jump in found)


def sharp_layer(e: Evidence) -> str:
    """Nearly all of the residual in a small part of the domain."""
    if not e.failed:
        return ""
    rest = _elsewhere(e)
    peak, place = float(e.size.max()), ""
    if e.lines is not None:
        rows = np.abs(e.lines.rows)
        line, point = np.unravel_index(rows.argmax(), rows.shape)
        peak = max(peak, float(rows.max()))
        place = f" (near x = {e.lines.x[point]:.4g}"
        if e.solution.problem.time is not None:
            place += f", t = {e.lines.times[line]:.4g}"
        place += ")"
    if not peak > PEAK * rest:
        return ""
    return (
        f"the residual's largest value{place} is {peak / max(rest, 1e-300):.3g} times "
        f"its RMS in the rest of the domain, the worst {100.0 * AREA:g} % left out"
    )


def _elsewhere(e: Evidence) -> float:
    """RMS of the residual where it is not among the worst few per cent."""
    share = e.samples.weights[:, :, None] * e.samples.shares
    share = np.broadcast_to(share, e.size.shape).ravel()
    order = np.argsort(e.size.ravel())
    kept = order[: np.searchsorted(np.cumsum(share[order]), (1.0 - AREA) * share.sum())]
    if not kept.size:
        return math.inf
    return float(np.sqrt(share[kept] @ e.size.ravel()[kept] ** 2 / share[kept].sum()))


def blow_up(e: Evidence) -> str:
    """There is no solution up to the end: what there is leaves every bound before."""
    if not e.failed or e.parting is None or e.parting.end is None:
        return ""
    end, t1 = e.parting.end, e.solution.problem.span()[1]
    return (
        f"by the method of lines the solution ends at t = {end:.4g} of {t1:g}: it "
        f"changes ever faster on its way there (size {e.parting.largest:.2g})"
    )


def chaos_horizon(e: Evidence, *, asked: bool = False) -> str:
    """Two solutions from starts 1e-8 apart part before the end."""
    problem, found = e.solution.problem, None
    if asked or e.failed:
        found = e.parting
    if found is None or found.horizon is None or found.end is not None:
        return ""
    assert problem.time is not None  # nothing parts without
    return (
        f"two solutions whose starts differ by 1e-8 have parted by 10 % at t = "
        f"{found.horizon:.4g}, before the end at {problem.time[1]:g}"
    )


FAULTS: dict[str, Callable[[Evidence], str]] = {
    "ic_bc_incompatible": ic_bc_incompatible,
    "blow_up": blow_up,
    "chaos_horizon": chaos_horizon,
    "overfit_collocation": overfit_collocation,
    "bandwidth": bandwidth,
    "sharp_layer": sharp_layer,
    "not_propagated": not_propagated,
    "precision_floor": precision_floor,
    "gradient_conflict": gradient_conflict,
    "ill_conditioned": ill_conditioned,
    "errors_grow": errors_grow,
    "under_optimised": under_optimised,
}
"""Code -> the evidence in words, "" where there is none."""

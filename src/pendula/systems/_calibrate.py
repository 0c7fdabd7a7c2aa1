"""The physical constants of a Slinky from bars that a camera followed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from .._checks import whole
from .._errors import ConfigError, DataError, DivergedError, nearest
from .._precision import precision
from ..data import Trajectories
from ._rod_fit import Linearised, levenberg, linearised
from ._rod_step import checked_integrator
from ._slinky import Slinky
from ._slinky_cases import SlinkyCase
from ._slinky_constants import CONSTANTS, SlinkyBars
from ._slinky_data import OF_A_BAR, bar_names, bar_units, check_units, length_of


SINGULAR = 1e-6  # of the largest singular value: below, the data say nothing
LEVEL = 0.95
REPEATS = 0.3  # correlation from frame to frame above which it is said
EARLY = (0.25, 0.5)  # shares of the record that are fitted before all of it


@dataclasses.dataclass(frozen=True, eq=False)
class Calibration:
    """What `calibrate` found.

    `values` of the free constants [SI] and their 95 % `intervals`; `covariance`
    `"free free"` of their logarithms, of the noise alone; `steps`: the share by which
    twice as long steps of the rod move each, which the intervals count; `noise` of a
    coordinate [m], the estimate that counts the constants; `rms` of the residuals [m];
    `correlation` of residuals from frame to frame: well above 0, the law is wrong
    somewhere and the intervals are too narrow; `samples`: coordinates that were there;
    `iterations`; `converged`, and the `reason` of stopping; `slinky` and `drag` with
    the values; times `ts`, the rod's `bars` and `residuals` `"time bar 3"` [m; the tilt
    times the radius], NaN where nothing was seen.
    """

    values: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    covariance: Float[np.ndarray, "free free"]
    steps: dict[str, float]
    noise: float
    rms: float
    correlation: float
    samples: int
    iterations: int
    converged: bool
    reason: str
    slinky: Slinky
    drag: float
    ts: Float[np.ndarray, "time"]
    bars: Float[np.ndarray, "time bar 3"]
    residuals: Float[np.ndarray, "time bar 3"]

    def __str__(self) -> str:
        rows = [f"{'constant':10}{'value':>12}  95 % interval"]
        for name, value in self.values.items():
            low, high = self.intervals[name]
            rows.append(
                f"{name:10}{value:12.5g}  {low:.5g} to {high:.5g} {CONSTANTS[name]}"
            )
        done = "converged" if self.converged else "NOT converged"
        rows.append(
            f"residual {1e3 * self.rms:.3g} mm rms over {self.samples} coordinates, "
            f"noise {1e3 * self.noise:.3g} mm; {done} after {self.iterations} "
            f"iterations ({self.reason})"
        )
        noise = 1.96 * np.sqrt(np.diag(self.covariance))
        rows += [
            f"{name}: twice as long steps move it by {100 * abs(moved):.2g} %, the "
            f"noise by {100 * own:.2g} %; a smaller dt narrows the interval"
            for (name, moved), own in zip(self.steps.items(), noise, strict=True)
            if abs(moved) > own
        ]
        if self.correlation > REPEATS:
            rows.append(
                f"residuals repeat themselves (correlation {self.correlation:.2f} from "
                "frame to frame): the set-up is not that of the recording, and the "
                "intervals are too narrow"
            )
        return "\n".join(rows)


def calibrate(
    case: SlinkyCase,
    tracks: Trajectories,
    free: Sequence[str] = ("youngs", "drag"),
    *,
    values: Mapping[str, float] | None = None,
    slinky: Slinky | None = None,
    dt: float = 1e-3,
    integrator: str = "bdf2",
    record: int = 0,
    max_iterations: int = 30,
) -> Calibration:
    r"""Constants of a Slinky from tracked bars, by least squares through the rod.

    $$ \min_p \sum_{t, i} |x_i - \tilde x_i|^2 + |y_i - \tilde y_i|^2
       + R^2 (\alpha_i - \tilde\alpha_i)^2, \quad p = \log(c / c_0) $$

    over whatever was seen; once from the start, once from what the first frames say
    (a motion that swings has other minima, a swing more or less), the better counts.
    Where top and bottom of a bar are followed equally well,
    x, y and R alpha are equally noisy. Levenberg-Marquardt (SciPy's trust region, which
    shrinks where a trial's motion fails) with exact derivatives of the solved steps;
    intervals of c from $s^2 (J^\top J)^{-1}$ in p, Student's t, and on both sides what
    twice as long steps move p by: more than those that are taken.

    **Arguments:** `case`: how it is held and let go, at time 0 of the tracks; `tracks`
    with channels `bar_names(cycles)`, x and y [m], alpha [rad], absent or missing ones
    left out, rates unused; `free`: of `youngs`, `density`, `pitch`, `drag`; `values`:
    starting values, and what others are known to be (default: those of the case);
    `slinky` (default: that of the case); `dt` [s] and `integrator` of the rod; `record`
    of the tracks.
    **Returns:** `Calibration`.
    **Raises:** `ConfigError` for names or starting values that cannot be;
    `DataError` for bars that are not those of the case, times outside of its motion,
    nothing seen, or constants that the tracks do not tell apart; `DivergedError` where
    the rod cannot be moved with the starting values.
    **Source:** Wang 2023, section 3.2.2, for calibrating a rod on a recording;
    More 1978 for the method.

    ```python
    >>> import numpy as np
    >>> from pendula.data import Trajectories
    >>> from pendula.systems import bar_names, calibrate, slinky_case
    >>> case = slinky_case("case2").smaller(cycles=2, seconds=1.0)
    >>> ts = np.arange(0.0, 1.0, 1.0 / 30.0)
    >>> tracks = Trajectories.from_arrays(ts, np.zeros((30, 6)), names=bar_names(2))
    >>> calibrate(case, tracks, free=["young"])  # docs/elastic-rod.md has more
    Traceback (most recent call last):
    pendula._errors.ConfigError: "young" is no constant of the rod. Did you mean
    "youngs"? Allowed: youngs, density, pitch, drag.

    ```
    """
    from scipy.stats import t as student

    machine = case.slinky if slinky is None else slinky
    free = tuple(free)
    start = _starting(case, machine, free, dict(values or {}))
    machine = _with(machine, start)
    checked_integrator(integrator)
    whole(1, max_iterations=max_iterations)
    ts, seen = tracked(case, tracks, record)
    if not (np.isfinite(dt) and 0.0 < dt <= ts[-1]):
        raise ConfigError(
            f"dt is {dt:g} s; it must be greater than 0 and no longer than the tracks "
            f"({ts[-1]:g} s)."
        )
    if machine.cycles != case.cycles:
        raise ConfigError(
            f"the Slinky has {machine.cycles} cycles, the case {case.cycles}. Give "
            "both the same."
        )
    there = np.isfinite(seen)
    count = int(there.sum())
    if count <= len(free):
        raise DataError(
            f"{count} coordinates were seen for {len(free)} constants. Give tracks "
            "with more samples that are there."
        )
    scale = np.array([1.0, 1.0, machine.radius])
    model = SlinkyBars.of(case, machine, start, free, ts, dt, integrator)

    def compared(
        p: np.ndarray, model: SlinkyBars = model
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        with precision(np.float64):
            bars, jac = map(np.asarray, linearised(model, jnp.asarray(p)))
        return bars, _apart(bars, seen) * scale, (jac * scale)[:, there].T

    first = np.zeros(len(free))
    bars, gap, jac = compared(first)
    if not np.isfinite(bars).all():
        raise DivergedError(
            f"the rod cannot be moved with the starting values ({_told(start)}). Take "
            "a smaller dt, or values nearer to the truth."
        )
    _check_told_apart(jac, free)

    def at(p: np.ndarray) -> Linearised:
        _, gap, jac = compared(p)
        return gap[there], jac

    when = np.broadcast_to(ts[:, None, None], seen.shape)[there]
    done = _best(at, (gap[there], jac), when, max_iterations)
    bars, gap, jac = compared(done.x)
    _check_told_apart(jac, free)
    variance = float(np.sum(gap[there] ** 2)) / (count - len(free))
    covariance = variance * np.linalg.inv(jac.T @ jac)
    coarse = compared(done.x, model.stepped(ts, 2.0 * dt))[0]
    off = (_apart(coarse, bars) * scale)[there]
    moved = np.linalg.lstsq(jac, off)[0] if np.isfinite(off).all() else 0.0 * first
    wide = student.ppf(0.5 * (1.0 + LEVEL), count - len(free))
    wide = wide * np.sqrt(np.diag(covariance)) + np.abs(moved)
    found = {k: float(start[k] * np.exp(p)) for k, p in zip(free, done.x, strict=True)}
    every = start | found
    return Calibration(
        found,
        {
            k: (float(found[k] * np.exp(-w)), float(found[k] * np.exp(w)))
            for k, w in zip(free, wide, strict=True)
        },
        covariance,
        dict(zip(free, moved.tolist(), strict=True)),
        float(np.sqrt(variance)),
        float(np.sqrt(np.mean(gap[there] ** 2))),
        _repeating(gap),
        count,
        int(done.nfev),
        bool(done.success),
        str(done.message).rstrip(".").replace("`", ""),
        _with(machine, every),
        every["drag"],
        ts,
        bars,
        gap,
    )


def _best(
    at: Callable[[np.ndarray], Linearised],
    there: Linearised,
    when: Float[np.ndarray, "seen"],
    most: int,
) -> Any:
    """The better of two fits: from the start, and from what first the early frames say,
    in which no swing has been lost or won yet."""
    first = np.zeros(there[1].shape[1])
    direct = levenberg(at, first, there, most)
    p, now = first, there
    for share in EARLY:
        early = when <= when.min() + share * np.ptp(when)
        if not _tells(now[1][early]):
            continue
        cut = lambda both, early=early: (both[0][early], both[1][early])
        p = levenberg(lambda p, cut=cut: cut(at(p)), p, cut(now), most).x
        now = at(p)
        if not np.isfinite(now[0]).all():
            return direct
    if p is first:
        return direct
    staged = levenberg(at, p, now, most)
    return staged if staged.cost < direct.cost else direct


def _apart(bars: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Their difference, tilts within half a turn."""
    gap = bars - others
    gap[..., 2] = (gap[..., 2] + np.pi) % (2.0 * np.pi) - np.pi
    return gap


def _tells(jac: Float[np.ndarray, "sample free"]) -> bool:
    """Whether samples tell all constants apart."""
    if len(jac) <= jac.shape[1]:
        return False
    s = np.linalg.svd(jac, compute_uv=False)
    return bool(s[-1] > SINGULAR * s[0])


def tracked(
    case: SlinkyCase, tracks: Trajectories, record: int = 0
) -> tuple[Float[np.ndarray, "time"], Float[np.ndarray, "time bar 3"]]:
    """Times and bars of a record, NaN where nothing was seen.

    **Raises:** `DataError` for bars that are not those of the case, other units than m
    and rad, times outside of its motion, or nothing seen.
    """
    names = bar_names(case.cycles)
    place = {name: divmod(k, len(OF_A_BAR)) for k, name in enumerate(names)}
    rates = {f"v{name}" for name in names}
    n = length_of(tracks, record)
    ts = tracks.ts[record, :n]
    seen = np.full((n, case.cycles, len(OF_A_BAR)), np.nan)
    found = set()
    check_units(tracks, dict(zip(names, bar_units(case.cycles), strict=False)))
    for j, name in enumerate(tracks.names):
        if name in rates:
            continue
        if name not in place:
            raise DataError(
                f'channel "{name}" is none of a Slinky of {case.cycles} cycles, whose '
                f"bars are {names[0]}, {names[1]}, {names[2]}, .. {names[-1]}. Rename "
                "or leave it out, or take the case of as many cycles as bars were "
                "followed."
            )
        bar, part = place[name]
        found.add(bar)
        mask: Bool[np.ndarray, "time"] = tracks.mask[record, :n, j]
        seen[:, bar, part] = np.where(mask, tracks.ys[record, :n, j], np.nan)
    if len(found) != case.cycles:
        missing = min(set(range(case.cycles)) - found)
        raise DataError(
            f"the tracks have {len(found)} bars and the case {case.cycles} cycles: "
            f"none of x{missing}, y{missing}, alpha{missing} is there. Bars that "
            "were not followed are columns without values."
        )
    if not np.isfinite(seen).any():
        raise DataError("no sample of the tracks is finite. Give tracked bars.")
    if ts[0] < 0.0 or ts[-1] > case.seconds + 1e-9:
        raise DataError(
            f"the tracks go from {ts[0]:g} to {ts[-1]:g} s, the case from 0 to "
            f"{case.seconds:g} s. Time 0 is when it is let go; cut the tracks, or give "
            "the case more seconds."
        )
    return ts, seen


def _starting(
    case: SlinkyCase, slinky: Slinky, free: tuple[str, ...], given: dict[str, float]
) -> dict[str, float]:
    """All constants where they begin. **Raises:** `ConfigError`."""
    for name in (*free, *given):
        if name not in CONSTANTS:
            raise ConfigError(
                f'"{name}" is no constant of the rod.{nearest(name, CONSTANTS)} '
                f"Allowed: {', '.join(CONSTANTS)}."
            )
    if not free or len(set(free)) < len(free):
        raise ConfigError(
            f"free is {free}: name at least one of {', '.join(CONSTANTS)}, each once."
        )
    wire = {"youngs", "density"} & {*free, *given}
    if slinky.section is not None and wire:
        raise ConfigError(
            f"{min(wire)} cannot be set: the Slinky has a section of its own. Leave "
            "the section out, or calibrate pitch and drag."
        )
    own = {k: float(getattr(slinky, k)) for k in CONSTANTS if k != "drag"}
    start = own | {"drag": float(case.drag)} | {k: float(v) for k, v in given.items()}
    for name, value in start.items():
        known = name == "drag" and name not in free and value == 0.0
        if not (np.isfinite(value) and (value > 0.0 or known)):
            raise ConfigError(
                f"{name} starts at {value:g}; it must be greater than 0"
                + (" to be found" if name in free else "")
                + f". Give another in values, in {CONSTANTS[name]}."
            )
    return start


def _with(slinky: Slinky, values: dict[str, float]) -> Slinky:
    """The machine with some constants."""
    new = {k: v for k, v in values.items() if k != "drag"}
    return dataclasses.replace(slinky, **new)


def _told(values: dict[str, float]) -> str:
    return ", ".join(f"{k} {v:.4g} {CONSTANTS[k]}" for k, v in values.items())


def _check_told_apart(
    jac: Float[np.ndarray, "sample free"], free: tuple[str, ...]
) -> None:
    """**Raises:** `DataError` for constants that may change together, the bars not
    moving."""
    if _tells(jac):
        return
    part = np.abs(np.linalg.svd(jac, full_matrices=False)[2][-1])
    which = [k for k, w in zip(free, part, strict=True) if w > 0.1 * part.max()]
    problem = f"say nothing of {which[0]}: the bars stay where they are when it changes"
    if which[1:]:
        problem = (
            f"do not tell {', '.join(which)} apart: the bars stay where they are when "
            "they change together"
        )
    raise DataError(
        f"the tracks {problem}. Take {which[-1]} out of free, with its known value, or "
        "watch another motion."
    )


def _repeating(gap: Float[np.ndarray, "time bar 3"]) -> float:
    """Correlation of residuals from one frame to the next; NaN for one frame."""
    both = gap[1:] * gap[:-1]
    good = np.isfinite(both)
    power = np.mean(gap[np.isfinite(gap)] ** 2)
    if not good.any() or power == 0.0:
        return float("nan")
    return float(np.mean(both[good]) / power)

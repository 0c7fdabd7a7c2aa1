"""The convergence test on a fitted model: does its forecast depend on the solver?"""

from __future__ import annotations

from typing import Any

import numpy as np

from .._checks import positive
from .._errors import ConfigError, DataError
from ..diagnostics import Convergence, convergence_test
from ._family import Family
from ._fitted import Fitted


LONGEST = 256  # sampling intervals that the test runs over
SHORTEST = 8
WIDEST = 16  # entries of a state, above which it runs over fewer
STARTS = "continuity/starts"
"""Where held-out forecasts begin, by its name in the arrays of a run."""
KNOTS = "continuity/knots"
"""For a model with inputs: the times of what drives one of these forecasts."""
DRIVE = "continuity/drive"
"""For a model with inputs: what drives one of these forecasts, at `KNOTS`."""
SYSTEMS = "continuity/systems"
"""Of a family: which system each start is of."""


def continuity(
    fitted: Fitted | Family,
    starts: Any = None,
    *,
    eta: Any = None,
    horizon: float | None = None,
    tolerance: float = 0.05,
    **more: Any,
) -> Convergence:
    """`pendula.diagnostics.convergence_test` of the middle member of a fit (of a
    family: of one system), in the scheme and step it was trained with, channels over
    their spread.

    **Arguments:**
    - `starts`: states `"traj dim"`; default: where held-out forecasts began (of the
      object that `fit` returns), for a model with inputs one of them with its inputs.
    - `eta`: of a family, which system; default: the training system nearest the mean.
    - `horizon`: time that is run over, in whole sampling intervals; default: as far as
      the verdict trusts the model, or, where it does not, as far as it was compared
      with data; within the bounds of `swept_horizon`. Never farther than the inputs
      are known.
    - `tolerance`: relative to the signal; `more`: `truth`, `true_field`, `drive`,
      `schemes`, `hs`, `t0` of the test. Without truth the verdict is `consistent_flow`
      or `depends_on_solver`.

    **Raises:** `DataError` for a model with inputs where no `drive` is given, and where
    there are no starts; `ConfigError` for a horizon below one sampling interval.
    """
    about = fitted.about
    if isinstance(fitted, Family):
        kept: dict[str, Any] = {}
        model = fitted.at(_central(fitted) if eta is None else eta)
        dt, inputs = about["every"] * about["sampling"], ["u"] * about["ctrl"]
    else:
        kept, model = fitted.arrays or {}, fitted.model()
        dt, inputs = float(about["step"]), about["input_names"]
    substeps = model.substeps
    if model.stride > 1 and not inputs:  # with inputs each sampling interval is stepped
        dt, substeps = dt * model.stride, 1
    if starts is None and STARTS in kept:
        starts = kept[STARTS]
        if "drive" not in more and KNOTS in kept:
            more["drive"] = (kept[KNOTS], kept[DRIVE])
    if inputs and "drive" not in more:
        raise DataError(
            f"the model has inputs ({', '.join(inputs)}): the test needs them as "
            "drive, one knot at each sample."
        )
    if starts is None:
        raise DataError(
            "there are no states to start from; give starts, or test the object that "
            "fit returns."
        )
    if horizon is None:
        tested = getattr(fitted, "intervals", None)
        trusted = (about.get("verdict") or {}).get("trust_to")
        wanted = trusted or (tested.trusted_to if tested else 0.0)
        horizon = swept_horizon(dt, starts, float(wanted))
    positive("continuity", horizon=horizon)
    count = round(horizon / dt)
    if count < 1:
        raise ConfigError(
            f"continuity: horizon is {horizon:g}, less than one sampling interval "
            f"({dt:g}). Give a longer one."
        )
    if "drive" in more:
        known = float(np.max(more["drive"][0]))
        count = min(count, int(known / dt * (1.0 + 1e-9)))
        if count < 1:
            raise DataError(
                f"the inputs are known over {known:g}, less than one sampling interval "
                f"({dt:g}). Give longer ones."
            )
    t0 = float(more.pop("t0", 0.0))
    seen = list(model.observed)
    return convergence_test(
        model.field,
        starts,
        t0 + count * dt,
        t0=t0,
        dt_train=dt,
        scheme_train=model.scheme,
        substeps=substeps,
        observe=lambda states: states[..., seen],
        scale=about["spread"],
        tolerance=tolerance,
        **more,
    )


def swept_horizon(dt: float, starts: Any, wanted: float) -> float:
    """A time near the wanted one that a test is affordable over: 8 to 256 sampling
    intervals `dt`, fewer for states of more than 16 entries, such as a chain of bars.
    """
    dim = np.shape(starts)[-1] if np.ndim(starts) else 1
    longest = max(SHORTEST, LONGEST * WIDEST // max(WIDEST, dim))
    return float(np.clip(round(wanted / dt), SHORTEST, longest)) * dt


def _central(family: Family) -> np.ndarray:
    """Eta of the training system nearest the mean."""
    away = family.etas - family.mean
    far = np.einsum("se,ef,sf->s", away, np.linalg.inv(family.covariance), away)
    return family.etas[int(np.argmin(far))]

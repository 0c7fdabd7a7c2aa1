"""The convergence test on a fitted model: does its forecast depend on the solver?"""

from __future__ import annotations

from typing import Any

import numpy as np

from .._errors import DataError
from ..diagnostics import Convergence, convergence_test
from ._fitted import Fitted


LONGEST = 256  # sampling intervals that the test runs over
SHORTEST = 8
STARTS = "continuity/starts"  # in the arrays of a run: where held-out forecasts begin
KNOTS = "continuity/knots"  # and, for a model with inputs, what drives one of them
DRIVE = "continuity/drive"


def continuity(
    fitted: Fitted,
    starts: Any = None,
    *,
    horizon: float | None = None,
    tolerance: float = 0.05,
    **more: Any,
) -> Convergence:
    """`pendula.diagnostics.convergence_test` of the middle member of a fit, in the
    scheme and step it was trained with, channels over their spread.

    **Arguments:**
    - `starts`: states `"traj dim"`; default: where held-out forecasts began (of the
      object that `fit` returns), for a model with inputs one of them with its inputs.
    - `horizon`: time that is run over; default: as far as the verdict trusts the model,
      8 to 256 sampling intervals, and no farther than the inputs are known.
    - `tolerance`: relative to the signal; `more`: `truth`, `true_field`, `drive`,
      `schemes`, `hs`, `t0` of the test. Without truth the verdict is `consistent_flow`
      or `depends_on_solver`.

    **Raises:** `DataError` for a model with inputs where no `drive` is given, and where
    there are no starts.
    """
    about, kept = fitted.about, fitted.arrays or {}
    if starts is None and STARTS in kept:
        starts = kept[STARTS]
        if "drive" not in more and KNOTS in kept:
            more["drive"] = (kept[KNOTS], kept[DRIVE])
    if about["input_names"] and "drive" not in more:
        raise DataError(
            f"the model has inputs ({', '.join(about['input_names'])}): the test needs "
            "them as drive, one knot at each sample."
        )
    if starts is None:
        raise DataError(
            "there are no states to start from; give starts, or test the object that "
            "fit returns."
        )
    model = fitted.model()
    dt = float(about["step"])
    if horizon is None:
        horizon = float((about.get("verdict") or {}).get("trust_to") or 0.0)
    count = int(np.clip(round(horizon / dt), SHORTEST, LONGEST))
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
        substeps=model.substeps,
        observe=lambda states: states[..., seen],
        scale=about["spread"],
        tolerance=tolerance,
        **more,
    )

"""How inputs run between samples: held, straight, or along a cubic spline."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from jaxtyping import Float

from .._checks import choice


InputKind = Literal["held", "linear", "spline"]
"""How an input runs between its samples."""


def check_input_kind(kind: str) -> InputKind:
    """``kind`` itself; ``ConfigError`` when it is none of the three."""
    allowed = get_args(InputKind)
    choice("input interpolation", kind, allowed)
    return kind  # type: ignore[return-value]  # checked on the line above


def input_path(
    ts: np.ndarray, us: np.ndarray, kind: str = "spline"
) -> Float[np.ndarray, "step 4 ctrl"]:
    r"""Polynomial coefficients of the inputs on every sampling interval.

    $$ u(t_k + s) = c_{k0} + c_{k1} s + c_{k2} s^2 + c_{k3} s^3 $$

    **Arguments:** `ts` `"time"`, increasing; `us` `"time ctrl"`; `kind`:
    `"held"` (zero-order hold), `"linear"`, or `"spline"` (not-a-knot cubic; with
    fewer than four samples it is linear).
    **Returns:** float64 coefficients `"step 4 ctrl"`. Intervals of length 0
    (padding) hold the value.
    """
    check_input_kind(kind)
    ts, us = np.asarray(ts, np.float64), np.asarray(us, np.float64)
    out = np.zeros((len(ts) - 1, 4, us.shape[1]))
    out[:, 0] = us[:-1]
    real = np.concatenate([[True], np.diff(ts) > 0])
    n = int(real.sum())
    if kind == "held" or n < 2:
        return out
    if kind == "linear" or n < 4:
        out[: n - 1, 1] = np.diff(us[:n], axis=0) / np.diff(ts[:n])[:, None]
    else:
        from scipy.interpolate import CubicSpline  # 0.2 s: only when it is used

        spline = CubicSpline(ts[:n], us[:n], axis=0)
        out[: n - 1] = np.moveaxis(spline.c[::-1], 0, 1)
    return out

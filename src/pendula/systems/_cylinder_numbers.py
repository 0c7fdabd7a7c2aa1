"""What is measured of a wake: frequency of shedding, forces, length of the bubble."""

from __future__ import annotations

import dataclasses
import math
import warnings

import numpy as np
from jaxtyping import Float

from .._errors import DataWarning
from ._cylinder_grid import RADIUS, CylinderMesh, barycentric


QUIET = 1e-6  # a lift that stays below does not oscillate
COARSE = 0.1  # share of the highest modes, above which forces are seen to be wrong


@dataclasses.dataclass(frozen=True)
class WakeNumbers:
    """Forces on a cylinder over a stretch of time, as coefficients 2 F / (D U^2).

    `drag`, `lift`: means; `drag_amplitude`, `lift_amplitude`: half of largest less
    smallest; `lift_rms` about the mean; `strouhal`: frequency of the lift times D/U;
    `period_change`: longest less shortest period, over their mean; `num_periods`:
    periods seen; `lift_change`: by which share the swings of the lift are larger in the
    last of them than in the first (below 0: they die out). Means are over whole
    periods where there are any; without any the frequency is NaN, without a second one
    the change.
    """

    strouhal: float
    drag: float
    drag_amplitude: float
    lift: float
    lift_amplitude: float
    lift_rms: float
    period_change: float
    num_periods: int
    lift_change: float


def wake_numbers(
    ts: Float[np.ndarray, "step"],
    drag: Float[np.ndarray, "step"],
    lift: Float[np.ndarray, "step"],
) -> WakeNumbers:
    """Numbers of a stretch of drag and lift, equally spaced.

    ```python
    >>> import numpy as np
    >>> from pendula.systems import wake_numbers
    >>> t = np.linspace(0, 40, 4001)
    >>> lift = 0.3 * np.sin(2 * np.pi * 0.16 * t)
    >>> found = wake_numbers(t, 1.3 + 0.1 * lift**2, lift)
    >>> round(found.strouhal, 6), round(found.lift_amplitude, 4), found.num_periods
    (0.16, 0.3, 5)

    ```
    """
    swing = lift - 0.5 * (lift.max() + lift.min())
    up = np.flatnonzero((swing[:-1] < 0.0) & (swing[1:] >= 0.0))
    amplitude, whole = 0.5 * float(np.ptp(lift)), slice(None)
    strouhal = change = larger = math.nan
    if len(up) > 1 and amplitude > QUIET:
        step = np.diff(ts[[0, 1]])[0]
        at = ts[up] - step * swing[up] / (swing[up + 1] - swing[up])
        periods = np.diff(at)
        strouhal = float(1.0 / periods.mean())
        change = float(np.ptp(periods) / periods.mean())
        whole = slice(up[0] + 1, up[-1] + 1)
        if len(up) > 2:
            first, last = (np.ptp(lift[up[k] : up[k + 1]]) for k in (0, -2))
            larger = float(last / first - 1.0)
    return WakeNumbers(
        strouhal,
        float(drag[whole].mean()),
        0.5 * float(np.ptp(drag)),
        float(lift[whole].mean()),
        amplitude,
        float(lift[whole].std()),
        change,
        0 if math.isnan(strouhal) else len(up) - 1,
        larger,
    )


def growth_rate(
    ts: Float[np.ndarray, "step"], lift: Float[np.ndarray, "step"]
) -> float:
    """Rate at which the swings of a lift grow (below 0: die out), from its peaks."""
    size = np.abs(lift - lift.mean())
    peaks = 1 + np.flatnonzero((size[1:-1] > size[:-2]) & (size[1:-1] >= size[2:]))
    if len(peaks) < 3:
        return math.nan
    return float(np.polyfit(ts[peaks], np.log(size[peaks]), 1)[0])


def bubble_length(
    mesh: CylinderMesh, psi: Float[np.ndarray, "part mode node"]
) -> float:
    """Length of the bubble behind the cylinder [D]: from its rear to where the flow on
    the axis turns downstream; 0 where it never flows back."""
    n = np.arange(psi.shape[1])
    n[1:] *= 2  # modes below 0 add the conjugate
    # u_r r = psi_theta at theta = 0: the real part of i n psi_n
    out = -n @ psi[1]
    far = min(math.log(10.0 / RADIUS), mesh.length)
    xi = np.linspace(0.0, far, 4000)[1:]
    flow = barycentric(mesh.xi, xi) @ out
    turns = np.flatnonzero((flow[:-1] < 0.0) & (flow[1:] >= 0.0))
    if not len(turns):
        return 0.0
    k = turns[0]
    at = xi[k] - flow[k] * (xi[k + 1] - xi[k]) / (flow[k + 1] - flow[k])
    return float(RADIUS * math.expm1(at))


def step_limit(mesh: CylinderMesh, psi: Float[np.ndarray, "part mode node"]) -> float:
    """About the longest time step for a flow: half of the time in which it crosses the
    distance of two angles."""
    first = mesh.differentiate(psi[0] + 1j * psi[1])  # mode, node
    around = np.fft.irfft(first.T, mesh.num_angular, norm="forward")
    speed = np.abs(around).max(axis=1) / mesh.radii
    spacing = mesh.radii * (2.0 * np.pi / mesh.num_angular)
    return float(np.min(0.5 * spacing / np.maximum(speed, 1e-300)))


def angular_tail(omega: Float[np.ndarray, "time part mode node"]) -> float:
    """Vorticity in the highest eighth of the modes around the cylinder, over that of
    the strongest mode: small where the angles resolve the flow."""
    size = np.hypot(omega[:, 0], omega[:, 1]).max(axis=(0, 2))
    most = float(size.max())
    return float(size[-(-(len(size) * 7) // 8) :].max()) / most if most > 0.0 else 0.0


def warn_coarse(tail: float) -> None:
    """A `DataWarning` for a flow that its angles do not resolve."""
    if tail > COARSE:
        warnings.warn(
            f"the mesh is too coarse for this flow: its highest modes hold "
            f"{100 * tail:.0f} % of the vorticity of the strongest one, and forces and "
            "frequency may be off by as much. Lower re, or take a CylinderMesh of more "
            "angles and radii with shorter steps.",
            DataWarning,
            stacklevel=3,
        )

"""Fields on a circle by Fourier series and exponential time steps.

Written by hand although exponax has the same scheme: that one steps faster, but only
after compiling for every new setting, and is an optional extra. This is the classical
rival whose time is quoted beside each learned solution: a few lines of NumPy that
anyone could run, with nothing to wait for. A test compares the two.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from jaxtyping import Complex, Float
from numpy.typing import ArrayLike

from .._checks import positive, whole
from .._errors import ConfigError, DivergedError, ShapeError


_CIRCLE = np.exp(2j * np.pi * (np.arange(32) + 0.5) / 32)
"""Points of the contour, 32 as in the paper; none on the real axis."""


def etdrk4(
    linear_symbol: Callable[[Any], Any],
    nonlinear: Callable[[Any], Any] | None,
    u0: ArrayLike,
    length: float,
    times: ArrayLike,
    *,
    dt: float,
    dealias: bool = True,
    derivative: int = 0,
) -> Float[np.ndarray, "t x"]:
    r"""A field on a circle, by Fourier series in space and ETDRK4 in time.

    $$ u_t = L u + \partial_x^m f(u), \quad
       L\,e^{ikx} = \lambda(k)\,e^{ikx}, \quad x \in [0, P) \text{ periodic} $$

    The classical steps: (1) go to Fourier space, where L is a number a mode; (2) let
    each mode grow by $e^{\lambda \tau}$ exactly, which takes away all stiffness of L;
    (3) add f, computed on the nodes, by the four stages of Cox and Matthews, whose
    coefficients are contour integrals because their formulas cancel at small
    $\lambda \tau$; (4) land on each output time.

    **Shapes and units**: `u0` `"x"`, values at 0, P/n, .., P - P/n; `times` `"t"`.
    **Arguments:**
    - `linear_symbol`: $\lambda$ of the wave numbers k = 0, 2 pi / P, .. (an array);
      real or complex.
    - `nonlinear`: f, from values on the nodes to values on the nodes; None: none, and
      the result is exact in time.
    - `length`: P > 0.
    - `times`: where the field is wanted, increasing, from 0 on; `u0` is at 0.
    - `dt`: longest step; each interval is cut into equal steps no longer than it.
    - `dealias`: let f see, and give to, the lower two thirds of the modes only, so
      that products of two fields are exact; the other modes follow L alone.
    - `derivative`: m.

    **Returns:** the field at `times`, float64.
    **Raises:** `ConfigError`, `ShapeError` for settings that cannot be used,
    `DivergedError` when the field leaves the finite numbers.
    **Behaviour / good values:** the error falls as dt^4, and with the number of nodes
    faster than any power where the field is smooth. The step is limited by f only.
    **Source:** Cox and Matthews, Exponential time differencing for stiff systems,
    J. Comput. Phys. 176, 2002, equations 26-29; Kassam and Trefethen, Fourth-order
    time-stepping for stiff PDEs, SIAM J. Sci. Comput. 26, 2005, 1214-1233.

    ```python
    >>> import numpy as np
    >>> from pendula.systems import etdrk4
    >>> x = 2 * np.pi * np.arange(64) / 64
    >>> u = etdrk4(lambda k: -0.1 * k**2, lambda u: -0.5 * u**2, np.sin(x), 2 * np.pi,
    ...            [0.0, 1.0], dt=0.01, derivative=1)  # Burgers' equation
    >>> u.shape, float(np.round(u[1].max(), 6))
    ((2, 64), 0.900823)

    ```
    """
    field = np.array(u0, np.float64)
    if field.ndim != 1 or len(field) < 4:
        raise ShapeError(
            f"u0 has shape {field.shape}; values on at least 4 nodes of the circle "
            'are needed, "x".'
        )
    when = check_march(field, length, times, dt)
    whole(0, derivative=derivative)
    n = len(field)
    k = 2.0 * np.pi / length * np.arange(n // 2 + 1)
    symbol = _symbol(linear_symbol, k, n)
    change = None
    if nonlinear is not None:
        _check_nonlinear(nonlinear, field)
        kept = (n + 2) // 3 if dealias else n // 2 + 1  # 3 k < n
        factor = (1j * k) ** derivative if derivative else np.ones(len(k))
        factor[kept:] = 0.0
        if n % 2 == 0 and derivative % 2:  # the derivative of the alternating mode
            factor[-1] = 0.0
        irfft, rfft = np.fft.irfft, np.fft.rfft
        change = lambda v: factor * rfft(nonlinear(irfft(v[:kept], n)))
    found = np.empty((len(when), n))
    with np.errstate(over="ignore", invalid="ignore"):
        for i, v in enumerate(march(np.fft.rfft(field), symbol, change, when, dt)):
            found[i] = np.fft.irfft(v, n) if when[i] > 0.0 else field
            check_finite(found[i], when[i], dt)
    return found


def fourier_interpolate(
    u: Float[np.ndarray, "t n"], length: float, x: ArrayLike
) -> Float[np.ndarray, "t x"]:
    r"""Fields on the nodes of a circle, between the nodes: the sum of their Fourier
    series, which is exact for what the nodes can tell apart.

    $$ u(x) = \sum_k \hat u_k e^{2 \pi i k x / P} $$

    **Shapes and units**: `u` `"t n"`, values at 0, P/n, ..; `x` `"x"`, anywhere (the
    fields repeat themselves).
    **Arguments:** `length` P > 0.
    **Returns:** `"t x"`.
    **Raises:** `ConfigError` for a length that is not positive, `ShapeError` for fields
    of another shape.
    **Source:** Trefethen, Spectral Methods in MATLAB, SIAM 2000, chapter 3.

    ```python
    >>> import numpy as np
    >>> from pendula.systems import fourier_interpolate
    >>> x = 2 * np.pi * np.arange(8) / 8
    >>> u = fourier_interpolate(np.sin(2 * x)[None], 2 * np.pi, [0.3])
    >>> bool(abs(u[0, 0] - np.sin(0.6)) < 1e-14)
    True

    ```
    """
    positive(length=length)
    u = np.asarray(u, np.float64)
    if u.ndim != 2:
        raise ShapeError(f'u has shape {u.shape}; fields "t n" are needed.')
    n = u.shape[1]
    place = np.asarray(x, np.float64) / length * n  # in spacings
    nearest = np.rint(place)
    if np.all(np.abs(place - nearest) <= 1e-13 * n):  # all points are nodes
        return u[:, nearest.astype(np.int64) % n]
    modes = np.ascontiguousarray(np.fft.rfft(u, axis=1))
    return modes.view(np.float64) @ series(place, n).T


def series(place: Float[np.ndarray, "x"], n: int) -> Float[np.ndarray, "x modes"]:
    """What each mode of `rfft`, as its real and imaginary parts in turn, adds at
    `place` (in spacings)."""
    k = np.arange(n // 2 + 1)
    weight = np.full(len(k), 2.0 / n)
    weight[0] = 1.0 / n
    if n % 2 == 0:
        weight[-1] = 1.0 / n
    angle = 2.0 * np.pi / n * np.outer(place % n, k)
    terms = np.stack([weight * np.cos(angle), -weight * np.sin(angle)], axis=2)
    if n % 2 == 0:  # the alternating mode is a cosine
        terms[:, -1, 1] = 0.0
    return terms.reshape(len(place), -1)


def etd_coefficients(
    symbol: np.ndarray, step: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    r"""$e^z, e^{z/2}$ and the four weights of the stages, z = step times symbol:
    means over a circle of radius 1 around z (Kassam and Trefethen, section 3)."""
    z = step * symbol
    r = z[:, None] + _CIRCLE
    e, cube = np.exp(r), r**3
    means = (
        (np.exp(0.5 * r) - 1.0) / r,
        (-4.0 - r + e * (4.0 - 3.0 * r + r**2)) / cube,
        2.0 * (2.0 + r + e * (r - 2.0)) / cube,
        (-4.0 - 3.0 * r - r**2 + e * (4.0 - r)) / cube,
    )
    q, f1, f2, f3 = (step * each.mean(axis=1) for each in means)
    if np.isrealobj(symbol):
        q, f1, f2, f3 = q.real, f1.real, f2.real, f3.real
    return np.exp(z), np.exp(0.5 * z), q, f1, f2, f3


def march(
    v: np.ndarray,
    symbol: np.ndarray,
    change: Callable[[Any], Any] | None,
    times: np.ndarray,
    dt: float,
    coefficients: Callable[[Any, float], tuple[Any, ...]] = etd_coefficients,
) -> Iterator[np.ndarray]:
    """The modes at each of `times`, by steps of ETDRK4 that land there; `change` is
    the nonlinear part, modes to modes."""
    last, made = 0.0, (0, 0.0)
    e = e2 = q = f1 = f2 = f3 = np.zeros(1)
    rounding = 4.0 * np.finfo(np.float64).eps * float(times[-1])
    for goal in times:
        gap = float(goal) - last
        last = float(goal)
        steps = math.ceil(gap / dt * (1.0 - 1e-12)) if change else int(gap > 0.0)
        if steps and (steps != made[0] or abs(gap - made[1]) > rounding):
            made = (steps, gap)
            if change is None:
                e = np.exp(gap * symbol)
            else:
                e, e2, q, f1, f2, f3 = coefficients(symbol, gap / steps)
        for _ in range(steps):
            if change is None:
                v = e * v
                continue
            n0 = change(v)
            far = e2 * v
            a = far + q * n0
            na = change(a)
            nb = change(far + q * na)
            nc = change(e2 * a + q * (2.0 * nb - n0))
            v = e * v + f1 * n0 + f2 * (na + nb) + f3 * nc
        yield v


def check_march(
    field: np.ndarray, length: float, times: ArrayLike, dt: float
) -> Float[np.ndarray, "t"]:
    """The output times, checked like what starts and steps towards them."""
    positive(length=length, dt=dt)
    if not np.all(np.isfinite(field)):
        raise ConfigError("The initial field holds NaN or infinity; it must be finite.")
    when = np.array(times, np.float64)
    if when.ndim != 1 or not len(when):
        raise ShapeError(
            f'times has shape {when.shape}; a list of times "t" is needed.'
        )
    if not np.all(np.isfinite(when)) or when[0] < 0.0 or np.any(np.diff(when) <= 0.0):
        raise ConfigError(
            "times must be finite and increase, from 0 or later; the initial field is "
            "that of time 0."
        )
    return when


def check_finite(field: np.ndarray, time: float, dt: float) -> None:
    """Say where a march left the finite numbers."""
    if not np.all(np.isfinite(field)):
        raise DivergedError(
            f"The field is not finite at time {time:.6g}, with steps of at most "
            f"{dt:.3g}: shorten dt, or check the sign of the linear symbol."
        )


def _symbol(
    linear_symbol: Callable[[Any], Any], k: np.ndarray, n: int
) -> Float[np.ndarray, "k"] | Complex[np.ndarray, "k"]:
    """The linear symbol at `k`, checked; that of the alternating mode is real, as
    the nodes see its cosine only."""
    symbol = np.array(linear_symbol(k))
    if symbol.shape not in ((), k.shape) or symbol.dtype.kind not in "iufc":
        raise ShapeError(
            f"linear_symbol returned shape {symbol.shape}, type {symbol.dtype}; it "
            f"must return one number for each of the {len(k)} wave numbers."
        )
    if not np.all(np.isfinite(symbol)):
        raise ConfigError("linear_symbol returned NaN or infinity.")
    kind = np.complex128 if np.iscomplexobj(symbol) else np.float64
    symbol = np.broadcast_to(symbol, k.shape).astype(kind)
    if n % 2 == 0:
        symbol[-1] = symbol[-1].real
    return symbol


def _check_nonlinear(nonlinear: Callable[[Any], Any], field: np.ndarray) -> None:
    """Refuse a function that does not map real nodes to real nodes."""
    found = np.asarray(nonlinear(field.copy()))
    if found.shape != field.shape or np.iscomplexobj(found):
        raise ShapeError(
            f"nonlinear returned shape {found.shape}, type {found.dtype}, for a field "
            f"of shape {field.shape}; it must return real values on the same nodes."
        )

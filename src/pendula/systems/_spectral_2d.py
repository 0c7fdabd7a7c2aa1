"""Flow on a torus: vorticity by Fourier series and exponential time steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.fft
from jaxtyping import Float
from numpy.typing import ArrayLike

from .._checks import positive
from .._errors import ConfigError, ShapeError
from ._spectral import (
    check_finite,
    check_march,
    etd_coefficients,
    march,
    series,
)


# Faster than NumPy's in two dimensions; its type stubs speak of dispatch, not arrays.
_forward: Callable[..., Any] = scipy.fft.rfft2
_inverse: Callable[..., Any] = scipy.fft.irfft2


def navier_stokes_torus(
    w0: ArrayLike,
    nu: float,
    times: ArrayLike,
    *,
    dt: float,
    length: float = 2.0 * np.pi,
    mean_velocity: tuple[float, float] = (0.0, 0.0),
    dealias: bool = True,
) -> Float[np.ndarray, "t x y"]:
    r"""Vorticity of a plane flow that repeats itself in both directions.

    $$ w_t + (U + u) \cdot \nabla w = \nu \Delta w, \quad
       u = (\psi_y, -\psi_x), \quad -\Delta \psi = w $$

    Viscosity and mean velocity are exact, a number a mode; the rest is ETDRK4 as in
    `etdrk4`. What the flow carries is the curl of div (u u), from the two products
    $u_1 u_2$ and $u_2^2 - u_1^2$: four transforms a stage instead of five.

    **Shapes and units**: `w0` `"x y"` with as many nodes each way, values at 0, P/n,
    ..; `times` `"t"`.
    **Arguments:**
    - `nu`: viscosity >= 0.
    - `times`: increasing, from 0 on; `w0` is at 0. Its mean must be 0.
    - `dt`: longest step; each interval is cut into equal steps no longer than it.
    - `length`: P > 0, each way.
    - `mean_velocity`: U.
    - `dealias`: the two thirds rule, in each direction.

    **Returns:** the vorticity at `times`, float64.
    **Raises:** `ConfigError`, `ShapeError` for settings that cannot be used,
    `DivergedError` when the field leaves the finite numbers.
    **Behaviour / good values:** dt below P / (n max |u|), the time in which the flow
    crosses a spacing. Energy falls at the rate of `nu` times the mean square of w.
    **Source:** Canuto, Hussaini, Quarteroni and Zang, Spectral Methods: Evolution to
    Complex Geometries, Springer 2007, section 3.3 (pseudo-spectral vorticity); the two
    products: Basdevant, Technical improvements for direct numerical simulation of
    homogeneous three-dimensional turbulence, J. Comput. Phys. 50, 1983, 209-214; time
    steps as in `etdrk4`.

    ```python
    >>> import numpy as np
    >>> from pendula.systems import navier_stokes_torus
    >>> x = 2 * np.pi * np.arange(16) / 16
    >>> w0 = np.cos(x)[:, None] * np.cos(x)[None]  # Taylor and Green: it only decays
    >>> w = navier_stokes_torus(w0, 0.1, [1.0], dt=0.1)
    >>> bool(np.allclose(w[0], np.exp(-0.2) * w0, atol=1e-14))
    True

    ```
    """
    field = _square(w0)
    when = check_march(field, length, times, dt)
    if not (np.isfinite(nu) and nu >= 0.0):
        raise ConfigError(f"nu is {nu}; viscosity must be finite and not negative.")
    if not np.all(np.isfinite(mean_velocity)):
        raise ConfigError(f"mean_velocity is {mean_velocity}; it must be finite.")
    if abs(field.mean()) > 1e-12 * max(np.abs(field).max(), 1e-300):
        raise ConfigError(
            f"w0 has mean {field.mean():.3g}; on a torus vorticity has mean 0, as it "
            "is a curl. Subtract the mean."
        )
    n = len(field)
    kx, ky = _wave_numbers(n, length)
    symbol = -nu * (kx**2 + ky**2)
    if any(mean_velocity):
        drift = mean_velocity[0] * _odd(kx, n, 0) + mean_velocity[1] * _odd(ky, n, 1)
        symbol = symbol - 1j * drift
    change = _advection(n, length, dealias)
    found = np.empty((len(when), n, n))
    with np.errstate(over="ignore", invalid="ignore"):
        start = _forward(field)
        steps = march(start, symbol, change, when, dt, _distinct_coefficients)
        for i, v in enumerate(steps):
            found[i] = _inverse(v, s=(n, n)) if when[i] > 0.0 else field
            check_finite(found[i], when[i], dt)
    return found


def torus_velocity(
    w: ArrayLike, length: float = 2.0 * np.pi
) -> Float[np.ndarray, "2 x y"]:
    r"""The velocity, of mean 0, whose vorticity is `w`.

    $$ u = (\psi_y, -\psi_x), \quad -\Delta \psi = w $$

    **Shapes and units**: `w` `"x y"`, values at 0, P/n, .. each way.
    **Arguments:** `length` P > 0.
    **Returns:** both components, `"2 x y"`. Energy is half the mean of their squares.
    **Raises:** `ShapeError` for a field that is not square, `ConfigError` for a length
    that is not positive.
    **Source:** as in `navier_stokes_torus`.

    ```python
    >>> import numpy as np
    >>> from pendula.systems import torus_velocity
    >>> x = 2 * np.pi * np.arange(8) / 8
    >>> u = torus_velocity(np.cos(2 * x)[:, None] * np.ones(8))
    >>> bool(np.allclose(u[1], 0.5 * np.sin(2 * x)[:, None]) and np.allclose(u[0], 0))
    True

    ```
    """
    field = _square(w)
    positive(length=length)
    return _inverse(_to_velocity(len(field), length) * _forward(field), s=field.shape)


def interpolate_torus(
    w: Float[np.ndarray, "t n n"], length: float, points: Float[np.ndarray, "point 2"]
) -> Float[np.ndarray, "t point"]:
    """Fields on the nodes of a torus, anywhere on it: the sum of their Fourier series,
    or the nodes themselves where all points are nodes."""
    n = w.shape[1]
    place = points / length * n
    nearest = np.rint(place)
    if np.all(np.abs(place - nearest) <= 1e-13 * n):
        i, j = nearest.astype(np.int64).T % n
        return w[:, i, j]
    along_x = np.fft.rfft(w, axis=1).transpose(0, 2, 1)  # one row of modes a y
    x_terms, y_terms = series(place[:, 0], n), series(place[:, 1], n)
    found = np.empty((len(w), len(points)))
    for k, modes in enumerate(np.ascontiguousarray(along_x)):
        rows = modes.view(np.float64) @ x_terms.T  # "y point"
        inner = np.ascontiguousarray(np.fft.rfft(rows, axis=0).T).view(np.float64)
        found[k] = np.sum(inner * y_terms, axis=1)
    return found


def _wave_numbers(
    n: int, length: float
) -> tuple[Float[np.ndarray, "n modes"], Float[np.ndarray, "n modes"]]:
    """Both wave numbers of each mode of `rfft2`."""
    scale = 2.0 * np.pi / length
    k = scale * n * np.fft.fftfreq(n)
    half = scale * np.arange(n // 2 + 1)
    kx, ky = np.meshgrid(k, half, indexing="ij")
    return kx, ky


def _square(w: ArrayLike) -> Float[np.ndarray, "n n"]:
    """A field on a square of nodes, checked."""
    field = np.array(w, np.float64)
    if field.ndim != 2 or field.shape[0] != field.shape[1] or len(field) < 4:
        raise ShapeError(
            f"The vorticity has shape {field.shape}; as many nodes in both directions "
            'are needed, at least 4, "x y".'
        )
    return field


def _odd(k: np.ndarray, n: int, axis: int) -> np.ndarray:
    """`k` for a first derivative: 0 at the alternating mode of an even grid."""
    k = k.copy()
    if n % 2 == 0:
        k[(slice(None),) * axis + (n // 2,)] = 0.0
    return k


def _to_velocity(n: int, length: float) -> np.ndarray:
    """Factors from the modes of vorticity to those of both velocities."""
    kx, ky = _wave_numbers(n, length)
    square = kx**2 + ky**2
    square[0, 0] = np.inf  # the mean of the stream function is free
    return 1j * np.stack([_odd(ky, n, 1), -_odd(kx, n, 0)]) / square


def _advection(n: int, length: float, dealias: bool) -> Callable[[Any], Any]:
    """What the flow carries, modes to modes."""
    velocity = _to_velocity(n, length)
    kx, ky = _wave_numbers(n, length)
    largest = 2.0 * np.pi / length * ((n - 1) // 3 + 0.5)  # 3 k < n
    keep = (np.abs(kx) < largest) & (np.abs(ky) < largest)
    kx, ky = _odd(kx, n, 0), _odd(ky, n, 1)
    back = np.stack([kx**2 - ky**2, kx * ky])
    if dealias:
        velocity, back = velocity * keep, back * keep

    def change(v: np.ndarray) -> np.ndarray:
        first, second = _inverse(velocity * v, s=(n, n))
        products = np.stack([first * second, second**2 - first**2])
        return np.sum(back * _forward(products), axis=0)

    return change


def _distinct_coefficients(symbol: np.ndarray, step: float) -> tuple[np.ndarray, ...]:
    """`etd_coefficients` once a value: many modes share one."""
    values, where = np.unique(symbol, return_inverse=True)
    where = where.reshape(symbol.shape)
    return tuple(each[where] for each in etd_coefficients(values, step))

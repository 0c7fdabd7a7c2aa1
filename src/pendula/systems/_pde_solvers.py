"""How the truths of well-known partial differential equations are computed."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.integrate
from jaxtyping import Float

from .._checks import not_negative, positive, whole
from .._errors import ConfigError
from ._pde_forms import closed_form, gaussian_bump, initial_field
from ._spectral import etdrk4, fourier_interpolate, series
from ._spectral_2d import interpolate_torus, navier_stokes_torus


_TAU = 2.0 * math.pi


@dataclasses.dataclass(frozen=True)
class PeriodicFlow:
    """An equation u_t = L u + d^m f(u) / dx^m on a circle, as `etdrk4` takes it, with
    where the circle starts, how long it is, and the field at time 0."""

    symbol: Callable[[Any], Any]
    nonlinear: Callable[[Any], Any]
    derivative: int
    start: float
    length: float
    initial: Callable[[Any], Any]

    def on_nodes(
        self, times: np.ndarray, modes: int, dt: float
    ) -> Float[np.ndarray, "t node"]:
        """The solution on as many nodes as modes, by steps of at most `dt`. Products
        are not dealiased: these equations damp their short waves, and so every mode
        that is paid for is used."""
        whole(4, modes=modes)
        return etdrk4(
            self.symbol,
            self.nonlinear,
            self.initial(self.start + self.length / modes * np.arange(modes)),
            self.length,
            times,
            dt=dt,
            dealias=False,
            derivative=self.derivative,
        )

    def at(
        self, u: np.ndarray, x: np.ndarray, t: np.ndarray
    ) -> Float[np.ndarray, "t x"]:
        """What is `u` on the nodes, at `x`; the start, which may have a kink, as it
        is."""
        found = fourier_interpolate(u, self.length, x - self.start)
        if t[0] == 0.0:
            found[0] = self.initial(self.start + (x - self.start) % self.length)
        return found

    def solve(
        self, x: np.ndarray, t: np.ndarray, modes: int, dt: float
    ) -> Float[np.ndarray, "t x"]:
        """The solution at points and times."""
        return self.at(self.on_nodes(t, modes, dt), x, t)


def _damped_growth(*, nu: float = 5.0, rho: float = 5.0) -> PeriodicFlow:
    """Reaction and diffusion."""
    symbol = lambda k: rho - nu * k**2
    flux = lambda u: -rho * u**2
    return PeriodicFlow(symbol, flux, 0, 0.0, _TAU, gaussian_bump)


def _burgers_flow(*, nu: float = 0.01 / math.pi, speed: float = 0.0) -> PeriodicFlow:
    """Burgers' equation on [-1, 1). What the mean speed carries is linear, hence
    exact, and does not limit the step."""
    start = lambda x: initial_field("burgers", x, speed=speed)
    symbol = (
        (lambda k: -nu * k**2 - 1j * speed * k) if speed else (lambda k: -nu * k**2)
    )
    return PeriodicFlow(symbol, lambda u: -0.5 * (u - speed) ** 2, 1, -1.0, 2.0, start)


def _allen_cahn_flow() -> PeriodicFlow:
    """Allen and Cahn's equation on [-1, 1)."""
    start = lambda x: initial_field("allen_cahn", x)
    symbol = lambda k: 5.0 - 1e-4 * k**2
    return PeriodicFlow(symbol, lambda u: -5.0 * u**3, 0, -1.0, 2.0, start)


def _sivashinsky(
    name: str, a: float, b: float, c: float, start: float, length: float
) -> PeriodicFlow:
    """Kuramoto and Sivashinsky's equation u_t + a u u_x + b u_xx + c u_xxxx = 0."""
    symbol = lambda k: b * k**2 - c * k**4
    flux = lambda u: -0.5 * a * u**2
    field = lambda x: initial_field(name, x)
    return PeriodicFlow(symbol, flux, 1, start, length, field)


def _regular_flow() -> PeriodicFlow:
    """Kuramoto and Sivashinsky's equation where it settles."""
    return _sivashinsky("ks_regular", 5.0, 0.5, 0.005, -1.0, 2.0)


def _chaotic_flow() -> PeriodicFlow:
    """Kuramoto and Sivashinsky's equation where it is chaotic."""
    a = 100.0 / 16.0
    return _sivashinsky("ks_chaotic", a, a / 16.0, a / 16.0**3, 0.0, _TAU)


FLOWS: dict[str, Callable[..., PeriodicFlow]] = {
    "reaction_diffusion": _damped_growth,
    "burgers": _burgers_flow,
    "allen_cahn": _allen_cahn_flow,
    "ks_regular": _regular_flow,
    "ks_chaotic": _chaotic_flow,
}
"""The equations that `etdrk4` solves, by name; their arguments are parameters of
`pde_truth`."""


def convection(
    x: np.ndarray,
    t: np.ndarray,
    *,
    beta: float = 30.0,
    initial: Callable[[Any], Any] | None = None,
    modes: int = 256,
) -> np.ndarray:
    """sin(x - beta t), or the Fourier shift of another start."""
    if initial is None:
        return closed_form("convection", x[None], t[:, None], beta=beta)
    return fourier_shift(initial, x, t, beta, modes)


def fourier_shift(
    initial: Callable[[Any], Any],
    x: np.ndarray,
    t: np.ndarray,
    speed: float,
    modes: int,
) -> Float[np.ndarray, "t x"]:
    """A wave that keeps its shape: each mode turns by its own angle."""
    whole(4, modes=modes)
    start = np.asarray(initial(_TAU / modes * np.arange(modes)), np.float64)
    k = np.arange(modes // 2 + 1)
    if modes % 2 == 0:
        k[-1] = 0  # the nodes see a cosine of it only, which cannot turn
    turned = np.fft.rfft(start) * np.exp(-1j * speed * np.outer(t, k))
    return turned.view(np.float64) @ series(x / _TAU * modes, modes).T


def formula(name: str, x: np.ndarray, t: np.ndarray, **params: Any) -> np.ndarray:
    """A closed form on the product of points and times."""
    return np.stack([closed_form(name, x, float(time), **params) for time in t])


def reaction_diffusion(
    x: np.ndarray,
    t: np.ndarray,
    *,
    nu: float = 5.0,
    rho: float = 5.0,
    reference: str = "exact",
    modes: int = 1024,
    substeps: int = 100,
) -> np.ndarray:
    """By splitting: growth in closed form, diffusion a factor a mode."""
    not_negative(nu=nu)
    whole(1, substeps=substeps)
    whole(4, modes=modes)
    start = gaussian_bump(_TAU / modes * np.arange(modes))
    wave = np.arange(modes // 2 + 1)
    grow = lambda u, far: u / (u + (1.0 - u) * math.exp(-rho * far))
    factor = lambda step: np.exp(-nu * step * wave**2)
    spread = lambda u, by: np.fft.irfft(by * np.fft.rfft(u), modes)
    if reference == "exact":
        u = _strang(start, t, 1.0 / 99.0 / substeps, grow, factor, spread)
    elif reference == "krishnapriyan2021":
        u = _lie(start, t, grow, factor, spread)
    else:
        raise ConfigError(
            f'reference is "{reference}"; it must be "exact" or "krishnapriyan2021".'
        )
    found = fourier_interpolate(u, _TAU, x)
    if t[0] == 0.0:
        found[0] = gaussian_bump(x % _TAU)
    return found


def _strang(
    u: np.ndarray,
    t: np.ndarray,
    dt: float,
    grow: Callable[[Any, float], Any],
    factor: Callable[[float], Any],
    spread: Callable[[Any, Any], Any],
) -> np.ndarray:
    """Half a growth, a diffusion, half a growth; two halves that meet are one."""
    found, last, cut, by = np.empty((len(t), len(u))), 0.0, math.nan, factor(0.0)
    for i, time in enumerate(t):
        gap, last = float(time) - last, float(time)
        steps = math.ceil(gap / dt * (1.0 - 1e-12))
        if steps:
            if gap / steps != cut:
                cut = gap / steps
                by = factor(cut)
            u = spread(grow(u, 0.5 * cut), by)
            for _ in range(steps - 1):
                u = spread(grow(u, cut), by)
            u = grow(u, 0.5 * cut)
        found[i] = u
    return found


def _lie(
    u: np.ndarray,
    t: np.ndarray,
    grow: Callable[[Any, float], Any],
    factor: Callable[[float], Any],
    spread: Callable[[Any, Any], Any],
) -> np.ndarray:
    """As published: a growth, a diffusion, steps of 1/100 on rows labelled i / 99."""
    rows = np.rint(99.0 * t).astype(np.int64)
    if np.any(np.abs(rows - 99.0 * t) > 1e-9) or rows[-1] > 99:
        raise ConfigError(
            'reference "krishnapriyan2021" exists at the times linspace(0, 1, 100) '
            "only; take t from there."
        )
    every, by = [u], factor(0.01)
    for _ in range(rows[-1]):
        every.append(spread(grow(every[-1], 0.01), by))
    return np.stack(every)[rows]


def burgers(
    x: np.ndarray,
    t: np.ndarray,
    *,
    nu: float = 0.01 / math.pi,
    speed: float = 0.0,
    method: str = "cole_hopf",
    spacing: float = 0.1,
    modes: int = 2048,
    dt: float = 5e-4,
) -> np.ndarray:
    """By Cole and Hopf's integral or by `etdrk4`."""
    positive(nu=nu)
    if method == "etdrk4":
        return _burgers_flow(nu=nu, speed=speed).solve(x, t, modes, dt)
    if method != "cole_hopf":
        raise ConfigError(f'method is "{method}"; it must be "cole_hopf" or "etdrk4".')
    positive(spacing=spacing)
    return np.stack(
        [_cole_hopf(x - speed * time, time, nu, spacing) + speed for time in t]
    )


def _cole_hopf(
    x: np.ndarray, time: float, nu: float, spacing: float
) -> Float[np.ndarray, "x"]:
    r"""The mean of $-\sin \pi y$, y = x - z sqrt(4 nu t), under the weight
    $e^{-\cos(\pi y) / (2 \pi \nu) - z^2}$.

    By the trapezoid rule in z: analytic and dying out at both ends, so it converges as
    fast as Gauss and Hermite's rule, whose nodes would not reach the far peaks of a
    small viscosity. Those lie within t of x, as no point moves faster than 1; the
    largest exponent is taken off because the others may overflow. Late, or in thick
    fluids, nodes 0.1 apart lie as far apart as the shortest waves of the weight that
    count: they are moved closer.
    """
    if time == 0.0:
        return -np.sin(np.pi * x)
    width = math.sqrt(4.0 * nu * time)
    waves = 12.0 + math.sqrt(36.0 / (np.pi * nu))
    spacing *= min(1.0, 20.0 * np.pi / (np.pi * waves * width + 12.0))
    half = math.ceil((time / width + 8.0) / spacing)
    z = spacing * np.arange(-half, half + 1)
    y = x[:, None] - width * z[None]
    power = -np.cos(np.pi * y) / (2.0 * np.pi * nu) - z[None] ** 2
    weight = np.exp(power - power.max(axis=1, keepdims=True))
    return -np.sum(np.sin(np.pi * y) * weight, axis=1) / np.sum(weight, axis=1)


def allen_cahn(
    x: np.ndarray, t: np.ndarray, *, modes: int = 2048, dt: float = 1e-3
) -> np.ndarray:
    """By `etdrk4`."""
    return _allen_cahn_flow().solve(x, t, modes, dt)


def ks_regular(
    x: np.ndarray, t: np.ndarray, *, modes: int = 256, dt: float = 5e-5
) -> np.ndarray:
    """By `etdrk4`."""
    return _regular_flow().solve(x, t, modes, dt)


def ks_chaotic(
    x: np.ndarray, t: np.ndarray, *, modes: int = 512, dt: float = 5e-5
) -> np.ndarray:
    """By `etdrk4`."""
    return _chaotic_flow().solve(x, t, modes, dt)


def lorenz_path(t: np.ndarray, rtol: float) -> tuple[Float[np.ndarray, "t 3"], int]:
    """Lorenz's path from (1, 1, 1) by DOP853, and how many steps it took. On floats:
    three components are too few for arrays to pay."""
    if t[-1] == 0.0:
        return np.ones((len(t), 3)), 0

    def speed(_: float, y: np.ndarray) -> tuple[float, float, float]:
        x, y_, z = y.tolist()
        return 10.0 * (y_ - x), x * (28.0 - z) - y_, x * y_ - 8.0 / 3.0 * z

    found = scipy.integrate.solve_ivp(
        speed,
        (0.0, float(t[-1])),
        np.ones(3),
        method="DOP853",
        rtol=rtol,
        atol=rtol,
        dense_output=True,
    )
    return found.sol(t).T, len(found.t) - 1


def lorenz(x: np.ndarray, t: np.ndarray, *, rtol: float = 1e-13) -> np.ndarray:
    """By DOP853."""
    if not 1e-13 <= rtol < 1.0:
        raise ConfigError(f"rtol is {rtol}; it must be from 1e-13 to below 1.")
    if not np.all(np.isin(x, (0.0, 1.0, 2.0))):
        raise ConfigError(
            'For "lorenz" x holds indices of components: 0, 1 and 2 for x, y and z.'
        )
    return lorenz_path(t, rtol)[0][:, x.astype(np.int64)]


def ns_torus(
    x: np.ndarray,
    t: np.ndarray,
    *,
    nu: float = 0.01,
    initial: str = "random",
    seed: int = 0,
    largest: int = 3,
    speed: float = 1.0,
    modes: int = 256,
    dt: float = 1e-2,
) -> np.ndarray:
    """By `navier_stokes_torus`, or Taylor and Green's closed form."""
    field = functools.partial(
        initial_field,
        "ns_torus",
        initial=initial,
        seed=seed,
        largest=largest,
        speed=speed,
    )
    if initial == "taylor_green":
        return np.exp(-2.0 * nu * t)[:, None] * field(x)
    return torus_solve(field, x, t, nu, modes, dt)


def torus_solve(
    field: Callable[[Any], Any],
    x: np.ndarray,
    t: np.ndarray,
    nu: float,
    modes: int,
    dt: float,
) -> Float[np.ndarray, "t x"]:
    """`navier_stokes_torus` from `field`, at points."""
    whole(4, modes=modes)
    nodes = _TAU / modes * np.arange(modes)
    square = np.stack(np.meshgrid(nodes, nodes, indexing="ij"), axis=-1)
    w = navier_stokes_torus(field(square), nu, t, dt=dt)
    return interpolate_torus(w, _TAU, x)

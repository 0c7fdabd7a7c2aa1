"""Solutions of partial differential equations in closed form, and the fields that
the others start from: written once for NumPy and for JAX."""

from __future__ import annotations

import inspect
import math
import numbers
from collections.abc import Callable
from typing import Any

import numpy as np

from .._checks import positive, whole
from .._errors import ConfigError, nearest


def gaussian_bump(x: Any, xp: Any = np) -> Any:
    r"""The bump that reaction and reaction-diffusion start from.

    $$ h(x) = \exp\Big( -\frac12 \Big(\frac{x - \pi}{\pi / 4}\Big)^2 \Big) $$

    **Shapes and units**: elementwise, x in [0, 2 pi).
    **Arguments:** `xp`: `numpy`, or `jax.numpy` for tracing and derivatives.
    **Behaviour:** h(0) = h(2 pi) = exp(-8), but the slopes differ by 3.4e-3: as a
    periodic function it has a kink.
    **Source:** Krishnapriyan et al., Characterizing possible failure modes in
    physics-informed neural networks, 2021, arXiv:2109.01050, section 3.2.

    ```python
    >>> import math
    >>> from pendula.systems import gaussian_bump
    >>> float(gaussian_bump(math.pi))
    1.0

    ```
    """
    return xp.exp(-0.5 * ((x - math.pi) / (math.pi / 4.0)) ** 2)


def torus_vorticity(
    points: Any, xp: Any = np, *, seed: int = 0, largest: int = 3, speed: float = 1.0
) -> Any:
    r"""A random smooth vorticity on the torus of period 2 pi.

    $$ w = s \sum_{0 < |k| \le K} |k|\,g_k \cos(k \cdot x + \varphi_k), \quad
       g_k \sim N(0, 1) $$

    **Shapes and units**: `points` `"... 2"` -> `"..."`.
    **Arguments:** `seed` of g and the phases; `largest` K >= 1; `speed` > 0: root mean
    square of the velocity, which sets s.
    **Raises:** `ConfigError` for settings out of range.
    **Source:** ours.

    ```python
    >>> import numpy as np
    >>> from pendula.systems import torus_vorticity
    >>> torus_vorticity(np.zeros((3, 4, 2))).shape
    (3, 4)

    ```
    """
    whole(1, largest=largest)
    whole(0, seed=seed)
    positive(speed=speed)
    points = xp.asarray(points)
    if points.dtype.kind in "iub":  # whole numbers would cut waves and strengths too
        points = points.astype(float)
    k = np.arange(-largest, largest + 1)
    waves = np.stack(np.meshgrid(k, k, indexing="ij"), axis=-1).reshape(-1, 2)
    size = np.sum(waves**2, axis=1)
    half = (waves[:, 0] > 0) | ((waves[:, 0] == 0) & (waves[:, 1] > 0))
    waves = waves[half & (size <= largest**2)]
    random = np.random.default_rng(seed)
    strength = random.normal(size=len(waves))
    phase = random.uniform(0.0, 2.0 * np.pi, len(waves))
    strength *= speed / np.sqrt(0.5 * np.sum(strength**2))  # |velocity| of a wave
    strength *= np.sqrt(np.sum(waves**2, axis=1))
    like = lambda value: xp.asarray(value, dtype=points.dtype)
    angle = points @ like(waves.T)
    cosine, sine = strength * np.cos(phase), strength * np.sin(phase)
    return xp.cos(angle) @ like(cosine) - xp.sin(angle) @ like(sine)


def initial_field(name: str, x: Any, xp: Any = np, **params: Any) -> Any:
    """The field that a problem of `pde_truth` starts from.

    **Shapes and units**: elementwise in `x`; for problems in the plane `"... 2"` ->
    `"..."`; for `"lorenz"` x is the index of a component.
    **Arguments:** `name`: as in `pde_truth`; `xp`: `numpy`, or `jax.numpy` for tracing
    and derivatives; `params`: those of the start (`speed` of Burgers' mean flow;
    `initial`, `seed`, `largest`, `speed` of the vorticity; constants of a closed form).
    **Raises:** `ConfigError` for a name or a parameter that is not known.
    **Source:** as in `pde_truth`.

    ```python
    >>> import math
    >>> from pendula.systems import initial_field
    >>> round(float(initial_field("burgers", 0.5)), 12)
    -1.0

    ```
    """
    if name in _STARTS:
        return _STARTS[name](x, xp, **check_params(name, _STARTS[name], params))
    return closed_form(name, x, 0.0, xp, **params)


def closed_form(name: str, x: Any, t: Any, xp: Any = np, **params: Any) -> Any:
    r"""A solution in closed form.

    | name | equation | solution |
    |---|---|---|
    | convection | $u_t + \beta u_x = 0$ | $\sin(x - \beta t)$, beta = 30 |
    | advection_fast | $u_t + c u_x = 0$ | $\sin(x - c t)$, c = 100 |
    | reaction | $u_t = \rho u (1 - u)$ | $h / (h + (1 - h) e^{-\rho t})$, rho = 5 |
    | helmholtz | $\Delta u + u = q$ on $[-1, 1]^2$ | $\sin(a_1 \pi x_2) \sin(a_2 \pi x_1)$, a = (4, 1) |
    | klein_gordon | $u_{tt} - \Delta u + u^2 = f$ on $[-1, 1]^2$ | $(x_1 + x_2) \cos k t + x_1 x_2 \sin k t$, k = 2 |
    | flow_mixing | $u_t + a u_{x_1} + b u_{x_2} = 0$ on $[-4, 4]^2$ | $-\tanh(\frac{x_2}2 \cos \omega t - \frac{x_1}2 \sin \omega t)$ |
    | poisson | $u'' = f$ | `kind`, see below; with `plane` the product u(x1) u(x2) |

    flow_mixing: a = -v x2 / r, b = v x1 / r, omega = v / r, v = tanh(r) / cosh(r)^2 /
    `largest` (0.385). poisson `kind`: "three_sines" sin x + 0.1 sin 20x + 0.05 sin 100x;
    "sine" sin 100x; "product" sin 6x cos 100x; "growing" x sin 200x; "parabola" sin 500x
    - 2 (x - 0.5)^2.

    **Shapes and units**: `x` and `t` of one shape, or `t` a number; for problems in the
    plane `x` `"... 2"`, `t` `"..."`. Right-hand sides (q, f) follow by `jax.grad`.
    **Arguments:** `xp`: `numpy`, or `jax.numpy`; `params`: the constants named above.
    **Raises:** `ConfigError` for a name or a parameter that is not known.
    **Source:** convection, reaction: Krishnapriyan et al. 2021, arXiv:2109.01050,
    section 3; helmholtz, klein_gordon, flow_mixing: Kang et al. 2024, Physics-informed
    Gaussians, arXiv:2412.05994, and its repository; poisson: Fang et al. 2023, Solving
    high frequency and multi-scale PDEs with Gaussian processes, arXiv:2311.04465.

    ```python
    >>> import numpy as np
    >>> from pendula.systems import closed_form
    >>> u = closed_form("reaction", np.pi + np.zeros(3), np.linspace(0, 1, 3))
    >>> u.tolist()
    [1.0, 1.0, 1.0]

    ```
    """  # noqa: E501 table
    if name not in _FORMS:
        raise ConfigError(
            f'There is no closed form of "{name}"; known are {", ".join(_FORMS)}.'
            f"{nearest(name, _FORMS)}"
        )
    return _FORMS[name](x, t, xp, **check_params(name, _FORMS[name], params))


def check_params(
    name: str, function: Callable[..., Any], params: dict[str, Any]
) -> dict[str, Any]:
    """`params`, refused where `function` has no such keyword, or for a number that is
    not finite."""
    keys = [
        key
        for key, one in inspect.signature(function).parameters.items()
        if one.kind is one.KEYWORD_ONLY
    ]
    for key, value in params.items():
        if key not in keys:
            known = f"its parameters are {', '.join(keys)}" if keys else "it has none"
            raise ConfigError(
                f'Problem "{name}" has no parameter "{key}"; {known}.'
                f"{nearest(key, keys)}"
            )
        if isinstance(value, numbers.Real) and not math.isfinite(value):
            raise ConfigError(f'Parameter "{key}" is {value}; it must be finite.')
    return params


def _sine_wave(x: Any, t: Any, xp: Any, *, beta: float = 30.0) -> Any:
    return xp.sin(x - beta * t)


def _fast_wave(x: Any, t: Any, xp: Any, *, c: float = 100.0) -> Any:
    return xp.sin(x - c * t)


def _reaction(x: Any, t: Any, xp: Any, *, rho: float = 5.0) -> Any:
    start = gaussian_bump(x, xp)
    return start / (start + (1.0 - start) * xp.exp(-rho * t))


def _helmholtz(x: Any, t: Any, xp: Any, *, a: tuple[float, float] = (4.0, 1.0)) -> Any:
    first, second = x[..., 0], x[..., 1]
    still = 0.0 * t  # steady: the same at all times
    return xp.sin(a[0] * math.pi * second) * xp.sin(a[1] * math.pi * first) + still


def _klein_gordon(x: Any, t: Any, xp: Any, *, k: float = 2.0) -> Any:
    first, second = x[..., 0], x[..., 1]
    return (first + second) * xp.cos(k * t) + first * second * xp.sin(k * t)


def _flow_mixing(x: Any, t: Any, xp: Any, *, largest: float = 0.385) -> Any:
    first, second = x[..., 0], x[..., 1]
    square = first**2 + second**2
    away = square > 1e-12
    r = xp.sqrt(xp.where(away, square, 1.0))  # so that the gradient at 0 is finite
    turn = xp.where(away, xp.tanh(r) / (r * xp.cosh(r) ** 2), 1.0) / largest * t
    return -xp.tanh(0.5 * (second * xp.cos(turn) - first * xp.sin(turn)))


def _poisson(
    x: Any, t: Any, xp: Any, *, kind: str = "three_sines", plane: bool = False
) -> Any:
    if kind not in _KINDS:
        raise ConfigError(
            f'Parameter "kind" is "{kind}"; known are {", ".join(_KINDS)}.'
            f"{nearest(kind, _KINDS)}"
        )
    u = _KINDS[kind]
    if plane:
        return u(x[..., 0], xp) * u(x[..., 1], xp) + 0.0 * t
    return u(x, xp) + 0.0 * t


_KINDS: dict[str, Callable[[Any, Any], Any]] = {
    "three_sines": lambda x, xp: (
        xp.sin(x) + 0.1 * xp.sin(20.0 * x) + 0.05 * xp.sin(100.0 * x)
    ),
    "sine": lambda x, xp: xp.sin(100.0 * x),
    "product": lambda x, xp: xp.sin(6.0 * x) * xp.cos(100.0 * x),
    "growing": lambda x, xp: x * xp.sin(200.0 * x),
    "parabola": lambda x, xp: xp.sin(500.0 * x) - 2.0 * (x - 0.5) ** 2,
}

_FORMS: dict[str, Callable[..., Any]] = {
    "convection": _sine_wave,
    "advection_fast": _fast_wave,
    "reaction": _reaction,
    "helmholtz": _helmholtz,
    "klein_gordon": _klein_gordon,
    "flow_mixing": _flow_mixing,
    "poisson": _poisson,
}
"""Solutions in closed form, by name."""


def _wave_start(x: Any, xp: Any, *, speed: float = 0.0) -> Any:
    return speed - xp.sin(math.pi * x)


def _lorenz_start(x: Any, xp: Any) -> Any:
    return 1.0 + 0.0 * x


def _bump_start(x: Any, xp: Any) -> Any:
    return gaussian_bump(x, xp)


def _vorticity_start(
    x: Any,
    xp: Any,
    *,
    initial: str = "random",
    seed: int = 0,
    largest: int = 3,
    speed: float = 1.0,
) -> Any:
    if initial == "taylor_green":
        return math.sqrt(8.0) * speed * xp.cos(x[..., 0]) * xp.cos(x[..., 1])
    if initial != "random":
        raise ConfigError(
            f'initial is "{initial}"; it must be "random" or "taylor_green".'
        )
    return torus_vorticity(x, xp, seed=seed, largest=largest, speed=speed)


_STARTS: dict[str, Callable[..., Any]] = {
    "reaction_diffusion": _bump_start,
    "burgers": _wave_start,
    "allen_cahn": lambda x, xp: x**2 * xp.cos(math.pi * x),
    "ks_regular": lambda x, xp: -xp.sin(math.pi * x),
    "ks_chaotic": lambda x, xp: xp.cos(x) * (1.0 + xp.sin(x)),
    "lorenz": _lorenz_start,
    "ns_torus": _vorticity_start,
}
"""What the problems without a closed form start from, by name."""

"""Well-known problems by name, and what is known of their solutions."""

from __future__ import annotations

import dataclasses
import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from .._checks import positive
from .._errors import ConfigError, nearest
from ..systems import closed_form, initial_field, pde_truth
from ._conditions import Dirichlet, Initial
from ._domain import AbstractDomain, Box, Interval
from ._problem import Problem


_TAU = 2.0 * math.pi
_NEUTRAL = ("end", "length")
"""Settings that say where a solution is looked at, not which one it is."""


@dataclasses.dataclass(frozen=True)
class Named:
    """A problem that has a name.

    **Arguments:** `build(**params)`: makes it; `help`: one line; `truth`: its name for
    `pendula.systems.pde_truth`; `shared`: the parameters that go there, too (with
    others than these at their defaults only is the solution known); `origin`: where
    the problem comes from; `options`: of `solve`, where its defaults do not do for it.
    """

    build: Callable[..., Problem]
    help: str
    truth: str
    shared: tuple[str, ...]
    origin: str
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def defaults(self) -> dict[str, Any]:
        """Name -> value of the parameters."""
        found = inspect.signature(self.build).parameters
        return {name: one.default for name, one in found.items()}


def _circle() -> Interval:
    return Interval(0.0, _TAU, periodic=True)


def _start(name: str) -> Initial:
    """What `pde_truth` starts from, too."""
    return Initial(lambda x: initial_field(name, x, jnp))


def _convection(beta: float = 30.0, end: float = 1.0) -> Problem:
    return Problem(
        lambda u, x, t, p: u.t + p.beta * u.x,
        domain=_circle(),
        time=(0.0, end),
        conditions=[_start("convection")],
        params={"beta": beta},
        name="convection",
    )


def _advection_fast(c: float = 100.0, end: float = 1.0) -> Problem:
    return Problem(
        lambda u, x, t, p: u.t + p.c * u.x,
        domain=_circle(),
        time=(0.0, end),
        conditions=[_start("advection_fast")],
        params={"c": c},
        name="advection_fast",
    )


def _reaction(rho: float = 5.0, end: float = 1.0) -> Problem:
    # No slope in x: nothing couples the ends, and the start may keep its kink there.
    return Problem(
        lambda u, x, t, p: u.t - p.rho * u() * (1.0 - u()),
        domain=Interval(0.0, _TAU),
        time=(0.0, end),
        conditions=[_start("reaction")],
        params={"rho": rho},
        name="reaction",
    )


def _reaction_diffusion(nu: float = 5.0, rho: float = 5.0, end: float = 1.0) -> Problem:
    positive('Problem "reaction_diffusion"', nu=nu)
    return Problem(
        lambda u, x, t, p: u.t - p.nu * u.xx - p.rho * u() * (1.0 - u()),
        domain=_circle(),
        time=(0.0, end),
        conditions=[_start("reaction_diffusion")],
        params={"nu": nu, "rho": rho},
        name="reaction_diffusion",
    )


def _burgers(nu: float = 0.01 / math.pi, end: float = 1.0) -> Problem:
    positive('Problem "burgers"', nu=nu)
    return Problem(
        lambda u, x, t, p: u.t + u() * u.x - p.nu * u.xx,
        domain=Interval(-1.0, 1.0),
        time=(0.0, end),
        conditions=[_start("burgers"), Dirichlet(0.0)],
        params={"nu": nu},
        name="burgers",
    )


def _allen_cahn(nu: float = 1e-4, rho: float = 5.0, end: float = 1.0) -> Problem:
    positive('Problem "allen_cahn"', nu=nu)
    return Problem(
        lambda u, x, t, p: u.t - p.nu * u.xx - p.rho * (u() - u() ** 3),
        domain=Interval(-1.0, 1.0, periodic=True),
        time=(0.0, end),
        conditions=[_start("allen_cahn")],
        params={"nu": nu, "rho": rho},
        name="allen_cahn",
    )


def _sivashinsky(
    name: str, domain: Interval, end: float, params: dict[str, float]
) -> Problem:
    """Kuramoto and Sivashinsky's equation."""
    positive(f'Problem "{name}"', c=params["c"])
    return Problem(
        lambda u, x, t, p: u.t + p.a * u() * u.x + p.b * u.xx + p.c * u.xxxx,
        domain=domain,
        time=(0.0, end),
        conditions=[_start(name)],
        params=params,
        name=name,
    )


def _ks_regular(
    a: float = 5.0, b: float = 0.5, c: float = 0.005, end: float = 1.0
) -> Problem:
    circle = Interval(-1.0, 1.0, periodic=True)
    return _sivashinsky("ks_regular", circle, end, {"a": a, "b": b, "c": c})


def _ks_chaotic(
    a: float = 100.0 / 16.0,
    b: float = 100.0 / 16.0**2,
    c: float = 100.0 / 16.0**4,
    end: float = 0.4,
) -> Problem:
    return _sivashinsky("ks_chaotic", _circle(), end, {"a": a, "b": b, "c": c})


def _lorenz(
    sigma: float = 10.0, rho: float = 28.0, beta: float = 8.0 / 3.0, end: float = 10.0
) -> Problem:
    def residual(u: Any, t: Any, p: Any) -> Any:
        x, y, z = u
        return (
            x.t - p.sigma * (y() - x()),
            y.t - x() * (p.rho - z()) + y(),
            z.t - x() * y() + p.beta * z(),
        )

    return Problem(
        residual,
        time=(0.0, end),
        conditions=[Initial((1.0, 1.0, 1.0))],
        params={"sigma": sigma, "rho": rho, "beta": beta},
        fields=("x", "y", "z"),
        name="lorenz",
    )


def _square(half: float) -> Box:
    """A square about 0."""
    return Box(Interval(-half, half), Interval(-half, half, name="y"))


def _plane_form(name: str, **params: Any) -> Callable[..., Any]:
    """A closed form as a function of x, y and t."""

    def form(x: Any, y: Any, t: Any = 0.0) -> Any:
        return closed_form(name, jnp.stack([x, y], axis=-1), t, jnp, **params)

    return form


def _helmholtz(a1: float = 4.0, a2: float = 1.0) -> Problem:
    form = _plane_form("helmholtz", a=(a1, a2))
    factor = 1.0 - (a1**2 + a2**2) * math.pi**2  # of u in its Laplacian and itself

    return Problem(
        lambda u, x, y, p: u.xx + u.yy + u() - factor * form(x, y),
        domain=_square(1.0),
        conditions=[Dirichlet(form)],
        name="helmholtz",
    )


def _klein_gordon(k: float = 2.0, end: float = 10.0) -> Problem:
    form = _plane_form("klein_gordon", k=k)

    def residual(u: Any, x: Any, y: Any, t: Any, p: Any) -> Any:
        exact = form(x, y, t)  # harmonic in space, an oscillation in time
        return u.tt - u.xx - u.yy + u() ** 2 + k**2 * exact - exact**2

    def rate(x: Any, y: Any) -> Any:
        return jax.jvp(lambda t: form(x, y, t), (0.0 * x,), (jnp.ones_like(x),))[1]

    return Problem(
        residual,
        domain=_square(1.0),
        time=(0.0, end),
        conditions=[Initial(form), Initial(rate, order=1), Dirichlet(form)],
        name="klein_gordon",
    )


def _flow_mixing(largest: float = 0.385, end: float = 4.0) -> Problem:
    positive('Problem "flow_mixing"', largest=largest)
    form = _plane_form("flow_mixing", largest=largest)

    def residual(u: Any, x: Any, y: Any, t: Any, p: Any) -> Any:
        square = x**2 + y**2
        away = square > 1e-12
        r = jnp.sqrt(jnp.where(away, square, 1.0))  # finite slopes in the middle
        rate = jnp.where(away, jnp.tanh(r) / (r * jnp.cosh(r) ** 2), 1.0) / largest
        return u.t - rate * y * u.x + rate * x * u.y

    return Problem(
        residual,
        domain=_square(4.0),
        time=(0.0, end),
        conditions=[Initial(form), Dirichlet(form)],
        name="flow_mixing",
    )


def _ns_torus(nu: float = 0.01, end: float = 1.0) -> Problem:
    positive('Problem "ns_torus"', nu=nu)

    def residual(u: Any, x: Any, y: Any, t: Any, p: Any) -> Any:
        w, psi = u
        carried = psi.y * w.x - psi.x * w.y
        return w.t + carried - p.nu * (w.xx + w.yy), psi.xx + psi.yy + w()

    def start(x: Any, y: Any) -> Any:
        return initial_field("ns_torus", jnp.stack([x, y], axis=-1), jnp)

    whole = [Interval(0.0, _TAU, periodic=True, name=name) for name in "xy"]
    return Problem(
        residual,
        domain=Box(*whole),
        time=(0.0, end),
        conditions=[Initial(start, field="w")],
        params={"nu": nu},
        fields=("w", "psi"),
        name="ns_torus",
    )


def _second(form: Callable[..., Any], axis: int) -> Callable[..., Any]:
    """A second derivative, for the right-hand side that a solution asks for."""
    return jax.grad(jax.grad(form, axis), axis)


def _waves(kind: str, plane: bool, length: float, cubic: bool, name: str) -> Problem:
    """u'' = f, or u'' + u (u^2 - 1) = f, with f such that u is a closed form."""
    positive(f'Problem "{name}"', length=length)
    axes = [Interval(0.0, length, name=letter) for letter in ("xy" if plane else "x")]
    domain: AbstractDomain = Box(*axes) if plane else axes[0]

    def form(*at: Any) -> Any:
        x = jnp.stack(at, axis=-1) if plane else at[0]
        return closed_form("poisson", x, 0.0, jnp, kind=kind, plane=plane)

    form(*[jnp.zeros(1)] * len(axes))  # an unknown kind is refused here
    bends = [_second(form, axis) for axis in range(len(axes))]

    def residual(u: Any, *rest: Any) -> Any:
        at = rest[:-1]
        exact, bent = form(*at), sum(bend(*at) for bend in bends)
        own = sum((u.d(2 * letter) for letter in domain.coords), start=-bent)
        if cubic:
            return own + u() * (u() ** 2 - 1.0) - exact * (exact**2 - 1.0)
        return own

    return Problem(residual, domain=domain, conditions=[Dirichlet(form)], name=name)


def _poisson(
    kind: str = "three_sines", plane: bool = False, length: float = _TAU
) -> Problem:
    return _waves(kind, plane, length, False, "poisson")


def _allen_cahn_steady(
    kind: str = "three_sines", plane: bool = False, length: float = 1.0
) -> Problem:
    # On [0, 2 pi] the equation has other solutions, too: the linear part there has
    # eigenvalues of both signs.
    return _waves(kind, plane, length, True, "allen_cahn_steady")


_MODES = "Krishnapriyan et al. 2021, arXiv:2109.01050"
_CAUSAL = "Wang, Sankaran, Perdikaris 2022, arXiv:2203.07404"
_GAUSSIANS = "Kang et al. 2024, arXiv:2412.05994"
_WAVES = "Fang et al. 2023, arXiv:2311.04465"

PROBLEMS: Mapping[str, Named] = {
    "convection": Named(
        _convection,
        "u_t + beta u_x = 0 on a circle: a sine that travels",
        "convection",
        ("beta",),
        _MODES,
    ),
    "reaction": Named(
        _reaction,
        "u_t = rho u (1 - u) on a line: logistic growth",
        "reaction",
        ("rho",),
        _MODES,
    ),
    "reaction_diffusion": Named(
        _reaction_diffusion,
        "u_t = nu u_xx + rho u (1 - u) on a circle",
        "reaction_diffusion",
        ("nu", "rho"),
        _MODES,
    ),
    "burgers": Named(
        _burgers,
        "u_t + u u_x = nu u_xx on a line: a front steepens",
        "burgers",
        ("nu",),
        "Raissi, Perdikaris, Karniadakis 2019, Journal of Computational Physics 378, "
        "686-707",
        {"tol": 5e-4, "nodes": 140},
    ),
    "allen_cahn": Named(
        _allen_cahn,
        "u_t = nu u_xx + rho (u - u^3) on a circle: sharp fronts form",
        "allen_cahn",
        (),
        _CAUSAL,
        # the start has a kink, and fronts are thin: as many neurons as half a thousand
        # points can hold
        {
            "tol": 2e-2,
            "features": 1000,
            "nodes": 260,
            "times": 11,
            "slopes": (0.5, 1.0, 2.0),
        },
    ),
    "ks_regular": Named(
        _ks_regular,
        "Kuramoto and Sivashinsky: u_t + a u u_x + b u_xx + c u_xxxx = 0, settling",
        "ks_regular",
        (),
        _CAUSAL,
    ),
    "ks_chaotic": Named(
        _ks_chaotic,
        "the same where it becomes chaotic; to t = 0.4 unless end says otherwise",
        "ks_chaotic",
        (),
        _CAUSAL,
        {"tol": 1e-2},
    ),
    "lorenz": Named(
        _lorenz,
        "Lorenz's three equations from (1, 1, 1)",
        "lorenz",
        (),
        "Lorenz 1963, Journal of the Atmospheric Sciences 20, 130-141",
    ),
    "advection_fast": Named(
        _advection_fast,
        "u_t + c u_x = 0 on a circle, many turns",
        "advection_fast",
        ("c",),
        "Wang et al. 2023, arXiv:2308.08468",
    ),
    "helmholtz": Named(
        _helmholtz,
        "u_xx + u_yy + u = q on a square; a1 and a2 are half waves across it",
        "helmholtz",
        ("a1", "a2"),
        _GAUSSIANS,
    ),
    "klein_gordon": Named(
        _klein_gordon,
        "u_tt - u_xx - u_yy + u^2 = f on a square",
        "klein_gordon",
        ("k",),
        _GAUSSIANS,
    ),
    "flow_mixing": Named(
        _flow_mixing,
        "a front that a vortex winds up, on a square",
        "flow_mixing",
        ("largest",),
        _GAUSSIANS,
    ),
    "ns_torus": Named(
        _ns_torus,
        "vorticity w and stream function psi of a decaying flow on a torus",
        "ns_torus",
        ("nu",),
        _CAUSAL,
    ),
    "poisson": Named(
        _poisson,
        "u_xx = f on a line (plane=yes: u_xx + u_yy = f) with high frequencies; kind: "
        "three_sines, sine, product, growing, parabola",
        "poisson",
        ("kind", "plane"),
        _WAVES,
    ),
    "allen_cahn_steady": Named(
        _allen_cahn_steady,
        "u_xx + u (u^2 - 1) = f with the solutions of poisson, to x = length",
        "poisson",
        ("kind", "plane"),
        _WAVES,
    ),
}
"""Name -> a problem with its defaults, its truth and its origin."""


def named_problem(name: str, **params: Any) -> Problem:
    """A problem by its name.

    **Arguments:** `name`: of `PROBLEMS`; `params`: its coefficients, where they differ
    from `PROBLEMS[name].defaults`; `end`: until when it is solved.
    **Returns:** `Problem`.
    **Raises:** `ConfigError` for a name or a parameter that is not known, or a value
    that cannot be used.
    **Source:** `PROBLEMS[name].origin`.

    ```python
    >>> from pendula.solutions import named_problem
    >>> problem = named_problem("reaction_diffusion", nu=2.0)
    >>> problem.law.names(), problem.time
    (['u_t', 'u_xx', 'u'], (0.0, 1.0))

    ```
    """
    return _find(name).build(**_checked(name, params))


def truth_of(
    name: str, points: ArrayLike, times: ArrayLike, **params: Any
) -> Float[np.ndarray, "field time point"] | None:
    """What the solution of a problem of `PROBLEMS` is.

    **Shapes and units**: `points` `"point space"` (`"point 0"` for an equation in time
    alone), `times` `"time"`, increasing from 0 on.
    **Arguments:** `params`: as in `named_problem`.
    **Returns:** `"field time point"`, NaN for fields whose truth is not known (the
    stream function of ns_torus); None where these parameters have no known solution.
    **Raises:** `ConfigError`, `ShapeError` for what cannot be used.
    **Source:** `pendula.systems.pde_truth`.

    ```python
    >>> import numpy as np
    >>> from pendula.solutions import truth_of
    >>> u = truth_of("convection", np.zeros((1, 1)), [0.0, 0.1], beta=np.pi)
    >>> u.shape, round(float(u[0, 1, 0]), 4)
    ((1, 2, 1), -0.309)

    ```
    """
    call = truth_call(name, **params)
    if call is None:
        return None
    at, when = np.asarray(points, np.float64), np.atleast_1d(np.asarray(times))
    if name == "lorenz":
        return pde_truth("lorenz", np.arange(3.0), when).T[:, :, None]
    line = at[:, 0] if at.ndim == 2 and at.shape[1] == 1 else at
    found = pde_truth(call[0], line, when, **call[1])[None]
    if name == "ns_torus":
        return np.concatenate([found, np.full_like(found, np.nan)])
    return found


def truth_call(name: str, **params: Any) -> tuple[str, dict[str, Any]] | None:
    """Name and parameters of a problem's truth for `pendula.systems.pde_truth`,
    `truth_error` and `classical_time`; None where these parameters have none.

    **Raises:** `ConfigError` as `named_problem`.

    ```python
    >>> from pendula.solutions import truth_call
    >>> truth_call("helmholtz", a1=2.0)
    ('helmholtz', {'a': (2.0, 1.0)})

    ```
    """
    named, given = _find(name), _checked(name, params)
    for key, default in named.defaults.items():
        other = key not in named.shared and key not in _NEUTRAL
        if other and given.get(key, default) != default:
            return None
    whole = {**named.defaults, **given}
    if name == "helmholtz":
        return named.truth, {"a": (whole["a1"], whole["a2"])}
    return named.truth, {key: whole[key] for key in named.shared}


def _find(name: str) -> Named:
    if name not in PROBLEMS:
        raise ConfigError(
            f'There is no problem "{name}".{nearest(str(name), PROBLEMS)} Known are '
            f"{', '.join(PROBLEMS)}."
        )
    return PROBLEMS[name]


def _checked(name: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters of the right kind, all of them known."""
    defaults, out = _find(name).defaults, {}
    for key, value in params.items():
        if key not in defaults:
            raise ConfigError(
                f'Problem "{name}" has no parameter "{key}".{nearest(key, defaults)} '
                f"Its parameters are {', '.join(defaults)}."
            )
        kind = type(defaults[key])
        if kind is float:
            plain = isinstance(value, int | float | np.number)
            if not plain or not math.isfinite(float(value)):
                raise ConfigError(
                    f'Problem "{name}": {key} is {value!r}; it has to be a finite '
                    "number."
                )
            value = float(value)
        elif not isinstance(value, kind):
            words = "yes or no" if kind is bool else "a word"
            raise ConfigError(f'Problem "{name}": {key} is {value!r}; it is {words}.')
        out[key] = value
    return out

"""What a scheme does to a field that is fitted through it, predicted."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from numpy.typing import ArrayLike

from .._checks import positive, whole
from .._errors import ConfigError, Status
from .._precision import cast, precision
from ..solve import (
    RK4,
    AbstractScheme,
    Adaptive,
    ImplicitMidpoint,
    Tableau,
    scheme as find_scheme,
)
from ._convergence_grid import check_start
from ._convergence_sweep import reference
from ._equilibria import Field


FINE = 32  # steps of RK4 that stand for the exact flow over one training step


def stability_polynomial(which: str | AbstractScheme) -> np.ndarray:
    r"""Coefficients `"power"`, constant first, of an explicit scheme's $R(z)$.

    $$ R(z) = 1 + \sum_k z^k\, b^T A^{k-1} \mathbb 1, \qquad
       y' = \lambda y \;\Rightarrow\; y_{n+1} = R(h\lambda)\, y_n $$

    **Raises:** `ConfigError` for a scheme without a tableau.

    ```python
    >>> from pendula.diagnostics import stability_polynomial
    >>> print(stability_polynomial("midpoint"))
    [1.  1.  0.5]

    ```
    """
    method = find_scheme(which)
    if not isinstance(method, Tableau):
        raise ConfigError(
            f"{method.name} has no stability polynomial; choose an explicit "
            "Runge-Kutta scheme."
        )
    stages = len(method.b)
    a = np.zeros((stages, stages))
    for i, row in enumerate(method.a):
        a[i, : len(row)] = row
    powers, out = np.ones(stages), [1.0]
    for _ in range(stages):
        out.append(float(np.dot(method.b, powers)))
        powers = a @ powers
    return np.trim_zeros(np.array(out), "b")


def modified_eigenvalue(
    eigenvalue: complex, h: float, which: str | AbstractScheme
) -> complex:
    r"""The eigenvalue that a linear field learns when it is fitted to exact samples
    through steps `h` of a scheme.

    $$ R(h\mu) = e^{\lambda h}, \quad \text{the root nearest to } \lambda h $$

    The field's own motion is then off by $|e^{\mu t} - e^{\lambda t}|$ at time t, and
    rollouts of another step by $|R(h'\mu)^{t/h'} - e^{\lambda t}|$.

    **Arguments:** `eigenvalue` λ [1/time], `h` [time], `which` an explicit scheme or
    `"implicit_midpoint"`, whose $R(z) = (1 + z/2)/(1 - z/2)$.
    **Raises:** `ConfigError` for other schemes, and a step that is not above 0.
    **Source:** derived; inverse modified equations: Zhu, Jin, Zhu, Tang 2022,
    arXiv:2206.07335.

    ```python
    >>> from pendula.diagnostics import modified_eigenvalue
    >>> mu = modified_eigenvalue(1j, 0.5, "euler")  # an oscillator becomes damped
    >>> round(mu.real, 6), round(mu.imag, 6)
    (-0.244835, 0.958851)

    ```
    """
    positive(h=h)
    method, grown = find_scheme(which), np.exp(eigenvalue * h)
    if isinstance(method, ImplicitMidpoint):
        return complex(2.0 * (grown - 1.0) / (grown + 1.0) / h)
    coefficients = stability_polynomial(method).astype(complex)
    coefficients[0] -= grown
    roots = np.polynomial.polynomial.polyroots(coefficients)
    return complex(roots[np.argmin(np.abs(roots - eigenvalue * h))] / h)


class ModifiedField(eqx.Module):
    r"""The field whose steps `h` in a scheme are the exact flow of another.

    $$ \tilde f = f + \tfrac1h \big( \varphi_h[f] - \Phi_h[f] \big) $$

    Exact for Euler; for a scheme of order p the next term is of order $h^{p+1}$. The
    exact flow is taken by 32 steps of RK4, without inputs.

    **Arguments:** `field(t, y, u, context)`; `h` [time]; `scheme`, or its name.
    """

    field: Any
    h: Any
    scheme: AbstractScheme = eqx.field(static=True, converter=find_scheme)

    def __call__(self, t: Any, y: Array, u: Any = None, context: Any = None) -> Array:
        h = jnp.asarray(self.h, y.dtype)
        rest = lambda s: None
        flow = RK4.steps(self.field, t, y, h / FINE, FINE, rest, context)
        step = self.scheme.step(self.field, t, y, h, rest, context)
        return self.field(t, y, u, context) + (flow - step) / h


def predicted_continuum_error(
    true_field: Field,
    dt: float,
    which: str | AbstractScheme,
    t1: float,
    x0: ArrayLike,
    *,
    samples: int = 32,
    t0: float = 0.0,
    context: Any = None,
) -> tuple[float, float]:
    r"""The error that a perfectly trained field makes once its step goes to zero.

    Nothing is fitted: the motion of `ModifiedField` is compared with that of the
    true field, both by the tight reference solver.

    **Arguments:** `dt` the step of the training (its sampling over its substeps), `x0`
    `"traj dim"` or `"dim"`; `samples`: equal times up to `t1` of the mean.
    **Returns:** RMS over samples and components over the signal's spread (as E_0 of
    `convergence_test`), and the distance at `t1` [state], both means over `x0`; NaN
    where one of the two motions leaves the finite numbers.
    **Raises:** `ConfigError` for `dt`, a horizon and `samples` that are not above 0,
    schemes that adapt their step and starts at rest; `ShapeError` and `DataError` for
    starts that are none.

    ```python
    >>> from pendula.diagnostics import predicted_continuum_error
    >>> from pendula.systems import Harmonic
    >>> _, end = predicted_continuum_error(Harmonic(), 0.5, "euler", 10.0, [0.0, 1.0])
    >>> round(end, 4)
    0.9214

    ```
    """
    positive("", **{"dt": dt, "t1 - t0": t1 - t0})
    whole(1, samples=samples)
    method = find_scheme(which)
    if isinstance(method, Adaptive):
        raise ConfigError(
            f"{method.name} has no step of its own, whose error could be learned; "
            "choose a scheme of fixed step."
        )
    ts = t0 + (t1 - t0) * np.arange(samples + 1) / samples
    start = check_start(x0)
    with precision(np.float64):
        y0 = jnp.asarray(start)
        law, more = cast((true_field, context), np.float64)
        true, went, _ = reference(law, y0, ts, None, more)
        learned = ModifiedField(law, np.asarray(dt, np.float64), method)
        own, ended, _ = reference(learned, y0, ts, None, more)
    if max(went, ended) is not Status.ok:
        return np.nan, np.nan
    away = own - true
    spread = true - true.mean(1, keepdims=True)
    rms = lambda x: np.mean(np.sqrt(np.mean(x**2, axis=(1, 2))))
    if not rms(spread) > 0:
        raise ConfigError(
            "the true field does not move from these starts: there is no spread to "
            "measure an error by. Choose others."
        )
    last = np.mean(np.sqrt(np.sum(away[:, -1] ** 2, axis=1)))
    return float(rms(away[:, 1:]) / rms(spread)), float(last)

"""Rest states of a field in a box, and what the motion does near each."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import root
from scipy.spatial.distance import cdist
from scipy.stats import qmc

from .._errors import ConfigError, ShapeError
from .._precision import cast, precision, to_device
from ..solve import as_field


Field = Callable[[Any, Any, Any, Any], Any]
SAME = 1e-5  # of the box: rest states that are nearer are one
SOLVED = 1e-9  # of the field's size in the box
SEARCH = {"xtol": 1e-12, "ftol": 1e-12, "maxiter": 200}


@dataclasses.dataclass(frozen=True)
class Equilibrium:
    """A state y with f(y) = 0.

    **Shapes and units:** `y` `"dim"`; `eigenvalues` `"dim"` of the Jacobian there
    [1/time], complex, the largest real part first; `kind`: "sink", "source" or
    "saddle" (real parts below, above, on both sides of 0), with "focus" instead of
    sink or source's plain name where the motion turns ("stable focus", "unstable
    focus"), "centre" where all real parts vanish and none of the eigenvalues does, and
    "degenerate" where linear theory cannot tell.
    """

    y: np.ndarray
    eigenvalues: np.ndarray
    kind: str

    @property
    def is_stable(self) -> bool:
        """Whether every motion nearby ends here."""
        return self.kind in ("sink", "stable focus")


def equilibria(
    field: Field,
    low: ArrayLike,
    high: ArrayLike,
    *,
    u: ArrayLike | None = None,
    context: Any = None,
    num: int = 256,
    seed: int = 0,
) -> list[Equilibrium]:
    r"""All rest states that a search from many starts finds in a box.

    $$ f(0, y, u, c) = 0, \quad
       \lambda_i = \text{eigenvalues of } \partial f / \partial y $$

    **Arguments:**
    - `field`: `field(t, y, u, context) -> dy`, a known system or a fitted field; it is
      taken at t = 0.
    - `low`, `high`: corners of the box `"dim"`.
    - `u`, `context`: held fixed.
    - `num`: starts, spread over the box evenly (Sobol points, rounded up to a power
      of two); rest states with a small basin need more.

    **Returns:** `Equilibrium` of every one found inside the box, ordered by their
    components; computed in float64, also for a float32 field (by its weights).
    **Raises:** `ShapeError`, `ConfigError` for a box that is none.
    **Behaviour:** a line of rest states shows as many "degenerate" ones.
    **Source:** Guckenheimer and Holmes 1983, section 1.3; Levenberg-Marquardt by
    MINPACK (SciPy).

    ```python
    >>> from pendula.diagnostics import equilibria
    >>> from pendula.systems import Duffing
    >>> for rest in equilibria(Duffing(), [-2, -2], [2, 2]):
    ...     print(rest.y.round(6) + 0.0, rest.kind)
    [-1.  0.] centre
    [0. 0.] saddle
    [1. 0.] centre

    ```
    """
    low, high = np.asarray(low, np.float64), np.asarray(high, np.float64)
    if low.ndim != 1 or low.shape != high.shape:
        raise ShapeError(
            f"low has shape {low.shape}, high {high.shape}; both must be (dim,)."
        )
    if not (np.all(np.isfinite([low, high])) and np.all(low < high)):
        raise ConfigError(
            f"the box runs from {low.tolist()} to {high.tolist()}; every lower end "
            "must be finite and below the upper one."
        )
    if num < 1:
        raise ConfigError(f"num is {num}; at least one start is needed.")
    sobol = qmc.Sobol(len(low), rng=np.random.default_rng(seed))
    starts = low + (high - low) * sobol.random_base2(int(np.ceil(np.log2(num))))
    with precision(np.float64):
        parts = held(field, u, context)
        # one small program for all: the search runs on the host, since compiling it
        # whole takes ten times as long as running it
        both = lambda y: [np.asarray(x) for x in _rate_and_slope(*parts, y)]
        found = _distinct(_search(both, starts, low, high), high - low)
        return [_judge(y, both(y)[1]) for y in found]


def held(field: Field, u: ArrayLike | None, context: Any) -> tuple[Any, Any, Any]:
    """Field, input and context as float64 JAX values; for use inside that scope."""
    field = as_field(field)
    u = None if u is None else np.asarray(u, np.float64)
    return to_device(cast((field, u, context), np.float64))


def rates(field: Field, u: Any, context: Any) -> Callable[[Any], Any]:
    """y -> dy at t = 0 with the input and the context held."""
    return lambda y: field(jnp.zeros(()), y, u, context)


@eqx.filter_jit
def _rate_and_slope(field: Field, u: Any, context: Any, y: Any) -> tuple[Any, Any]:
    """f and its Jacobian; other constants of the same field do not compile again."""
    at = rates(field, u, context)
    return at(y), jax.jacfwd(at)(y)


def _search(
    both: Callable[[Any], list[np.ndarray]],
    starts: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
) -> np.ndarray:
    """Rest states inside the box that the starts lead to, with repetitions."""
    width = high - low
    met = np.array([both(y)[0] for y in starts])
    met = met[np.isfinite(met).all(axis=1)]  # a part of the box may have no rates
    size = np.sqrt(np.sum(met**2, axis=0) / max(len(met), 1))
    size = np.where(size > 0, size, 1.0)

    def scaled(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        rate, slope = both(z * width)
        return rate / size, slope * width / size[:, None]

    found = []
    for start in starts / width:
        done = root(scaled, start, jac=True, method="lm", options=SEARCH)
        rate, slope = scaled(done.x)
        if not np.isfinite([*rate, *slope.ravel()]).all():
            continue
        # a Newton step more: the search stops where steps, not residuals, are small
        better = done.x - np.linalg.lstsq(slope, rate, rcond=None)[0]
        gap, least = (np.abs(scaled(z)[0]).max() for z in (done.x, better))
        end = width * (better if least < gap else done.x)
        if np.fmin(gap, least) < SOLVED and np.all((end >= low) & (end <= high)):
            found.append(end)
    return np.reshape(found, (-1, len(low)))


def _distinct(found: np.ndarray, width: np.ndarray) -> np.ndarray:
    """One of each group of points that are the same to `SAME`, ordered."""
    kept: list[np.ndarray] = []
    for y in found:
        if not kept or cdist([y / width], np.array(kept) / width).min() > SAME:
            kept.append(y)
    rests = np.array(kept).reshape(-1, found.shape[1])
    # digits beyond the accuracy would order at random
    return rests[np.lexsort((rests / width / SAME).round()[:, ::-1].T)]


def _judge(y: np.ndarray, slope: np.ndarray) -> Equilibrium:
    values = np.linalg.eigvals(slope)
    values = values[np.lexsort((-values.imag, -values.real))]
    small = 1e-7 * max(np.abs(values).max(), 1e-300)
    real = values.real
    if np.any(np.abs(values) <= small):
        kind = "degenerate"
    elif np.all(np.abs(real) <= small):
        kind = "centre"
    elif np.any(np.abs(real) <= small):
        kind = "degenerate"
    elif np.any(real > 0) and np.any(real < 0):
        kind = "saddle"
    else:
        turns = np.any(np.abs(values.imag) > small)
        kind = {
            (True, True): "unstable focus",
            (True, False): "source",
            (False, True): "stable focus",
            (False, False): "sink",
        }[bool(real[0] > 0), bool(turns)]
    return Equilibrium(y, values, kind)

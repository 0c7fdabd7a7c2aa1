"""Learning the energy of bars from cycles at rest: energies and forces of bars that are
placed, no motion at all."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._checks import whole
from .._errors import ConfigError
from .._precision import precision, to_host
from .._registry import register
from .._source import Source
from .._tree import split_trainable
from .._types import Context
from ..train import TrainState, adam_cosine, gradient_step
from ._bars import ESNN, AbstractBarEnergy, ElasticBars
from ._bars_config import BarsConfig
from ._bars_stages import bar_network
from ._chain_stages import Loop


DRAWN = 256  # cells to an update
INNER = 100  # updates to a call
FORCE = 0.3  # N, the unit of forces in the loss; moments: at a bar's radius
STORED = 1e-3  # J, that of energies
UNITS = (1e-2, 4e-3, 0.3)  # m, m, rad: in which powers are taken


@register("module")
class PolynomialBars(AbstractBarEnergy):
    r"""An energy of pairs, a polynomial that is even in the bend.

    $$ E = \tfrac12 \sum_{\text{both pairs}} \sum_j c_j
       \hat\xi^{a_j} \hat\zeta^{b_j} \hat\vartheta^{2 d_j}, \qquad
       \hat\xi = (\xi - \xi_0)/\xi_u, .. $$

    so that a pair counts once in the sum over triplets. `coefficients` c `"term"` [J];
    `powers` (a, b, 2 d) of each; `natural` $\xi_0$ [m]; powers are taken in units of
    1 cm, 4 mm, 0.3 rad.
    **Source:** ours. A reversal with a half turn (group `helix` of `ESNN`) takes a
    uniform chain's bend to its opposite: odd powers of it vanish.

    ```python
    >>> import jax.numpy as jnp
    >>> from pendula.dynamics import PolynomialBars
    >>> energy = PolynomialBars(jnp.array([0.003]), ((2, 0, 0),), 0.0)
    >>> round(float(energy(jnp.array([0.01, 0, 0, 0.01, 0, 0]))), 6)
    0.003

    ```
    """

    source: ClassVar[Source] = Source("Holmes2014", "discrete model")

    coefficients: Float[Array | np.ndarray, "term"]
    powers: tuple[tuple[int, int, int], ...] = eqx.field(static=True)
    natural: float = eqx.field(static=True, default=0.0)

    def __call__(
        self, z: Float[Array, "*lead 6"], context: Context = None
    ) -> Float[Array, "*lead"]:
        c = jnp.asarray(self.coefficients, z.dtype)
        parts = [self.terms(part) @ c for part in (z[..., :3], z[..., 3:])]
        return 0.5 * (parts[0] + parts[1])

    def terms(self, pair: Float[Array, "*lead 3"]) -> Float[Array, "*lead term"]:
        """The products of powers, one a coefficient."""
        x = pair.at[..., 0].add(-self.natural)
        x = x / jnp.asarray(UNITS, pair.dtype).reshape((1,) * (pair.ndim - 1) + (3,))
        most = max(max(p) for p in self.powers)
        ladder = [jnp.ones_like(x)]
        for _ in range(most):
            ladder.append(ladder[-1] * x)
        grid = jnp.stack(ladder)
        product = lambda p: grid[p[0], ..., 0] * grid[p[1], ..., 1] * grid[p[2], ..., 2]
        return jnp.stack([product(p) for p in self.powers], axis=-1)


def cell_law(
    pairs: Float[np.ndarray, "cell 3"],
    slope: Float[np.ndarray, "cell 3"],
    natural: float = 7e-4,
) -> ElasticBars:
    r"""The classical law whose forces are nearest to those of cycles at rest.

    $$ k_a = \frac{\sum (\xi - \xi_0)\,\partial_\xi W}{\sum (\xi - \xi_0)^2}, \quad
       k_s = \frac{\sum \zeta\,\partial_\zeta W}{\sum \zeta^2}, \quad
       k_r = \frac{\sum \vartheta\,\partial_\vartheta W}{\sum \vartheta^2} $$

    **Arguments:** coordinates `pairs` [m, m, rad] and `slope` [N, N, N m] of
    `pendula.systems.cell_energy`, one pair to a cell; `natural` $\xi_0$ [m].
    **Raises:** `ConfigError` for arrays that do not fit together, or cells that do not
    tell a positive stiffness.
    **Source:** after Holmes et al. 2014; ours for the fit.

    ```python
    >>> import numpy as np
    >>> from pendula.dynamics import cell_law
    >>> pairs = np.array([[0.01, 0.001, 0.1], [0.02, -0.001, 0.2]])
    >>> law = cell_law(pairs, pairs * [60.0, 150.0, 0.08], natural=0.0)
    >>> np.exp(law.stiffness).round(3).tolist()
    [60.0, 150.0, 0.08]

    ```
    """
    pairs, slope = _cells_of(pairs, slope)
    away = pairs - [natural, 0.0, 0.0]
    work, square = np.sum(away * slope, axis=0), np.sum(away**2, axis=0)
    for name, w, s in zip(("stretch", "shear", "bend"), work, square, strict=True):
        if not (s > 0.0 and w > 0.0):
            raise ConfigError(
                f"the cells tell no positive stiffness in {name}: take some that are "
                "deformed so, and their own slopes."
            )
    k = work / square
    return ElasticBars(np.log(k), natural)


def cell_polynomial(
    pairs: Float[np.ndarray, "cell 3"],
    energy: Float[np.ndarray, "cell"],
    slope: Float[np.ndarray, "cell 3"],
    *,
    degree: int = 6,
    natural: float = 7e-4,
    radius: float = 0.033,
) -> PolynomialBars:
    r"""The polynomial that is nearest to energies and forces of cycles at rest, one
    pair to a cell: linear least squares in float64.

    **Arguments:** what `pendula.systems.cell_energy` gives; `degree` of all powers
    together; `natural` [m], about which powers are taken; `radius` of a bar [m], by
    which moments count as forces.
    **Raises:** `ConfigError` for arrays that do not fit together, a degree below 1, or
    fewer cells than a quarter of the coefficients.
    **Source:** ours.

    ```python
    >>> import numpy as np
    >>> from pendula.dynamics import cell_polynomial
    >>> pairs = np.random.default_rng(0).normal(0.0, 1.0, (9, 3)) * [1e-2, 4e-3, 0.3]
    >>> k = np.array([60.0, 150.0, 0.08])
    >>> law = cell_polynomial(
    ...     pairs, 0.5 * pairs**2 @ k, k * pairs, degree=2, natural=0.0
    ... )
    >>> round(2e4 * float(law.coefficients[law.powers.index((2, 0, 0))]), 6)
    60.0

    ```
    """
    whole(1, degree=degree)
    pairs, slope = _cells_of(pairs, slope)
    if np.shape(energy) != (len(pairs),):
        raise ConfigError(
            f"energy has shape {np.shape(energy)}; expected one for each of the "
            f"{len(pairs)} cells."
        )
    every = itertools.product(range(degree + 1), repeat=2)
    powers = tuple(
        (a, b, c)
        for a, b in every
        for c in range(0, degree + 1, 2)
        if 0 < a + b + c <= degree
    )
    if 4 * len(pairs) < len(powers):
        raise ConfigError(
            f"{len(pairs)} cells do not tell {len(powers)} coefficients of degree "
            f"{degree}. Solve more of them, or take a lower degree."
        )
    with precision(np.float64):
        law = PolynomialBars(jnp.zeros(len(powers)), powers, natural)
        at = jnp.asarray(pairs)
        value = np.asarray(law.terms(at))
        rates = np.asarray(jax.vmap(jax.jacfwd(law.terms))(at))
    unit = 1.0 / np.array([FORCE, FORCE, FORCE * radius])
    left = np.moveaxis(rates * unit, 1, 2).reshape(-1, len(powers))
    left = np.concatenate([value / STORED, left])
    right = np.concatenate([np.asarray(energy) / STORED, np.ravel(slope * unit)])
    return PolynomialBars(np.linalg.lstsq(left, right)[0], powers, natural)


def _cells_of(pairs: Any, slope: Any) -> tuple[np.ndarray, np.ndarray]:
    """One pair to a cell, and its slope. **Raises:** `ConfigError`."""
    pairs, slope = np.asarray(pairs, np.float64), np.asarray(slope, np.float64)
    if pairs.ndim != 2 or pairs.shape[1] != 3 or slope.shape != pairs.shape:
        raise ConfigError(
            f"pairs and slope have shapes {pairs.shape} and {slope.shape}; expected "
            "(cell, 3) for both: of one pair to a cell take [:, 0]."
        )
    return pairs, slope


def fit_cells(
    pairs: Any,
    energy: Any,
    slope: Any,
    config: BarsConfig | None = None,
    *,
    radius: float = 0.033,
    tell: Callable[[dict[str, Any]], None] | None = None,
) -> tuple[ESNN, dict[str, Any]]:
    r"""Learn the energy of bars from cycles at rest.

    $$ \min_\theta \sum_{cells} \frac{|E_c - W|^2}{W_0^2} +
       \sum_i \frac{|\partial_{p_i} (E_c - W)|^2}{f_0^2}, \qquad
       E_c = \sum_{i=1}^{M} E_\theta(p_i, p_{i+1}), \quad p_{M+1} = p_1 $$

    Energies and forces both (Sobolev training). Cells of one pair say nothing of
    neighbours that differ: two of them, drawn at random, then count as such, and store
    what each does by itself.

    **Arguments:** `pairs` `"cell pair 3"` and what `pendula.systems.cell_energy` gives,
    `energy` `"cell"`, `slope` `"cell pair 3"`; of `config` the network,
    `start_steps`, `natural`, `seed` and `minutes`; `radius` of a bar [m], by which
    moments count as forces; `tell` gets the progress.
    **Returns:** the energy, for a `BarChain`, and a record of the training.
    **Raises:** `ConfigError` for arrays that do not fit together.
    **Source:** Sobolev training: Czarnecki et al. 2017, arXiv:1706.04859.
    """
    config = BarsConfig() if config is None else config
    shapes = np.shape(pairs), np.shape(energy), np.shape(slope)
    if len(shapes[0]) != 3 or shapes != (shapes[0], shapes[0][:1], shapes[0]):
        raise ConfigError(
            f"pairs, energy and slope have shapes {', '.join(map(str, shapes))}; "
            "expected (cell, pair, 3), (cell,) and (cell, pair, 3)."
        )
    net = bar_network(config, config.seed)
    params, static = split_trainable(net)
    put = lambda x: jnp.asarray(np.asarray(x), jnp.float32)
    batch = put(pairs), put(energy), put(slope)
    total = max(INNER, config.start_steps // INNER * INNER)
    transform = adam_cosine(3e-3, total)
    step = gradient_step(_loss(static, radius), transform, inner=INNER)
    key = jax.random.key(config.seed)
    state = TrainState.start(params, transform.init(params), key)
    loop = Loop(None, False, tell, config.minutes, time.perf_counter())
    params, told = loop(
        "network onto cells", step, state, batch, total, every=INNER, inner=INNER
    )
    return to_host(eqx.combine(params, static)), told


def _loss(static: Any, radius: float) -> Any:
    unit = jnp.asarray([1.0 / FORCE, 1.0 / FORCE, 1.0 / (FORCE * radius)], jnp.float32)

    def loss(params: Any, batch: tuple, key: Any) -> Array:
        net = eqx.combine(params, static)
        pairs, stored, slope = batch
        first, second = jax.random.randint(key, (2, DRAWN), 0, len(pairs))
        p, e, f = pairs[first], stored[first], slope[first]
        if pairs.shape[1] == 1:
            p = jnp.concatenate([p, pairs[second]], axis=1)
            f = jnp.concatenate([f, slope[second]], axis=1)
            e = e + stored[second]
        whole, push = jax.vmap(jax.value_and_grad(lambda p: _cell(net, p)))(p)
        off = (push - f) * unit[None, None]
        return jnp.mean(((whole - e) / STORED) ** 2) + jnp.mean(off**2)

    return loss


def _cell(energy: AbstractBarEnergy, pairs: Float[Array, "pair 3"]) -> Array:
    """What cycles store whose pairs repeat."""
    z = jnp.concatenate([pairs, jnp.roll(pairs, -1, axis=0)], axis=-1)
    return jnp.sum(energy(z))

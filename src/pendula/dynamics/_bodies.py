"""Where a mechanical system keeps its energy: mass matrix and potential."""

from __future__ import annotations

import abc
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._errors import ConfigError, nearest
from .._registry import register
from .._source import Source
from ._constants import Constant, Sign, constant
from ._known import Law, known_law
from ._learned import Learned


Coordinates = Float[Array, "n"]
# softplus of this is 1: a network of zeros then means unit masses
_UNIT = float(np.log(np.e - 1.0))


class AbstractBody(eqx.Module):
    """Mass matrix and potential energy as functions of the coordinates."""

    @abc.abstractmethod
    def mass(self, q: Coordinates) -> Float[Array, "n n"]:
        """M(q), symmetric and positive definite."""

    @abc.abstractmethod
    def potential(self, q: Coordinates) -> Float[Array, ""]:
        """V(q)."""

    @abc.abstractmethod
    def joints(self, n: int) -> Float[np.ndarray, "n n"]:
        """How the rates at which friction acts follow from dq/dt."""


@register("module")
class LearnedBody(AbstractBody):
    r"""Both unknown: a network for the mass matrix, one for the potential.

    $$ M(q) = L(q) L(q)^\top, \quad L_{ii} = \mathrm{softplus}(m_{ii} + c), \;
       L_{ij} = m_{ij} \; (j < i), \quad \mathrm{softplus}(c) = 1 $$

    A network of zeros is a unit mass. Motion fixes M and V only up to a common factor:
    the prior of the weights chooses the one nearest to unit masses.

    **Shapes:** `factor` a `Learned` slot of size n (n + 1) / 2, `energy` one of size 1,
    both of the n coordinates. **Raises:** `ConfigError` for slots of other sizes.
    **Source:** Lutter, Ritter, Peters 2019, arXiv:1907.04490, section 4.
    """

    source: ClassVar[Source] = Source("Lutter2019", "section 4")

    factor: Learned
    energy: Learned

    def __check_init__(self) -> None:
        takes = self.energy.takes
        size = len(takes) * (len(takes) + 1) // 2
        if (
            self.factor.takes != takes
            or takes != tuple(range(len(takes)))
            or self.factor.inputs
            or self.energy.inputs
        ):
            raise ConfigError(
                "mass and potential take the coordinates and nothing else; they take "
                f"state entries {list(self.factor.takes)} and {list(takes)}."
            )
        if self.factor.net.out_size != size or self.energy.net.out_size != 1:
            raise ConfigError(
                f"with {len(takes)} coordinates a mass matrix has {size} entries and "
                f"a potential 1; the networks give {self.factor.net.out_size} and "
                f"{self.energy.net.out_size}."
            )

    def mass(self, q: Coordinates) -> Float[Array, "n n"]:
        n = q.shape[0]
        rows, cols = np.tril_indices(n)
        entries = self.factor.scale.out * self.factor.shape(q)
        lower = jnp.zeros((n, n), q.dtype).at[rows, cols].set(entries)
        on_diagonal = jax.nn.softplus(jnp.diagonal(lower) + _UNIT)
        lower = lower - jnp.diag(jnp.diagonal(lower)) + jnp.diag(on_diagonal)
        return lower @ lower.T

    def potential(self, q: Coordinates) -> Float[Array, ""]:
        slot = self.energy
        rest = slot.scale.rest
        return (slot.scale.out * (slot.shape(q) - slot.shape(rest)))[0]

    def joints(self, n: int) -> Float[np.ndarray, "n n"]:
        return np.eye(n)


@register("module")
class Links(AbstractBody):
    r"""Rigid links that hang on one another, with unknown constants.

    $$ M_{ij} = \cos(\theta_i - \theta_j) \sum_{k \ge \max(i,j)} u_{ik} u_{jk} d_k,
       \quad u_{kk} = 1, \qquad V = \sum_i g_i (1 - \cos\theta_i), \quad
       \theta_i = q_i - \mathrm{zero}_i $$

    Every row of rigid links has this form. For point masses m at the ends of massless
    links l: $d_k = m_k l_k^2$, $u_{ik} = l_i / l_k$, $g_i = g\,l_i \sum_{j \ge i} m_j$.
    M is positive definite for all positive d. Free motion fixes the constants up to a
    common factor of all d and g, so that `d1` is 1 when nobody says otherwise; with
    torques in N m it is an inertia [kg m2] to be found.

    **Arguments:** `n` links; `relative`: whether each angle after the first is counted
    from the link before it, or from the vertical; `free` and `constants` as for
    `Known`: `d1`.., `u12`.., `g1`.. (1 when nobody says otherwise) and `zero1`..
    (0), the angles at which the links hang [rad].
    **Raises:** `ConfigError` for unknown names, and values that are not positive
    where they must be.
    **Source:** Landau and Lifshitz, Mechanics, 3rd ed. 1976, section 5, problem 1, for
    point masses.

    ```python
    >>> import jax.numpy as jnp
    >>> from pendula.dynamics import Links
    >>> body = Links(2, d1=1.0, d2=0.5, u12=1.0, g1=19.6, g2=9.8)
    >>> body.mass(jnp.zeros(2)).tolist()
    [[1.5, 0.5], [0.5, 0.5]]

    ```
    """

    source: ClassVar[Source] = Source("Landau1976", "section 5, problem 1")

    constants: dict[str, Constant]
    n: int = eqx.field(static=True)
    relative: bool = eqx.field(static=True)

    def __init__(
        self,
        n: int,
        *,
        relative: bool = False,
        free: tuple[str, ...] | list[str] = (),
        **constants: float,
    ) -> None:
        if not 1 <= n <= 3:
            raise ConfigError(f"links: n is {n}; 1 to 3 links are known.")
        expected = link_names(n)
        for name in [*constants, *free]:
            if name not in expected:
                raise ConfigError(
                    f'{n} links have no constant "{name}".{nearest(name, expected)} '
                    f"They have: {', '.join(expected)}."
                )
        for name, value in constants.items():
            if not (np.isfinite(value) and (value > 0 or expected[name] == "any")):
                must = "finite" if expected[name] == "any" else "> 0"
                raise ConfigError(f"links: {name} is {value:g}; it must be {must}.")
        self.n, self.relative = n, relative
        self.constants = {
            name: constant(
                float(constants.get(name, 1.0 if sign == "positive" else 0.0)),
                free=name in free,
                sign=sign,
            )
            for name, sign in expected.items()
        }

    def mass(self, q: Coordinates) -> Float[Array, "n n"]:
        value = lambda name: self.constants[name].value
        ratio = jnp.eye(self.n, dtype=q.dtype)
        rows, cols = np.triu_indices(self.n, 1)
        if len(rows):
            pairs = zip(rows + 1, cols + 1, strict=True)
            above = jnp.stack([value(f"u{i}{k}") for i, k in pairs])
            ratio = ratio.at[rows, cols].set(above.astype(q.dtype))
        inertia = jnp.stack([value(f"d{k + 1}") for k in range(self.n)])
        straight = (ratio * inertia.astype(q.dtype)[None, :]) @ ratio.T
        turn = self._turned(q)
        m = straight * jnp.cos(turn[:, None] - turn[None, :])
        if self.relative:
            t = jnp.asarray(np.tri(self.n), q.dtype)
            m = t.T @ m @ t
        return m

    def potential(self, q: Coordinates) -> Float[Array, ""]:
        weights = jnp.stack([self.constants[f"g{k + 1}"].value for k in range(self.n)])
        # 1 - cos, written so that small swings keep their digits
        return jnp.sum(2.0 * weights * jnp.sin(0.5 * self._turned(q)) ** 2)

    def _turned(self, q: Coordinates) -> Coordinates:
        """Angles from the vertical."""
        zeros = [self.constants[f"zero{k + 1}"].value for k in range(self.n)]
        q = q - jnp.stack(zeros).astype(q.dtype)
        return jnp.cumsum(q) if self.relative else q

    def joints(self, n: int) -> Float[np.ndarray, "n n"]:
        return np.eye(n) if self.relative else np.eye(n) - np.eye(n, k=-1)


def link_names(n: int) -> dict[str, Sign]:
    """The constants of n links, and their signs."""
    positive = (
        *(f"d{k + 1}" for k in range(n)),
        *(f"u{i + 1}{k + 1}" for k in range(n) for i in range(k)),
        *(f"g{k + 1}" for k in range(n)),
    )
    zeros = (f"zero{k + 1}" for k in range(n))
    return {**dict.fromkeys(positive, "positive"), **dict.fromkeys(zeros, "any")}


def _no_force(q: Array, v: Array, u: Any, c: Any) -> Array:
    return jnp.zeros_like(q)


_NUMBERS = {1: "one_link", 2: "two_links", 3: "three_links"}
for _n, _name in _NUMBERS.items():
    for _relative in (False, True) if _n > 1 else (False,):
        known_law(
            f"{_name}_relative" if _relative else _name,
            Law(
                _no_force,
                {
                    name: (sign, "rad" if sign == "any" else "")
                    for name, sign in link_names(_n).items()
                },
                f"a row of {_n} rigid {'links' if _n > 1 else 'link'} under gravity"
                + (", angles each from the link before" if _relative else ""),
                _n,
                _relative,
            ),
        )


def law_of(body: Links) -> str:
    """The name under which a body of links is known."""
    return _NUMBERS[body.n] + ("_relative" if body.relative and body.n > 1 else "")

"""Motion from a Hamiltonian, alone or with ports: losses and inputs."""

from __future__ import annotations

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._errors import ConfigError
from .._registry import register
from .._source import Source
from .._types import AnyArray, Context, Control, State, Time
from ._constants import Constant
from ._field import AbstractField
from ._learned import LINEAR_SD, GivenMatrix, Learned


@register("module")
class Hamiltonian(AbstractField):
    r"""A field of coordinates and momenta that a learned energy drives.

    $$ \dot q = \frac{\partial H}{\partial p}, \quad
       \dot p = -\frac{\partial H}{\partial q}, \qquad
       H = \sum_k h_k(q, p) + \sum_i \frac{p_i^2}{2 m_i} $$

    H is conserved, and so is the volume of phase space, for any weights. Parts that
    take only q or only p make it separable. `masses` are those of a kinetic energy to
    which the networks add; of momenta that nobody measured they fix the scale.

    **Shapes:** `parts`: `Learned` slots of size 1; state `(q, p)` `"2n"`, also what is
    returned. **Raises:** `ConfigError` for slots of another size or with inputs.
    **Source:** Greydanus, Dzamba, Yosinski 2019, arXiv:1906.01563, equation 3.

    ```python
    >>> import jax, jax.numpy as jnp
    >>> from pendula.dynamics import Hamiltonian, Learned, SlotScale
    >>> from pendula.nn import MLP
    >>> net = MLP(2, 1, width=8, depth=1, key=jax.random.key(0))
    >>> field = Hamiltonian((Learned(net, SlotScale.unit(2, 1), takes=(0, 1)),), n=1)
    >>> field(0.0, jnp.zeros(2), None, None).shape
    (2,)

    ```
    """

    source: ClassVar[Source] = Source("Greydanus2019", "equation 3")

    parts: tuple[Learned, ...]
    n: int = eqx.field(static=True)
    masses: tuple[Constant, ...] = ()

    def __check_init__(self) -> None:
        for part in self.parts:
            if part.net.out_size != 1 or part.inputs or max(part.takes) >= 2 * self.n:
                raise ConfigError(
                    "a part of a Hamiltonian gives one energy of coordinates and "
                    f"momenta; it gives {part.net.out_size} of state entries "
                    f"{list(part.takes)} and inputs {list(part.inputs)}."
                )
        if len(self.masses) not in (0, self.n):
            raise ConfigError(
                f"{len(self.masses)} masses for {self.n} coordinates; give one each, "
                "or none."
            )

    def value(self, y: State, context: Context = None) -> Float[Array, ""]:
        """H(q, p)."""
        zero = jnp.zeros((), y.dtype)
        total = zero
        for part in self.parts:
            total = total + part(zero, y, None, context)[0]
        for p, mass in zip(y[self.n :], self.masses, strict=bool(self.masses)):
            total = total + 0.5 * p**2 / mass.value
        return total

    def __call__(
        self, t: Time | float, y: State, u: Control | None, context: Context
    ) -> Float[Array, "out"]:
        slope = jax.grad(self.value)(y, context)
        return jnp.concatenate([slope[self.n :], -slope[: self.n]])


@register("module")
class Ports(eqx.Module):
    r"""An input matrix to be found, on a scale of its own.

    $$ G = s \odot r, \qquad r \sim N(0, 5^2) $$

    **Shapes:** `raw` and `size` `"n ctrl"`.
    """

    raw: Float[AnyArray, "n ctrl"]
    size: GivenMatrix

    @property
    def value(self) -> Float[AnyArray, "n ctrl"]:
        """G."""
        return self.size.value * self.raw

    def prior_residual(self) -> Float[Array, "prior"]:
        """Whitened distance from the prior."""
        return jnp.ravel(self.raw) / LINEAR_SD


@register("module")
class PortHamiltonian(AbstractField):
    r"""A Hamiltonian field that loses energy and is driven through ports.

    $$ \dot x = (J - R(x))\,\nabla H + G u, \quad R = L(x) L(x)^\top, \qquad
       \dot H = -\nabla H^\top R\,\nabla H + \nabla H^\top G u $$

    Without input H never rises, whatever the networks say.

    **Arguments:** `hamiltonian`; `factor`: a slot of the entries of the lower
    triangular L `"n n"` (friction acts on the momenta) or None; `ports`: `Ports`, the
    part of G that acts on the momenta, or None.
    **Shapes:** state `(q, p)` `"2n"`. **Raises:** `ConfigError` for a slot of another
    size. **Source:** Van der Schaft, Jeltsema 2014, chapter 4; Zhong, Dey,
    Chakraborty 2020, arXiv:2002.08860 (learned).

    ```python
    >>> import jax.numpy as jnp
    >>> from pendula.dynamics import Given, Hamiltonian, PortHamiltonian
    >>> free = Hamiltonian((), n=1, masses=(Given(jnp.asarray(2.0)),))
    >>> y = jnp.array([0.0, 1.0])
    >>> float(PortHamiltonian(free, None)(0.0, y, None, None)[0])
    0.5

    ```
    """

    source: ClassVar[Source] = Source("VanDerSchaft2014", "chapter 4")

    hamiltonian: Hamiltonian
    factor: Learned | None
    ports: Ports | None = None

    def __check_init__(self) -> None:
        n = self.n
        if self.factor is not None and self.factor.net.out_size != n * (n + 1) // 2:
            raise ConfigError(
                f"a dissipation of {n} momenta has {n * (n + 1) // 2} entries; the "
                f"network gives {self.factor.net.out_size}."
            )

    @property
    def n(self) -> int:
        """Number of coordinates."""
        return self.hamiltonian.n

    def __call__(
        self, t: Time | float, y: State, u: Control | None, context: Context
    ) -> Float[Array, "out"]:
        n = self.n
        slope = jax.grad(self.hamiltonian.value)(y, context)
        speed, push = slope[n:], -slope[:n]
        if self.factor is not None:
            rows, cols = np.tril_indices(n)
            entries = self.factor(t, y, u, context)
            lower = jnp.zeros((n, n), y.dtype).at[rows, cols].set(entries)
            push = push - lower @ (lower.T @ speed)
        if self.ports is not None:
            if u is None:
                raise ConfigError("a field with ports needs the input; none was given.")
            push = push + self.ports.value @ u
        return jnp.concatenate([speed, push])

"""Reaction and diffusion on a line: what a node does by itself, learned, and how it
spreads, known."""

from __future__ import annotations

from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from .._errors import ConfigError, nearest
from .._registry import register
from .._source import Source
from .._types import Context, Control, State, Time
from ..systems import DIRICHLET, NEUMANN, diffusion
from ._constants import Constant
from ._field import AbstractField
from ._known import Law, known_law
from ._learned import Learned


BOUNDARIES = (NEUMANN, DIRICHLET)


@register("module")
class Reaction(AbstractField):
    r"""What happens at each node depends on the value there alone: one network is
    shared by all nodes.

    $$ f_i(t, y, u, c) = s\,N_\theta(y_i, u) $$

    **Shapes:** y and the result `"node"`, any number of nodes: called with a grid of
    values instead of a state it gives the learned curve.
    **Arguments:** `slot`: a `Learned` slot of one state entry with one output; in a
    family its network depends on eta, priors and inputs are those of the slot.
    **Raises:** `ConfigError` for a slot of another size.
    **Source:** Wang 2023 (thesis), chapter 4 (the KPP equation).

    ```python
    >>> import jax, jax.numpy as jnp
    >>> from pendula.dynamics import Learned, Reaction, SlotScale
    >>> from pendula.nn import MLP
    >>> net = MLP(1, 1, width=4, depth=1, key=jax.random.key(0))
    >>> growth = Reaction(Learned(net, SlotScale.unit(1, 1), takes=(0,)))
    >>> rates = growth(0.0, jnp.array([0.2, 0.7, 0.2]), None, None)
    >>> rates.shape, bool(rates[0] == rates[2])
    ((3,), True)

    ```
    """

    source: ClassVar[Source] = Source("Wang2023", "chapter 4")

    slot: Learned

    def __check_init__(self) -> None:
        if self.slot.takes != (0,) or self.slot.net.out_size != 1:
            raise ConfigError(
                "a reaction needs a slot of one entry with one output, takes=(0,); "
                f"this one takes {list(self.slot.takes)} and has "
                f"{self.slot.net.out_size} outputs."
            )

    def __call__(
        self, t: Time | float, y: State, u: Control | None, context: Context
    ) -> Float[Array, "node"]:
        one = lambda value: self.slot(t, value[None], u, context)[0]
        return jax.vmap(one)(y)

    def outside(self, y: State, u: Control | None, context: Context) -> Bool[Array, ""]:
        """Whether some node leaves the range of values that training visited."""
        return jnp.any(jax.vmap(lambda v: self.slot.outside(v[None], u, context))(y))


@register("module")
class ReactionDiffusion(AbstractField):
    r"""Known diffusion along a line of nodes, and what else acts on them.

    $$ \dot y_i = \frac{D}{h^2} (y_{i-1} - 2 y_i + y_{i+1}) + f_i(t, y, u, c) $$

    The boundary is `neumann` (no flux) or `dirichlet`: both ends keep the values that
    they start with, whatever f says. It is no part of what is learned, and
    `with_boundary` changes it afterwards.

    **Arguments:** `constants`: `d` the diffusivity D and `dx` the distance h between
    nodes; `sources`: the terms of f, `"node"` each, often a `Reaction`.
    **Shapes and units:** y and the result `"node"`; D in units of `dx` squared by the
    unit of time.
    **Raises:** `ConfigError` for an unknown boundary or missing constants.
    **Source:** LeVeque 2007, Finite Difference Methods, sections 2.12 and 9.2.

    ```python
    >>> import jax.numpy as jnp
    >>> from pendula.dynamics import Given, ReactionDiffusion, with_boundary
    >>> known = {"d": Given(jnp.asarray(0.5)), "dx": Given(jnp.asarray(1.0))}
    >>> line = ReactionDiffusion(known)
    >>> y = jnp.array([1.0, 0.0, 0.0])
    >>> line(0.0, y, None, None).tolist()
    [-1.0, 0.5, 0.0]
    >>> with_boundary(line, "dirichlet")(0.0, y, None, None).tolist()
    [0.0, 0.5, 0.0]

    ```
    """

    source: ClassVar[Source] = Source("LeVeque2007", "sections 2.12 and 9.2")

    constants: dict[str, Constant]
    sources: tuple[AbstractField, ...] = ()
    boundary: str = eqx.field(static=True, default=NEUMANN)

    def __check_init__(self) -> None:
        check_boundary(self.boundary)
        if set(self.constants) != {"d", "dx"}:
            raise ConfigError(
                f"diffusion has the constants {sorted(self.constants)}; it needs d, "
                "the diffusivity, and dx, the distance between nodes."
            )

    def __call__(
        self, t: Time | float, y: State, u: Control | None, context: Context
    ) -> Float[Array, "node"]:
        d, dx = self.constants["d"].value, self.constants["dx"].value
        spread = diffusion(y, jnp.asarray(d), jnp.asarray(dx), self.boundary)
        total = jnp.zeros_like(y)
        for source in self.sources:
            total = total + source(t, y, u, context)
        if self.boundary == DIRICHLET:
            total = total.at[jnp.array([0, -1])].set(0.0)
        return spread + total


def check_boundary(boundary: str) -> None:
    """Refuse a boundary that is not built."""
    if boundary not in BOUNDARIES:
        raise ConfigError(
            f'boundary is "{boundary}".{nearest(boundary, BOUNDARIES)} Allowed: '
            f"{', '.join(BOUNDARIES)}."
        )


def with_boundary(tree: Any, boundary: str) -> Any:
    """A model or field with another boundary; what was learned stays.

    Under `dirichlet` both ends keep the values of the start state: let it begin with
    them, y0[0] and y0[-1].

    **Raises:** `ConfigError` for an unknown boundary, or where nothing diffuses.
    """
    check_boundary(boundary)
    line = lambda node: isinstance(node, ReactionDiffusion)
    if not any(map(line, jax.tree.leaves(tree, is_leaf=line))):
        raise ConfigError(
            "nothing in the model diffuses: it has no boundary to change. Build it "
            "with the known law diffusion."
        )

    def changed(node: Any) -> Any:
        if not line(node):
            return node
        return ReactionDiffusion(node.constants, node.sources, boundary)

    return jax.tree.map(changed, tree, is_leaf=line)


def _no_force(q: Any, v: Any, u: Any, c: Any) -> Float[Array, ""]:
    raise ConfigError(
        "diffusion acts along a line of nodes, not on one coordinate. Use "
        "ReactionDiffusion, or learn with --known diffusion."
    )


known_law(
    "diffusion",
    Law(
        _no_force,
        {"d": ("positive", ""), "dx": ("positive", "")},
        "d u_xx along all channels, nodes at distances dx",
        line=True,
    ),
)

"""Networks whose weights depend on what varies within a family."""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import Any, ClassVar, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from .._checks import choice
from .._errors import ConfigError
from .._registry import register
from .._source import Source
from ._mlp import MLP


Bound: TypeAlias = Callable[[Float[Array, " in"]], Float[Array, " out"]]


class AbstractMember(eqx.Module):
    """What differs between the members of a family: `bind(eta)` is that of one."""

    @abc.abstractmethod
    def bind(self, eta: Float[Array, " eta"]) -> Any:
        """What it is for one eta."""


class AbstractConditioned(AbstractMember):
    r"""A network of an input z and a vector eta: `bind(eta)` is the network of z.

    $$ y = N_{\theta(\eta)}(z) $$

    **Shapes:** z `"in"`, eta `"eta"`, output `"out"`, all without unit.
    """

    @property
    @abc.abstractmethod
    def in_size(self) -> int:
        """Number of entries of z."""

    @property
    @abc.abstractmethod
    def out_size(self) -> int:
        """Number of outputs."""

    @property
    @abc.abstractmethod
    def eta_size(self) -> int:
        """Number of entries of eta."""

    @abc.abstractmethod
    def bind(self, eta: Float[Array, " eta"]) -> Bound:
        """The network of z for one eta."""

    @abc.abstractmethod
    def redraw(self, key: PRNGKeyArray) -> Any:
        """The same network with fresh random weights."""

    def __call__(self, x: Float[Array, " in"]) -> Float[Array, " out"]:
        """Refused: which member of the family is not said yet."""
        raise ConfigError(
            f"a {type(self).__name__} network stands for a family; say which member: "
            "bind it to an eta first."
        )


def bind(tree: Any, eta: Float[Array, " eta"]) -> Any:
    """A model, field or network of a family for one member: each conditioned network,
    and whatever else differs, is bound to eta, everything else is left alone.

    ```python
    >>> import jax, jax.numpy as jnp
    >>> from pendula.nn import bind, conditioned
    >>> family = {"force": conditioned("affine", 1, 1, 2, key=jax.random.key(0))}
    >>> bind(family, jnp.zeros(2))["force"](jnp.ones(1)).shape
    (1,)

    ```
    """
    mine = lambda node: isinstance(node, AbstractMember)
    return jax.tree.map(lambda n: n.bind(eta) if mine(n) else n, tree, is_leaf=mine)


def _changed(base: MLP, **weights: Any) -> MLP:
    """The base with some of its weights replaced."""
    return eqx.tree_at(
        lambda m: [getattr(m, name) for name in weights],
        base,
        list(weights.values()),
        is_leaf=lambda x: x is None,
    )


def mlp_settings(base: MLP) -> dict[str, Any]:
    """The settings that an MLP was built with."""
    return {
        "width": base.width,
        "depth": base.depth,
        "activation": base.activation,
        "use_bias": base.use_bias,
        "init": base.init,
        "zero_last": base.zero_last,
    }


class AbstractOnMLP(AbstractConditioned):
    """A conditioned network that is an MLP of z for each eta: the `base` and what eta
    does to its weights."""

    base: MLP

    @abc.abstractmethod
    def __init__(
        self,
        in_size: int,
        out_size: int,
        eta_size: int,
        *,
        key: PRNGKeyArray,
        **mlp: Any,
    ) -> None:
        """Fresh weights; `mlp` are the settings of `MLP`."""

    @property
    def in_size(self) -> int:
        """Number of entries of z."""
        return self.base.in_size

    @property
    def out_size(self) -> int:
        """Number of outputs."""
        return self.base.out_size

    def redraw(self, key: PRNGKeyArray) -> Any:
        sizes = (self.in_size, self.out_size, self.eta_size)
        return type(self)(*sizes, key=key, **mlp_settings(self.base))


@register("module")
class Concat(AbstractOnMLP):
    r"""Eta joins the inputs of an MLP, as in iMODE.

    $$ y = N_\theta([z, \eta]) $$

    which is the MLP of z whose first biases are shifted by U eta.

    **Shapes:** `base` takes z `"in"`, `shift` is U `"width eta"`.
    **Source:** Wang 2023 (thesis), chapter 4, equation 4.2.

    ```python
    >>> import jax, jax.numpy as jnp
    >>> from pendula.nn import conditioned
    >>> net = conditioned("concat", 2, 1, 1, width=8, key=jax.random.key(0))
    >>> net.bind(jnp.zeros(1))(jnp.ones(2)).shape
    (1,)

    ```
    """

    source: ClassVar[Source] = Source("Wang2023", "equation 4.2")

    shift: Float[Array, "width eta"]

    def __init__(
        self,
        in_size: int,
        out_size: int,
        eta_size: int,
        *,
        key: PRNGKeyArray,
        **mlp: Any,
    ) -> None:
        key_base, key_shift = jax.random.split(key)
        self.base = MLP(in_size, out_size, key=key_base, **mlp)
        if self.base.bias_in is None:
            raise ConfigError(
                "a concat network mixes z and eta by the biases of its first layer: it "
                "needs depth >= 1 and use_bias."
            )
        # eta counts as an input like any other
        limit = (in_size + eta_size) ** -0.5
        shape = (self.base.width, eta_size)
        self.shift = jax.random.uniform(key_shift, shape, minval=-limit, maxval=limit)

    @property
    def eta_size(self) -> int:
        """Number of entries of eta."""
        return self.shift.shape[-1]

    def bind(self, eta: Float[Array, " eta"]) -> Bound:
        moved = self.shift @ eta
        bias = self.base.bias_in
        return _changed(self.base, bias_in=moved if bias is None else bias + moved)


@register("module")
class Affine(AbstractOnMLP):
    r"""A network affine in eta, for families that are linear in their parameters.

    $$ y = F_0(z) + \sum_k \eta_k F_k(z) $$

    the F_k are outputs of one MLP: its last layer is mixed before it is applied. The
    parameters of such a family are identified up to an affine map.

    **Shapes:** `base` gives F_0, `weights` `"eta out width"` and `biases`
    `"eta out"` the last layers of F_1, F_2, ...
    **Source:** Blanke and Lelarge 2024, arXiv:2312.00477.

    ```python
    >>> import jax, jax.numpy as jnp
    >>> from pendula.nn import conditioned
    >>> net = conditioned("affine", 2, 1, 1, width=8, key=jax.random.key(0))
    >>> at = lambda e: net.bind(jnp.array([e]))(jnp.ones(2))
    >>> bool(jnp.allclose(at(2.0) - at(1.0), at(1.0) - at(0.0), atol=1e-6))
    True

    ```
    """

    source: ClassVar[Source] = Source("Blanke2024", "affine in the context")
    stacked: ClassVar[tuple[str, ...]] = ("weights", "biases")

    weights: Float[Array, "eta out width"]
    biases: Float[Array, "eta out"] | None

    def __init__(
        self,
        in_size: int,
        out_size: int,
        eta_size: int,
        *,
        key: PRNGKeyArray,
        **mlp: Any,
    ) -> None:
        key_base, key_more = jax.random.split(key)
        self.base = MLP(in_size, out_size, key=key_base, **mlp)
        make = lambda k: MLP(in_size, out_size, key=k, **mlp)
        more = eqx.filter_vmap(make)(jax.random.split(key_more, eta_size))
        self.weights, self.biases = more.weight_out, more.bias_out

    @property
    def eta_size(self) -> int:
        """Number of entries of eta."""
        return self.weights.shape[-3]

    def bind(self, eta: Float[Array, " eta"]) -> Bound:
        weight = self.base.weight_out + jnp.tensordot(eta, self.weights, 1)
        bias = self.base.bias_out
        if bias is not None and self.biases is not None:
            bias = bias + eta @ self.biases
        return _changed(self.base, weight_out=weight, bias_out=bias)


@register("module")
class LowRank(AbstractOnMLP):
    r"""All weights move with eta along few directions, for families that are not
    affine.

    $$ \theta(\eta) = \theta_0 + \sum_k \eta_k\,\delta\theta_k $$

    **Shapes:** `base` holds theta_0, `moves` every delta theta_k stacked on a leading
    axis `"eta"`; they start at three tenths of the size of the weights.
    **Source:** Kirchmeyer et al. 2022, arXiv:2202.01889 (CoDA), equation 6.

    ```python
    >>> import jax, jax.numpy as jnp
    >>> from pendula.nn import conditioned
    >>> net = conditioned("lowrank", 2, 1, 1, width=8, key=jax.random.key(0))
    >>> net.bind(jnp.zeros(1))(jnp.ones(2)).shape
    (1,)

    ```
    """

    source: ClassVar[Source] = Source("Kirchmeyer2022", "equation 6")

    moves: MLP

    def __init__(
        self,
        in_size: int,
        out_size: int,
        eta_size: int,
        *,
        key: PRNGKeyArray,
        **mlp: Any,
    ) -> None:
        key_base, key_moves = jax.random.split(key)
        self.base = MLP(in_size, out_size, key=key_base, **mlp)
        make = lambda k: MLP(in_size, out_size, key=k, **mlp)
        moves = eqx.filter_vmap(make)(jax.random.split(key_moves, eta_size))
        self.moves = jax.tree.map(lambda x: 0.3 * x, moves)

    @property
    def eta_size(self) -> int:
        """Number of entries of eta."""
        return self.moves.weight_out.shape[-3]

    def bind(self, eta: Float[Array, " eta"]) -> Bound:
        return jax.tree.map(
            lambda w, dw: w + jnp.tensordot(eta, dw, 1), self.base, self.moves
        )


def conditioned(
    head: str,
    in_size: int,
    out_size: int,
    eta_size: int,
    *,
    key: PRNGKeyArray,
    **mlp: Any,
) -> AbstractConditioned:
    """A network of that kind: `concat`, `affine`, `lowrank`, `hyper` or
    `reference`; `mlp` are the settings of `MLP`.

    **Raises:** `ConfigError` for an unknown kind or an eta of no size.
    """
    from ._hyper import HyperMLP
    from ._reference import ReferenceNet

    kinds: dict[str, Any] = {
        "concat": Concat,
        "affine": Affine,
        "lowrank": LowRank,
        "hyper": HyperMLP,
        "reference": ReferenceNet,
    }
    choice("head", head, kinds)
    if eta_size < 1:
        raise ConfigError(f"eta has size {eta_size}; it must be at least 1.")
    return kinds[head](in_size, out_size, eta_size, key=key, **mlp)

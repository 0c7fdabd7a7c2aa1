"""Learned slots: networks whose priors are part of the parametrisation."""

from __future__ import annotations

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from .._errors import ConfigError
from .._registry import register
from .._source import Source
from .._tree import Fixed
from .._types import Context, Control, State, Time
from ..nn import MLP, AbstractConditioned, ConvexMLP, MonotoneMLP
from ._field import AbstractField
from ._priors import check_priors


Network = MLP | MonotoneMLP | ConvexMLP | AbstractConditioned
LINEAR_SD = 5.0  # prior width of the unit-free entries of a linear part


@register("module")
class GivenMatrix(Fixed):
    """A linear part that is known: never trained."""

    value: Float[Array, "out in"]


@register("module")
class SlotScale(Fixed):
    """What a slot sees and says in physical units, fitted on training data.

    `mean`, `scale` `"in"` of the inputs, `rest` `"in"` the state of rest, `out`
    `"out"` the size of the values, `low`, `high` `"in"` the range visited in
    training, `precision` the prior precision of the (unit-free) weights,
    `bounds` `"2"` for a bounded slot.
    """

    mean: Float[Array, "in"]
    scale: Float[Array, "in"]
    rest: Float[Array, "in"]
    out: Float[Array, "out"]
    low: Float[Array, "in"]
    high: Float[Array, "in"]
    precision: Float[Array, ""]
    bounds: Float[Array, "2"]

    @classmethod
    def unit(cls, in_size: int, out_size: int, precision: float = 0.0) -> SlotScale:
        """No scaling, nothing visited yet."""
        zero, one = jnp.zeros(in_size), jnp.ones(in_size)
        return cls(
            zero,
            one,
            zero,
            jnp.ones(out_size),
            -jnp.inf * one,
            jnp.inf * one,
            jnp.asarray(float(precision)),
            jnp.asarray([0.0, 1.0]),
        )


@register("module")
class Learned(AbstractField):
    r"""A network in a slot: scaled inputs, physical outputs, priors built in.

    $$ z = (x - \mu)/\sigma, \qquad f(x) = s \cdot P[\mathrm{net}](z) $$

    with x the chosen entries of (y, u, context). Priors P (never penalties):

    | prior | construction |
    |---|---|
    | `zero_at_rest` | net(z) - net(z_rest) |
    | `odd` | (net(z) - net(-z)) / 2 about the rest state |
    | `even` | (net(z) + net(-z)) / 2, for an energy whose force is odd |
    | `flat_at_rest` | net(z) less its tangent at rest, for an energy at rest |
    | `positive` | softplus(net) |
    | `bounded` | lo + (hi - lo) sigmoid(net), the bounds in output units |
    | `convex` | a `ConvexMLP`, for an energy with one valley |
    | `increasing`, `decreasing` | a `MonotoneMLP`, or less one: in every input |
    | `symmetric` | (A + A') / 2 of the matrix A that the network gives, raveled |
    | `invariant` | net(G), G the products w_i . w_j of the vectors of x |
    | `equivariant` | sum_i net_i(G) w_i: turns, and is mirrored, with the vectors |

    The vectors are the entries of `takes`, `space` by `space`, from the rest state and
    scaled without a direction. `linear` adds a linear part, `A z` from the rest state:
    an array is trained, a `GivenMatrix` stays. An angle enters as (sin, cos), so that
    the slot is periodic in it.

    **Arguments:** `net`: network of the right sizes; `takes`: indices into
    the state; `inputs`: indices into u; `angle`: which of `takes` are angles;
    `uses_context`: whether the context joins the inputs; `linear` `"out in"`,
    unit-free; `space`: dimension of the vectors, 0 without them.
    **Shapes and units:** returns `"out"`, in the units of `scale.out`.
    **Raises:** `ConfigError` for priors that are unknown or exclude each other, or a
    network of the wrong kind or size.
    **Source:** engineering of priors as in hybrid models; Kidger 2022,
    arXiv:2202.02435, section 2; equivariance from products: Villar et al. 2021,
    arXiv:2106.06610.

    ```python
    >>> import jax, jax.numpy as jnp
    >>> from pendula.dynamics import Learned, SlotScale
    >>> from pendula.nn import MLP
    >>> net = MLP(2, 1, width=8, depth=1, key=jax.random.key(0))
    >>> slot = Learned(net, SlotScale.unit(2, 1), takes=(0, 1), priors=("odd",))
    >>> y = jnp.array([0.3, -0.2])
    >>> bool(slot(0.0, y, None, None) == -slot(0.0, -y, None, None))
    True

    ```
    """

    source: ClassVar[Source] = Source("Kidger2022", "section 2")

    net: Network
    scale: SlotScale
    takes: tuple[int, ...] = eqx.field(static=True)
    inputs: tuple[int, ...] = eqx.field(static=True, default=())
    angle: tuple[bool, ...] = eqx.field(static=True, default=())
    priors: tuple[str, ...] = eqx.field(static=True, default=())
    uses_context: bool = eqx.field(static=True, default=False)
    linear: Float[Array, "out in"] | GivenMatrix | None = None
    space: int = eqx.field(static=True, default=0)

    def __check_init__(self) -> None:
        check_priors(self)
        if self.angle and len(self.angle) != len(self.takes):
            raise ConfigError(
                f"angle has {len(self.angle)} flags for {len(self.takes)} entries of "
                "takes; give one each, or none."
            )
        size = Learned.size(self.takes, self.inputs, self.angle, space=self.space)
        if self.net.in_size < size or (
            not self.uses_context and self.net.in_size != size
        ):
            raise ConfigError(
                f"the network of a slot has {self.net.in_size} inputs; it takes "
                f"{len(self.takes)} state entries ({sum(self.angle)} of them angles, "
                f"which count twice) and {len(self.inputs)} inputs: {size}."
            )

    @staticmethod
    def size(
        takes: tuple[int, ...],
        inputs: tuple[int, ...] = (),
        angle: tuple[bool, ...] = (),
        context: int = 0,
        space: int = 0,
    ) -> int:
        """The input size that the network needs."""
        if space:
            vectors = len(takes) // space
            return vectors * (vectors + 1) // 2
        return len(takes) + len(inputs) + context + sum(angle)

    def features(
        self, y: State, u: Control | None, context: Context
    ) -> Float[Array, "in"]:
        """The physical values x that the slot depends on (before sin and cos)."""
        parts = [y[np.asarray(self.takes, int)]]
        if self.inputs:
            if u is None:
                raise ConfigError(
                    f"a slot takes inputs {list(self.inputs)}; none were given."
                )
            parts.append(u[np.asarray(self.inputs, int)])
        if self.uses_context:
            parts.append(context)
        return jnp.concatenate(parts)

    def encode(self, x: Float[Array, "in"]) -> Float[Array, "code"]:
        """Scaled inputs of the network; an angle becomes (sin, cos), vectors their
        products."""
        if self.space:
            w = self._vectors(x)
            rows, cols = np.triu_indices(w.shape[0])
            return (w @ w.T)[rows, cols]
        z = (x - self.scale.mean) / self.scale.scale
        if not any(self.angle):
            return z
        flags = np.zeros(x.shape[0], bool)
        flags[: len(self.angle)] = self.angle
        turned = x[np.flatnonzero(flags)] - self.scale.rest[np.flatnonzero(flags)]
        return jnp.concatenate(
            [z[np.flatnonzero(~flags)], jnp.sin(turned), jnp.cos(turned)]
        )

    def _vectors(self, x: Float[Array, "in"]) -> Float[Array, "vector space"]:
        """The vectors of x from the rest state, each by one scale."""
        size = self.scale.scale.reshape(-1, self.space)
        size = jnp.sqrt(jnp.mean(size**2, axis=1, keepdims=True))
        return (x - self.scale.rest).reshape(-1, self.space) / size

    def __call__(
        self, t: Time | float, y: State, u: Control | None, context: Context
    ) -> Float[Array, "out"]:
        x = self.features(y, u, context)
        return self.scale.out * self.shape(x)

    def shape(self, x: Float[Array, "in"]) -> Float[Array, "out"]:
        """The unit-free value: the network under its priors."""
        value, linear = self._network(x), self.linear
        if linear is None:
            return value
        a = linear.value if isinstance(linear, GivenMatrix) else linear
        return value + a @ ((x - self.scale.rest) / self.scale.scale)

    def _network(self, x: Float[Array, "in"]) -> Float[Array, "out"]:
        z = self.encode(x)
        if "equivariant" in self.priors:
            w = self._vectors(x)
            return jnp.ravel(self.net(z).reshape(-1, w.shape[0]) @ w)
        if "odd" in self.priors:
            mirrored = self.encode(2.0 * self.scale.rest - x)
            value = 0.5 * (self.net(z) - self.net(mirrored))
            return -value if "decreasing" in self.priors else value
        if "even" in self.priors:  # both in one product: half the program to compile
            mirrored = self.encode(2.0 * self.scale.rest - x)
            value = 0.5 * jnp.sum(jax.vmap(self.net)(jnp.stack([z, mirrored])), 0)
        else:
            value = self.net(z)
        if "flat_at_rest" in self.priors:
            at_rest = self.encode(self.scale.rest)
            first, slope = jax.jvp(self.net, (at_rest,), (z - at_rest,))
            value = value - first - slope
        if "zero_at_rest" in self.priors and "flat_at_rest" not in self.priors:
            value = value - self._at_rest()
        if "decreasing" in self.priors:
            value = -value
        if "symmetric" in self.priors:
            size = int(np.sqrt(value.shape[0]))
            matrix = value.reshape(size, size)
            value = jnp.ravel(0.5 * (matrix + matrix.T))
        if "positive" in self.priors:
            value = jax.nn.softplus(value)
        if "bounded" in self.priors:
            low, high = self.scale.bounds
            value = (low + (high - low) * jax.nn.sigmoid(value)) / self.scale.out
        return value

    def _at_rest(self) -> Float[Array, "out"]:
        return self.net(self.encode(self.scale.rest))

    def outside(self, y: State, u: Control | None, context: Context) -> Bool[Array, ""]:
        """Whether the slot is asked outside the range it visited in training
        (angles excepted: they repeat)."""
        x = self.features(y, u, context)
        free = np.ones(x.shape[0], bool)
        free[: len(self.angle)] = ~np.asarray(self.angle, bool)
        span, size = self.scale.high - self.scale.low, jnp.abs(self.scale.high)
        # of what stood still in training: its value, or its scale where that is 0
        still = jnp.where(size > 0, size, self.scale.scale)
        width = jnp.where(span > 0, span, still)
        margin = jnp.where(jnp.isfinite(span), 0.02 * width, 0.0)
        out = (x < self.scale.low - margin) | (x > self.scale.high + margin)
        return jnp.any(out & free)

    def prior_residual(self) -> Float[Array, "prior"]:
        """sqrt(precision) times the weights."""
        weights = [jnp.ravel(w) for w in jax.tree.leaves(self.net)]
        whitened = jnp.sqrt(self.scale.precision) * jnp.concatenate(weights)
        if self.linear is None or isinstance(self.linear, GivenMatrix):
            return whitened
        return jnp.concatenate([whitened, jnp.ravel(self.linear) / LINEAR_SD])

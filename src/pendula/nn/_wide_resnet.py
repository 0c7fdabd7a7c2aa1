"""Wide residual networks, their shortcuts being modules."""

from __future__ import annotations

from typing import Any, ClassVar

import equinox as eqx
import jax
from jaxtyping import Array, Float, PRNGKeyArray

from .._errors import ConfigError
from .._registry import register
from .._source import Source
from ._convolution import Convolution
from ._mlp import MLP
from ._norm import BatchNorm, NormState, at_least_float32
from ._wire import Shortcut


@register("module")
class WideBlock(eqx.Module):
    r"""A residual block in the order norm, ReLU, convolution.

    $$ y = S(x) + K_2 * \sigma(N_2(K_1 * \sigma(N_1(x)))) $$

    with S a `Shortcut`, or a 1 x 1 convolution of $\sigma(N_1(x))$ where the number of
    channels or the resolution changes.

    **Shapes**: `"height width in"` to `"rows cols out"`; the state is a pair of
    `NormState`.
    **Source:** Zagoruyko, Komodakis 2016, arXiv:1605.07146, figure 1; He, Zhang, Ren,
    Sun 2016.

    ```python
    >>> import equinox as eqx, jax, jax.numpy as jnp
    >>> from pendula.nn import WideBlock
    >>> block = WideBlock(4, 8, 2, key=jax.random.key(0))
    >>> block = eqx.nn.inference_mode(block)
    >>> block(jnp.ones((8, 8, 4)), block.initial_state())[0].shape
    (4, 4, 8)

    ```
    """

    source: ClassVar[Source] = Source("Zagoruyko2016", "figure 1")

    first_norm: BatchNorm
    first: Convolution
    second_norm: BatchNorm
    second: Convolution
    shortcut: Shortcut | Convolution

    def __init__(
        self, in_size: int, out_size: int, stride: int = 1, *, key: PRNGKeyArray
    ) -> None:
        keys = jax.random.split(key, 3)
        self.first_norm, self.second_norm = BatchNorm(in_size), BatchNorm(out_size)
        self.first = Convolution(in_size, out_size, stride=stride, key=keys[0])
        self.second = Convolution(out_size, out_size, key=keys[1])
        if in_size == out_size and stride == 1:
            self.shortcut = Shortcut()
        else:
            self.shortcut = Convolution(
                in_size, out_size, 1, stride=stride, key=keys[2]
            )

    def __call__(
        self, x: Float[Array, "height width chan"], state: Any
    ) -> tuple[Float[Array, "rows cols out"], Any]:
        """The next image and the next state."""
        h, one = self.first_norm(x, state[0])
        h = jax.nn.relu(h)
        straight = isinstance(self.shortcut, Shortcut)
        past = self.shortcut(x if straight else h)
        h, two = self.second_norm(self.first(h), state[1])
        return past + self.second(jax.nn.relu(h)), (one, two)

    def initial_state(self) -> tuple[NormState, NormState]:
        """The state before any batch."""
        return self.first_norm.initial_state(), self.second_norm.initial_state()


@register("module")
class WideResNet(eqx.Module):
    r"""A wide residual network WRN-depth-width for images.

    $$ x_0 = K * x, \quad x_{l+1} = \text{block}_l(x_l), \quad
       y = W \langle \sigma(N(x_L)) \rangle + b $$

    Three groups of (depth - 4) / 6 blocks with 16, 32 and 64 times `width` channels,
    each group after the first at half the resolution. 16-10 has 17.2 million parameters
    for 100 classes, 28-10 36.5.

    **Shapes**: one image `"height width chan"` to `"classes"`; batches by `jax.vmap`
    with `axis_name="batch"`.
    **Arguments:** `depth`: 6 n + 4; `width`: factor of the channels; `classes`;
    `channels` of the images; `base`: channels of the first convolution.
    **Raises:** `ConfigError` for a depth that is no 6 n + 4.
    **Source:** Zagoruyko, Komodakis 2016, arXiv:1605.07146, table 1. Without dropout.

    ```python
    >>> import equinox as eqx, jax, jax.numpy as jnp
    >>> from pendula.nn import WideResNet
    >>> net = eqx.nn.inference_mode(WideResNet(10, 1, 5, key=jax.random.key(0)))
    >>> net(jnp.ones((16, 16, 3)), net.initial_state())[0].shape
    (5,)

    ```
    """

    source: ClassVar[Source] = Source("Zagoruyko2016", "table 1")

    stem: Convolution
    blocks: tuple[WideBlock, ...]
    norm: BatchNorm
    head: MLP

    def __init__(
        self,
        depth: int = 16,
        width: int = 4,
        classes: int = 10,
        channels: int = 3,
        base: int = 16,
        *,
        key: PRNGKeyArray,
    ) -> None:
        if depth < 10 or (depth - 4) % 6 or width < 1:
            raise ConfigError(
                f"WideResNet: depth is {depth}, width {width}; the depth is 6 n + 4 "
                "(10, 16, 22, 28...), the width at least 1."
            )
        fold = lambda k: jax.random.fold_in(key, k)
        self.stem = Convolution(channels, base, key=fold(0))
        blocks: list[WideBlock] = []
        size = base
        for group in range(3):
            wide = base * width * 2**group
            for k in range((depth - 4) // 6):
                stride = 2 if group and k == 0 else 1
                blocks.append(
                    WideBlock(size, wide, stride, key=fold(10 * (group + 1) + k))
                )
                size = wide
        self.blocks = tuple(blocks)
        self.norm = BatchNorm(size)
        self.head = MLP(size, classes, depth=0, key=fold(1))

    def __call__(
        self, x: Float[Array, "height width chan"], state: Any
    ) -> tuple[Float[Array, " classes"], Any]:
        """Logits of one image, and the next state."""
        x = self.stem(x)
        after = []
        for block, old in zip(self.blocks, state["blocks"], strict=True):
            x, new = block(x, old)
            after.append(new)
        x, last = self.norm(x, state["norm"])
        y = self.head(at_least_float32(jax.nn.relu(x)).mean((0, 1)))
        return y, {"blocks": tuple(after), "norm": last}

    def initial_state(self) -> dict[str, Any]:
        """The state before any batch."""
        blocks = tuple(block.initial_state() for block in self.blocks)
        return {"blocks": blocks, "norm": self.norm.initial_state()}

    def norm_states(self, state: dict[str, Any]) -> list[NormState]:
        """The states in the order of the norms, as `hardware.to_analog` takes them."""
        return [s for pair in state["blocks"] for s in pair] + [state["norm"]]

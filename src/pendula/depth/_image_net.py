"""Networks for images: blocks continuous in depth, or chains of residual units."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal, SupportsIndex, get_args

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Num, PRNGKeyArray

from .._checks import choice, fields_whole, positive, whole
from .._errors import ConfigError, DataError, ShapeError
from .._registry import names, register
from .._source import Source
from ..diagnostics import correct
from ..nn import MLP, Convolution, NormState, at_least_float32
from ._block import Init, OdeBlock
from ._places import Steps
from ._state import StateMode, of_norms, warn_if_clamped
from ._step import tableau
from ._stitch import ResidualChain, Stitch
from ._unit import ConvUnit, Norm, Order, SkipInit, norm_layer


Kind = Literal["continuous", "residual"]


@dataclasses.dataclass(frozen=True)
class ImageNetConfig:
    """Settings of an `ImageNet`; the defaults are those of the published runs.

    ```python
    >>> from pendula.depth import ImageNetConfig
    >>> ImageNetConfig.mnist(units=2).width
    8

    ```
    """

    kind: str = "continuous"
    """`"continuous"`: blocks that are solved; `"residual"`: the ResNet of the same
    shape, `units` independent units in place of each block."""
    classes: int = 10
    """Number of outputs."""
    channels: int = 3
    """Channels of the images."""
    width: int = 16
    """Channels of the first block; each later one has twice as many."""
    blocks: int = 3
    """Number of blocks; each after the first halves the resolution."""
    units: int = 2
    """Coefficients M of each block."""
    pool: int = 1
    """The last images are averaged over a grid of this side; 1 averages over all."""
    first_stitch: bool = True
    """Whether a stitch that changes nothing stands before the first block."""
    shortcut_norm: bool = False
    """Whether the shortcuts of stitches that change something are normalised."""
    order: str = "pre"
    """Order in the units, `"pre"` or `"post"`."""
    norm: str = "batch"
    """`"batch"`, `"group"` or `"layer"`."""
    basis: str = "piecewise_constant"
    """How weights depend on depth."""
    scheme: str = "euler"
    """How a block is solved."""
    n_steps: int | None = None
    """Steps of each block; M without."""
    epsilon: float | None = None
    """Time length of each block; the number of steps without."""
    skip_init: bool = False
    """Whether each block starts as the identity (`SkipInit`)."""
    init: str = "independent"
    """Whether coefficients are drawn each by itself or start equal (`"shared"`)."""
    state_mode: str = "nodes"
    """How running statistics depend on depth: `"nodes"`, `"projected"`, `"stages"`."""
    logarithmic: bool = True
    """Whether they keep the logarithm of the variance."""
    checkpoint: bool = False
    """Whether steps are computed again in the backward pass."""

    def __post_init__(self) -> None:
        here = "ImageNetConfig"
        # those of blocks for a residual network too, which has no use for them
        words = {
            "kind": get_args(Kind),
            "order": get_args(Order),
            "norm": get_args(Norm),
            "basis": names("depth_basis"),
            "init": get_args(Init),
            "state_mode": get_args(StateMode),
        }
        for name, allowed in words.items():
            choice(name, getattr(self, name), allowed, here)
        tableau(self.scheme)
        sizes = ("classes", "channels", "width", "blocks", "units", "pool")
        fields_whole(self, here, **dict.fromkeys(sizes, 1))
        if self.n_steps is not None:
            whole(1, here, n_steps=self.n_steps)
        if self.epsilon is not None:
            positive(here, epsilon=self.epsilon)

    @classmethod
    def mnist(cls, **settings: Any) -> ImageNetConfig:
        """The small variant: 28 x 28 in one channel, one convolution, two blocks of 8
        and 16 channels with one stitch between, group norm, the mean taken over a grid
        of 4 x 4 (`pool`): the best of 1, 2 and 4 on held-out training images, in
        `reproduce depth.settings`."""
        small = {
            "pool": 4,
            "channels": 1,
            "width": 8,
            "blocks": 2,
            "first_stitch": False,
        }
        return cls(**{**small, "norm": "group", **settings})

    @classmethod
    def wide(cls, **settings: Any) -> ImageNetConfig:
        """Four times as wide: 64, 128 and 256 channels."""
        return cls(**{"width": 64, **settings})


@register("module")
class ImageNet(eqx.Module):
    r"""Convolution, then blocks with stitches between, mean over pixels, linear.

    $$ x_0 = \sigma(N(K * x)), \quad x_{l+1} = \text{block}_l(\text{stitch}_l(x_l)),
       \quad y = W \langle \sigma(N(x_L)) \rangle + b $$

    (the last norm and ReLU for units of order "pre" only). "N-N-N" has N coefficients
    in each of three blocks, and as a residual network N + 1 units a segment, the
    stitch being one: 2-2-2 is ResNet-20, 8-8-8 ResNet-56, 32-32-32 ResNet-200.

    **Shapes**: one image `"height width chan"` to `"classes"`; batches by
    `apply_batch`. The state is None where no norm has one.
    **Arguments:** `config`: an `ImageNetConfig`; `key`.
    **Raises:** `ConfigError` for settings that cannot be.
    **Source:** Queiruga, Erichson, Taylor, Mahoney 2020, arXiv:2008.02389.

    ```python
    >>> import jax, jax.numpy as jnp
    >>> from pendula.depth import ImageNet, ImageNetConfig
    >>> net = ImageNet(ImageNetConfig.mnist(width=4), key=jax.random.key(0))
    >>> net(jnp.ones((8, 8, 1)))[0].shape
    (10,)
    >>> [block.n_steps for block in net.manifest("rk4", 1).blocks]
    [1, 1]

    ```
    """

    source: ClassVar[Source] = Source("Queiruga2020", "ContinuousNet")

    stem: Convolution
    stem_norm: Any
    stitches: tuple[Stitch | None, ...]
    blocks: tuple[OdeBlock | ResidualChain, ...]
    last_norm: Any
    head: MLP
    pool: int = eqx.field(static=True)
    """Side of the grid that is averaged over."""

    def __init__(self, config: ImageNetConfig, *, key: PRNGKeyArray) -> None:
        c = config
        fold = lambda *path: _folded(key, path)
        self.stem = Convolution(c.channels, c.width, key=fold(0))
        norm = lambda size: norm_layer(c.norm, size, logarithmic=c.logarithmic)
        self.stem_norm = norm(c.width)
        stitches, blocks = [], []
        for k in range(c.blocks):
            size = c.width * 2**k
            block = _block(c, size, fold(1, k))
            one = c.kind == "residual"
            scale = 1.0 if one else block.epsilon / block.n_steps
            stitch = None
            if k or c.first_stitch:
                stitch = Stitch(
                    size // 2 if k else size,
                    size,
                    stride=2 if k else 1,
                    scale=scale,
                    order=c.order,
                    norm=c.norm,
                    logarithmic=c.logarithmic,
                    shortcut_norm=c.shortcut_norm,
                    key=fold(2, k),
                )
            stitches.append(stitch)
            blocks.append(block)
        self.stitches, self.blocks = tuple(stitches), tuple(blocks)
        last = c.width * 2 ** (c.blocks - 1)
        self.last_norm = norm(last) if c.order == "pre" else None
        self.pool = c.pool
        self.head = MLP(last * c.pool**2, c.classes, depth=0, key=fold(3))

    def __call__(
        self, x: Num[Array, "height width chan"], state: Any = None
    ) -> tuple[Float[Array, " classes"], Any]:
        """Logits of one image, and the next state."""
        channels = self.stem.weight.shape[-2]
        if x.ndim != 3 or x.shape[-1] != channels:
            raise ShapeError(
                f"an image of shape {x.shape}; the network takes (height, width, "
                f"{channels}), one a call. Take apply_batch for a batch."
            )
        if not jnp.issubdtype(x.dtype, jnp.inexact):
            raise DataError(
                f"an image of numbers of the type {x.dtype}; the network takes scaled "
                "ones. Give scaling.apply(pixels), or take on_pixels of a fit."
            )
        old = _Part(state)
        x, stem = self.stem_norm(self.stem(x), old("stem"))
        x = jax.nn.relu(x)
        sewn, solved = [], []
        for k, (stitch, block) in enumerate(
            zip(self.stitches, self.blocks, strict=True)
        ):
            after = None
            if stitch is not None:
                x, after = stitch(x, old("stitches", k))
            sewn.append(after)
            x, after = block(x, old("blocks", k))
            solved.append(after)
        last = None
        if self.last_norm is not None:
            x, last = self.last_norm(x, old("last"))
            x = jax.nn.relu(x)
        y = self.head(_pooled(x, self.pool))
        if state is None:
            return y, None
        return y, {
            "stem": stem,
            "stitches": tuple(sewn),
            "blocks": tuple(solved),
            "last": last,
        }

    def initial_state(self) -> Any:
        """The state before any batch; None where no norm has one."""
        of = lambda part: None if part is None else part.initial_state()
        state = {
            "stem": of(self.stem_norm),
            "stitches": tuple(map(of, self.stitches)),
            "blocks": tuple(map(of, self.blocks)),
            "last": of(self.last_norm),
        }
        return state if jax.tree.leaves(state) else None

    def manifest(
        self,
        scheme: str | None = None,
        n_steps: Steps | None = None,
    ) -> ImageNet:
        """The same weights, every block by another scheme or in other steps."""
        return self._blockwise(lambda block: block.manifest(scheme, n_steps))

    def project(self, basis: Any, n_basis: SupportsIndex | None = None) -> ImageNet:
        """Every block on another basis, as the nearest function of depth."""
        return self._blockwise(lambda block: block.project(basis, n_basis))

    def interpolate(self, basis: Any, n_basis: SupportsIndex | None = None) -> ImageNet:
        """Every block on another basis, by its values there."""
        return self._blockwise(lambda block: block.interpolate(basis, n_basis))

    def refine(
        self,
        *,
        steps: bool = False,
        noise: float = 0.0,
        key: PRNGKeyArray | None = None,
    ) -> ImageNet:
        """Every block on a finer basis (`OdeBlock.refine`), the same function."""
        count = iter(range(len(self.blocks)))

        def one(block: OdeBlock) -> OdeBlock:
            mine = None if key is None else jax.random.fold_in(key, next(count))
            return block.refine(steps=steps, noise=noise, key=mine)

        return self._blockwise(one)

    def as_trained(self) -> ImageNet:
        """The network, its present sizes counting as trained."""
        return self._blockwise(lambda block: block.as_trained())

    def with_state_mode(self, mode: str) -> ImageNet:
        """Every block's running state kept in another way
        (`OdeBlock.with_state_mode`)."""
        return self._blockwise(lambda block: block.with_state_mode(mode))

    def carry_state(self, old: ImageNet, state: Any) -> Any:
        """The state of the network that this one was made of, on its bases."""
        if state is None:
            return None
        before_all: tuple[Any, ...] = old.blocks
        mine = iter(zip(before_all, state["blocks"], strict=True))
        carried: list[Any] = []

        def one(block: OdeBlock) -> OdeBlock:
            before, running = next(mine)
            carried.append(block.carry_state(before, running))
            return block

        self._blockwise(one)
        return {**state, "blocks": tuple(carried)}

    def _blockwise(self, change: Callable[[OdeBlock], OdeBlock]) -> ImageNet:
        if not all(isinstance(block, OdeBlock) for block in self.blocks):
            raise ConfigError(
                "this network is a residual one: its depth is what it is. Make it with "
                'kind="continuous" to change schemes, steps or bases.'
            )
        blocks = tuple(map(change, self.blocks))  # type: ignore[arg-type]  # checked above
        return eqx.tree_at(lambda net: net.blocks, self, blocks)


def _pooled(x: Float[Array, "rows cols chan"], grid: int) -> Float[Array, " feature"]:
    """Means over the cells of a grid, cut off where the size is no multiple; in
    float32 at least."""
    if grid == 1:
        return at_least_float32(x).mean((0, 1))
    rows, cols, size = x.shape
    high, wide = rows // grid, cols // grid
    if not high or not wide:
        raise ShapeError(
            f"images of {rows} x {cols} at the end cannot be averaged over a grid of "
            f"{grid} x {grid}. Take a smaller pool."
        )
    x = x[: high * grid, : wide * grid].reshape(grid, high, grid, wide, size)
    return at_least_float32(x).mean((1, 3)).reshape(-1)


class _Part:
    """Parts of a state by name; None where there is no state."""

    def __init__(self, state: Any) -> None:
        self.state = state

    def __call__(self, *path: Any) -> Any:
        node = self.state
        for name in path:
            node = None if node is None else node[name]
        return node


def _folded(key: PRNGKeyArray, path: Sequence[int]) -> PRNGKeyArray:
    for number in path:
        key = jax.random.fold_in(key, number)
    return key


def _block(c: ImageNetConfig, size: int, key: PRNGKeyArray) -> Any:
    """A block of this width, or the chain that stands in its place."""

    def unit(k: PRNGKeyArray) -> Any:
        one = ConvUnit(
            size, order=c.order, norm=c.norm, logarithmic=c.logarithmic, key=k
        )
        return SkipInit(one) if c.skip_init else one

    first, second = jax.random.split(key)
    if c.kind == "residual":
        return ResidualChain(tuple(unit(k) for k in jax.random.split(first, c.units)))
    return OdeBlock(
        unit(first),
        c.basis,
        c.units,
        c.scheme,
        c.n_steps,
        c.epsilon,
        init=c.init,
        state_mode=c.state_mode,
        checkpoint=c.checkpoint,
        key=second,
    )


def apply_batch(
    net: Any, xs: Float[Array, "sample ..."], state: Any = None
) -> tuple[Array, Any]:
    """A network on a batch: outputs `"sample ..."`, and one next state, norms seeing
    all samples.

    ```python
    >>> import jax, jax.numpy as jnp
    >>> from pendula.depth import ImageNet, ImageNetConfig, apply_batch
    >>> config = ImageNetConfig.mnist(width=4, norm="batch")
    >>> net = ImageNet(config, key=jax.random.key(0))
    >>> ys, state = apply_batch(net, jnp.ones((2, 8, 8, 1)), net.initial_state())
    >>> ys.shape
    (2, 10)

    ```
    """
    return jax.vmap(net, (0, None), (0, None), axis_name="batch")(xs, state)


def right(logits: Any, labels: Any) -> np.ndarray:
    """1 where the largest logit `"image class"` is that of the label, `"image"`, else
    0; an image whose logits are no numbers is wrong."""
    found = jax.vmap(correct)(jnp.asarray(logits), jnp.asarray(labels))
    return np.asarray(found, np.float64)


def recalibrate(
    net: Any, state: Any, batches: Callable[[int], Any] | Sequence[Any], n_batches: int
) -> Any:
    """Running statistics estimated anew on `n_batches` batches, the weights being as
    they are: of use after `project` or `manifest`.

    They are the means over the batches, each with the same weight; what they were
    before stays only where no stage of a block comes.

    **Arguments:** `batches`: `batches(k)` or `batches[k]` are the images `"sample
    height width chan"` of one batch.
    **Returns:** the new state (None where there is none).
    **Raises:** `ConfigError` for no batch, or more than there are.
    """
    whole(1, "recalibrate", n_batches=n_batches)
    batch = batches if callable(batches) else batches.__getitem__
    if not callable(batches) and n_batches > len(batches):
        raise ConfigError(
            f"recalibrate: n_batches is {n_batches}, but there are {len(batches)} "
            "batches. Give more of them, or a smaller n_batches."
        )
    if state is None:
        return None
    training = eqx.nn.inference_mode(net, False)
    follow = eqx.filter_jit(lambda net, xs, state: apply_batch(net, xs, state)[1])
    state = of_norms(NormState.anew, state)
    for k in range(n_batches):
        state = follow(training, batch(k), state)
    warn_if_clamped(state)
    return of_norms(lambda node: dataclasses.replace(node, seen=None), state)

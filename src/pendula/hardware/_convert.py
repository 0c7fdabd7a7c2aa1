"""From a model to its analog twin."""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, get_args

import equinox as eqx
import jax
import numpy as np

from .._checks import choice, whole
from .._errors import ConfigError, DataError, nearest
from .._tree import Fixed
from ..nn import Convolution, Shortcut
from ._circuits import with_circuits
from ._component import (
    Component,
    Piece,
    check_kind,
    fits,
    joined,
    name_of,
    paths_of,
    rule_for,
)
from ._device import AbstractDevice, AbstractOnBase, RangeNoise
from ._noise import Gaussian
from ._norms import NORMS, fold_norms, norms_of, statistics
from ._twin import AnalogTwin, AnalogWarning, Settings
from ._unfold import Unfolded


Norms = Literal["conv1x1", "affine", "fold", "digital"]
Biases = Literal["match", "digital", "own_die", "shared"]
Mirrors = Literal["channel", "element"]
Where = Callable[[str, Any], bool] | str | Sequence[str] | None


def to_analog(
    model: Any,
    device: Any = None,
    *,
    state: Any = None,
    where: Where = None,
    die: Mapping[str, str] | None = None,
    unfold: bool | str = False,
    batchnorm: str = "conv1x1",
    shortcut: bool | str = True,
    bias: str | float = "match",
    bias_rows: int = 1,
    circuits: Any = None,
) -> AnalogTwin:
    r"""The analog twin of any model: its weights are devices, and
    `twin.sample(key)` is one simulated chip, again a model of the same call.

    $$ y = (W + \nu)\, x + b', \qquad
       \nu_{ij} = \eta\, \mathrm{range}(W)\, \xi_{ij} $$

    Linear layers, convolutions, recurrent cells, batch norms and shortcuts are known
    by their class (`register_analog` adds others); an array elsewhere is one component
    where it has two axes or more. `print(twin)` shows the table of components and what
    stays digital.

    **Arguments:**
    - `model`: any pytree of Equinox modules; `device`: `RangeNoise()` without.
    - `state`: of its batch norms.
    - `where`: which arrays are devices: a function of path and array, or paths with
      wildcards; all that can be without.
    - `die`: path with wildcards -> name of a die; components of one die share the
      largest of their ranges, a bias lies where its weights do. Without, each layer has
      its own.
    - `unfold`: `"exact"` or `"marginal"`, every output place of a convolution has its
      own copy of the kernel (`True` is `"exact"`); for `RangeNoise` of a normal law.
    - `batchnorm`: `"conv1x1"`, devices of their own for the factor
      $\gamma/\sqrt{\sigma^2+\epsilon}$ and the offset; `"fold"`, merged into the layer
      before; `"affine"`, errors on $\gamma$ and $\beta$ themselves, which needs no
      state and is cheaper in training; `"digital"`.
    - `shortcut`: whether `pendula.nn.Shortcut` modules have errors: those of
      programming, which a mirror keeps. `"channel"` or `"element"` says for what there
      is one; without, it is as the module was made, an element where `unfold` is.
    - `bias`: $y = [W\ b/s]\,[x; s]$ with `"match"`, s = range(b) / range(W), for which
      the noise of every output is least; `"shared"`, s = 1, or a number s;
      `"own_die"`; `"digital"`. `bias_rows`: devices that share a bias.
    - `circuits`: what stands about each linear layer and convolution, a function of
      the layer: `lambda layer: Quantised(PulseWidth(ReadNoise(layer, 0.01), 8), None,
      8)`; none without, as published. The errors of circuits have levels of their own.

    **Returns:** an `AnalogTwin`.
    **Raises:** `ConfigError` for options that are unknown or select nothing;
    `DataError` for weights that are not finite, with their path.
    **Source:** Wang 2023, section 2.3.2. That s = range(b)/range(W) is best for every
    input is ours: below it the noise falls with s, above it grows.

    ```python
    >>> import equinox as eqx, jax, jax.numpy as jnp
    >>> from pendula.hardware import RangeNoise, to_analog
    >>> net = eqx.nn.MLP(2, 1, 8, 1, key=jax.random.key(0))
    >>> twin = to_analog(net, RangeNoise())
    >>> chip = twin.sample(jax.random.key(1), level=0.05)
    >>> type(chip).__name__, chip(jnp.ones(2)).shape, len(twin.components)
    ('MLP', (1,), 4)

    ```
    """
    device = RangeNoise() if device is None else device
    _check_options(device, batchnorm, bias, bias_rows, shortcut)
    if batchnorm == "fold":
        model = fold_norms(model, state)
    if unfold:
        mode = "exact" if unfold is True else str(unfold)
        model = _unfolded(model, mode)
    _check_copies(model, device)
    if isinstance(shortcut, str) or (shortcut and unfold):
        model = _mirrored(model, shortcut if isinstance(shortcut, str) else "element")
    if circuits is not None:
        model = with_circuits(model, circuits)
    walk = _Walk(model, where, batchnorm, bool(shortcut), bias)
    found = [
        dataclasses.replace(c, devices=c.devices * bias_rows) if c.kind == "bias" else c
        for c in walk.components()
    ]
    components = _on_dies(found, die, bias == "own_die")
    if circuits is not None:
        _check_reached(components)
    if not components:
        raise ConfigError(
            "no array of the model becomes a device: "
            + ("where selects none." if where is not None else "it has no weights.")
            + " Paths: "
            + (", ".join(path for path, _ in walk.arrays) or "none")
            + "."
        )
    _check_weights(components, walk.leaves)
    norms = batchnorm == "conv1x1" and any(c.norm is not None for c in components)
    running = statistics(model, state) if norms else ()
    number = bias if isinstance(bias, str) and bias != "shared" else 1.0
    number = float(bias) if not isinstance(bias, str) else number
    twin = AnalogTwin(
        model,
        device,
        running,
        tuple(components),
        tuple(walk.digital),
        Settings(number, bias_rows),
    )
    _warn_of_equal(twin)
    return twin


class _Walk:
    """Finds components: module by module, then the arrays that are left."""

    def __init__(
        self, model: Any, where: Where, batchnorm: str, shortcut: bool, bias: Any
    ) -> None:
        self.model, self.batchnorm, self.shortcut = model, batchnorm, shortcut
        self.bias = bias
        found = paths_of(model)
        self.place = {path: k for k, (path, _) in enumerate(found)}
        self.leaves = [leaf for _, leaf in found]
        self.arrays = [(p, x) for p, x in found if eqx.is_inexact_array(x)]
        self.wanted = _selector(where)
        self.explicit = where is not None
        self.seen: dict[int, int] = {}  # the same array again -> its component
        self.digital: list[tuple[str, str]] = []
        self.done: set[str] = set()
        self.out: list[Component] = []
        self.norms = {name_of(path): k for k, (path, _) in enumerate(norms_of(model))}

    def components(self) -> list[Component]:
        """All of them, in tree order of their modules."""
        self._visit("", self.model)
        for path, leaf in self.arrays:
            if path not in self.done:
                self._bare(path, leaf)
        return self.out

    def _visit(self, path: str, node: Any) -> None:
        if isinstance(node, Fixed):
            self._exact(path, node, "fixed")
            return
        rule = rule_for(node) if isinstance(node, eqx.Module) else None
        if rule is not None:
            pieces = rule(node)
            if isinstance(node, NORMS) and self.batchnorm == "affine":
                pieces = tuple(dataclasses.replace(p, role="plain") for p in pieces)
            self._module(path, node, pieces)
            return
        self._within(path, node)

    def _module(self, path: str, node: Any, pieces: tuple[Piece, ...]) -> None:
        placed: dict[str, int] = {}
        names = [piece.name for piece in pieces]
        for k, piece in enumerate(pieces):
            if piece.bias_of in names[k:]:
                raise ConfigError(
                    f'the rule of {type(node).__name__} names "{piece.name}" before '
                    f'the weight "{piece.bias_of}" whose rows it shares. Name the '
                    "weight first."
                )
            full = joined(path, piece.name)
            if full not in self.place or self.leaves[self.place[full]] is None:
                continue
            if full in self.done or not eqx.is_inexact_array(
                self.leaves[self.place[full]]
            ):
                continue
            self._piece(path, node, piece, full, placed)
        chosen = [p.name for p in pieces if p.role in _NORM_ROLES and p.name in placed]
        if len(chosen) == 1:
            raise ConfigError(
                f'of the batch norm at "{path or "model"}" only "{chosen[0]}" is '
                "selected; its factor and its offset are devices together. Select "
                'both or none, or take batchnorm="affine".'
            )
        self._within(path, node)
        self._exact(path, node, type(node).__name__)

    def _within(self, path: str, node: Any) -> None:
        """The modules that a module holds."""
        children, _ = jax.tree_util.tree_flatten_with_path(
            node, is_leaf=lambda n: n is not node
        )
        for step, child in children:
            if child is not None and not eqx.is_array(child) and step:
                self._visit(_below(path, step), child)

    def _piece(
        self, path: str, node: Any, piece: Piece, full: str, placed: dict[str, int]
    ) -> None:
        leaf = self.leaves[self.place[full]]
        reason = self._refused(piece, node)
        if reason is None and not _is_real(leaf):
            reason = "complex"
        if reason is None and not self.wanted(full, leaf):
            reason = "not selected"
        self.done.add(full)
        if reason is not None:
            self.digital.append((full, reason))
            return
        again = self.seen.get(id(leaf))
        if again is not None and piece.role == "plain":
            old = self.out[again]
            copies = (*old.copies, self.place[full])
            self.out[again] = dataclasses.replace(old, copies=copies)
            placed[piece.name] = again
            return
        assert piece.kind is not None
        check_kind(piece.kind)
        of = None if piece.of is None else self.place.get(joined(path, piece.of))
        if of is not None and self.leaves[of] is None:
            return  # a bias that is not there
        partner = placed.get(piece.bias_of or "")
        shape = leaf.shape if of is None else self.leaves[of].shape
        self.seen[id(leaf)] = len(self.out)
        placed[piece.name] = len(self.out)
        self.out.append(
            Component(
                full,
                piece.kind,
                self.place[full],
                (),
                piece.stack,
                shape,
                full
                if partner is None or self.bias == "own_die"
                else self.out[partner].die,
                _devices(leaf, piece, shape),
                partner,
                piece.role,
                self.norms.get(path or "model") if piece.role in _NORM_ROLES else None,
                of,
                piece.level,
                getattr(type(node), "out_axis", 0),
            )
        )
        if piece.role == "draw":
            self.done |= {full, full.removesuffix("sigma") + "seed"}

    def _refused(self, piece: Piece, node: Any) -> str | None:
        """Why an array stays digital; None for one that does not."""
        if piece.kind is None or (piece.kind == "embedding" and not self.explicit):
            return type(node).__name__
        if piece.kind == "bias" and self.bias == "digital":
            return "bias"
        if isinstance(node, NORMS) and self.batchnorm == "digital":
            return "batch norm"
        if isinstance(node, Shortcut) and not self.shortcut:
            return "shortcut"
        return None

    def _bare(self, path: str, leaf: Any) -> None:
        self.done.add(path)
        chosen = self.wanted(path, leaf) if self.explicit else leaf.ndim >= 2
        real = _is_real(leaf)
        if not chosen or not real:
            why = "complex" if not real else "fewer than two axes"
            self.digital.append((path, "not selected" if self.explicit else why))
            return
        again = self.seen.get(id(leaf))
        if again is not None:
            old = self.out[again]
            copies = (*old.copies, self.place[path])
            self.out[again] = dataclasses.replace(old, copies=copies)
            return
        self.seen[id(leaf)] = len(self.out)
        devices = _devices(leaf, Piece(path, "array"), leaf.shape)
        self.out.append(
            Component(path, "array", self.place[path], (), 0, leaf.shape, path, devices)
        )

    def _exact(self, path: str, node: Any, reason: str) -> None:
        """Arrays of a module that no piece named."""
        for name, leaf in paths_of(node):
            full = path if name == "model" else joined(path, name)
            if eqx.is_inexact_array(leaf) and full not in self.done:
                self.done.add(full)
                self.digital.append((full, reason))


_NORM_ROLES = ("scale", "offset")


def _is_real(leaf: Any) -> bool:
    return np.issubdtype(leaf.dtype, np.floating) or leaf.dtype == "bfloat16"


def _below(path: str, step: Any) -> str:
    name = jax.tree_util.keystr(step)
    return (path + name).lstrip(".")


def _devices(leaf: Any, piece: Piece, shape: tuple[int, ...]) -> int:
    """How many; a bias that is 0 everywhere needs none."""
    try:
        none = piece.role == "plain" and not np.any(np.asarray(leaf, np.float32))
    except jax.errors.TracerArrayConversionError:
        none = False
    return 0 if none else math.prod(shape)


def _selector(where: Where) -> Callable[[str, Any], bool]:
    if where is None:
        return lambda path, leaf: True
    if callable(where):
        return where
    patterns = [where] if isinstance(where, str) else list(where)
    return lambda path, leaf: any(fits(path, p) for p in patterns)


def _on_dies(
    components: list[Component], die: Mapping[str, str] | None, apart: bool
) -> list[Component]:
    """Components with the dies that the user named; biases lie where their weights do,
    unless they are `apart`."""
    for pattern, name in (die or {}).items():
        hit = [c.path for c in components if fits(c.path, pattern)]
        if not hit:
            paths = [c.path for c in components]
            raise ConfigError(
                f'die: no component has the path "{pattern}".{nearest(pattern, paths)}'
                f" Components: {', '.join(paths)}."
            )
        moved = [c.path for c in components if apart or c.partner is None]
        if not set(hit) & set(moved):
            raise ConfigError(
                f'die: "{pattern}" names biases alone ("{hit[0]}"), which lie on the '
                'die of their weights. Name the weights, or take bias="own_die".'
            )
        components = [
            dataclasses.replace(c, die=name) if c.path in hit else c for c in components
        ]
    return [
        c
        if c.partner is None or apart
        else dataclasses.replace(c, die=components[c.partner].die)
        for c in components
    ]


def _check_reached(components: list[Component]) -> None:
    """Circuits that stand about some devices only would be silent about the rest."""
    left = [
        c.path
        for c in components
        if c.kind in ("recurrent", "array", "embedding") or _in_stack(c)
    ]
    if left:
        raise ConfigError(
            f'circuits stand about linear layers and convolutions; "{left[0]}" '
            f"({len(left)} in all) belongs to none. Build the model of "
            "equinox.nn.Linear or Conv, or leave circuits out."
        )


def _in_stack(c: Component) -> bool:
    """Whether weights of a linear layer stand in a module of several."""
    name = c.path.rsplit(".", 1)[-1]
    return c.kind == "linear" and name != "weight"


def _check_weights(components: list[Component], leaves: list[Any]) -> None:
    """Weights must be finite."""
    for c in components:
        w = _known(leaves[c.leaf])
        if w is not None and not np.isfinite(w).all():
            raise DataError(
                f'the weights at "{c.path}" are not finite ({np.sum(~np.isfinite(w))} '
                f"of {w.size}): they cannot be programmed. Look at the training."
            )


def _warn_of_equal(twin: AnalogTwin) -> None:
    """Weights that are all equal have no span."""
    device = twin.device
    while isinstance(device, AbstractOnBase):
        device = device.base
    if not (isinstance(device, RangeNoise) and device.range == "span"):
        return
    equal: list[str] = []
    for c, weights in zip(twin.components, twin.programmed(), strict=True):
        w = _known(weights)
        if w is None or c.role == "draw" or w.size == 1:
            continue
        if w.max() == w.min() != 0.0:
            equal.append(f'"{c.path}"')
    if equal:
        warnings.warn(
            f"all weights at {', '.join(equal)} are equal: they have no span, and 2 "
            "max|w| is taken for their range.",
            AnalogWarning,
            stacklevel=3,
        )


def _known(array: Any) -> np.ndarray | None:
    """Numbers of an array; None within a compiled program."""
    try:
        return np.asarray(array, np.float32)
    except jax.errors.TracerArrayConversionError:
        return None


def _unfolded(model: Any, mode: str) -> Any:
    """Every convolution with a kernel for each place."""
    kinds = (eqx.nn.Conv, Convolution, eqx.nn.ConvTranspose, Unfolded)

    def one(node: Any) -> Any:
        if isinstance(node, eqx.nn.ConvTranspose):
            raise ConfigError(
                "a transposed convolution cannot be unfolded: take unfold=False."
            )
        if isinstance(node, eqx.nn.Conv | Convolution):
            return Unfolded(node, mode)
        return node

    return jax.tree.map(one, model, is_leaf=lambda n: isinstance(n, kinds))


def _check_copies(model: Any, device: AbstractDevice) -> None:
    """Copies of kernels draw normal errors of one size at the call, and nothing else
    that a device may do."""
    if (
        isinstance(device, RangeNoise)
        and isinstance(device.range, str)
        and isinstance(device.dist, Gaussian)
    ):
        return
    kind = lambda n: isinstance(n, Unfolded)
    if any(map(kind, jax.tree.leaves(model, is_leaf=kind))):
        raise ConfigError(
            "kernels with a copy for every place have normal errors in proportion to "
            f"their range, not those of {type(device).__name__} as it is given. Take "
            'RangeNoise() with "span" or "symmetric", or unfold=False.'
        )


def _mirrored(model: Any, granularity: str) -> Any:
    """Shortcuts with one mirror for each channel, or for each element."""
    kind = lambda n: isinstance(n, Shortcut)

    def one(node: Any) -> Any:
        if not kind(node):
            return node
        made = Shortcut(granularity, node.axis)
        return eqx.tree_at(lambda s: s.error, made, node.error)

    return jax.tree.map(one, model, is_leaf=kind)


def _check_options(
    device: Any,
    batchnorm: str,
    bias: str | float,
    bias_rows: int,
    shortcut: bool | str,
) -> None:
    if not isinstance(device, AbstractDevice):
        raise ConfigError(
            f"device is {device!r}; expected a device such as RangeNoise() or PCM()."
        )
    for name, value, known in (
        ("batchnorm", batchnorm, get_args(Norms)),
        ("bias", bias, get_args(Biases)),
        ("shortcut", shortcut, get_args(Mirrors)),
    ):
        if isinstance(value, str):
            choice(name, value, known)
    if not isinstance(bias, str) and not (math.isfinite(bias) and bias > 0.0):
        raise ConfigError(f"bias is {bias}; the number s must be above 0.")
    whole(1, bias_rows=bias_rows)

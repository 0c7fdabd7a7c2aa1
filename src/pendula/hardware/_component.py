"""Which arrays of a model become devices: components, and the rules that name them."""

from __future__ import annotations

import dataclasses
import fnmatch
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax

from .._errors import ConfigError
from ..nn import (
    MLP,
    BatchNorm,
    Convolution,
    GroupNorm,
    Layers,
    Shortcut,
    ShortcutNet,
)
from ._circuits import PulseWidth, ReadNoise
from ._unfold import Unfolded


KINDS = (
    "linear",
    "conv",
    "recurrent",
    "embedding",
    "array",
    "bias",
    "batchnorm",
    "shortcut",
    "read",
    "pulse",
)


@dataclasses.dataclass(frozen=True)
class Piece:
    """What a rule says of one array of a module.

    **Arguments:**
    - `name`: the attribute, `"weight"`, or an entry of a tuple, `"weights[0]"`.
    - `kind`: one of the kinds of components, for levels by kind; None: digital.
    - `stack`: leading axes over which layers of one shape are stacked: each has a
      range of its own.
    - `bias_of`: name of the weight whose rows it shares.
    - `role`: `"plain"`; `"scale"` and `"offset"` of a batch norm; `"draw"`, an error
      that is drawn at the call, and `of`, the array whose range it goes by (1 without
      one).
    - `level`: of an error that has its own, whatever level chips are asked for; a
      level by kind or path still counts.
    """

    name: str
    kind: str | None
    stack: int = 0
    bias_of: str | None = None
    role: str = "plain"
    of: str | None = None
    level: float | None = None


Rule = Callable[[Any], tuple[Piece, ...]]
_RULES: dict[type, Rule] = {}


def register_analog(cls: type) -> Callable[[Rule], Rule]:
    """Decorator: how modules of a class become devices, `rule(module) -> pieces`.

    Arrays that a rule does not name are digital, and listed so. Modules within such a
    module are walked as others are.

    ```python
    >>> import equinox as eqx, jax.numpy as jnp
    >>> from pendula.hardware import Piece, RangeNoise, register_analog, to_analog
    >>> class Gain(eqx.Module):
    ...     value: object
    >>> @register_analog(Gain)
    ... def gain(module):
    ...     return (Piece("value", "array"),)
    >>> [c.path for c in to_analog(Gain(jnp.arange(3.0)), RangeNoise()).components]
    ['value']

    ```
    """

    def enter(rule: Rule) -> Rule:
        _RULES[cls] = rule
        return rule

    return enter


def rule_for(module: Any) -> Rule | None:
    """The rule of a module's class, or of the nearest one that it is made of."""
    for cls in type(module).__mro__:
        if cls in _RULES:
            return _RULES[cls]
    return None


@dataclasses.dataclass(frozen=True)
class Component:
    """Weights that are devices of their own, on one die.

    `path`: where they are in the model; `kind`; `leaf`: their place among its leaves,
    `copies`: places that hold the same array; `stack`: leading axes of layers;
    `shape`; `die`: components of one die share a range; `partner`: place, among the
    components, of the weight whose rows a bias shares (or of the scale of a batch
    norm); `role` as of a `Piece`; `norm`: which statistics a batch norm uses;
    `of`: leaf whose range an error drawn at the call goes by; `devices`: how many;
    `level`: its own, where it has one; `out`: which axis after the stack is that of
    outputs.
    """

    path: str
    kind: str
    leaf: int
    copies: tuple[int, ...]
    stack: int
    shape: tuple[int, ...]
    die: str
    devices: int
    partner: int | None = None
    role: str = "plain"
    norm: int | None = None
    of: int | None = None
    level: float | None = None
    out: int = 0


@register_analog(eqx.nn.Linear)
def _linear(module: Any) -> tuple[Piece, ...]:
    return (Piece("weight", "linear"), Piece("bias", "bias", bias_of="weight"))


@register_analog(eqx.nn.Conv)
@register_analog(eqx.nn.ConvTranspose)
def _conv(module: Any) -> tuple[Piece, ...]:
    return (Piece("weight", "conv"), Piece("bias", "bias", bias_of="weight"))


@register_analog(Convolution)
def _convolution(module: Convolution) -> tuple[Piece, ...]:
    stack = module.weight.ndim - 4
    return (
        Piece("weight", "conv", stack),
        Piece("bias", "bias", stack, bias_of="weight"),
    )


@register_analog(Unfolded)
def _unfolded(module: Unfolded) -> tuple[Piece, ...]:
    return (
        Piece("conv.weight", None),
        Piece("conv.bias", None),
        Piece("error.sigma", "conv", role="draw", of="conv.weight"),
        Piece("bias_error.sigma", "bias", role="draw", of="conv.bias"),
    )


@register_analog(ReadNoise)
def _read_noise(module: ReadNoise) -> tuple[Piece, ...]:
    inner = "layer.conv" if isinstance(module.layer, Unfolded) else "layer"
    of = f"{inner}.weight"
    return (Piece("error.sigma", "read", role="draw", of=of, level=module.level),)


@register_analog(PulseWidth)
def _pulse_width(module: PulseWidth) -> tuple[Piece, ...]:
    return (Piece("error.sigma", "pulse", role="draw", level=module.jitter),)


@register_analog(eqx.nn.GRUCell)
def _gru(module: Any) -> tuple[Piece, ...]:
    return (
        Piece("weight_ih", "recurrent"),
        Piece("weight_hh", "recurrent"),
        Piece("bias", "bias", bias_of="weight_ih"),
        Piece("bias_n", "bias", bias_of="weight_hh"),
    )


@register_analog(eqx.nn.LSTMCell)
def _lstm(module: Any) -> tuple[Piece, ...]:
    return (
        Piece("weight_ih", "recurrent"),
        Piece("weight_hh", "recurrent"),
        Piece("bias", "bias", bias_of="weight_ih"),
    )


@register_analog(eqx.nn.BatchNorm)
def _batch_norm(module: Any) -> tuple[Piece, ...]:
    return (
        Piece("weight", "batchnorm", role="scale"),
        Piece("bias", "batchnorm", role="offset", bias_of="weight"),
    )


@register_analog(BatchNorm)
def _norm(module: BatchNorm) -> tuple[Piece, ...]:
    stack = module.scale.ndim - 1
    return (
        Piece("scale", "batchnorm", stack, role="scale"),
        Piece("bias", "batchnorm", stack, role="offset", bias_of="scale"),
    )


@register_analog(eqx.nn.LayerNorm)
@register_analog(eqx.nn.GroupNorm)
@register_analog(eqx.nn.RMSNorm)
@register_analog(eqx.nn.PReLU)
@register_analog(GroupNorm)
def _digital(module: Any) -> tuple[Piece, ...]:
    return ()


@register_analog(eqx.nn.Embedding)
def _embedding(module: Any) -> tuple[Piece, ...]:
    return (Piece("weight", "embedding"),)


@register_analog(Shortcut)
def _shortcut(module: Shortcut) -> tuple[Piece, ...]:
    return (Piece("error.sigma", "shortcut", role="draw"),)


@register_analog(MLP)
def _mlp(module: MLP) -> tuple[Piece, ...]:
    """Layers of one width are stored as one array; each is a die of its own."""
    return (
        Piece("weight_in", "linear"),
        Piece("bias_in", "bias", bias_of="weight_in"),
        Piece("weight_hidden", "linear", 1),
        Piece("bias_hidden", "bias", 1, bias_of="weight_hidden"),
        Piece("weight_out", "linear"),
        Piece("bias_out", "bias", bias_of="weight_out"),
    )


@register_analog(Layers)
def _layers(module: Layers) -> tuple[Piece, ...]:
    pieces: list[Piece] = []
    for k in range(len(module.weights)):
        pieces.append(Piece(f"weights[{k}]", "linear"))
        pieces.append(Piece(f"biases[{k}]", "bias", bias_of=f"weights[{k}]"))
    return tuple(pieces)


@register_analog(ShortcutNet)
def _shortcut_net(module: ShortcutNet) -> tuple[Piece, ...]:
    """Each layer sees all before it; the readout is one row of weights."""
    stack = module.first.ndim - 2
    pieces = [
        Piece("first", "linear", stack),
        Piece("first_bias", "bias", stack, bias_of="first"),
    ]
    for k in range(len(module.weights)):
        pieces.append(Piece(f"weights[{k}]", "linear", stack))
        pieces.append(Piece(f"biases[{k}]", "bias", stack, bias_of=f"weights[{k}]"))
    pieces.append(Piece("last", "linear", stack))
    pieces.append(Piece("last_bias", "bias", stack, bias_of="last"))
    return tuple(pieces)


def paths_of(tree: Any) -> list[tuple[str, Any]]:
    """Path and value of every leaf, None counted as one, so that a tree whose other
    leaves were taken away has the same places."""
    flat, _ = jax.tree_util.tree_flatten_with_path(tree, is_leaf=lambda x: x is None)
    return [(name_of(path), leaf) for path, leaf in flat]


def name_of(path: Any) -> str:
    """A path as one writes it: `layers[0].weight`."""
    return jax.tree_util.keystr(path).lstrip(".") or "model"


def joined(prefix: str, name: str) -> str:
    """The path of an attribute of the module at a path."""
    return name if prefix in ("", "model") else f"{prefix}.{name}"


def fits(path: str, pattern: str) -> bool:
    """Whether a path is the one that is named, or has its wildcards; brackets are those
    of paths, `layers[0].*`."""
    plain = pattern.replace("[", "[[]")
    return fnmatch.fnmatchcase(path, plain) or fnmatch.fnmatchcase(path, pattern)


def check_kind(kind: str) -> None:
    """Refuse a kind that no level could name."""
    if kind not in KINDS:
        raise ConfigError(
            f'component kind "{kind}" is unknown. Known: {", ".join(KINDS)}.'
        )

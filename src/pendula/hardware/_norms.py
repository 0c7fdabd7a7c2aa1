"""Batch norms as devices: one multiplication and one addition a channel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from .._errors import ConfigError
from ..nn import NORM_FLOOR, BatchNorm, NormState


NORMS = (eqx.nn.BatchNorm, BatchNorm)
Statistics = tuple[tuple[Array, Array], ...]


def norms_of(model: Any) -> list[tuple[Any, Any]]:
    """Path and module of every batch norm, in tree order."""
    flat, _ = jax.tree_util.tree_flatten_with_path(
        model, is_leaf=lambda n: isinstance(n, NORMS)
    )
    return [(path, node) for path, node in flat if isinstance(node, NORMS)]


def statistics(model: Any, state: Any) -> Statistics:
    r"""Running mean and $1/\sqrt{\sigma^2 + \epsilon}$ of every batch norm, in tree
    order; empty for a model without.

    **Raises:** `ConfigError` where the state is missing, or the model does not say
    which of its parts belongs to which norm.
    """
    norms = [node for _, node in norms_of(model)]
    if not norms:
        return ()
    if state is None:
        raise ConfigError(
            f"the model has {len(norms)} batch norms, whose devices hold the running "
            "statistics, and no state was given. Give state=..., or "
            'batchnorm="digital".'
        )
    if all(isinstance(node, eqx.nn.BatchNorm) for node in norms):
        return tuple(_of_equinox(node, state) for node in norms)
    told = getattr(model, "norm_states", None)
    if told is None:
        raise ConfigError(
            f"{type(model).__name__} does not say which running statistics belong to "
            "which of its batch norms. Give it a method norm_states(state) that lists "
            'them in the order of its norms, or take batchnorm="digital".'
        )
    found = list(told(state))
    if len(found) != len(norms):
        raise ConfigError(
            f"{type(model).__name__}.norm_states gives {len(found)} states for "
            f"{len(norms)} batch norms."
        )
    return tuple((s.mean, jax.lax.rsqrt(s.variance() + NORM_FLOOR)) for s in found)


def _of_equinox(norm: eqx.nn.BatchNorm, state: Any) -> tuple[Array, Array]:
    """What the layer divides by and subtracts in inference."""
    if norm.mode == "ema":
        mean, variance = state.get(norm.ema_state_index)
    else:
        mean, variance = state.get(norm.batch_state_index)
        count = state.get(norm.batch_counter).astype(mean.dtype)
        kept = jnp.where(count == 0, 1.0, 1.0 - norm.momentum**count)
        mean, variance = mean / kept, variance / kept
    return mean, jax.lax.rsqrt(variance + norm.eps)


def fold_norms(model: Any, state: Any) -> Any:
    """Batch norms that follow a linear layer or a convolution, within an
    `equinox.nn.Sequential`, merged into its weights.

    **Raises:** `ConfigError` for a norm that stands elsewhere, with its path.
    """
    pairs = {
        id(n): s
        for (_, n), s in zip(norms_of(model), statistics(model, state), strict=True)
    }

    def fold(node: Any) -> Any:
        if not isinstance(node, eqx.nn.Sequential):
            return node
        layers = list(node.layers)
        for k in range(1, len(layers)):
            before, norm = layers[k - 1], layers[k]
            if isinstance(norm, eqx.nn.BatchNorm) and isinstance(
                before, eqx.nn.Linear | eqx.nn.Conv
            ):
                layers[k - 1] = _merged(before, norm, *pairs[id(norm)])
                layers[k] = eqx.nn.Lambda(_as_it_is)
        return eqx.nn.Sequential([_walk(layer) for layer in layers])

    def _walk(node: Any) -> Any:
        return jax.tree.map(
            fold, node, is_leaf=lambda n: isinstance(n, eqx.nn.Sequential)
        )

    folded = _walk(model)
    left = [jax.tree_util.keystr(path).lstrip(".") for path, _ in norms_of(folded)]
    if left:
        raise ConfigError(
            f'the batch norm at "{left[0]}" cannot be folded ({len(left)} in all): it '
            "does not follow a linear layer or a convolution within an "
            'equinox.nn.Sequential. Take batchnorm="conv1x1".'
        )
    return folded


def _as_it_is(x: Array) -> Array:
    return x


def _merged(layer: Any, norm: eqx.nn.BatchNorm, mean: Array, inverse: Array) -> Any:
    """gamma / sd times the weights, and the offset."""
    gain = inverse if norm.weight is None else norm.weight * inverse
    shift = -mean * gain if norm.bias is None else norm.bias - mean * gain
    weight = layer.weight * gain.reshape((-1,) + (1,) * (layer.weight.ndim - 1))
    wide = gain.shape + (1,) * (layer.weight.ndim - 2)
    bias = shift.reshape(wide)
    if layer.bias is not None:
        bias = bias + layer.bias.reshape(wide) * gain.reshape(wide)
    if isinstance(layer, eqx.nn.Conv) and not layer.use_bias:
        layer = _with_bias(layer)
    at = lambda l: (l.weight, l.bias)
    return eqx.tree_at(at, layer, (weight, bias), is_leaf=lambda x: x is None)


def _with_bias(conv: eqx.nn.Conv) -> eqx.nn.Conv:
    """The same layer, but with a bias: whether it has one is fixed when it is made."""
    return eqx.nn.Conv(
        conv.num_spatial_dims,
        conv.in_channels,
        conv.out_channels,
        conv.kernel_size,
        conv.stride,
        conv.padding,
        conv.dilation,
        conv.groups,
        use_bias=True,
        padding_mode=conv.padding_mode,
        dtype=conv.weight.dtype,
        key=jax.random.key(0),
    )


def of_states(change: Callable[[NormState], NormState], state: Any) -> Any:
    """A state with changed running statistics of our norms."""
    mine = lambda node: isinstance(node, NormState)
    one = lambda node: change(node) if isinstance(node, NormState) else node
    return jax.tree.map(one, state, is_leaf=mine)  # a copy: Equinox' serves once only


def forgotten(model: Any, state: Any) -> Any:
    """A state whose norms take the next batch as their first."""
    state = of_states(NormState.anew, state)
    for _, norm in norms_of(model):
        if isinstance(norm, eqx.nn.BatchNorm) and norm.mode == "ema":
            state = state.set(norm.ema_first_time_index, jnp.asarray(True))
        elif isinstance(norm, eqx.nn.BatchNorm):
            for index in (norm.batch_counter, norm.batch_state_index):
                none = jax.tree.map(jnp.zeros_like, state.get(index))
                state = state.set(index, none)
    return state

"""Accelerations of a Slinky's bars by the same energy network in PyTorch: the peer of
ours, written from the equations of `pendula.dynamics.ESNN` and `BarChain`."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np


# By name: type checks pass where the peer is not installed
torch: Any = importlib.import_module("torch")


def accelerations(
    weights: dict[str, Any],
    copies: list[tuple[tuple[float, ...], bool]],
    scale: np.ndarray,
    masses: np.ndarray,
    gravity: np.ndarray,
) -> Callable[[Any], Any]:
    """Of bars (batch, bar, 3), both ends held; autograd through the summed energy."""
    put = lambda x: torch.tensor(np.asarray(x), dtype=torch.float32)
    w = {k: [put(a) for a in v] for k, v in weights.items()}
    signs = [(torch.tensor(s + s, dtype=torch.float32), swap) for s, swap in copies]
    unit, m = put(np.tile(scale, 2)), put(masses)
    g = put(np.append(gravity, 0.0))

    def value(z: Any) -> Any:
        x = torch.nn.functional.linear(z, w["first"][0], w["first"][1])
        for a, b in zip(w["weights"], w["biases"], strict=True):
            y = torch.nn.functional.linear(x, a, b)
            x = torch.cat([x, torch.nn.functional.softplus(y, beta=10)], dim=-1)
        return (x * x) @ w["last"][0] + w["last"][1]

    def total(u: Any) -> Any:
        left, right = u[:, :-1], u[:, 1:]
        beta = 0.5 * (left[..., 2] + right[..., 2])
        d = right - left
        c, s = torch.cos(beta), torch.sin(beta)
        xi = c * d[..., 0] + s * d[..., 1]
        zeta = c * d[..., 1] - s * d[..., 0]
        pairs = torch.stack([xi, zeta, d[..., 2]], dim=-1)
        first = torch.cat([pairs[:, :1], pairs], dim=1)
        z = torch.cat([first, torch.cat([pairs, pairs[:, -1:]], dim=1)], dim=-1) * unit
        swapped = torch.cat([z[..., 3:], z[..., :3]], dim=-1)
        made = torch.stack([(swapped if swap else z) * s for s, swap in signs])
        stored = value(made).sum(0)
        ends = torch.ones(stored.shape[1])
        ends[0] = ends[-1] = 0.5
        return (stored * ends).sum()

    def rates(u: Any) -> Any:
        u = u.detach().requires_grad_(True)
        (slope,) = torch.autograd.grad(total(u), u)
        out = -slope / m + g
        out[:, 0] = 0.0
        out[:, -1] = 0.0
        return out

    return rates

"""What the data leave open: Laplace covariances and intervals of constants."""

from __future__ import annotations

import re
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from .._registry import lookup
from .._tree import member, split_trainable
from ..data import Batch
from ..diagnostics import autocorrelation_time
from ._bodies import Links, law_of
from ._constants import Free
from ._energy import Friction
from ._field import terms_of
from ._known import Known, Law
from ._lagrangian import Lagrangian
from ._model import Model
from ._programs import window_covariances, window_residuals
from ._reaction import ReactionDiffusion


MOST = 400  # parameters for which a covariance is kept
SEEDS = "tells how far the seeds lie apart, not what the noise leaves open"


def posterior(
    ensemble: Model,
    method: str,
    local: Any,
    items: Any,
    clock: str = "s",
    *,
    every: int | None = None,
) -> tuple[np.ndarray | None, list[dict[str, Any]], float]:
    r"""Covariances of every member's parameters, its constants with intervals, and
    the residuals' autocorrelation time.

    Model error is correlated from sample to sample, so the samples count less than
    their number: the variance is inflated by the integrated autocorrelation time
    $\tau$ of the residuals, $\Sigma = (J^\top J/(\tau s^2) + \Lambda)^{-1}$.
    `clock` is the unit of time of the data, in which the constants count; `every` as
    in `Trajectories.clips`: a sample in two windows then counts as one (None: as two).
    **Source:** Sokal 1997 for $\tau$; Laplace: MacKay 1992.
    """
    ensemble = jax.tree.map(jnp.asarray, ensemble)
    if method != "levenberg":
        return None, constants(ensemble, None, clock), 1.0
    (_, scale), windows = items
    params, static = split_trainable(ensemble)
    fixed = (static, scale)
    r = np.asarray(window_residuals(params, fixed, local, windows))
    mask = np.asarray(windows.mask)
    count = mask.sum()
    taus = []
    for j in range(mask.shape[-1]):
        one = r.reshape(r.shape[0], *mask.shape)[..., j]
        for member_r in one:
            taus.append(autocorrelation_time(member_r, mask[..., j]))
    tau = float(np.median(taus))
    repeats = 1.0 if every is None else _repeats(windows, every)
    variance = jnp.asarray((r**2).sum((1, 2)) / count * tau * repeats)
    cov = np.asarray(window_covariances(params, fixed, local, windows, variance))
    return cov, constants(ensemble, cov, clock), tau


def _repeats(windows: Batch, every: int) -> float:
    """In how many windows a sample lies, mean over all that are counted: the last
    window of a record reaches back over the one before it."""
    rows, first = np.asarray(windows.origin).T
    seen = np.asarray(windows.mask).any(-1)
    index = first[:, None] + every * np.arange(windows.mask.shape[1])
    key = (rows[:, None] * (index.max() + 1) + index)[seen]
    _, where, times = np.unique(key, return_inverse=True, return_counts=True)
    return float(times[where].mean())


def free_constants(model: Model) -> list[tuple[str, str, str, str, Free]]:
    """(name, law, unit, sign, node) of every free constant, in tree order."""
    out = []
    for term in terms_of(model.field):
        if isinstance(term, Known):
            law: Law = lookup("known", term.law)
            for name, node in term.constants.items():
                if isinstance(node, Free):
                    sign, unit = law.constants[name]
                    out.append((name, term.law, unit, sign, node))
        elif isinstance(term, ReactionDiffusion):
            for name, node in term.constants.items():
                if isinstance(node, Free):
                    out.append((name, "diffusion", "", "positive", node))
        elif isinstance(term, Lagrangian) and isinstance(term.body, Links):
            for name, node in term.body.constants.items():
                if isinstance(node, Free):
                    law = lookup("known", law_of(term.body))
                    sign, unit = law.constants[name]
                    out.append((name, law_of(term.body), unit, sign, node))
        elif isinstance(term, Friction):
            for name in ("coulomb", "viscous", "drag", "width"):
                node = getattr(term, name)
                if isinstance(node, Free):
                    out.append((name, "friction", "", "positive", node))
    return out


def raw_indices(model: Model) -> list[int]:
    """Where each free constant stands in the flat parameter vector."""
    params, _ = split_trainable(model)
    flat, unravel = ravel_pytree(params)
    numbered = unravel(jnp.arange(flat.size, dtype=flat.dtype))
    full = eqx.combine(numbered, split_trainable(model)[1])
    return [round(float(node.raw)) for *_, node in free_constants(full)]


def constant_covariance(fitted: Any) -> np.ndarray:
    """Laplace covariance of the free constants `"constant constant"` of the member
    in the middle of the prior widths, in the constants' own units."""
    middle = fitted.members // 2
    model = member(fitted.ensemble, middle)
    where = raw_indices(model)
    # Positive constants are on a log scale: their sd is a relative one.
    slope = np.array([node.derivative() for *_, node in free_constants(model)])
    return fitted.covariance[middle][np.ix_(where, where)] * np.outer(slope, slope)


def _in_clock(unit: str, clock: str) -> str:
    """The unit of a law's constant, which is written for seconds, in another unit of
    time: 1/s2 is 1/ms2 where times are in ms."""
    if clock in ("", "s"):
        return unit
    named = clock if clock.isalpha() else f"({clock})"
    return re.sub(r"(?<![A-Za-z])s(?![A-Za-z])", named, unit)


def constants(
    ensemble: Model, covariance: np.ndarray | None, clock: str
) -> list[dict[str, Any]]:
    """The free constants: mean over members, 90 % interval of the mixture; without a
    covariance, as of gradient descent, that of the members alone, which a note says."""
    members = jax.tree.leaves(split_trainable(ensemble)[0])[0].shape[0]
    take = lambda i: member(ensemble, i)
    first = take(0)
    listed = free_constants(first)
    if not listed:
        return []
    where = raw_indices(first)
    raws = np.array(
        [[float(n.raw) for *_, n in free_constants(take(i))] for i in range(members)]
    )
    var = np.zeros_like(raws)
    if covariance is not None:
        var = covariance[:, where, where]
    mean = raws.mean(0)
    sd = np.sqrt(raws.var(0) + var.mean(0))
    out = []
    for k, (name, law, unit, sign, node) in enumerate(listed):

        def value(raw: Any, node: Any = node, sign: Any = sign) -> Any:
            start, scale = float(node.start.value), float(node.scale.value)
            return start * np.exp(raw) if sign == "positive" else start + scale * raw

        low, high = value(mean[k] - 1.6449 * sd[k]), value(mean[k] + 1.6449 * sd[k])
        out.append(
            {
                "name": name,
                "law": law,
                "on": "",
                "value": float(value(mean[k])),
                "low": float(low),
                "high": float(high),
                "unit": _in_clock(unit, clock),
                "confounded": False,
                "note": "" if covariance is not None else SEEDS,
            }
        )
    return out

"""Whether the law of a family is one of the motion, or counts on the step that it was
trained with."""

from __future__ import annotations

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._precision import cast, precision
from ..nn import bind
from ._family_data import Clips, FamilyData, drawn
from ._model import Model


HALVINGS = 2  # of the step, each followed by more training
CLIPS = 8  # of every system
SHARE = 0.1  # of the law's own error that half the step may change
LEAST = 1e-3  # of the spread, which it may always


def step_change(
    model: Model, etas: Any, found: FamilyData, horizon: int, dtype: Any
) -> tuple[float, float]:
    r"""What half the step changes in the predictions of the training clips, and how
    far these are from the data, both in spreads of the channels.

    $$ \sqrt{\overline{(\hat w_{h/2} - \hat w_h)^2}}, \qquad
       \sqrt{\overline{(\hat w_h - w)^2}} $$

    NaN where a rollout fails.
    """
    stride = max(1, (horizon - 1) * found.every)
    clips = found.clips(horizon, stride, dtype)
    count = min(CLIPS, max(len(c.y0) for c in clips))
    with precision(dtype):
        some = drawn(clips, count, np.random.default_rng(0))
        law = jax.tree.map(jnp.asarray, cast(model, dtype))
        weight = jnp.asarray(1.0 / found.spread, dtype)
        both = _apart(law, jnp.asarray(etas, dtype), some, weight)
        change, error = np.asarray(both, np.float64)
    return float(change), float(error)


def coarse(change: float, error: float) -> bool:
    """Whether that is more than a tenth of the error and a thousandth of the
    spread."""
    return change > max(SHARE * error, LEAST)


def finer(model: Model) -> Model:
    """The same with half the step."""
    if model.stride > 1:
        return dataclasses.replace(model, stride=model.stride // 2)
    return dataclasses.replace(model, substeps=2 * model.substeps)


def step_lines(about: dict[str, Any]) -> list[str]:
    """What is to be known of the step, in words; nothing where the law holds at half
    of it."""
    change, error = about.get("step_change", 0.0), about.get("step_error", 0.0)
    if not coarse(change, error):
        return []
    return [
        f"Half the step of the integrator moves the predictions by {change:.2g} of the "
        f"spread, beside an error of {error:.2g}: the law counts on its step. Train "
        "with more model.substeps, or keep to this step."
    ]


@eqx.filter_jit
def _apart(model: Model, etas: Array, items: Clips, weight: Array) -> Float[Array, "2"]:
    def one(eta: Array, clips: Clips) -> Array:
        member = bind(model, eta)

        def run(y0: Array, b: Any) -> Array:
            paths = [member.steps(y0, b.t0, b.dts, b.us, refine=n).ys for n in (1, 2)]
            now, finer = (jax.vmap(member.observe)(ys) for ys in paths)
            seen = lambda off: jnp.sum(jnp.where(b.mask, off * weight[None], 0.0) ** 2)
            count = jnp.sum(b.mask, dtype=y0.dtype)
            return jnp.stack([seen(finer - now), seen(now - b.ys), count])

        return jnp.sum(jax.vmap(run)(clips.y0, clips.batch), axis=0)

    change, error, count = jnp.sum(jax.vmap(one)(etas, items), axis=0)
    return jnp.sqrt(jnp.stack([change, error]) / count)

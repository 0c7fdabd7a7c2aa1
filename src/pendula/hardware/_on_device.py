"""Models of motion on noisy devices: errors of forecasts, and training for them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Num

from .._checks import fields_whole, not_negative, positive, whole
from .._errors import DataError, ShapeError
from .._tree import split_trainable
from ..solve import RK4, AbstractScheme, rollout_steps
from ..train import (
    AbstractEstimator,
    ClipBatch,
    ClipCurriculum,
    Plain,
    TrainState,
    clip_loss,
    finish,
    gradient_step,
    run as train_run,
)
from ._noise import NoiseLevel, as_eta
from ._resilient import RangeWatch, clip_weights, hardware_aware
from ._tables import spreads
from ._twin import AnalogTwin


FieldOf = Callable[[Any], Any]


def field_of(model: Any) -> Any:
    """The vector field of a model of motion; a field is its own."""
    return getattr(model, "field", model)


class ForecastError(eqx.Module):
    r"""The error of a chip's forecasts, for `monte_carlo`: one number a trajectory.

    $$ e = \sqrt{\frac{1}{T d} \sum_{t, c} \big((\hat y_c(t) - y_c(t)) / s_c\big)^2} $$

    from the first state, with $s_c$ the spread of the channel in the batch of data. A
    forecast that leaves finite numbers counts as `worst`.

    **Arguments:** `dts` `"step"`: steps between samples; `scale` `"dim"`: $s_c$;
    `field`: gives the vector field of a model; `scheme`; `substeps`; `worst`; `begin`:
    time of the first sample. `of` makes it.
    **Shapes:** a batch is `ys` `"traj time dim"`; the result `"traj"`.

    ```python
    >>> import jax.numpy as jnp
    >>> from pendula.hardware import ForecastError
    >>> ys = jnp.exp(-jnp.arange(5.0) * 0.1)[None, :, None]
    >>> decay = lambda t, y, u, context: -y
    >>> error = ForecastError.of(ys, jnp.arange(5.0) * 0.1)
    >>> bool(error(decay, ys)[0] < 1e-5)
    True

    ```
    """

    dts: Float[Array, " step"]
    scale: Float[Array, " dim"]
    field: FieldOf = eqx.field(static=True)
    scheme: AbstractScheme = eqx.field(static=True)
    substeps: int = eqx.field(static=True)
    worst: float = eqx.field(static=True)
    begin: float = eqx.field(static=True, default=0.0)
    """Time of the first sample."""

    @classmethod
    def of(
        cls,
        ys: Any,
        ts: Any,
        *,
        field: FieldOf = field_of,
        scheme: AbstractScheme = RK4,
        substeps: int = 1,
        worst: float = 10.0,
    ) -> ForecastError:
        """For trajectories `"traj time dim"` at common times `"time"`.

        **Raises:** `ShapeError` where they do not fit, `DataError` for none, numbers
        that are not finite and times that do not increase."""
        ys, ts = np.asarray(ys), np.asarray(ts, np.float64)
        if ys.ndim != 3 or ts.shape != (ys.shape[1],):
            raise ShapeError(
                f"trajectories {ys.shape} at times {ts.shape}; expected "
                '"traj time dim" and "time".'
            )
        if not ys.size or not np.isfinite(ys).all():
            raise DataError(
                f"trajectories {ys.shape} are empty, or hold a number that is not "
                "finite. Give whole ones."
            )
        if len(ts) < 2 or not (np.diff(ts) > 0).all():
            raise DataError("times must be at least two, and increase. Sort them.")
        whole(1, "ForecastError", substeps=substeps)
        ys = ys.astype(np.result_type(ys, np.float16))  # whole numbers have no step
        kind = jnp.result_type(ys)
        scale = jnp.asarray(spreads(ys.reshape(-1, ys.shape[2])), kind)
        dts, begin = jnp.asarray(np.diff(ts), kind), float(ts[0])
        return cls(dts, scale, field, scheme, substeps, worst, begin)

    def __call__(
        self, chip: Any, ys: Num[Array, "traj time dim"]
    ) -> Float[Array, " traj"]:
        """The error of each trajectory."""
        field = self.field(chip)

        def one(path: Float[Array, "time dim"]) -> Float[Array, ""]:
            t0 = jnp.asarray(self.begin, path.dtype)
            found = rollout_steps(
                field, path[0], t0, self.dts, scheme=self.scheme, substeps=self.substeps
            ).ys
            away = (found - path[-len(found) :]) / self.scale[None]
            size = jnp.sqrt(jnp.mean(away**2))
            return jnp.where(
                jnp.isfinite(size), jnp.minimum(size, self.worst), self.worst
            )

        return jax.vmap(one)(ys.astype(self.scale.dtype))


@dataclasses.dataclass(frozen=True)
class HardenConfig:
    """How a model of motion is trained for a device.

    ```python
    >>> from pendula.hardware import HardenConfig
    >>> HardenConfig(steps=100).level
    0.05

    ```
    """

    level: float | NoiseLevel = 0.05
    """Noise level in training, as of `hardware_aware`: eta, a share of the range, or of
    `PCM` and its like how often the measured errors; 0 goes on without."""
    samples: int = 1
    """Draws of the errors a step, L."""
    steps: int = 2000
    """Updates."""
    lr: float = 1e-3
    """Rate of Adam, falling to 1 % by a cosine."""
    batch: int = 16
    """Clips an update."""
    shortest: int = 5
    """Samples of a clip at first."""
    longest: int = 40
    """Samples of a clip at last; reached after half of the updates."""
    clip: float | None = 2.5
    """Standard deviations at which weights are cut off; None: not."""
    substeps: int = 1
    """Steps of the scheme between samples."""
    seed: int = 0
    """Of batches and noise."""

    def __post_init__(self) -> None:
        counts = dict.fromkeys(("samples", "steps", "batch", "substeps"), 1)
        fields_whole(self, "HardenConfig", **counts, shortest=2, longest=2)
        object.__setattr__(self, "level", as_eta(self.level))
        not_negative("HardenConfig", level=self.level)
        positive("HardenConfig", lr=self.lr)
        if self.clip is not None:
            positive("HardenConfig", clip=self.clip)


def harden(
    model: Any,
    ys: Any,
    ts: Any,
    twin: AnalogTwin,
    config: HardenConfig | None = None,
    *,
    field: FieldOf = field_of,
    scheme: AbstractScheme = RK4,
    tell: Callable[[str], None] = lambda text: None,
) -> Any:
    r"""Train a model of motion further, its weights under the errors of a device.

    $$ \min_w E_q \frac1{|C|} \sum_{clips} \sum_t
       |W (\hat y(t; w + \delta w) - y(t))|^2 $$

    on clips from measured states that grow, one set of errors for all clips of an
    update: a chip keeps its errors during a forecast.

    **Arguments:**
    - `model`: as fitted; `ys` `"traj time dim"`, `ts` `"time"`: what it is trained on.
    - `twin`: of that model.
    - `config`; `field`: gives the vector field of a model; `scheme`.

    **Returns:** the model with other weights.
    **Raises:** `ShapeError`, `DataError`, `ConfigError`. **Warns:** `FitWarning` where
    a range runs away (`RangeWatch`).
    **Source:** Wang 2023, algorithm 1 (HA-SGD); on forecasts: ours.
    """
    config = HardenConfig() if config is None else config
    ys, ts = np.asarray(ys, np.float32), np.asarray(ts, np.float64)
    error = ForecastError.of(ys, ts, field=field, scheme=scheme)
    params, rest = split_trainable(model)
    longest = min(config.longest, ys.shape[1])
    grow = max(1, config.steps // (2 * max(1, longest - config.shortest)))
    curriculum = ClipCurriculum(
        min(config.shortest, longest), longest, grow, config.batch
    )
    dt, begin = 1.0 / config.substeps, float(ts[0])

    def advance(params: Any, row: Array, y: Array, at: tuple[Array, Array]) -> Array:
        del row
        f = field(eqx.combine(params, rest))
        t, whole = at
        t = t + begin  # added here: late times have no digits left for short steps
        step = whole * dt
        for k in range(config.substeps):
            y = scheme.step(f, t + k * step, y, step, lambda s: None, None)
        return y

    loss = clip_loss(
        advance,
        jnp.asarray(ts - ts[0], jnp.float32),
        jnp.asarray(ys),
        1.0 / error.scale,
        longest,
    )
    rate = optax.cosine_decay_schedule(config.lr, config.steps, 0.01)
    transform = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(rate))
    if config.clip is not None:
        transform = optax.chain(transform, clip_weights(twin, config.clip))
    estimator: AbstractEstimator = Plain()
    if float(config.level) > 0.0:
        estimator = hardware_aware(twin, config.level, config.samples)
    draw = curriculum.batches(len(ys), ys.shape[1], ys.shape[2], config.seed)

    def batches(k: int) -> ClipBatch:
        return jax.tree.map(jnp.asarray, draw(k))

    key = jax.random.key(config.seed)
    state = TrainState.start(params, transform.init(params), key)
    step = gradient_step(loss, transform, estimator=estimator)
    state, reason = train_run(
        step,
        state,
        batches,
        [RangeWatch(twin)],
        num_steps=config.steps,
        log_every=max(1, config.steps // 10),
    )
    tell(reason)
    return eqx.combine(finish(state), rest)

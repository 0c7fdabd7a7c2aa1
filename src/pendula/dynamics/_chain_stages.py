"""What learning the energy of bars and that of rings have in common: stages in a row,
constants by Levenberg-Marquardt on records, clips that grow."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from .._errors import DivergedError
from ..data import Trajectories
from ..train import (
    ClipBatch,
    ClipCurriculum,
    TrainState,
    clip_loss,
    finish,
    gradient_step,
    levenberg_state,
    levenberg_step,
    plain_gradient,
    run,
)
from ._chain_records import Records
from ._clips_config import ClipsConfig
from ._config import to_dict
from ._watch import open_folder, taken_up, watching


# frames of a law's first looks, clips from every frame and the first frames: how far
# off a long run is has many minima, and short ones show some constants hardly
SHORT, FIRST = 3, 16


@dataclasses.dataclass
class Loop:
    """Runs stages through `train.run`, one after the other."""

    folder: Path | None
    resumed: bool
    tell: Any
    minutes: float
    began: float
    index: int = 0

    @classmethod
    def opened(
        cls,
        out: str | Path | None,
        resume: bool,
        tell: Any,
        config: Any,
        world: Any,
        data: Trajectories,
        **own: Any,
    ) -> Loop:
        """In a run folder, where there is one, that knows what it was begun with:
        settings, `own` ones beside them, world and data.

        **Raises:** `CheckpointError` for a resumed run of others."""
        began, folder = time.perf_counter(), None if out is None else Path(out)
        if folder is not None:
            settings = to_dict(config) | own
            settings.pop("minutes")  # a resumed fit may be given more time
            settings["world"] = [np.asarray(x).tolist() for x in jax.tree.leaves(world)]
            open_folder(folder, resume, settings, data)
        return cls(folder, resume, tell, config.minutes, began)

    def __call__(
        self,
        name: str,
        step: Any,
        state: TrainState,
        batches: Any,
        total: int,
        *,
        every: int,
        score: Any = None,
        inner: int = 1,
        settles: bool = False,
    ) -> tuple[Any, dict[str, Any]]:
        index, self.index = self.index, self.index + 1
        began, ended = time.perf_counter(), None
        place = None if self.folder is None else self.folder / "resume" / f"{index:03d}"
        if place is not None and self.resumed:
            state, ended = taken_up(place, index, state)
        row: dict[str, Any] = {}
        callbacks = watching(
            name,
            index,
            total,
            int(state.step),
            folder=self.folder,
            place=f"resume/{index:03d}",
            deadline=self.began + 60.0 * self.minutes,
            minutes=self.minutes,
            tell=self.tell,
            score=score,
            settles=settles,
            last=row,
        )
        if ended is None:
            state, ended = run(
                step,
                state,
                batches,
                callbacks,
                num_steps=total,
                log_every=every,
                inner=inner,
            )
        told = {
            "name": name,
            "steps": int(state.step),
            "seconds": time.perf_counter() - began,
            "reason": ended,
            "loss": np.min(row["loss"]).tolist() if "loss" in row else None,
        }
        return finish(state), told


def constants(
    simulate: Callable[[Array, Array, Array], Array],
    weight: Float[np.ndarray, "channel"],
    sets: Sequence[Records],
    begin: Float[Any, "member constant"],
    loop: Loop,
    name: str = "law",
) -> tuple[list[Float[Array, "constant"]], list[dict[str, Any]]]:
    """Constants of a law that repeat records best, for each of several sets of records
    of equal shape (one program for all): from each of `begin` on short clips from every
    frame and on the first frames, where there are several, then from the best of both
    on whole records.

    `simulate(constants, y0, dts)` gives states `"time dim"`, of which the first
    channels are compared, times `weight`.
    **Raises:** `DivergedError` where no motion is finite.
    """

    def residual(log: Array, local: Array, item: tuple) -> Array:
        y0, dts, ys = item
        path = simulate(log, y0, dts)[1:]
        off = (path[:, : len(weight)] - ys) * jnp.asarray(weight, ys.dtype)[None]
        return jnp.ravel(off)

    @jax.jit
    def left(log: Array, items: tuple) -> Array:
        one = lambda p: jax.vmap(lambda i: residual(p, jnp.zeros(0), i))(items)
        return jax.vmap(lambda p: jnp.sum(one(p) ** 2))(log)

    def fitting(members: int) -> Callable[..., tuple[Array, Any]]:
        step = levenberg_step(
            residual,
            lambda log: jnp.zeros((0,), log.dtype),
            lambda items: jnp.asarray(items[2].size, items[2].dtype),
            members=members,
        )

        def on(
            mine: Records, clip: int, frames: int, start: Array
        ) -> tuple[Array, Any]:
            own = np.arange(frames - clip + 1)[:, None] + np.arange(clip)
            ys = jnp.asarray(mine.ys[:, own], jnp.float32)
            ys = ys.reshape(-1, *ys.shape[2:])
            dts = jnp.asarray(np.diff(mine.ts[:frames])[own[:, :-1]], jnp.float32)
            dts = jnp.tile(dts, (len(mine.ys), 1))
            items = (ys[:, 0], dts, ys[:, 1:, : len(weight)])
            local = jnp.zeros((members, len(ys), 0), start.dtype)
            opt = levenberg_state(start.dtype, variance=1.0, members=members)
            state = TrainState.start((start, local), opt, jax.random.key(0), members)
            whole = clip == frames
            (log, _), told = loop(
                f"{name} on {frames if whole else f'clips of {clip}'} frames",
                step,
                state,
                items,
                40,
                every=1,
                settles=True,
            )
            losses = left(log, items)
            if not jnp.isfinite(losses).any():
                raise DivergedError(
                    f"no {name} moves the chain as the records: every motion leaves "
                    "the finite numbers. Look at masses, units and times, or take more "
                    "substeps."
                )
            return log[jnp.nanargmin(losses)], told

        return on

    begin = jnp.asarray(begin, jnp.float32)
    frames = len(sets[0].ts)
    several = fitting(len(begin))
    looks = [(SHORT, frames), (FIRST, FIRST)] if len(begin) > 1 else []
    looks = [(clip, n) for clip, n in looks if clip < frames and n <= frames]
    whole = fitting(len(looks)) if looks else several
    found, tolds = [], []
    for mine in sets:
        first = begin
        if looks:
            first = jnp.stack([several(mine, *look, begin)[0] for look in looks])
        log, told = whole(mine, frames, frames, first)
        found.append(log)
        tolds.append(told)
    return found, tolds


def clips_that_grow(
    params: Any,
    advance: Callable[[Any, Any, Array, tuple], Array],
    weight: Float[np.ndarray, "dim"],
    train: Records,
    config: ClipsConfig,
    seed: int,
    loop: Loop,
    score: Callable[[Any], Array],
    *,
    name: str = "clips",
    estimator: Any = plain_gradient,
) -> tuple[Any, dict[str, Any]]:
    """Clips that grow; the weights with the lowest score are kept. `advance` as in
    `clip_loss`; of the bodies of a chain `config.drawn` count in an update.
    `estimator`: how the gradient comes from the loss, as in `gradient_step`."""
    frames, count, dim = len(train.ts), train.count, train.ys.shape[2]
    longest = min(config.longest, frames)
    curriculum = ClipCurriculum(
        min(config.shortest, longest), longest, config.every, config.batch
    )
    loss = clip_loss(
        advance,
        jnp.asarray(train.ts, jnp.float32),
        jnp.asarray(train.ys, jnp.float32),
        jnp.asarray(weight, jnp.float32),
        longest,
    )
    rate: Any = config.lr
    if config.falling:
        warm = min(40, config.steps // 4)
        rate = optax.warmup_cosine_decay_schedule(
            0.05 * config.lr, config.lr, warm, config.steps, 0.01 * config.lr
        )
    transform = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(rate))
    draw = curriculum.batches(len(train.ys), frames, dim, seed)
    few = config.drawn if 0 < config.drawn < count else count

    def batches(k: int) -> ClipBatch:
        rng = np.random.default_rng((seed, k, 1))
        own = np.sort(rng.choice(count, few, replace=False))
        channels = train.channels(own).astype(np.int32)
        return jax.tree.map(jnp.asarray, draw(k)._replace(channels=channels))

    state = TrainState.start(params, transform.init(params), jax.random.key(seed))
    return loop(
        name,
        gradient_step(loss, transform, estimator=estimator),
        state,
        batches,
        config.steps,
        every=max(1, min(20, config.steps // 10)),
        score=score,
    )

"""Part `adaptation` of study `families`: a new system in five steps, beside the same
network trained on it from scratch."""

from __future__ import annotations

import copy
import functools
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..data import Trajectories
from ._claim import Claim
from ._families import BISTABLE, STEP, families, fitted_family
from ._families_motion import BISTABLE_CONFIG
from ._families_reading import clips_of, energy_of, shape_error
from ._figures import COLOURS, figure
from ._row import Row
from ._study import Run


_B = "families.B"
CLIP = 100  # samples of one clip: one second
FORECAST = 5.0  # s, from an unseen start
_TRIED = (
    "Gauss-Newton on weights and etas, affine head; five Levenberg-Marquardt steps "
    "from the mean eta of the training systems."
)
_SCRATCH = (
    "50 epochs of the same network with one eta, Adam on the same ten clips, two at a "
    "time, at the better of the rates tried"
)
_ROWS = (
    Row(
        f"{_B}.clip_ratio",
        "50 unseen bistable systems, ten clips of 1 s each: median error on the clips "
        f"after five steps on eta, over that after {_SCRATCH} (mean squares).",
        target=1e-2,
        tried=_TRIED,
    ),
    Row(
        f"{_B}.unseen_ratio",
        "The same on 5 s from a start of another energy.",
        target=1e-2,
        tried=_TRIED,
    ),
    Row(f"{_B}.clip_ratio_gd", "Clips, five steps of gradient descent of size 0.1."),
    Row(f"{_B}.unseen_ratio_gd", "Unseen starts, the same."),
    Row(
        f"{_B}.seconds",
        "Processor time of the five steps for one system, after compilation.",
        "s",
        target=0.1,
        goal=0.02,
        tried=_TRIED,
    ),
    Row(
        f"{_B}.scratch_long_ratio",
        "Unseen starts: five steps over the best epoch of 200 from scratch.",
    ),
    Row(
        "families.A.bistable_clip_scratch",
        "Potential on [-0.8, 0.8] of the same network trained from scratch on ONE "
        "second within one well, 200 epochs: relative L2 error, median over systems.",
    ),
)
_FULL: dict[str, Any] = {
    "seeds": [0, 1, 2],
    "unseen": 50,
    "epochs": 50,
    "longest": 200,
    "rates": [1e-2, 3e-3],
    "config": BISTABLE_CONFIG | {"every": 5},
}
_QUICK: dict[str, Any] = copy.deepcopy(_FULL)
_QUICK |= {"seeds": [0], "unseen": 2, "epochs": 1, "longest": 2, "rates": [1e-2]}
_QUICK["config"] |= {"steps": 1, "every": 20}


@families.part("adaptation", _ROWS, full=_FULL, quick=_QUICK)
def adaptation(run: Run) -> Iterator[Claim]:
    """Every seed, then the rows and the curve."""
    found = [
        run.keep(f"seed_{seed}", lambda seed=seed: measured(run.settings, seed))
        for seed in run.settings["seeds"]
    ]
    adaptation_curve(run.figures / "adaptation.svg", found)
    for row in _ROWS:
        key = row.id.rsplit(".", 1)[1].removeprefix("bistable_")
        yield run.row(row.id).measured([float(f[key]) for f in found])


def measured(settings: dict[str, Any], seed: int) -> dict[str, Any]:
    """Train once; adapt to new systems and train on them from scratch."""
    family = fitted_family(BISTABLE, settings["config"], seed)
    rng = np.random.default_rng([seed, 4])
    new = BISTABLE.unseen(settings["unseen"], rng)
    clips = seconds_of(BISTABLE.records_of(new, 1, rng))
    unseen = BISTABLE.records_of(new, 1, rng).between(0.0, FORECAST)
    adapt = functools.partial(family.adapt_many, clips, starts=0, iterations=5)
    adapt()  # compilation
    began = time.process_time()
    newton = adapt()
    seconds = (time.process_time() - began) / len(new)
    plain = family.adapt_many(clips, method="gd", steps=5, rate=0.1)

    def errors(adapted: Any, data: Trajectories) -> float:
        etas = np.stack([a.eta for a in adapted])
        return float(np.median(mean_squares(family, etas, data)))

    longest, rates = settings["longest"], settings["rates"]
    _, curves = from_scratch(family, clips, unseen, longest, rates, seed)
    medians = np.median(curves, axis=1)  # (rate, epoch, clips or unseen)
    at = settings["epochs"] - 1
    best = medians[:, at].min(axis=0)
    single = clips_of(new, rng)
    alone, _ = from_scratch(family, single, unseen, longest, rates[:1], seed)
    us = np.linspace(-0.8, 0.8, 161)
    shapes = [
        shape_error(energy_of(member.field, us, family.dtype), us, p)[0]
        for member, p in zip(alone, new, strict=True)
    ]
    return {
        "clip_ratio": errors(newton, clips) / best[0],
        "unseen_ratio": errors(newton, unseen) / best[1],
        "clip_ratio_gd": errors(plain, clips) / best[0],
        "unseen_ratio_gd": errors(plain, unseen) / best[1],
        "seconds": seconds,
        "scratch_long_ratio": errors(newton, unseen) / medians[..., 1].min(),
        "clip_scratch": np.median(shapes),
        "curves": medians[np.argmin(medians[:, at, 0])],
        "newton": np.array([errors(newton, clips), errors(newton, unseen)]),
        # a long clip is fitted on shares of it first: so many steps on each of them
        "steps": np.array([errors(adapt(iterations=k), clips) for k in range(1, 6)]),
    }


def seconds_of(records: Trajectories) -> Trajectories:
    """Each record cut into clips of one second, all of its system."""
    rows, starts = [], range(0, records.ts.shape[1] - CLIP, CLIP)
    ys, env = [], []
    for i in range(records.num):
        for first in starts:
            rows.append(np.arange(CLIP + 1) * STEP)
            ys.append(records.ys[i, first : first + CLIP + 1])
            env.append(i)
    data = Trajectories.from_arrays(
        rows, ys, names=records.names, units=records.units, origin=records.origin
    )
    return data.replace(env=np.array(env))


def _stacked(family: Any, data: Trajectories) -> tuple[Any, Any]:
    """Clips `"system clip ..."` on the grid of the family, and one over the spread."""
    import jax

    from ..dynamics import systems_of

    thin = data.subsample(int(family.about["every"]))
    batch = thin.full(family.dtype)
    systems = len(systems_of(data)[0])
    each = data.num // systems
    batch = jax.tree.map(
        lambda x: jax.numpy.asarray(x).reshape(systems, each, *x.shape[1:]), batch
    )
    weight = jax.numpy.asarray(1.0 / np.asarray(family.about["spread"]), family.dtype)
    return batch, weight


def _mean_square(member: Any, clips: Any, weight: Any) -> Any:
    """Mean squared error of a model on clips, in spreads; infinite where it fails."""
    import jax
    import jax.numpy as jnp

    def one(item: Any) -> Any:
        roll = member.steps(item.ys[0], item.t0, item.dts)
        return (jax.vmap(member.observe)(roll.ys) - item.ys) * weight[None]

    off = jax.vmap(one)(clips)
    total = jnp.mean(off * off)
    return jnp.where(jnp.isfinite(total), total, jnp.inf)


@functools.lru_cache(maxsize=1)
def _score() -> Any:
    """Mean squared error of members on their clips, compiled once a shape."""
    import equinox as eqx
    import jax

    from ..nn import bind

    def score(model: Any, etas: Any, clips: Any, weight: Any) -> Any:
        one = lambda eta, mine: _mean_square(bind(model, eta), mine, weight)
        return jax.vmap(one)(etas, clips)

    return eqx.filter_jit(score)


def mean_squares(family: Any, etas: np.ndarray, data: Trajectories) -> np.ndarray:
    """Mean squared error of each member on its clips."""
    import jax
    import jax.numpy as jnp

    from .._precision import cast, precision

    with precision(family.dtype):
        clips, weight = _stacked(family, data)
        model = jax.tree.map(jnp.asarray, cast(family.model, family.dtype))
        members = jnp.asarray(etas, family.dtype)
        return np.asarray(_score()(model, members, clips, weight))


@functools.lru_cache(maxsize=1)
def _training() -> Any:
    """Training of one network for each system and rate, compiled once a shape."""
    import equinox as eqx
    import jax
    import jax.numpy as jnp
    import optax

    from .._tree import split_trainable
    from ..nn import AbstractConditioned, bind

    shared = lambda node: isinstance(node, AbstractConditioned)

    def train(
        key: Any, mine: Any, other: Any, rate: Any, model: Any, weight: Any, ks: Any
    ) -> tuple:
        transform = optax.adam(rate)
        fresh = lambda n: n.redraw(key) if shared(n) else n
        blank = jax.tree.map(fresh, model, is_leaf=shared)
        (net,) = [n for n in jax.tree.leaves(model, is_leaf=shared) if shared(n)]
        blank = bind(blank, jnp.zeros(net.eta_size, weight.dtype))
        params, static = split_trainable(blank)
        number = len(mine.ys)
        two = min(2, number)

        def update(carry: tuple, rows: Any) -> tuple:
            params, opt = carry
            part = jax.tree.map(lambda x: x[rows], mine)
            loss = lambda p: _mean_square(eqx.combine(p, static), part, weight)
            slope = jax.grad(loss)(params)
            with jax.numpy_dtype_promotion("standard"):
                move, opt = transform.update(slope, opt, params)
                return (optax.apply_updates(params, move), opt), None

        def epoch(carry: tuple, k: Any) -> tuple:
            order = jax.random.permutation(jax.random.fold_in(key, k), number)
            rows = order[: number // two * two].reshape(-1, two)
            carry, _ = jax.lax.scan(update, carry, rows)
            now = eqx.combine(carry[0], static)
            return carry, jnp.stack(
                [_mean_square(now, d, weight) for d in (mine, other)]
            )

        with jax.numpy_dtype_promotion("standard"):
            begin = (params, transform.init(params))
        (params, _), curve = jax.lax.scan(epoch, begin, ks)
        return eqx.combine(params, static), curve

    over = eqx.filter_vmap(train, in_axes=(0, 0, 0, None, None, None, None))
    both = eqx.filter_vmap(over, in_axes=(None, None, None, 0, None, None, None))
    return eqx.filter_jit(both)


def from_scratch(
    family: Any,
    clips: Trajectories,
    unseen: Trajectories,
    epochs: int,
    rates: list[float],
    seed: int,
) -> tuple[list[Any], np.ndarray]:
    """The network of the family with one eta for each system by itself, fresh weights,
    Adam on its clips, two at a time: the models at the first rate, and the errors
    `"rate system epoch 2"` on the clips and on `unseen` after each epoch."""
    import equinox as eqx
    import jax
    import jax.numpy as jnp

    from .._precision import cast, precision

    with precision(family.dtype):
        model = jax.tree.map(jnp.asarray, cast(family.model, family.dtype))
        mine, weight = _stacked(family, clips)
        other, _ = _stacked(family, unseen)
        keys = jax.random.split(jax.random.key(seed), len(mine.ys))
        models, curve = _training()(
            keys,
            mine,
            other,
            jnp.asarray(rates, family.dtype),
            model,
            weight,
            jnp.arange(epochs),
        )
        pick = lambda i: jax.tree.map(
            lambda x: x[0, i] if eqx.is_array(x) else x, models
        )
        return [pick(i) for i in range(len(keys))], np.asarray(curve)


def adaptation_curve(path: Path, found: list[dict[str, Any]]) -> None:
    """Errors over epochs from scratch, and over the steps of the adaptation."""
    scratch = np.median([f["curves"] for f in found], axis=0)
    steps = np.median([f["steps"] for f in found], axis=0)
    reached = np.median([f["newton"] for f in found], axis=0)
    with figure(path, 2, 4.6) as axes:
        for ax, j, name in zip(axes, (0, 1), ("clips", "unseen starts"), strict=True):
            ax.loglog(
                np.arange(1, len(scratch) + 1),
                scratch[:, j],
                color=COLOURS[4],
                label="from scratch, epochs",
            )
            if j == 0:
                ax.loglog(
                    np.arange(1, len(steps) + 1),
                    steps,
                    "o-",
                    color=COLOURS[0],
                    markersize=4,
                    label="adaptation, steps on each share of the clips",
                )
            ax.axhline(
                reached[j], color=COLOURS[0], linestyle="--", label="after five steps"
            )
            ax.set_ylabel(f"{name}: error² / spread²")
            ax.grid(alpha=0.3)
        axes[0].legend(frameon=False)
        axes[-1].set_xlabel("epochs or steps")

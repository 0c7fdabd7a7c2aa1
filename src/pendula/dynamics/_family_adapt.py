"""Adaptation: the eta of a new member from one or a few clips of it."""

from __future__ import annotations

import dataclasses
import time
from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._checks import choice, positive, whole
from .._errors import ConfigError
from .._numbers import numbers
from .._precision import cast, precision, to_host
from ..data import Trajectories
from ..nn import bind
from ..train import (
    MU_FIRST,
    Adaptation,
    EtaPrior,
    adapt,
    eliminate_starts,
    normal_equations,
)
from ._family_data import Clips, FamilyData, check_lengths, drawn, systems_of, widths_of
from ._family_new import NewData, check_scale, new_data, taken_apart
from ._family_outside import eta_outside, law_outside, states_outside
from ._family_programs import clip_residuals, descend
from ._family_shorter import on_shorter, shared
from ._model import Model, weighted_residual
from ._programs import correlation_time
from ._start import refine_start


if TYPE_CHECKING:
    from ._family import Family

EARLY = 0.3  # share of a long record on which the starts compete
GROWING = (1.0 / 3.0, 1.0)  # shares of that, fitted one after the other
CLOSE = 1e-4  # first damping on a whole record: its early part has been fitted
LONG = 9  # intervals from which a record is long
CONDITION = 1e4  # of J; of J'J its square, which is where single precision ends
SETTLED = 1e-2  # of the squared error: what may be left to gain where gd has converged
LEAST = 1e-2  # of what the family knows: a clip that says less says nothing
JUDGED = 20  # samples from which their noise is known well enough to judge a law


@dataclasses.dataclass(frozen=True)
class Adapted:
    """One new member of a family.

    `eta` `"eta"` and its `covariance` `"eta eta"`, which counts the step that was left
    where the iterations did not get to the end; `history` the objective after each
    iteration on the whole clips, `iterations` of them moved (long clips are fitted on
    shares of them before, not counted); `converged`: whether nothing was left to gain,
    for `gd` less than a hundredth of the squared error; `singular_values` of the
    sensitivity J in units of the prior, with their ratio `condition`; `identified`:
    whether the data say more of eta than the family did before; `extrapolation`: in
    which way it leaves the family, empty when it does not; `rmse` `"obs"`: the size of
    residuals that the covariance counts on (those of a clean record as often as they
    repeat themselves), one share of the spread for all channels and never below that of
    the training;
    `seconds` its share of the run; `share` of the clips that was fitted, below 1 where
    the rollout over the whole fails (0: everywhere); `misfit`: the size of the
    residuals over what the noise of the clips and the error of the law account for,
    not much above 1 where the law holds.
    """

    family: Any
    eta: Float[np.ndarray, "eta"]
    covariance: Float[np.ndarray, "eta eta"]
    history: Float[np.ndarray, "iteration"]
    iterations: int
    converged: bool
    identified: bool
    singular_values: Float[np.ndarray, "eta"]
    condition: float
    extrapolation: tuple[str, ...]
    rmse: Float[np.ndarray, "obs"]
    label: str
    seconds: float
    share: float = 1.0
    misfit: float = 1.0

    @property
    def extrapolating(self) -> bool:
        """Whether the member lies outside the family that was learned."""
        return bool(self.extrapolation)

    @property
    def constants(self) -> dict[str, tuple[float, float]]:
        """The constants that vary within the family: name -> (value, standard
        deviation)."""
        return self.family.constants(self.eta, self.covariance)

    def model(self) -> Model:
        """The model of this member."""
        return self.family.at(self.eta)

    def predict(self, y0: Any, ts: Any, *, refine: int = 1) -> np.ndarray:
        """Observations from a state `"dim"` at times `"time"`."""
        return self.family.predict(self.eta, y0, ts, refine=refine)

    def summary(self) -> str:
        """A few lines: eta, how well it is known, and what to mind."""
        sd = np.sqrt(np.diag(self.covariance))
        told = ", ".join(
            f"{e:.4g} +- {s:.2g}" for e, s in zip(self.eta, sd, strict=True)
        )
        lines = [
            f"{self.label}: eta {told} after {self.iterations} iterations"
            f"{'' if self.converged else ' (not converged)'}"
        ]
        if not self.identified:
            lines.append(
                "the clips say nothing of some direction of eta (condition "
                f"{self.condition:.2g}): measure a larger motion"
            )
        if self.share < 1.0:
            lines.append(
                f"only the first {100 * self.share:.3g} % of each clip were fitted: "
                "the rollout over more of it fails. Give shorter clips"
            )
        lines += [f"extrapolating: {why}" for why in self.extrapolation]
        return "\n".join(lines)


def adapt_many(
    family: Family,
    data: Trajectories,
    *,
    method: str = "lm",
    iterations: int = 8,
    starts: int = 3,
    noise: Any = None,
    window: float | None = None,
    steps: int = 5,
    rate: float = 0.1,
    eta0: Any = None,
) -> list[Adapted]:
    """Adapt to the systems of `data`, one for each value of `env`.

    **Arguments:** `method`: `lm` (Levenberg-Marquardt from the family's mean and the
    `starts` training etas that fit the first tenth best, on growing shares of a long
    record; all of a short clip) or `gd` (`steps` steps of size `rate` on the mean
    squared error, from `eta0` or the start that the family shares); `noise` `"obs"`:
    standard deviation of the channels, in their units (None: estimated; 0: the measured
    states are exact);
    `window`: length of the stretches that a record is cut into, each with a start state
    of its own (None: the record is followed from end to end, which asks more of the law
    than a law with errors can give).
    **Raises:** `DataError` for data that do not fit the family, `ConfigError` for
    settings that cannot be used.
    """
    choice("method", method, ("lm", "gd"))
    whole(1, iterations=iterations, steps=steps)
    whole(0, starts=starts)
    positive(rate=rate)
    first = numbers("eta0", family.about["eta0"] if eta0 is None else eta0)
    if first.shape != (family.size,) or not np.isfinite(first).all():
        raise ConfigError(
            f"eta0 is {first.tolist()}; it must be {family.size} finite numbers."
        )
    data = family.match(data)
    check_lengths(data)
    check_scale(family, data)
    rows, labels = systems_of(data)
    env = np.zeros(data.num, int)
    for i, mine in enumerate(rows):
        env[mine] = i
    data = data.replace(env=env)
    if window is not None:  # a stretch is no system of its own
        data = data.windows(window)
    told = (method, iterations, starts, first, steps, rate)
    out: dict[int, Adapted] = {}
    for which in taken_apart(family, data, noise):
        some = data.select(np.flatnonzero(np.isin(np.asarray(data.env), which)))
        found = new_data(family, some, tuple(labels[i] for i in which), noise)
        out |= dict(zip(which.tolist(), _together(family, found, *told), strict=True))
    return [out[i] for i in range(len(labels))]


def _together(
    family: Family,
    found: NewData,
    method: str,
    iterations: int,
    starts: int,
    first: np.ndarray,
    steps: int,
    rate: float,
) -> list[Adapted]:
    """Systems that are all taken as exact, or all as noisy."""
    begun = time.perf_counter()
    with precision(family.dtype):
        put = lambda tree: jax.tree.map(jnp.asarray, cast(tree, family.dtype))
        model, clips = put(family.model), put(found.clips)
        weight = jnp.asarray(1.0 / np.asarray(family.about["spread"]), family.dtype)
        widths = None  # start states are known
        if not found.clean:
            widths = widths_of(family.about["low"], family.about["high"])
            widths = jnp.asarray(widths, family.dtype)
        if method == "gd":
            plain = family.about["mode"] == "reference"  # the error is not scaled
            etas, losses = descend(
                model,
                jnp.asarray(first, family.dtype),
                clips,
                jnp.ones_like(weight) if plain else weight,
                steps,
                jnp.asarray(rate, family.dtype),
            )
            # start states that were held at noisy samples have drawn eta along
            out = _judge(model, etas, clips, weight, widths)
            count = jnp.full(len(etas), steps)
            share = np.ones(len(etas))
            at = lambda a: (a.history, a.iterations)
            out = eqx.tree_at(at, out, (losses, count))
        else:
            prior = EtaPrior(
                jnp.asarray(family.mean, family.dtype),
                jnp.asarray(np.linalg.inv(family.covariance), family.dtype),
            )
            long = clips.batch.dts.shape[-1] > LONG
            judged = shared(clips, 0.1) if long else clips
            begin = _starts(model, prior.mean, put(family.etas), judged, weight, starts)
            variance = jnp.asarray(found.variance, family.dtype)
            told = (weight, widths, variance)
            out, share = on_shorter(
                lambda clips, begin: _adapt(
                    model, prior, clips, begin, *told, iterations, long
                ),
                clips,
                begin,
            )
        out = to_host(out)
    seconds = (time.perf_counter() - begun) / len(found.labels)
    return [
        dataclasses.replace(
            _told(family, found, out, i, seconds), share=float(share[i])
        )
        for i in range(len(found.labels))
    ]


@eqx.filter_jit
def _starts(
    model: Model, mean: Array, etas: Array, clips: Clips, weight: Array, count: int
) -> Float[Array, "system start eta"]:
    """The mean and the training etas that fit the clips of each system best."""

    def loss(eta: Array, mine: Clips) -> Array:
        r = clip_residuals(model, eta, mine, weight)
        total = jnp.sum(r * r)
        return jnp.where(jnp.isfinite(total), total, jnp.inf)

    def one(mine: Clips) -> Array:
        order = jnp.argsort(jax.vmap(loss, (0, None))(etas, mine))
        return jnp.concatenate([mean[None], etas[order[: min(count, len(etas))]]])

    return jax.vmap(one)(clips)


def _cut(clips: Clips, share: float) -> Clips:
    """Clips of which only the first samples are left."""
    steps = max(3, int(share * clips.batch.dts.shape[-1]))
    b = clips.batch
    us = None if b.us is None else b.us[..., :steps, :, :]
    time = slice(None, steps + 1)
    where = lambda c: (c.batch.dts, c.batch.ys, c.batch.mask, c.batch.us)
    new = (b.dts[..., :steps], b.ys[..., time, :], b.mask[..., time, :], us)
    return eqx.tree_at(where, clips, new, is_leaf=lambda x: x is None)


@eqx.filter_jit
def _adapt(
    model: Model,
    prior: EtaPrior,
    clips: Clips,
    begin: Array,
    weight: Array,
    widths: Array | None,
    variance: Float[Array, "system"],
    iterations: int,
    long: bool,
) -> Adaptation:
    """Every system from its starts; the best start of each is kept. With `widths` start
    states are free, and what is found of them is how far they moved, in these."""
    size = 0 if widths is None else clips.y0.shape[-1]
    residual = _residual(model, weight, widths)

    # what is not measured of a start state is held by next to nothing
    hold = 1e-8 * jnp.eye(size, dtype=weight.dtype)

    def fit(
        eta: Array, local: Array, mine: Clips, own: Array, damping: float = MU_FIRST
    ) -> Adaptation:
        return adapt(
            residual,
            prior,
            mine,
            local,
            eta,
            variance=own,
            start_precision=hold,
            count=jnp.sum(mine.batch.mask, dtype=weight.dtype),
            iterations=iterations,
            damping=damping,
        )

    def one(mine: Clips, etas: Array, own: Array) -> Adaptation:
        local0 = jnp.zeros_like(mine.y0[:, :size])

        def from_start(eta: Array) -> tuple[Array, Array, Array]:
            def grow(carry: tuple, share: Array) -> tuple[tuple, Array]:
                out = fit(carry[0], carry[1], shared(early, share), own)
                return (out.eta, out.local), out.history[-1]

            each = jnp.asarray(GROWING, weight.dtype)
            (eta, local), costs = jax.lax.scan(grow, (eta, local0), each)
            return eta, local, costs[-1]

        if not long:  # every start on the whole clips
            outs = jax.vmap(lambda eta: fit(eta, local0, mine, own))(etas)
            best = jnp.argmin(outs.history[:, -1])
            return jax.tree.map(lambda x: x[best], outs)
        early = _cut(mine, EARLY)
        found, local, costs = jax.vmap(from_start)(etas)
        best = jnp.argmin(costs)
        return fit(found[best], local[best], mine, own, CLOSE)

    return jax.vmap(one)(clips, begin, variance)


def _residual(model: Model, weight: Array, widths: Array | None) -> Any:
    """`residual(eta, start, clip)`: the start is how far the state moved, in `widths`,
    or nothing without them."""

    def residual(eta: Array, start: Array, item: Clips) -> Array:
        y0 = item.y0 if widths is None else item.y0 + widths * start
        return weighted_residual(bind(model, eta), y0, item.batch, weight)

    return residual


@eqx.filter_jit
def _judge(
    model: Model, etas: Array, clips: Clips, weight: Array, widths: Array | None = None
) -> Adaptation:
    """What is known of given etas: sensitivities and residuals, start states given or
    (with `widths`) those that fit each clip best, which then cost what they explain."""
    size = 0 if widths is None else clips.y0.shape[-1]
    residual = _residual(model, weight, widths)

    def one(eta: Array, mine: Clips) -> Adaptation:
        local = mine.y0[:, :size]
        if widths is not None:
            member = bind(model, eta)
            best = lambda y0, item: refine_start(member, y0, item, weight)[0]
            local = (jax.vmap(best)(mine.y0, mine.batch) - mine.y0) / widths[None]
        normal = normal_equations(residual, eta, local, mine)
        hold = 1e-8 * jnp.eye(size, dtype=eta.dtype)
        information, slope = eliminate_starts(normal, hold)
        count = jnp.sum(mine.batch.mask, dtype=eta.dtype) - local.size
        none = jnp.zeros((), jnp.int32)
        short = -jnp.linalg.pinv(information, hermitian=True) @ slope
        return Adaptation(
            eta,
            local,
            normal.rss[None],
            none,
            -slope @ short <= SETTLED * normal.rss,
            information,
            normal.rss,
            count,
            short,
        )

    return jax.vmap(one)(etas, clips)


@eqx.filter_jit
def _correlation(model: Model, etas: Array, clips: Clips, weight: Array) -> Array:
    """In how many samples the residuals of the training repeat themselves, the mean
    over systems: what a law gets wrong is smooth, unlike noise."""

    def one(eta: Array, mine: Clips) -> Array:
        r = clip_residuals(model, eta, mine, weight)
        return correlation_time(r.reshape(mine.batch.ys.shape), mine.batch.mask)

    return jnp.mean(jax.vmap(one)(etas, clips))


def fisher_of(
    model: Model, etas: np.ndarray, found: FamilyData, dtype: np.dtype
) -> tuple[np.ndarray, float, float]:
    """J'J of each training system on up to eight clips, the mean squared residual
    (both in spreads of the channels), and for how many samples one of them counts."""
    step = found.sampling * found.every
    period = found.period if np.isfinite(found.period) else 40 * step
    length = int(np.clip(round(period / step) + 1, 4, 60))
    length = min(length, int((found.data.lengths.min() - 1) // found.every) + 1)
    clips = found.clips(length, (length - 1) * found.every, dtype)
    rng = np.random.default_rng(0)
    count = min(8, max(len(c.y0) for c in clips))
    with precision(dtype):
        law = jax.tree.map(jnp.asarray, cast(model, dtype)), jnp.asarray(etas, dtype)
        some, weight = drawn(clips, count, rng), jnp.asarray(1 / found.spread, dtype)
        widths = jnp.asarray(widths_of(found.ranges.low, found.ranges.high), dtype)
        out = _judge(*law, some, weight, None if found.clean else widths)
        if not found.clean:  # from the start states that fit best
            best = some.y0 + widths[None, None] * out.local
            some = eqx.tree_at(lambda c: c.y0, some, best)
        repeats = float(_correlation(*law, some, weight))
        out = to_host(out)
    variance = float(np.nansum(out.rss) / max(np.sum(out.count), 1.0))
    repeats = repeats if np.isfinite(repeats) else 1.0
    return np.asarray(out.information, np.float64), max(variance, 1e-16), repeats


def _told(
    family: Family, found: NewData, out: Adaptation, i: int, seconds: float
) -> Adapted:
    """One system's result, on the host."""
    eta = np.asarray(out.eta[i], np.float64)
    information = np.asarray(out.information[i], np.float64)
    short = np.nan_to_num(np.asarray(out.short[i], np.float64))
    if family.folded:
        turn = np.where(eta < 0, -1.0, 1.0)
        eta, short = turn * eta, turn * short
        information = turn[:, None] * information * turn
    d = len(eta)
    here = float(out.rss[i] / max(float(out.count[i]) - d, 1.0))
    variance = max(here * found.repeats, float(found.variance[i]))
    prior = family.covariance
    root = np.linalg.cholesky(prior)
    told = np.linalg.eigvalsh(root.T @ np.nan_to_num(information) @ root)[::-1]
    singular = np.sqrt(np.maximum(told, 0.0))
    condition = float(singular[0] / singular[-1]) if singular[-1] > 0 else np.inf
    still = bool(np.nanmax(found.moves[i]) < 1e-6)
    some = bool(
        np.isfinite(eta).all()
        and not still
        and condition <= CONDITION
        and told[0] > LEAST * variance
    )
    identified = some and bool(told[-1] > variance)
    if some:  # what the record says little of stays where the family has it
        covariance = np.linalg.inv(information / variance + np.linalg.inv(prior))
        covariance += np.outer(short, short)  # where gd, say, did not get to the end
    else:
        eta, covariance = family.mean, np.diag(np.full(d, np.inf))
    said = eta_outside(family, eta) if identified else []
    said += states_outside(family, found.low[i], found.high[i])
    misfit = float(np.sqrt(here / found.accounted[i]))
    if identified and out.converged[i] and found.samples[i] >= JUDGED:
        said += law_outside(misfit, float(np.sqrt(here)))
    history = np.atleast_1d(np.asarray(out.history[i], np.float64))
    return Adapted(
        family,
        eta,
        covariance,
        history,
        int(np.broadcast_to(out.iterations, len(found.labels))[i]),
        bool(out.converged[i]),
        identified,
        singular,
        condition,
        tuple(said),
        np.sqrt(variance) * np.asarray(family.about["spread"]),
        found.labels[i],
        seconds,
        misfit=misfit,
    )

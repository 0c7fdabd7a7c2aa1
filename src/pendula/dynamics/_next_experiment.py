"""The next experiment: the start state from which a record tells most of eta."""

from __future__ import annotations

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._errors import ConfigError, DataError, ShapeError
from .._numbers import numbers
from .._precision import cast, precision
from ..nn import bind
from ..train import eliminate_starts, normal_equations
from ._family import Family
from ._family_adapt import Adapted
from ._family_data import CLEAN, noise_of, widths_of
from ._model import Model
from ._times import LONGEST, divided


TRIES = 64  # starts in one round of the search in a box
ROUNDS = 4  # each in a box of half the width, about the best so far
SILENT = 1e-3  # nats below which a record says nothing


@dataclasses.dataclass(frozen=True)
class Experiment:
    """A proposed experiment.

    `start` `"dim"` the start state, named by `names` in `units`; `gain` the
    information on eta that its record is expected to bring [nat]; `covariance` of eta
    `"eta eta"` that is expected after it, and `before` it; `starts`
    `"candidate dim"` and `gains` `"candidate"` of all that were tried, in order;
    `random_gain` the mean gain of a random one; `notes` what to mind.
    """

    start: Float[np.ndarray, "dim"]
    gain: float
    covariance: Float[np.ndarray, "eta eta"]
    before: Float[np.ndarray, "eta eta"]
    starts: Float[np.ndarray, "candidate dim"]
    gains: Float[np.ndarray, "candidate"]
    random_gain: float
    names: tuple[str, ...]
    units: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def ratio(self) -> float:
        r"""Expected standard deviation of eta over that after a random start, the
        geometric mean over its entries: $\exp(-(g - g_{random}) / d)$."""
        return float(np.exp((self.random_gain - self.gain) / len(self.covariance)))

    @property
    def informative(self) -> bool:
        """Whether the record will say anything of eta."""
        return self.gain > SILENT

    @property
    def text(self) -> str:
        """The proposal in a few sentences."""
        where = ", ".join(
            f"{name} = {value:.4g}{f' {unit}' if unit else ''}"
            for name, value, unit in zip(
                self.names, self.start, self.units, strict=True
            )
        )
        if not self.informative:
            first = "No start that was tried would tell anything of eta."
            return "\n".join([first, *self.notes])
        before, after = (np.sqrt(np.diag(c)) for c in (self.before, self.covariance))
        told = ", ".join(
            f"{b:.2g} to {a:.2g}" for b, a in zip(before, after, strict=True)
        )
        lines = [
            f"Start at {where}: the standard deviation of eta should fall from {told}, "
            f"to {100 * self.ratio:.3g} % of that after a random start.",
            *self.notes,
        ]
        return "\n".join(lines)


def next_experiment(
    known: Family | Adapted,
    ts: Any,
    candidates: Any = None,
    *,
    box: Any = None,
    noise: Any = None,
    seed: int = 0,
) -> Experiment:
    r"""Where to start the next record, so that it tells most of eta.

    $$ \max_{y_0} \; \tfrac12 \log\det\!\big(I + \Sigma^{1/2}
       J(y_0)^\top J(y_0)\, \Sigma^{1/2} / \sigma^2\big), \qquad
       J = \partial\, \text{record} / \partial \eta $$

    the information that a record adds to what is known of eta, to first order
    (D-optimal design); $\Sigma$ is the covariance of eta before. Where the noise is so
    large that start states have to be estimated along with eta, they are here too, and
    what they can explain does not count.

    **Arguments:** `known`: an adapted system, or a family, for a system of which
    nothing is known yet: the gain is then the mean over the training systems. `ts`
    `"time"` the times of the record. `candidates` `"candidate dim"`: start states to
    choose from; None: the best in `box` `"dim 2"` (lowest and highest value of each
    entry of the state; None: the range of the training), by random starts and narrower
    boxes about the best. `noise` `"obs"`: standard deviation of the channels, in their
    units; None: the size of residuals that the adaptation, or the training, had.
    **Returns:** `Experiment`.
    **Raises:** `ShapeError`, `ConfigError`, `DataError` where no rollout succeeds.
    **Behaviour:** local: a covariance that is wide beside the curvature of the law
    promises too much. Starts outside the range of the training are allowed, and said.
    **Source:** Chaloner, Verdinelli 1995, Statistical Science 10, 273-304, section 2
    (D-optimality) and 4 (the mean over what is possible).

    ```python
    >>> import numpy as np
    >>> from pendula.data import Trajectories
    >>> from pendula.dynamics import FamilyConfig, ModelConfig, meta_fit
    >>> from pendula.dynamics import next_experiment
    >>> t = np.linspace(0, 3, 31)
    >>> w = [0.8, 1.0, 1.2]
    >>> ys = [np.stack([np.cos(k * t), -k * np.sin(k * t)], 1) for k in w]
    >>> made = {"system": "springs"}
    >>> data = Trajectories.from_arrays([t] * 3, ys, names=("q", "v"), origin=made)
    >>> small = ModelConfig(width=4, depth=1)
    >>> family = meta_fit(data, FamilyConfig(small, steps=2))
    >>> starts = np.array([[0.1, 0.0], [0.9, 0.0]])
    >>> next_experiment(family, t, starts).start  # the larger motion tells more
    array([0.9, 0. ])

    ```
    """
    family = known.family if isinstance(known, Adapted) else known
    ts = numbers("ts", ts)
    if ts.ndim != 1 or len(ts) < 2 or not (np.diff(ts) > 0).all():
        raise ConfigError("ts must be increasing times of a record, at least 2.")
    if family.about["ctrl"]:
        raise ConfigError(
            "the family has inputs: what they will be is not known, so no start can be "
            "proposed."
        )
    work = _Work.of(known, family, ts, noise)
    if candidates is not None:
        if box is not None:
            raise ConfigError("give candidates or a box, not both.")
        starts = np.atleast_2d(numbers("candidates", candidates))
        _check(starts, family, "candidates")
        told = work.information(starts)
        first = len(starts)
    else:
        low, high = _box(family, box)
        starts, told = _search(work, low, high, seed)
        first = TRIES
    gains = work.gains(told)
    if not np.isfinite(gains).any():
        raise DataError(
            "the model runs from none of these start states. Give states that are "
            "nearer to those of the training, or a shorter record."
        )
    best = int(np.argmax(gains))
    # a start from which nothing runs tells nothing
    random = float(np.mean(np.maximum(gains[:first], 0.0)))
    return Experiment(
        starts[best],
        float(gains[best]),
        work.after(told[best]),
        work.covariance,
        starts,
        gains,
        random,
        tuple(family.plan.state_names),
        _units(family),
        _outside(family, starts[best]),
    )


@dataclasses.dataclass(frozen=True)
class _Work:
    """What one search needs: etas `"member eta"` to average over, what is known, the
    record, the noise."""

    family: Family
    etas: np.ndarray
    covariance: np.ndarray
    ts: np.ndarray
    measured: np.ndarray
    variance: float
    free: bool

    @classmethod
    def of(
        cls, known: Family | Adapted, family: Family, ts: np.ndarray, noise: Any
    ) -> _Work:
        spread = np.asarray(family.about["spread"])
        etas, covariance = family.etas, family.covariance
        variance = float(family.about["variance"])
        sd = np.sqrt(variance) * spread
        told = np.asarray(family.about["noise"])
        if isinstance(known, Adapted):
            sd = np.asarray(known.rmse)
            if known.identified:
                etas, covariance = known.eta[None], known.covariance
        if noise is not None:
            sd = told = noise_of(noise, family.about["names"])
        variance = max(float(np.mean((sd / spread) ** 2)), variance)
        free = bool(np.any(told > CLEAN * spread))
        grid, measured = _grid(ts, family, free)
        return cls(family, etas, covariance, grid, measured, variance, free)

    def information(self, starts: np.ndarray) -> np.ndarray:
        """J'J over the variance, `"start member eta eta"`."""
        family, out = self.family, []
        put = lambda x: jnp.asarray(x, family.dtype)
        with precision(family.dtype):
            fixed = (
                jax.tree.map(jnp.asarray, cast(family.model, family.dtype)),
                put(self.etas),
            )
            grid = (put(self.ts[0]), put(np.diff(self.ts)), jnp.asarray(self.measured))
            weight = put(1.0 / np.asarray(family.about["spread"]))
            widths = put(widths_of(family.about["low"], family.about["high"]))
            for k in range(0, len(starts), TRIES):
                # always as many: one program serves any number of candidates
                some = starts[np.minimum(k + np.arange(TRIES), len(starts) - 1)]
                some = put(some)
                told = _information(*fixed, some, *grid, weight, widths, self.free)
                out.append(np.asarray(told, np.float64))
        return np.concatenate(out)[: len(starts)] / self.variance

    def gains(self, information: np.ndarray) -> np.ndarray:
        """Expected gain of each start [nat]; -inf where a rollout fails."""
        root = np.linalg.cholesky(self.covariance)
        told = root.T @ information @ root
        bad = np.logical_not(np.isfinite(told).all((1, 2, 3)))
        eigen = np.linalg.eigvalsh(np.where(np.isfinite(told), told, 0.0))
        gain = 0.5 * np.log1p(np.maximum(eigen, 0.0)).sum(-1).mean(-1)
        return np.where(bad, -np.inf, gain)

    def after(self, information: np.ndarray) -> np.ndarray:
        """Covariance expected after a record with `"member eta eta"`."""
        known = np.linalg.inv(self.covariance)
        return np.linalg.inv(information.mean(axis=0) + known)


def _grid(ts: np.ndarray, family: Family, free: bool) -> tuple[np.ndarray, np.ndarray]:
    """Times of the rollout and which of them are measured, as an adaptation takes
    them: states without noise are thinned to the steps of the training, long steps are
    divided."""
    step = family.about["every"] * family.about["sampling"]
    dense = int(step / np.median(np.diff(ts)) + 1e-6)
    if not free and dense > 1 and len(ts) > dense:
        ts = ts[::dense]
    grid, where = divided(ts, LONGEST * step)
    measured = np.zeros(len(grid), bool)
    measured[where] = True
    return grid, measured


def _search(
    work: _Work, low: np.ndarray, high: np.ndarray, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Starts and what they tell, of all rounds; the first are random in the box."""
    rng = np.random.default_rng(seed)
    centre, half = 0.5 * (low + high), 0.5 * (high - low)
    starts, told = np.zeros((0, len(low))), []
    for _ in range(ROUNDS):
        bottom = np.maximum(centre - half, low)
        top = np.minimum(centre + half, high)
        new = rng.uniform(bottom, top, (TRIES, len(low)))
        starts = np.concatenate([starts, new])
        told.append(work.information(new))
        gains = work.gains(np.concatenate(told))
        centre, half = starts[int(np.argmax(gains))], 0.5 * half
    return starts, np.concatenate(told)


def _box(family: Family, box: Any) -> tuple[np.ndarray, np.ndarray]:
    if box is None:
        return np.asarray(family.about["low"]), np.asarray(family.about["high"])
    box = numbers("box", box)
    if box.ndim != 2 or box.shape[-1] != 2:
        raise ShapeError(f"box has shape {box.shape}; expected (dim, 2).")
    _check(box.T, family, "box")
    if not (box[:, 0] <= box[:, 1]).all():
        raise ConfigError("box must give the lowest value of each entry first.")
    return box[:, 0], box[:, 1]


def _check(states: np.ndarray, family: Family, name: str) -> None:
    names = family.plan.state_names
    if states.shape[-1] != len(names) or states.ndim != 2 or not len(states):
        raise ShapeError(
            f"{name}: {states.shape[-1]} entries; the state has {len(names)}: "
            f"{', '.join(names)}."
        )
    if not np.isfinite(states).all():
        raise DataError(f"{name}: a value is not finite.")


def _units(family: Family) -> tuple[str, ...]:
    """Of the entries of the state, where they are channels."""
    units = [""] * len(family.plan.state_names)
    for channel, entry in enumerate(family.plan.observed):
        units[entry] = str(family.about["units"][channel])
    return tuple(units)


def _outside(family: Family, start: np.ndarray) -> tuple[str, ...]:
    low, high = np.asarray(family.about["low"]), np.asarray(family.about["high"])
    return tuple(
        f"{name} = {value:.4g} lies outside [{bottom:.4g}, {top:.4g}], the range of "
        "the training: the law is guessed there."
        for name, value, bottom, top in zip(
            family.plan.state_names, start, low, high, strict=True
        )
        if not bottom <= value <= top
    )


@eqx.filter_jit
def _information(
    model: Model,
    etas: Array,
    starts: Array,
    t0: Array,
    dts: Array,
    measured: Array,
    weight: Array,
    widths: Array,
    free: bool,
) -> Float[Array, "start member eta eta"]:
    """J'J of a record from each start for each eta, start states eliminated."""
    dim = starts.shape[-1] if free else 0
    scale = jnp.where(measured[:, None], weight[None], 0.0)
    hold = 1e-8 * jnp.eye(dim, dtype=dts.dtype)  # as an adaptation does

    def one(start: Array, eta: Array) -> Array:
        def record(eta: Array, local: Array, y0: Array) -> Array:
            begin = y0 + widths * local if free else y0
            return jnp.ravel(bind(model, eta).predict(begin, t0, dts) * scale)

        local = jnp.zeros((1, dim), start.dtype)
        normal = normal_equations(record, eta, local, start[None])
        return eliminate_starts(normal, hold)[0]

    return jax.vmap(lambda y: jax.vmap(lambda e: one(y, e))(etas))(starts)

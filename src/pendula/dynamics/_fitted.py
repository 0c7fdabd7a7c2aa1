"""What a fit returns: an ensemble that forecasts, and all that is known of it."""

from __future__ import annotations

import dataclasses
import math
import warnings
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from .._checks import whole
from .._errors import (
    CheckpointError,
    ConfigError,
    DataError,
    DataWarning,
    ShapeError,
    Status,
)
from .._precision import cast, precision, to_host
from .._registry import register
from .._tree import member
from .._units import with_unit
from ..data import Batch, Trajectories, input_path
from ..diagnostics import Conformal
from ..solve import Rollout
from ..train import load_tree, save_tree
from ._forecast import Forecast, ensemble_forecast
from ._layout import Layout, match_channels, match_inputs, match_units
from ._model import Model
from ._prepare import estimate_states
from ._run_size import check_run
from ._times import LONGEST, divided, inputs_at, near, resampled


ASTRAY = 3.0  # times the errors of validation, over the history of a forecast
LEAST = 0.05  # of the spread: smaller errors are none that mislead
SHORTER = (0.5, 0.25)  # of the history, where a start is not found on all of it
FAR = 10  # times the longest horizon of validation, from which on a forecast is warned


@register("module")
class Saved(eqx.Module):
    """What a model file holds: the stacked ensemble and the members' posterior
    covariances (or None)."""

    ensemble: Model
    covariance: Any


@dataclasses.dataclass(frozen=True)
class _Begun:
    """A run from one beginning: its times, which of them are reported, the data there,
    what the members say, mean and bands of it; `astray`: how far it is off in its own
    history, in errors of the validation."""

    grid: np.ndarray
    keep: np.ndarray
    piece: Trajectories
    out: Any
    bands: Any
    astray: float


@dataclasses.dataclass(frozen=True)
class Fitted:
    """A fitted model of motion: what is printed, simulated and saved is this.

    `ensemble` is a `Model` whose arrays carry a leading member axis, `about` a
    JSON-able record (names, units, layout, configuration, history length, scores),
    `intervals` the calibrated 90 % intervals; `report` and `arrays` are the full
    result for the page (only on the object that `fit` returns).
    """

    ensemble: Model
    about: dict[str, Any]
    covariance: np.ndarray | None = None
    intervals: Conformal | None = None
    report: dict[str, Any] | None = None
    arrays: dict[str, np.ndarray] | None = None

    @property
    def members(self) -> int:
        """Size of the ensemble."""
        return int(self.about["members"])

    @property
    def dtype(self) -> np.dtype:
        """Precision of the model."""
        return np.dtype(self.about["dtype"])

    @property
    def plan(self) -> Layout:
        """The state behind the channels."""
        return Layout.of(self.about)

    def model(self, index: int | None = None) -> Model:
        """One member of the ensemble, by default the middle one; its `.field` can stand
        wherever a known system can, as in `pendula.diagnostics.equilibria`.

        **Raises:** `ShapeError` for a member that is not there.
        """
        index = self.members // 2 if index is None else index
        if not 0 <= index < self.members:
            raise ShapeError(
                f"there is no member {index}; the ensemble has {self.members}, counted "
                "from 0."
            )
        return member(self.ensemble, index)

    def predict(self, y: Any, u: Any = None, t: float = 0.0) -> np.ndarray:
        """The right-hand side dy/dt `"dim"` at a state `"dim"` and input `"ctrl"`,
        mean of the members.

        **Raises:** `ShapeError` for a state or input that does not fit, `DataError`
        for an input too few or too many.
        """
        y = self._state(y)
        self._check_inputs(u is not None)
        if u is not None and np.shape(u) != (len(self.about["input_names"]),):
            raise ShapeError(
                f"an input has shape {np.shape(u)}; expected "
                f"({len(self.about['input_names'])},): "
                f"{', '.join(self.about['input_names'])}."
            )
        with precision(self.dtype):
            y = jnp.asarray(y)
            u = None if u is None else jnp.asarray(np.asarray(u, self.dtype))
            now = jnp.asarray(t, y.dtype)
            rates = eqx.filter_vmap(
                lambda m: m.field(now, y, u, None), in_axes=(eqx.if_array(0),)
            )(cast(self.ensemble, self.dtype))
            return np.asarray(rates.mean(0))

    def simulate(self, y0: Any, ts: Any, us: Any = None, *, refine: int = 1) -> Rollout:
        """Roll every member out from one state `"dim"`; arrays gain `"member"`.

        `ts` `"time"` must increase; where they are further apart than those of the
        training, the run takes steps as long as there in between. `us` are inputs at
        `ts`, `"time ctrl"`, run as in training; `refine` multiplies the steps.
        **Raises:** `ShapeError` for a state, times or inputs that do not fit,
        `DataError` for inputs too few or too many, `ConfigError` for a run of more
        steps than are worth their time.
        """
        whole(1, refine=refine)
        y0 = self._state(y0)
        ts = np.asarray(ts, np.float64)
        good = ts.ndim == 1 and len(ts) > 1 and bool(np.isfinite(ts).all())
        if not good or not (np.diff(ts) > 0).all():
            raise ShapeError(
                f"times of shape {ts.shape}; expected at least two finite ones that "
                "increase."
            )
        self._check_inputs(us is not None)
        if us is not None:
            us = np.asarray(us, np.float64)
            us = us[:, None] if us.ndim == 1 else us
            expected = (len(ts), len(self.about["input_names"]))
            if us.shape != expected:
                raise ShapeError(f"inputs have shape {us.shape}; expected {expected}.")
        longest, kind = LONGEST * float(self.about["step"]), self.about["input_kind"]
        self._check_cost(ts, ts[-1], refine, "a simulation")
        grid, where = divided(ts, longest)
        path = None
        if us is not None:
            us = us if len(grid) == len(ts) else inputs_at(ts, us, kind, grid)
            path = input_path(grid, us, kind).astype(self.dtype)
        with precision(self.dtype):
            dts = jnp.asarray(np.diff(grid), self.dtype)
            t0 = jnp.asarray(ts[0], self.dtype)
            path = None if path is None else jnp.asarray(path)
            out = to_host(
                _simulate(
                    cast(self.ensemble, self.dtype),
                    jnp.asarray(y0),
                    t0,
                    dts,
                    path,
                    refine,
                )
            )
        return eqx.tree_at(lambda run: run.ys, out, out.ys[:, where])

    def _state(self, y: Any) -> np.ndarray:
        y = np.asarray(y, self.dtype)
        if y.shape != (self.ensemble.dim,):
            raise ShapeError(
                f"a state has shape {y.shape}; expected ({self.ensemble.dim},): "
                f"{', '.join(self.about['state'])}."
            )
        return y

    def _check_inputs(self, given: bool) -> None:
        if given != bool(self.about["input_names"]):
            raise DataError(
                "the model was fitted with inputs "
                f"{self.about['input_names'] or '(none)'}; "
                f"{'inputs were' if given else 'none were'} given. Give the same ones."
            )

    def forecast(
        self,
        data: Trajectories,
        *,
        start: float | None = None,
        until: float | None = None,
        trajectory: int = 0,
        refine: int = 1,
    ) -> Forecast:
        """Forecast a measured trajectory from its beginning.

        **Arguments:** `start`: time of the last sample that is looked at (default:
        as long a beginning as one history); the state is fitted on the samples
        within one history before it. `until`: end of the forecast (default: the
        end of the data; beyond it only without inputs).
        **Returns:** `Forecast` with the 90 % band and, where measured, the truth.
        **Raises:** `DataError` when the channels differ or the beginning is too
        short; `ConfigError` for a run of more steps than are worth their time. Warns
        of an end far beyond what was validated.
        """
        whole(1, refine=refine)
        data = self.match(data).select([trajectory])
        n = int(data.lengths[0])
        ts = data.ts[0, :n]
        history = float(self.about["history"])
        start = float(min(ts[0] + history, ts[-1]) if start is None else start)
        end = ts[-1] if until is None else float(until)
        if not (ts[0] < start <= ts[-1] and end > start):
            raise DataError(
                f"a forecast from {start:g} to {end:g} cannot be made: the data run "
                f"from {ts[0]:g} to {ts[-1]:g}, and a history is {history:g} long. "
                "Choose --start inside the data and --until after it."
            )
        close = near(ts, float(self.about["step"]))
        first = int(np.searchsorted(ts, max(start - history, ts[0]) - close))
        last = int(np.searchsorted(ts, start + close))
        if last - first < 4 or data.mask[0, first:last].any(1).sum() < 4:
            raise DataError(
                f"only {max(last - first, 0)} samples lie in the history "
                f"[{start - history:g}, {start:g}]; at least 4 are needed. Choose "
                f"--start between {ts[0] + history:g} and {ts[-1]:g}."
            )
        self._check_cost(ts[first:], end, refine)
        self._check_horizon(float(end - start), beyond=bool(end > ts[-1]))
        run = lambda first: self._begun(data, first, start, close, until, refine)
        best = run(first)
        if best.astray > ASTRAY:  # the fit of a start has many minima, a short one few
            for share in SHORTER:
                later = last - max(4, int(share * (last - first)))
                if later > first and data.mask[0, later:last].any(1).sum() >= 4:
                    best = min(best, run(later), key=lambda one: one.astray)
        if best.astray > ASTRAY:
            warnings.warn(
                f"over the beginning that the forecast from {start:g} starts with, the "
                f"model errs by {best.astray:.2g} times what it did in validation: it "
                "does not follow this record, or did not find its start. Trust neither "
                "forecast nor band; give another start, or fit this record.",
                DataWarning,
                stacklevel=2,
            )
        grid, keep, piece, out = best.grid, best.keep, best.piece, best.out
        mean, low, high, sd = best.bands
        truth = np.where(piece.mask[0], piece.ys[0], np.nan)
        use = keep & (grid > start + close)
        return Forecast(
            grid[use],
            mean[0, use],
            low[0, use],
            high[0, use],
            sd[0, use],
            out.obs[:, 0, use],
            out.status[:, 0],
            out.t_fail[:, 0],
            out.outside[:, 0, use].mean(0),
            start + (self.intervals.trusted_to if self.intervals else 0.0),
            start,
            tuple(self.about["names"]),
            tuple(self.about["units"]),
            truth[use],
        )

    def _begun(
        self,
        data: Trajectories,
        first: int,
        start: float,
        close: float,
        until: float | None,
        refine: int,
    ) -> _Begun:
        """The forecast of one trajectory whose start is fitted on its samples from
        `first` to `start`, with times as `close` as one."""
        grid, keep = self._grid(data.ts[0, first : int(data.lengths[0])], until)
        piece = resampled(data, first, grid)
        out = self._run(piece.between(grid[0], start + close), piece, refine)
        bands = self.combine(out, grid - start)
        past = grid <= start + close
        off = np.abs(np.where(np.isnan(bands[0]), np.inf, bands[0]) - piece.ys)[0, past]
        astray = self._astray(off, piece.mask[0, past])
        return _Begun(grid, keep, piece, out, bands, astray)

    def _astray(self, off: np.ndarray, seen: np.ndarray) -> float:
        """How large errors `"time obs"` are beside those of the validation, in the
        worst channel; medians, which a wild sample does not move."""
        if self.intervals is None:
            return 0.0
        least = LEAST * np.asarray(self.about["spread"])
        usual = np.maximum(self.intervals.sd[0], least)
        middle = [
            np.median(e[s]) if s.any() else 0.0
            for e, s in zip(off.T, seen.T, strict=True)
        ]
        return float(np.max(1.4826 * np.array(middle) / usual))

    def _check_cost(
        self, ts: np.ndarray, end: float, refine: int, what: str = "a forecast"
    ) -> None:
        """**Raises:** `ConfigError` for a run from `ts[0]` to `end` that takes too
        long, or too much memory, and is mostly over times without samples."""
        step, obs = float(self.about["step"]), len(self.about["names"])
        within = np.diff(ts[ts <= end]) / step
        measured = len(within) / int(self.about["every"])
        more = np.maximum(0.0, within - 1.0).sum() + max(0.0, end - ts[-1]) / step
        if more <= measured:
            return
        # derivatives of the observations by parameters and start state, twice
        free = 0 if self.covariance is None else np.shape(self.covariance)[-1]
        check_run(
            f"{what} until {with_unit(f'{end:g}', self.about['time_unit'])}",
            float(measured + more),
            every=step,
            unit=self.about["time_unit"],
            steps=self.members * self.ensemble.substeps * refine,
            numbers=self.dtype.itemsize / 2 * obs * (free + self.ensemble.dim),
        )

    def _check_horizon(self, horizon: float, beyond: bool) -> None:
        """Warn of a forecast whose end nothing has been compared with."""
        known = self.intervals.trusted_to if self.intervals else math.inf
        if beyond and horizon > FAR * known:
            unit = self.about["time_unit"]
            far, near = (with_unit(f"{t:g}", unit) for t in (horizon, known))
            warnings.warn(
                f"a forecast of {far}: forecasts of this model were compared "
                f"with data over {near} only. Nothing measured says how good "
                "the rest of it is; fit longer records, or end it earlier.",
                DataWarning,
                stacklevel=3,
            )

    def _grid(self, ts: np.ndarray, until: float | None) -> Any:
        """Times of the rollout: the measured ones, thinned as in training, gaps
        filled, and on to `until`; `keep` marks what is reported."""
        every, step = int(self.about["every"]), float(self.about["step"])
        grid, close = ts[::every], near(ts, step)
        if grid[-1] < ts[-1]:
            grid = np.append(grid, ts[-1])
        if until is not None:
            if until > ts[-1] + close and self.about["input_names"]:
                raise DataError(
                    f"the data end at {ts[-1]:g} and the model has inputs: a forecast "
                    f"until {until:g} needs them. Append rows with the inputs and "
                    "empty channels."
                )
            grid = grid[grid <= until + close]
            if until > grid[-1] + close:
                more = np.arange(1, int(np.ceil((until - grid[-1]) / step - 1e-6)) + 1)
                grid = np.append(grid, np.minimum(grid[-1] + more * step, until))
        grid, where = divided(grid, LONGEST * step)
        keep = np.zeros(len(grid), bool)
        keep[where] = True
        return grid, keep

    def match(self, data: Trajectories) -> Trajectories:
        """The channels and inputs of the model, in its order, in its units.

        **Raises:** `DataError` naming what is missing or in another unit.
        """
        data = match_channels(data, self.about["names"], "the model needs channel")
        self._check_inputs(data.us is not None)
        data = match_inputs(data, self.about["input_names"])
        about = self.about
        match_units(data, about["units"], about["time_unit"], about.get("input_units"))
        return data

    def _run(self, history: Trajectories, future: Trajectories, refine: int) -> Any:
        """Members x trajectories: forecast from the beginnings `history`."""
        states = estimate_states(history, self.plan)
        guess = states.ys[:, 0].astype(self.dtype)
        return self.run_batches(
            guess, history.full(self.dtype), future.full(self.dtype), refine
        )

    def run_batches(
        self,
        guess: Float[np.ndarray, "*member start dim"],
        histories: Batch | None,
        futures: Batch,
        refine: int = 1,
        with_variance: bool = True,
    ) -> Any:
        """`ensemble_forecast` on host arrays in the model's precision: a `Spread` of
        NumPy arrays; `guess` is the same for all members, or one each."""
        weight = 1.0 / np.asarray(self.about["spread"], self.dtype)
        guess = np.broadcast_to(guess, (self.members, *np.shape(guess)[-2:]))

        def put(tree: Any) -> Any:
            return jax.tree.map(jnp.asarray, cast(tree, self.dtype))

        with precision(self.dtype):
            return to_host(
                ensemble_forecast(
                    put(self.ensemble),
                    put(self.covariance),
                    put(guess),
                    put(histories),
                    put(futures),
                    put(weight),
                    refine,
                    with_variance,
                )
            )

    def combine(self, out: Any, horizon: np.ndarray) -> Any:
        """Mean, band and standard deviation `"start time obs"` of the members; the band
        is NaN where nothing was calibrated, and no covariance of the parameters is
        known."""
        alive = (out.status < Status.diverged)[:, :, None, None]
        weight = alive / np.maximum(alive.sum(0, keepdims=True), 1)
        obs = np.where(alive, out.obs, 0.0)
        mean = (weight * obs).sum(0)
        mean = np.where(alive.any(0), mean, np.nan)
        with np.errstate(invalid="ignore", over="ignore"):
            between = (weight * np.where(alive, (out.obs - mean) ** 2, 0.0)).sum(0)
            within = (weight * np.where(alive, out.var, 0.0)).sum(0)
        var = between + within
        if self.intervals is None:
            # members alone, or one of them, say nothing of how far off they all are
            half = 1.6449 * np.sqrt(np.nan if self.covariance is None else var)
            return mean, mean - half, mean + half, np.sqrt(var)
        lag = np.maximum(horizon, 0.0)
        bands = [self.intervals.band(lag, m, v) for m, v in zip(mean, var, strict=True)]
        low, high = (np.stack(side) for side in zip(*bands, strict=True))
        return mean, low, high, np.sqrt(var)

    def score(
        self, data: Trajectories, *, start: float | None = None
    ) -> dict[str, Any]:
        """Free-run errors on every trajectory of `data`: RMSE (of all channels, and
        of each: `channels`), coverage, statuses.

        **Raises:** `DataError` as `forecast` does.
        """
        rows = []
        for i in range(data.num):
            f = self.forecast(data, start=start, trajectory=i)
            rows.append(
                {
                    "trajectory": data.labels[i],
                    "start": f.start,
                    "until": float(f.ts[-1]),
                    "rmse": f.rmse(),
                    "channels": f.rmses(),
                    "coverage": f.coverage(),
                    "status": Status(int(f.status.max())).name,
                }
            )
        each = {n: _over([r["channels"][n] for r in rows]) for n in self.about["names"]}
        total = _over([r["rmse"] for r in rows])
        return {"rmse": total, "channels": each, "trajectories": rows}

    def summary(self) -> str:
        """A few lines: the model, its constants, its verdict."""
        a = self.about
        lines = [f"{' + '.join(a['terms'])}", f"state: {', '.join(a['state'])}"]
        lines += [
            f"{c['name']} = {c['value']:.6g} "
            f"[{c['low']:.6g}, {c['high']:.6g}] {c['unit']}"
            + (f" (the interval {c['note']})" if c["note"] else "")
            for c in a.get("constants", [])
        ]
        if a.get("verdict"):
            lines.append(a["verdict"]["text"])
        return "\n".join(lines)

    def save(self, path: str | Path) -> Path:
        """Write one `.safetensors` file: arrays, skeleton and record; no pickle.

        **Raises:** `ConfigError` where both the fit and its record hold `intervals`.
        """
        path = Path(path)
        about = dict(self.about)
        about.setdefault("intervals", None)
        if self.intervals is not None:
            if about["intervals"] is not None:
                raise ConfigError(
                    "the record of this fit holds other intervals than its own, under "
                    "the same name. Rename that entry of about."
                )
            about["intervals"] = self.intervals.to_dict()
        save_tree(path, Saved(self.ensemble, self.covariance), about)
        return path


def _over(errors: list[float]) -> float:
    """Root mean square over the trajectories in which something was measured."""
    measured = [e**2 for e in errors if not np.isnan(e)]
    return float(np.sqrt(np.mean(measured))) if measured else float("nan")


@eqx.filter_jit
def _simulate(ensemble: Any, y0: Any, t0: Any, dts: Any, us: Any, refine: Any) -> Any:
    return eqx.filter_vmap(
        lambda m: m.steps(y0, t0, dts, us, None, refine=refine),
        in_axes=(eqx.if_array(0),),
    )(ensemble)


def load(path: str | Path) -> Fitted:
    """Load a fitted model from its file or run folder.

    **Raises:** `CheckpointError` for a missing, damaged, foreign or newer file.
    """
    path = Path(path)
    if path.is_dir():
        family = path / "family.safetensors"
        path = path / "model.safetensors"
        path = family if family.is_file() and not path.is_file() else path
    saved, about = load_tree(path)
    if about.get("kind") == "family":
        raise CheckpointError(
            f"{path} holds a family, which is of no system alone. Read it with "
            "load_family, and adapt it to a system first (pendula adapt)."
        )
    if not isinstance(saved, Saved) or "layout" not in about:
        raise CheckpointError(f"{path} does not hold a fitted model of motion.")
    return Fitted(saved.ensemble, about, saved.covariance, _calibrated(about))


def _calibrated(about: dict[str, Any]) -> Conformal | None:
    """The calibrated intervals, taken out of a stored record; what others wrote there
    under that name stays."""
    told = about.get("intervals")
    try:
        found = None if told is None else Conformal.from_dict(told)
    except (ConfigError, TypeError):
        return None
    about.pop("intervals", None)
    return found

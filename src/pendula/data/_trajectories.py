"""The one container of measured or simulated motion."""

from __future__ import annotations

import dataclasses
import datetime
import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, Int

from .._checks import at_least, positive
from .._errors import ConfigError, DataError, ShapeError, nearest
from ._inputs import check_input_kind, input_path


if TYPE_CHECKING:  # Batch is a pytree: importing it imports JAX, readers need none
    from ._batch import Batch


def _seconds(ts: Any, unit: str) -> np.ndarray:
    """Times as numbers: dates (of Python, NumPy or pandas) as seconds since the first
    of them, spans as seconds."""
    ts = np.asarray(ts)
    if ts.size and isinstance(ts.flat[0], datetime.date):  # or a date with a time
        ts = np.array([t - ts.flat[0] for t in ts.flat], "timedelta64[us]")
    if ts.dtype.kind == "M":
        ts = ts - ts[:1]
    if ts.dtype.kind != "m":
        return np.asarray(ts, np.float64)
    if unit != "s":
        raise ConfigError(
            f'time_unit is "{unit}", and the times are dates, which are taken in '
            "seconds. Leave it out."
        )
    return ts / np.timedelta64(1, "s")


@dataclasses.dataclass(frozen=True, eq=False)
class Trajectories:
    """Times, observations and what belongs to them, on the host (NumPy).

    Padded and masked: trajectories may differ in length and grid. Padding repeats
    the last time, has observation 0 and mask False; a missing sample has mask
    False. It never enters a compiled function: `clips` and `full` make a `Batch`.

    **Shapes and units:** `ts` `"traj time"` float64 [s unless `time_unit` says
    otherwise], `ys` `"traj time dim"` float64 observations in `units`, `mask` bool
    like `ys`, `us` `"traj time ctrl"` inputs or None, `env` `"traj"` index of the
    system or None, `params` `"traj param"` known system parameters or None,
    `angle` `"dim"` which channels are angles [rad].
    **Raises:** `ShapeError` for arrays that do not fit, `DataError` for times that
    do not increase or values that are infinite.

    ```python
    >>> import numpy as np
    >>> from pendula.data import Trajectories
    >>> t = np.linspace(0, 1, 5)
    >>> d = Trajectories.from_arrays(t, np.cos(t)[:, None], names=("q",))
    >>> d.num, d.dim, int(d.lengths[0])
    (1, 1, 5)

    ```
    """

    ts: np.ndarray
    ys: np.ndarray
    mask: np.ndarray
    us: np.ndarray | None = None
    env: np.ndarray | None = None
    params: np.ndarray | None = None
    names: tuple[str, ...] = ()
    units: tuple[str, ...] = ()
    angle: tuple[bool, ...] = ()
    input_names: tuple[str, ...] = ()
    input_units: tuple[str, ...] = ()
    input_kind: str = "spline"
    param_names: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    time_unit: str = "s"
    licence: str | None = None
    origin: dict[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        put = lambda name, value: object.__setattr__(self, name, value)
        ts, ys = np.asarray(self.ts, np.float64), np.asarray(self.ys, np.float64)
        if ts.ndim != 2 or ys.ndim != 3 or ys.shape[:2] != ts.shape:
            raise ShapeError(
                f"ts {ts.shape} and ys {ys.shape} do not fit; expected (traj, time) "
                "and (traj, time, dim). Trajectories.from_arrays takes lists."
            )
        mask = np.asarray(self.mask, bool)
        if mask.shape != ys.shape:
            raise ShapeError(f"mask {mask.shape} must have the shape of ys {ys.shape}.")
        num, length, dim = ys.shape
        if num == 0 or dim == 0:
            raise DataError(f"no data: ys has shape {ys.shape}.")
        if length < 2:
            raise DataError("a trajectory needs at least two samples; found one.")
        mask = mask & ~np.isnan(ys)
        bad = np.argwhere(mask & ~np.isfinite(ys))
        if len(bad):
            i, k, j = bad[0]
            raise DataError(
                f"trajectory {i}, sample {k}, channel {j}: the value is infinite. "
                "Leave the cell empty (missing) or repair it."
            )
        check_times(ts, mask)
        put("ts", ts)
        put("ys", np.where(mask, ys, 0.0))
        put("mask", mask)
        if self.us is not None:
            us = np.asarray(self.us, np.float64)
            if us.ndim != 3 or us.shape[:2] != ts.shape:
                raise ShapeError(f"us {us.shape} must be {ts.shape} + (ctrl,).")
            bad = np.argwhere(~np.isfinite(us))
            if len(bad):
                i, k, j = bad[0]
                raise DataError(
                    f"trajectory {i}, sample {k}, input {j}: the value is missing or "
                    "infinite. An input must be known at every sample: fill the gap, "
                    "or leave the input out."
                )
            put("us", us)
        for name in ("env", "params"):
            value = getattr(self, name)
            if value is not None:
                value = np.asarray(value)
                if value.shape[:1] != (num,):
                    raise ShapeError(f"{name} {value.shape} needs {num} rows.")
                put(name, value)
        check_input_kind(self.input_kind)
        self._default("names", tuple(f"y{j}" for j in range(dim)), dim)
        self._default("units", ("",) * dim, dim)
        self._default("angle", (False,) * dim, dim)
        ctrl = 0 if self.us is None else self.us.shape[2]
        self._default("input_names", tuple(f"u_{j}" for j in range(ctrl)), ctrl)
        self._default("input_units", ("",) * ctrl, ctrl)
        self._default("labels", tuple(str(i) for i in range(num)), num)

    def _default(self, name: str, value: tuple, count: int) -> None:
        given = tuple(getattr(self, name))
        if given and len(given) != count:
            raise ShapeError(f"{name} has {len(given)} entries; expected {count}.")
        object.__setattr__(self, name, given or value)

    @classmethod
    def from_arrays(
        cls, ts: Any, ys: Any, us: Any = None, **about: Any
    ) -> Trajectories:
        """From one trajectory (`ts` `"time"`, `ys` `"time dim"`) or lists of such,
        of any lengths; NaN in `ys` means missing. Dates become seconds since the first
        of each trajectory, as in files. Further keywords are fields.
        **Raises:** `ShapeError`, `DataError` (too few samples, repeated times, complex
        values), `ConfigError` for another unit of time than that of dates."""
        if not len(ts):
            raise DataError("no data: ts is empty. At least two samples are needed.")
        if np.ndim(ts[0]) == 0:
            ts, ys, us = [ts], [ys], None if us is None else [us]
        if not len(ts) == len(ys) == (len(ts) if us is None else len(us)):
            raise ShapeError("ts, ys and us need the same number of trajectories.")
        ts = [_seconds(t, about.get("time_unit", "s")) for t in ts]
        if any(np.iscomplexobj(y) for y in ys):
            raise DataError(
                "ys are complex. Give real and imaginary parts as two channels."
            )
        ys = [np.asarray(y, np.float64) for y in ys]
        ys = [y[:, None] if y.ndim == 1 else y for y in ys]
        for i, (t, y) in enumerate(zip(ts, ys, strict=True)):
            if t.ndim != 1 or y.ndim != 2 or len(t) != len(y):
                raise ShapeError(
                    f"trajectory {i}: ts {t.shape} and ys {y.shape} do not fit; "
                    "expected (time,) and (time, dim)."
                )
            if len(t) < 2:
                raise DataError(
                    f"trajectory {i} has {len(t)} sample(s); at least two are needed."
                )
            repeated = np.flatnonzero(np.diff(t) == 0)
            if len(repeated):
                raise DataError(
                    f"trajectory {i}, sample {repeated[0] + 1}: time "
                    f"{t[repeated[0]]:g} stands twice. Remove the duplicate, or give "
                    "a trajectory column."
                )
        if us is not None:
            us = [np.asarray(u, np.float64) for u in us]
            us = [u[:, None] if u.ndim == 1 else u for u in us]
            for i, (t, u) in enumerate(zip(ts, us, strict=True)):
                if u.ndim != 2 or len(u) != len(t):
                    raise ShapeError(
                        f"trajectory {i}: ts {t.shape} and us {u.shape} do not fit; "
                        "expected (time,) and (time, ctrl)."
                    )
        for kind, parts in (("ys", ys), ("us", us or [])):
            widths = sorted({a.shape[1] for a in parts})
            if len(widths) > 1:
                raise ShapeError(
                    f"{kind} have {widths} columns; every trajectory needs the same."
                )
        length = max(map(len, ts))

        def pad(arrays: list[np.ndarray], repeat: bool) -> np.ndarray:
            out = []
            for a in arrays:
                width = [(0, length - len(a))] + [(0, 0)] * (a.ndim - 1)
                out.append(np.pad(a, width, mode="edge" if repeat else "constant"))
            return np.stack(out)

        mask = pad([~np.isnan(y) for y in ys], repeat=False)
        us = None if us is None else pad(us, repeat=True)
        return cls(pad(ts, repeat=True), pad(ys, repeat=False), mask, us, **about)

    @property
    def num(self) -> int:
        """Number of trajectories."""
        return self.ts.shape[0]

    @property
    def dim(self) -> int:
        """Number of observed channels."""
        return self.ys.shape[2]

    @property
    def ctrl(self) -> int:
        """Number of inputs."""
        return 0 if self.us is None else self.us.shape[2]

    @property
    def lengths(self) -> Int[np.ndarray, " traj"]:
        """Number of samples of each trajectory, without padding."""
        return 1 + (np.diff(self.ts, axis=1) > 0).sum(axis=1)

    def replace(self, note: str | None = None, **changes: Any) -> Trajectories:
        """A copy with changed fields; `note` is appended to the origin's history."""
        if note is not None:
            history = [*self.origin.get("history", []), note]
            origin = {**self.origin, **changes.get("origin", {})}
            changes["origin"] = {**origin, "history": history}
        return dataclasses.replace(self, **changes)

    def select(self, rows: Any, note: str | None = None) -> Trajectories:
        """Only some trajectories (indices or a boolean mask), trimmed."""
        try:
            rows = np.atleast_1d(np.arange(self.num)[rows])
        except IndexError:
            raise ConfigError(
                f"trajectories {rows} are not all in the data; it holds 0 to "
                f"{self.num - 1}."
            ) from None
        if not len(rows):
            raise ConfigError("the selection holds no trajectory.")
        length = int(self.lengths[rows].max())
        pick = lambda a: None if a is None else a[rows]
        cut = lambda a: None if a is None else a[rows, :length]
        return self.replace(
            note or f"trajectories {rows.tolist()}",
            ts=cut(self.ts),
            ys=cut(self.ys),
            mask=cut(self.mask),
            us=cut(self.us),
            env=pick(self.env),
            params=pick(self.params),
            labels=tuple(self.labels[i] for i in rows),
        )

    def channels(self, names: Sequence[str] | str) -> Trajectories:
        """Only the named observed channels, in that order. **Raises:**
        `ConfigError` with the nearest name."""
        names = [names] if isinstance(names, str) else list(names)
        missing = [n for n in names if n not in self.names]
        if missing:
            raise ConfigError(
                f'channel "{missing[0]}" is not in the data.'
                f"{nearest(missing[0], self.names)} Channels: {', '.join(self.names)}."
            )
        if not names:
            raise ConfigError(f"no channel chosen. Channels: {', '.join(self.names)}.")
        cols = [self.names.index(n) for n in names]
        take = lambda t: tuple(t[j] for j in cols)
        return self.replace(
            f"channels {list(names)}",
            ys=self.ys[:, :, cols],
            mask=self.mask[:, :, cols],
            names=take(self.names),
            units=take(self.units),
            angle=take(self.angle),
        )

    def gather(self, keep: Sequence[np.ndarray], note: str) -> Trajectories:
        """Only the given samples, one array of increasing indices a trajectory."""
        ys = np.where(self.mask, self.ys, np.nan)
        out = Trajectories.from_arrays(
            [self.ts[i, k] for i, k in enumerate(keep)],
            [ys[i, k] for i, k in enumerate(keep)],
            None if self.us is None else [self.us[i, k] for i, k in enumerate(keep)],
        )
        return self.replace(note, ts=out.ts, ys=out.ys, mask=out.mask, us=out.us)

    def between(self, start: float, stop: float) -> Trajectories:
        """The samples with `start <= t <= stop`; trajectories with fewer than two
        such samples are dropped. **Raises:** `DataError` when nothing is left."""
        real = np.arange(self.ts.shape[1])[None] < self.lengths[:, None]
        inside = real & (self.ts >= start) & (self.ts <= stop)
        rows = np.flatnonzero(inside.sum(axis=1) >= 2)
        if not len(rows):
            raise DataError(
                f"no trajectory has two samples between {start:g} and {stop:g}; the "
                f"data run from {self.ts.min():g} to {self.ts.max():g}."
            )
        part = self if len(rows) == self.num else self.select(rows)
        keep = [np.flatnonzero(inside[i]) for i in rows]
        return part.gather(keep, f"between {start:g} and {stop:g}")

    def windows(self, length: float) -> Trajectories:
        """Every trajectory cut into stretches of about `length`, of one size, each a
        trajectory of its own; neighbours share a sample. **Raises:** `ConfigError`
        for a length that is not positive."""
        positive(window=length)
        rows, keep = [], []
        for i, n in enumerate(self.lengths):
            t = self.ts[i, :n]
            most = max(1, (n - 1) // 3)  # too few samples to tell anything from
            count = int(np.clip(round((t[-1] - t[0]) / length), 1, most))
            ends = np.searchsorted(t, np.linspace(t[0], t[-1], count + 1)[1:-1])
            bounds = np.unique([0, *ends, n - 1])
            keep += [np.arange(a, b + 1) for a, b in itertools.pairwise(bounds)]
            rows += [i] * (len(bounds) - 1)
        if len(rows) == self.num:
            return self
        note = f"windows of {length:g}"
        return self.select(rows, note).gather(keep, note)

    def subsample(self, every: int) -> Trajectories:
        """Every `every`-th sample. Inputs keep only those samples too: the path
        between them is then coarser."""
        at_least(1, every=every)
        if every == 1:
            return self
        keep = [np.arange(0, n, every) for n in self.lengths]
        return self.gather(keep, f"every {every}th sample")

    def add_noise(self, key: Any, level: float, **options: Any) -> Trajectories:
        """See `pendula.data.add_noise`."""
        from ._perturb import add_noise

        return add_noise(self, key, level, **options)

    def drop_samples(self, key: Any, fraction: float, **options: Any) -> Trajectories:
        """See `pendula.data.drop_samples`."""
        from ._perturb import drop_samples

        return drop_samples(self, key, fraction, **options)

    def paths(self) -> Float[np.ndarray, "traj step 4 ctrl"] | None:
        """Input coefficients `"traj step 4 ctrl"` of whole trajectories."""
        if self.us is None:
            return None
        pairs = zip(self.ts, self.us, strict=True)
        return np.stack([input_path(t, u, self.input_kind) for t, u in pairs])

    def full(self, dtype: Any = np.float32, context: np.ndarray | None = None) -> Batch:
        """All trajectories, whole, as one `Batch`."""
        rows = np.arange(self.num)
        start = np.zeros_like(rows)
        return self._batch(rows, start, self.ts.shape[1], 1, dtype, context)

    def clips(
        self,
        length: int,
        stride: int | None = None,
        *,
        every: int = 1,
        dtype: Any = np.float32,
        context: np.ndarray | None = None,
    ) -> Batch:
        """Overlapping stretches of `length` samples as one `Batch`.

        **Arguments:** `stride`: samples from one clip's start to the next (default
        `length - 1`: neighbours share one sample); `every`: samples skipped inside
        a clip (observations thinned; with inputs it must be 1, so that nothing of
        their path is lost).
        A clip never reaches over a trajectory's end; trajectories shorter than a
        clip give one padded clip. **Raises:** `ConfigError`.
        """
        if length < 2:
            raise ConfigError(f"a clip needs at least 2 samples; length is {length}.")
        stride = (length - 1) * every if stride is None else stride
        at_least(1, stride=stride, every=every)
        if every > 1 and self.us is not None:
            raise ConfigError("with inputs, every must be 1.")
        span = (length - 1) * every + 1
        rows, starts = [], []
        for i, n in enumerate(self.lengths):
            begin = np.arange(0, max(n - span, 0) + 1, stride)
            if n > span and begin[-1] != n - span:
                begin = np.append(begin, n - span)
            rows += [i] * len(begin)
            starts += begin.tolist()
        return self._batch(
            np.array(rows), np.array(starts), length, every, dtype, context
        )

    def _batch(
        self,
        rows: np.ndarray,
        starts: np.ndarray,
        length: int,
        every: int,
        dtype: Any,
        context: np.ndarray | None,
    ) -> Batch:
        """Cut `length` samples from each start; beyond the end is padding."""
        from ._batch import Batch

        index = starts[:, None] + every * np.arange(length)[None]
        last = self.lengths[rows][:, None] - 1
        inside = index <= last
        index = np.minimum(index, last)
        ts = self.ts[rows[:, None], index]
        mask = self.mask[rows[:, None], index] & inside[..., None]
        ys = np.where(mask, self.ys[rows[:, None], index], 0.0)
        us = None
        paths = self.paths()
        if self.us is not None and paths is not None:
            held = np.zeros((*index[:, 1:].shape, 4, self.ctrl))
            held[:, :, 0] = self.us[rows[:, None], index[:, :-1]]
            step = np.minimum(index[:, :-1], paths.shape[1] - 1)
            real = inside[:, 1:, None, None]
            us = np.where(real, paths[rows[:, None], step], held).astype(dtype)
        return Batch(
            np.diff(ts, axis=1).astype(dtype),
            ts[:, 0].astype(dtype),
            ys.astype(dtype),
            mask,
            us,
            None if context is None else np.asarray(context, dtype)[rows],
            np.stack([rows, starts], axis=1),
        )


def check_times(ts: np.ndarray, mask: np.ndarray) -> None:
    """Times `"traj time"` must be finite and increase up to the padding.

    **Raises:** `DataError` naming trajectory and sample.
    """
    if not np.all(np.isfinite(ts)):
        i, k = np.argwhere(~np.isfinite(ts))[0]
        raise DataError(f"trajectory {i}, sample {k}: the time is not finite.")
    step = np.diff(ts, axis=1)
    wrong = step < 0
    # a repeated time is padding only when nothing but repetitions follows it
    later = np.cumsum((step > 0)[:, ::-1], axis=1)[:, ::-1] > 0
    wrong |= (step == 0) & (later | mask[:, 1:].any(axis=2))
    if wrong.any():
        i, k = np.argwhere(wrong)[0]
        what = (
            f"time goes backwards ({ts[i, k + 1]:g} after {ts[i, k]:g})"
            if step[i, k] < 0
            else f"time {ts[i, k]:g} stands twice"
        )
        raise DataError(
            f"trajectory {i}, sample {k + 1}: {what}. Times must increase within a "
            "trajectory. Sort them, or give a trajectory column."
        )
    short = np.flatnonzero(~(step > 0).any(axis=1))
    if len(short):
        raise DataError(f"trajectory {short[0]} has 1 sample; at least two are needed.")

"""Data from a known system: exact motion, then an observation of it."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int
from numpy.typing import ArrayLike

from .._checks import positive, whole
from .._errors import (
    ConfigError,
    DataWarning,
    DivergedError,
    ShapeError,
    Status,
    nearest,
)
from .._precision import precision
from .._registry import name_of
from .._units import with_unit
from ..data import Trajectories, check_input_kind, input_path
from ..solve import Rollout, rollout_steps
from ._observe import Observation
from ._system import AbstractSystem, system as find_system


Drive = Callable[[np.ndarray], ArrayLike]

# RK4 steps per shortest time of the system to begin with, how often they are doubled
# when the comparison with half as many steps is not good enough, and how often where
# doubling still helps: a motion may be far faster than the system's own time.
_STEPS_PER_SCALE = 50
_DOUBLINGS, _MOST = 7, 12
_HELPS = 4.0  # times by which a doubling has to lower the error
_SEVERAL = 3  # doublings, beyond which a motion may amplify rounding
_LOST = 0.01  # of the range: an error beyond which nothing else need be told
_APART = 1e-9  # of the range, another start: to see how much it does


def simulate(
    system: str | AbstractSystem,
    *,
    num: int = 1,
    ts: ArrayLike | None = None,
    duration: float | None = None,
    dt: float | None = None,
    seed: int = 0,
    y0: ArrayLike | None = None,
    params: Mapping[str, ArrayLike] | ArrayLike | None = None,
    us: Drive | ArrayLike | None = None,
    input_kind: str = "spline",
    observe: tuple[str, ...] | list[str] | str | None = None,
    noise: float | tuple[float, ...] = 0.0,
    relative: bool = False,
    irregular: float = 0.0,
    missing: float = 0.0,
    rtol: float = 1e-8,
) -> Trajectories:
    r"""Records of a known system, computed in float64.

    The motion is a fixed-step RK4 rollout whose step is halved until halving it
    once more changes no state by more than `rtol` of its channel's range (the
    remaining error is in `origin`, that of rounding too where the motion amplifies
    it). Equal seeds give equal starts and times,
    whatever the noise: `simulate(..., noise=0)` is the truth behind a noisy record.

    **Arguments:**
    - `system`: a registered name (`pendula list systems`) or an `AbstractSystem`.
    - `num`: number of trajectories.
    - `ts`: common sampling times `"time"`, increasing; or `duration` and `dt` in
      the system's unit of time. Default: the system's `good_duration`, `good_step`.
    - `seed`: of starts, times, noise and losses (separate streams).
    - `y0`: initial state `"dim"` for all or `"traj dim"`. Default: random, by
      `system.initial`.
    - `params`: a family: constants by name (a number for all trajectories or one
      each), or an array `"traj param"` in the order of `param_names`. They are
      recorded in `Trajectories.params`, equal ones share an index `env`.
    - `us`: inputs: a function of the time vector returning `"time"` or
      `"time ctrl"`, or samples `"time ctrl"` (or `"traj time ctrl"`) at the sampling
      times. Between samples the system sees them as `input_kind` says.
    - `observe`, `noise`, `relative`, `irregular`, `missing`: see `Observation`.
    - `rtol`: allowed numerical error, relative to the range of each channel.

    **Returns:** `Trajectories` with names, units, angle flags and origin.
    **Raises:** `ConfigError` and `ShapeError` for settings that cannot be used,
    `DivergedError` when a state leaves the finite numbers.
    **Behaviour:** warns (`DataWarning`) when `rtol` is out of reach, as on long
    records of a chaotic system, and says whether shorter steps would help.
    **Source:** ours; error estimate by Richardson, Hairer, Norsett, Wanner, Solving
    Ordinary Differential Equations I, section II.4.

    ```python
    >>> from pendula.systems import simulate
    >>> data = simulate("pendulum", num=2, duration=2.0, dt=0.1, noise=0.01)
    >>> data.names, data.ys.shape
    (('theta', 'omega'), (2, 21, 2))

    ```
    """
    world = find_system(system)
    num, seed = whole(1, num=num), whole(0, seed=seed)
    kind = check_input_kind(input_kind)
    names = (observe,) if isinstance(observe, str) else observe
    observation = Observation(
        None if names is None else tuple(names), noise, relative, irregular, missing
    )
    grid = _grid(world, ts, duration, dt)
    times = observation.times(grid, num, seed)
    contexts = _contexts(world, params, num)
    inputs = _inputs(world, us, times)
    paths = None
    if inputs is not None:
        pairs = zip(times, inputs, strict=True)
        paths = np.stack([input_path(t, u, kind) for t, u in pairs])
    starts = _starts(world, y0, num, seed)
    ys, substeps, error = _solve(world, times, starts, paths, contexts, rtol)
    env = None
    if contexts is not None:
        _, first, env = np.unique(
            contexts, axis=0, return_index=True, return_inverse=True
        )
        env = np.argsort(np.argsort(first))[env.reshape(-1)]
    data = Trajectories(
        times,
        ys,
        np.ones(ys.shape, bool),
        inputs,
        env,
        contexts,
        names=world.names,
        units=world.units,
        angle=world.angle,
        input_names=() if inputs is None else world.input_names,
        input_units=() if inputs is None else world.input_units,
        input_kind=kind,
        param_names=() if contexts is None else world.param_names,
        time_unit=world.time_unit,
        licence="generated",
        origin={
            "system": name_of("system", type(world)) or type(world).__name__,
            "constants": dict(
                zip(world.param_names, world.context().tolist(), strict=True)
            ),
            "options": world.options(),
            "seed": seed,
            "observation": dataclasses.asdict(observation),
            "scheme": "rk4",
            "substeps": substeps,
            "numerical_error": error,
            "source": str(world.source),
        },
    )
    return observation(data, seed)


def _grid(
    world: AbstractSystem,
    ts: ArrayLike | None,
    duration: float | None,
    dt: float | None,
) -> np.ndarray:
    """The common sampling times, checked."""
    if ts is not None:
        if duration is not None or dt is not None:
            raise ConfigError("give either ts, or duration and dt, not both.")
        grid = np.asarray(ts, np.float64)
        if grid.ndim != 1 or len(grid) < 2:
            raise ShapeError(
                f"ts has shape {grid.shape}; expected (time,) with at least two times."
            )
        if not np.all(np.isfinite(grid)) or not np.all(np.diff(grid) > 0):
            raise ConfigError("ts must be finite and strictly increasing. Sort it.")
        return grid
    dt = world.good_step if dt is None else dt
    duration = world.good_duration if duration is None else duration
    asked = {"dt": dt, "duration": duration}
    said = {k: with_unit(f"{v:g}", world.time_unit) for k, v in asked.items()}
    if not (np.isfinite(dt) and dt > 0):
        raise ConfigError(f"dt is {said['dt']}; it must be above 0.")
    if not (np.isfinite(duration) and duration >= dt):
        raise ConfigError(
            f"duration is {said['duration']}; it must be at least dt ({dt:g})."
        )
    return dt * np.arange(int(np.floor(duration / dt * (1 + 1e-12))) + 1)


def _contexts(
    world: AbstractSystem,
    params: Mapping[str, ArrayLike] | ArrayLike | None,
    num: int,
) -> np.ndarray | None:
    """The constants of every trajectory, or None when they are the system's own."""
    if params is None:
        return None
    width = len(world.param_names)
    if isinstance(params, Mapping):
        out = np.tile(world.context(), (num, 1))
        for name, value in params.items():
            if name not in world.param_names:
                raise ConfigError(
                    f'params: there is no constant "{name}".'
                    f"{nearest(name, world.param_names)} {type(world).__name__} has: "
                    f"{', '.join(world.param_names)}."
                )
            column = np.asarray(value, np.float64)
            if column.shape not in ((), (num,)):
                raise ShapeError(
                    f'params: "{name}" has shape {column.shape}; give one number, or '
                    f"one for each of the {num} trajectories."
                )
            out[:, world.param_names.index(name)] = column
    else:
        out = np.asarray(params, np.float64)
        if out.shape != (num, width):
            raise ShapeError(
                f"params has shape {out.shape}; expected ({num}, {width}): "
                f"{', '.join(world.param_names)}."
            )
    for row in np.unique(out, axis=0):  # the class itself knows its ranges
        dataclasses.replace(world, **dict(zip(world.param_names, row, strict=True)))
    return out


def _inputs(
    world: AbstractSystem, us: Drive | ArrayLike | None, times: np.ndarray
) -> np.ndarray | None:
    """Input samples `"traj time ctrl"`, checked."""
    if us is None:
        return None
    ctrl = len(world.input_names)
    if ctrl == 0:
        raise ConfigError(f"{type(world).__name__} takes no input; leave us out.")
    if callable(us):
        out = np.stack([np.asarray(us(t), np.float64) for t in times])
    else:
        out = np.asarray(us, np.float64)
        # two times of two inputs are no two trajectories
        if out.shape[:2] != times.shape or out.shape == (times.shape[1], ctrl):
            out = np.broadcast_to(out, (len(times), *out.shape))
    if out.ndim == 2:
        out = out[..., None]
    if out.shape != (*times.shape, ctrl):
        raise ShapeError(
            f"us gives shape {out.shape}; expected {(*times.shape, ctrl)} "
            f"(trajectory, time, input): {', '.join(world.input_names)}."
        )
    if not np.all(np.isfinite(out)):
        raise ConfigError("us holds NaN or infinity; inputs must be finite.")
    return out


def _starts(
    world: AbstractSystem, y0: ArrayLike | None, num: int, seed: int
) -> np.ndarray:
    """Initial states `"traj dim"`, checked."""
    if y0 is None:
        with precision(np.float64):
            keys = jax.random.split(jax.random.fold_in(jax.random.key(seed), 0), num)
            return np.asarray(jax.vmap(world.initial)(keys))
    out = np.asarray(y0, np.float64)
    dim = len(world.names)
    if out.shape not in ((dim,), (num, dim)):
        raise ShapeError(
            f"y0 has shape {out.shape}; expected ({dim},) or ({num}, {dim}): "
            f"{', '.join(world.names)}."
        )
    if not np.all(np.isfinite(out)):
        raise ConfigError("y0 holds NaN or infinity; states must be finite.")
    return np.broadcast_to(out, (num, dim))


@eqx.filter_jit
def _run(
    world: AbstractSystem, batch: tuple[Any, ...], substeps: Int[Array, ""]
) -> Rollout:
    """All trajectories at once; other numbers of equal shape do not recompile."""
    return jax.vmap(
        lambda y0, t0, dts, us, context: rollout_steps(
            world, y0, t0, dts, us, context, substeps=substeps
        )
    )(*batch)


def _solve(
    world: AbstractSystem,
    times: np.ndarray,
    starts: np.ndarray,
    paths: np.ndarray | None,
    contexts: np.ndarray | None,
    rtol: float,
) -> tuple[np.ndarray, int, float]:
    """States `"traj time dim"`, RK4 steps per sample, and their relative error."""
    positive(rtol=rtol)
    steps = np.diff(times, axis=1)
    with precision(np.float64):
        if contexts is None:
            scale = float(world.time_scale())
        else:
            scale = float(jnp.min(jax.vmap(world.time_scale)(jnp.asarray(contexts))))
        arrays = (starts, times[:, 0], steps, paths, contexts)
        batch = jax.tree.map(jnp.asarray, arrays)
        substeps = max(1, int(np.ceil(_STEPS_PER_SCALE * steps.max() / scale)))
        run = lambda: _run(world, batch, jnp.asarray(substeps))
        reach = lambda ys: _reach(ys, rtol)
        level, error, gap, out = 0, np.inf, np.inf, run()
        helps = True
        while error > rtol and level < (_MOST if helps else _DOUBLINGS):
            level, substeps, coarse, last = level + 1, 2 * substeps, out, gap
            out = run()
            gap = _difference(coarse, out, reach)
            helps = bool(np.isfinite(gap) and last > _HELPS * gap)
            error = _left(gap, last)
        if level > _SEVERAL and error < _LOST:
            apart = np.random.default_rng(0).normal(size=starts.shape)
            moved = starts + _APART * reach(np.asarray(out.ys)) * apart
            batch = (jnp.asarray(moved), *batch[1:])
            felt = _difference(out, run(), reach) / _APART
            # rounding of steps in a row is as good as independent; four times as much,
            # since one direction of many may grow little
            deviation = np.sqrt(_STEPS_PER_SCALE * 2.0**level)
            rounding = 4.0 * float(np.finfo(np.float64).eps * deviation) * felt
            helps = helps and error > rounding
            error = max(error, rounding)
    _judge(out, rtol, error, helps)
    return np.asarray(out.ys), substeps, error


def _difference(
    one: Rollout, other: Rollout, reach: Callable[[np.ndarray], np.ndarray]
) -> float:
    """Largest difference of two solutions, relative to the `reach` of every channel;
    infinite where a state is not finite."""
    ys, others = np.asarray(one.ys), np.asarray(other.ys)
    if not (np.all(np.isfinite(ys)) and np.all(np.isfinite(others))):
        return np.inf
    return float(np.max(np.abs(ys - others).max(axis=(0, 1)) / reach(others)))


def _reach(ys: np.ndarray, rtol: float) -> np.ndarray:
    """The range of every channel, of which `rtol` is no less than rounding."""
    least = 64.0 * np.finfo(np.float64).eps * np.abs(ys).max(axis=(0, 1)) / rtol
    reach = np.maximum(np.ptp(ys, axis=(0, 1)), least)
    return np.where(reach > 0, reach, 1.0)


def _left(gap: float, last: float) -> float:
    """Richardson's estimate of the error of the finer of two solutions from their
    `gap` and that of the two before: by the order that shows, 4 at most. A law with a
    jump has order 1, and rounding none."""
    if last >= 0.5 * 2.0**4 * gap:
        return gap / 15.0
    return gap / (max(last / gap, 2.0) - 1.0)


def _judge(out: Rollout, rtol: float, error: float, helps: bool) -> None:
    """Raise for states that are not finite, warn for an error above `rtol`; `helps`:
    whether shorter steps still lower it."""
    status = np.asarray(out.status)
    if np.any(status > Status.ok):
        row = int(np.flatnonzero(status > Status.ok)[0])
        raise DivergedError(
            f"trajectory {row}: {Status(int(status[row])).name} at t = "
            f"{float(out.t_fail[row]):g}. Check the constants, the initial state and "
            "the input."
        )
    if error > rtol:
        why = (
            "the motion is far faster than the system's own time: take a smaller dt"
            if helps
            else "halving the step did not help: a chaotic system forgets its start "
            "(shorten the record), a law that jumps or a near collision asks for far "
            "shorter steps (take a smaller dt)"
        )
        warnings.warn(
            f"the simulated states are exact to {error:.1e} of their range only "
            f"(asked: {rtol:.1e}); {why}, or raise rtol (in Python).",
            DataWarning,
            stacklevel=4,
        )

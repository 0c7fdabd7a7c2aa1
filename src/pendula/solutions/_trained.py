"""Networks whose weights are all trained, in any order of time and coefficients."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._checks import fields_positive, fields_whole, not_negative
from .._errors import ConfigError, ShapeError, nearest
from .._precision import cast, exact_products, precision, to_device
from ._blocks import Block, equation, periodic_block, soft_blocks, with_times
from ._conditions import Observation, Periodic
from ._embedding import Axis
from ._form import FieldForm, HardForm, hard_form
from ._gauss_newton import GaussNewton
from ._given import of_kind
from ._laplace import Estimated, exact, of_rows
from ._misfit import Misfits, beyond_noise, misfit_words
from ._networks import build
from ._objective import Objective, Trained, objective
from ._optimise import AbstractOptimiser, OptimiserTrace, check_optimiser, joined
from ._outcome import Deadline, Outcome
from ._parts import Part, Windows
from ._problem import Problem
from ._rows import compare, looked_at, rows_of, slopes_of, terms_of
from ._signals import training_signals
from ._strategy import Stage, Strategy, Whole


Points = Callable[[Problem, float, float, int, int], np.ndarray]
"""Collocation points of a window from its problem, beginning, end, number and seed."""


@dataclasses.dataclass(frozen=True)
class NetworkConfig:
    """The network, its points, and whether conditions are exact."""

    kind: str = "plain"
    """A name of `build`: plain, modified, pirate, gaussian."""
    width: int = 16
    """Neurons in a layer."""
    depth: int = 2
    """Hidden layers."""
    options: tuple[tuple[str, Any], ...] = ()
    """What else `build` takes."""
    hard: bool = True
    """Whether starts and Dirichlet conditions are built in; else terms of the loss."""
    harmonics: int = 1
    """Multiples of a periodic coordinate; 0: the plain coordinate, and ends that agree
    as a term of the loss."""
    time_waves: int = 0
    """Waves of time that a network sees, their period trained with its weights: for
    solutions that travel. 0: the time itself."""
    raw: bool = False
    """Whether coordinates go in as they are, not mapped to [-1, 1]."""
    points: int = 400
    """Collocation points in a window."""
    collocation: Points | None = None
    """Other points than the even ones."""
    initial_points: int = 256
    """Where starts are compared, when they are terms of the loss."""
    boundary_times: int = 100
    """Times of conditions at boundaries, in a window."""
    weights: tuple[tuple[str, float], ...] = ()
    """Block -> w_b; "equation" or a condition's first word; 1 without."""
    warm: bool | str = False
    """Whether a window's network begins with the weights of the last one: good for what
    changes slowly, bad for what travels. "both": trained from either, and the lower
    loss is kept."""
    redraws: int = 0
    """How often collocation points are drawn anew where the residual is large; each
    time the optimiser goes on, for as many steps as it has."""
    sigma_r: float = 1e-3
    """What the equation's rows may be off by, in units of the solution, where a method
    of second order (`GaussNewton`, `QuasiNewton`) fits unknown parameters to
    measurements: both then have their standard deviations."""
    sharpness: float = 1.0
    """k of those draws, p ~ |r|^k / mean |r|^k + 1: 0 for even ones."""
    dtype: str = "float64"
    """float64 or float32."""
    seed: int = 0
    """Of weights and points."""

    def __post_init__(self) -> None:
        if self.warm not in (True, False, "both"):
            raise ConfigError(f'warm is {self.warm}; it is True, False or "both".')
        for name in ("hard", "raw"):
            if not isinstance(getattr(self, name), bool):
                raise ConfigError(
                    f"{name} is {getattr(self, name)!r}; it is True or False."
                )
        if not (self.collocation is None or callable(self.collocation)):
            raise ConfigError(
                f"collocation is {self.collocation!r}; it is a function that gives the "
                "points, or None for even ones. Their number is points."
            )
        if self.dtype not in ("float32", "float64"):
            raise ConfigError(f"dtype is {self.dtype}; it is float32 or float64.")
        fields_whole(self, points=1, initial_points=1, boundary_times=1)
        fields_whole(self, harmonics=0, time_waves=0, redraws=0, seed=0)
        not_negative(sharpness=self.sharpness)
        fields_positive(self, "", "sigma_r")
        for name in ("weights", "options"):
            try:
                dict(getattr(self, name))
            except (TypeError, ValueError):
                raise ConfigError(
                    f"{name} are {getattr(self, name)!r}; give pairs of a name and a "
                    "value, in a tuple."
                ) from None
        not_negative("weights", **dict(self.weights))


@dataclasses.dataclass(frozen=True)
class Network:
    r"""A network $u(x, t; \theta)$ with all weights trained on the residuals.

    **Arguments:** `config`: see `NetworkConfig`; `optimiser`: `GaussNewton` (all rows
    at once, second order), `LBFGS`, `SSBroyden`, `BFGS`, `FirstOrder`; `strategy`:
    `Whole`, `InWindows`, `Curriculum`, `Gradual`.
    **Source:** Raissi, Perdikaris, Karniadakis 2019 (the loss); Krishnapriyan et al.
    2021, arXiv:2109.01050 (curriculum and windows); Wu et al. 2023, arXiv:2207.10289
    (points by the residual). **Warns:** `PendulaWarning` where the rows of one term are
    1e4 times as large as those of another at first.
    """

    config: NetworkConfig = dataclasses.field(default_factory=NetworkConfig)
    optimiser: AbstractOptimiser = dataclasses.field(default_factory=GaussNewton)
    strategy: Strategy = dataclasses.field(default_factory=Whole)
    name: ClassVar[str] = "network"

    def __post_init__(self) -> None:
        of_kind("Network: config is", self.config, NetworkConfig, "NetworkConfig(...)")
        check_optimiser(self.optimiser)
        if not isinstance(self.strategy, Strategy):
            raise ConfigError(
                f"strategy is {self.strategy!r}; give Whole(), InWindows(dt), "
                "Curriculum(parameter, values) or Gradual(steps)."
            )

    def run(self, problem: Problem, tol: float, deadline: Deadline) -> Outcome:
        """Solve; see `Training`."""
        return Training(problem, self).run(tol, deadline)

    def finer(self, problem: Problem, outcome: Outcome) -> Network:
        """1.5 times the width and the points, another seed."""
        own = self.config
        config = dataclasses.replace(
            own,
            width=math.ceil(1.5 * own.width),
            points=math.ceil(1.5 * own.points),
            seed=own.seed + 1,
        )
        return dataclasses.replace(self, config=config)


def even_points(
    problem: Problem, t0: float, t1: float, count: int, seed: int
) -> np.ndarray:
    """Even points in space times Chebyshev's points in (t0, t1]: as many in time as
    there are along a coordinate in space."""
    timed, domain = problem.time is not None, problem.domain
    if domain is None:
        return _times(t0, t1, count)[:, None]
    if not timed:
        return domain.nodes(count)
    times = max(2, round(0.6 * count ** (1.0 / (domain.dim + 1.0))))
    space = domain.nodes(max(1, count // times))
    return with_times(space, _times(t0, t1, times))


def _times(t0: float, t1: float, count: int) -> np.ndarray:
    k = np.arange(1, count + 1)
    return t0 + (t1 - t0) * 0.5 * (1.0 - np.cos(np.pi * k / count))


class Training:
    """All trainings of one problem."""

    def __init__(self, problem: Problem, method: Network) -> None:
        self.problem, self.method, self.config = problem, method, method.config
        self.dtype = np.dtype(method.config.dtype)
        with precision(np.float64):
            form = hard_form(problem) if self.config.hard else soft_form(problem)
        self.windows = Windows(form, [], problem.span()[1])
        self.iterations = self.weights = self.points = self.trainings = 0
        self.train: dict[str, float] = {}
        self.check: dict[str, float] = {}
        self._before = (self.train, self.check)  # those of the windows before
        self.reasons: list[str] = []
        self.misfits: Misfits = ()  # of the last stage
        self.goal: Any = None  # the last objective
        self.theta: Any = None  # and its weights

    def run(self, tol: float, deadline: Deadline) -> Outcome:
        """Stage after stage, to the end or until the time is up."""
        strategy, key = self.method.strategy, jax.random.key(self.config.seed)
        goal, theta, trace = None, None, None
        unknown = np.zeros(len(self.problem.unknowns))
        stages = list(strategy.stages(self.problem))
        self._check_stages(stages)
        for count, stage in enumerate(stages):
            if deadline.passed() and count:
                self.reasons.append("budget")
                break
            own = jax.random.fold_in(key, count)
            with exact_products(self.dtype):
                last = None
                if goal is not None and theta is not None:
                    last = eqx.combine(theta.net, goal.rest)
                if not stage.is_new:
                    self.windows.parts.pop()
                tries = [
                    self._tried(stage, begin, unknown, deadline, own, first=not count)
                    for begin in self._beginnings(stage, last, own)
                ]
                goal, theta, trace = min(tries, key=lambda one: self._rank(stage, *one))
                unknown = np.asarray(theta.unknown, np.float64)
            self._accept(stage, goal, theta)
            self.iterations += sum(one[2].iterations for one in tries)
            self.reasons.append(trace.reason)
        problem = self.problem
        found = zip(problem.unknowns.items(), unknown, strict=True)
        posterior = self._posterior(unknown)
        # noise of measurements is no error of the solution
        own = [v for k, v in self.check.items() if not k.startswith("observation")]
        good = self.trainings == len(stages) and max(own) <= tol
        notes = _counted(self.reasons)
        missed = beyond_noise(self.misfits, len(unknown)) if problem.unknowns else None
        if missed is not None:
            notes.append(misfit_words(missed))
        return Outcome(
            self.windows,
            bool(good) and missed is None,
            self.weights,
            self.points,
            self.iterations,
            self.train,
            self.check,
            None if trace is None else trace.condition,
            {k: exact(u, float(z)) for (k, u), z in found},
            {k: e.sd for k, e in posterior.items()},
            {k: e.interval for k, e in posterior.items()},
            missed=missed,
            notes=tuple(notes),
            signals=functools.partial(training_signals, self.goal, self.theta, trace)
            if trace is not None
            else {},
        )

    def _check_stages(self, stages: list[Stage]) -> None:
        """What belongs to all of the time needs a network for all of it."""
        if self.problem.at_once and sum(stage.is_new for stage in stages) > 1:
            raise ConfigError(
                "windows: there are observations or unknown parameters, which belong "
                "to all of the time. Use Whole(), or Gradual(steps)."
            )

    def _beginnings(self, stage: Stage, last: Any, key: Any) -> list[Any]:
        """The networks that a stage is trained from."""
        if last is None or (stage.is_new and not self.config.warm):
            return [self._fresh(key)]
        if stage.is_new and self.config.warm == "both":
            return [last, self._fresh(key)]
        return [last]

    def _tried(
        self,
        stage: Stage,
        net: Any,
        unknown: np.ndarray,
        deadline: Deadline,
        key: Any,
        *,
        first: bool,
    ) -> tuple[Objective, Trained, OptimiserTrace]:
        """One training of a stage."""
        goal, start = self._objective(stage, net, self.config.seed)
        start = Trained(start.net, jnp.asarray(unknown, self.dtype))
        if first:
            compare(goal, start)
        theta, trace = self.method.optimiser.minimise(
            goal, start, deadline=deadline, key=key
        )
        return self._redrawn(stage, goal, theta, trace, deadline, key)

    def _rank(
        self, stage: Stage, goal: Objective, theta: Trained, trace: OptimiserTrace
    ) -> float:
        """Its loss, at the even points where each try has drawn points of its own."""
        loss = trace.loss
        if self.config.redraws:
            net = eqx.combine(theta.net, goal.rest)
            even, start = self._objective(stage, net, self.config.seed)
            at = Trained(start.net, theta.unknown)
            loss = float(even.weights**2 @ terms_of(even, at))
        return float(np.nan_to_num(loss, nan=np.inf))

    def _fresh(self, key: Any) -> Any:
        """A new network of (space, s)."""
        config, domain = self.config, self.problem.domain
        axes = []
        bounds = np.zeros((0, 2)) if domain is None else domain.bounds
        periodic = () if domain is None else domain.periodic
        for (lo, hi), is_periodic in zip(bounds, periodic, strict=True):
            if is_periodic and config.harmonics:
                axes.append(
                    Axis(
                        float(lo), float(hi), periodic=True, harmonics=config.harmonics
                    )
                )
            else:
                axes.append(
                    Axis(-1.0, 1.0) if config.raw else Axis(float(lo), float(hi))
                )
        if self.problem.time is not None:
            waves: dict[str, Any] = {}
            if config.time_waves:
                waves = {"trainable_period": True, "harmonics": config.time_waves}
            axes.append(Axis(-1.0 if config.raw else 0.0, 1.0, **waves))
        return build(
            config.kind,
            tuple(axes),
            len(self.problem.fields),
            width=config.width,
            depth=config.depth,
            key=key,
            **dict(config.options),
        )

    def _redrawn(
        self,
        stage: Stage,
        goal: Objective,
        theta: Trained,
        trace: OptimiserTrace,
        deadline: Deadline,
        key: Any,
    ) -> tuple[Objective, Trained, OptimiserTrace]:
        """The training goes on, each time on points where the residual is large."""
        traces = [trace]
        for k in range(self.config.redraws):
            if deadline.passed():
                break
            inside = self._drawn(stage, goal, theta, self.config.seed + k + 1)
            net = eqx.combine(theta.net, goal.rest)
            goal, start = self._objective(stage, net, self.config.seed, inside)
            theta, trace = self.method.optimiser.resumed(trace)(
                goal,
                Trained(start.net, theta.unknown),
                deadline=deadline,
                key=jax.random.fold_in(key, k),
            )
            traces.append(trace)
        return goal, theta, joined(traces)

    def _drawn(
        self, stage: Stage, goal: Objective, theta: Trained, seed: int
    ) -> np.ndarray:
        """As many points as before, out of ten times as many."""
        num, k = goal.known[0].block.num, self.config.sharpness
        problem, rng = stage.problem, np.random.default_rng(seed)
        points = np.zeros((10 * num, 0))
        if problem.domain is not None:
            points = problem.domain.nodes(10 * num, seed)
        if problem.time is not None:
            unit = rng.uniform(size=len(points))
            points = np.c_[points, stage.t0 + stage.share * stage.length * unit]
        other, _ = objective(
            problem,
            self.windows,
            [equation(problem, points)],
            eqx.combine(theta.net, goal.rest),
            stage.t0,
            stage.length,
        )
        rows = np.asarray(rows_of(other, theta)[0], np.float64)
        size = np.linalg.norm(rows, axis=1) ** k
        share = size / max(float(size.mean()), 1e-300) + 1.0
        num = min(num, len(points))
        drawn = rng.choice(len(points), num, replace=False, p=share / share.sum())
        return points[np.sort(drawn)]

    def _objective(
        self, stage: Stage, net: Any, seed: int, inside: np.ndarray | None = None
    ) -> tuple[Objective, Trained]:
        """The least-squares problem of a stage; `inside`: its collocation points."""
        blocks = self._blocks(stage, seed, None, inside)
        self._check_weights(blocks)
        self.points = max(self.points, sum(block.num for block in blocks))
        goal, start = objective(
            stage.problem,
            self.windows,
            blocks,
            net,
            stage.t0,
            stage.length,
            self._weights(blocks),
        )
        if self._measured:  # the equation in units of the solution, as sigma_r is
            scale = looked_at(goal, start, stage.problem)[1].mean()
            weights = goal.weights.at[0].mul(scale)
            goal = eqx.tree_at(lambda g: g.weights, goal, weights)
        return goal, start

    def _blocks(
        self,
        stage: Stage,
        seed: int,
        check: int | None,
        inside: np.ndarray | None = None,
    ) -> list[Block]:
        """Equation and conditions; with `check`, at other and more points."""
        config, problem = self.config, stage.problem
        t0, t1 = stage.t0, stage.t0 + stage.share * stage.length
        if check is not None:
            inside = _check_points(problem, t0, t1, 4 * config.points, check)
        elif inside is None:
            place = config.collocation or even_points
            inside = np.asarray(place(problem, t0, t1, config.points, seed))
            if inside.ndim != 2 or inside.shape[1] != len(problem.coords):
                raise ShapeError(
                    f"collocation gives points of shape {inside.shape}; expected "
                    f"(points, {len(problem.coords)})."
                )
        times = np.linspace(t0, t1, config.boundary_times)
        space = np.zeros((1, 0))
        if problem.domain is not None:
            space = problem.domain.nodes(config.initial_points, check)
        with precision(np.float64):
            soft = soft_blocks(
                problem,
                space,
                times,
                hard=config.hard,
                seed=check,
                sides=1 if problem.domain is None or problem.domain.dim == 1 else 64,
            )
            soft = [self.windows.handed_on(block, stage.t0) for block in soft]
            soft += self._ends(problem, times, check)
        return [equation(problem, inside), *soft]

    def _ends(
        self, problem: Problem, times: np.ndarray, check: int | None
    ) -> list[Block]:
        """Ends that agree, where a periodic coordinate goes in as it is."""
        domain = problem.domain
        if domain is None or self.config.harmonics:
            return []
        out = []
        for k, coord in enumerate(domain.coords):
            if domain.periodic[k]:
                agree = Periodic(coord, max(1, problem.law.order(coord)))
                out.append(periodic_block(problem, agree, times, 64, check))
        return out

    def _check_weights(self, blocks: list[Block]) -> None:
        known = {block.name.split()[0]: None for block in blocks}
        for name in dict(self.config.weights):
            if name not in known:
                raise ConfigError(
                    f'weights: the loss has no term "{name}".{nearest(name, known)} '
                    f"Its terms are {', '.join(known)}."
                )

    @property
    def _measured(self) -> bool:
        """Whether parameters are fitted to measurements by their uncertainty."""
        seen = any(isinstance(c, Observation) for c in self.problem.conditions)
        return (
            seen and bool(self.problem.unknowns) and self.method.optimiser.second_order
        )

    def _weights(self, blocks: list[Block]) -> list[float]:
        """w_b of each block."""
        given = dict(self.config.weights)
        own = [given.get(block.name.split()[0], 1.0) for block in blocks]
        if not self._measured:
            return own
        # misfits in sigma against residuals in sigma_r: the most probable values
        for k, block in enumerate(blocks):
            if block.name.startswith("observation"):
                share = len(block.points) / len(blocks[0].points)
                own[k] *= self.config.sigma_r * math.sqrt(share)
        return own

    def _posterior(self, unknown: np.ndarray) -> dict[str, Estimated]:
        """What the rows say of unknown parameters."""
        if not self._measured or self.goal is None:
            return {}
        with exact_products(self.dtype):
            slopes = np.asarray(slopes_of(self.goal, self.theta), np.float64)
        size = math.sqrt(len(self.goal.known[0].block.points)) / self.config.sigma_r
        return of_rows(size * slopes, self.problem.unknowns, unknown)

    def _accept(self, stage: Stage, goal: Objective, theta: Trained) -> None:
        part = goal.part(theta)
        with precision(np.float64):
            part = to_device(cast(part, np.float64))
            # in float32 a window would end beside the time that it ends at
            times = (jnp.asarray(float(stage.t0)), jnp.asarray(float(stage.length)))
            part = eqx.tree_at(lambda p: (p.t0, p.length), part, times)
        if stage.is_new:
            self._before = (self.train, self.check)
        self.train, self.check = map(dict, self._before)
        self._measure(stage, goal, theta)
        self.trainings += 1
        self.windows.parts.append(part)
        whole, seen = self.problem.span()[1], stage.t0 + stage.share * stage.length
        self.windows.end = whole if stage.share == 1.0 else seen
        if stage.is_new:
            self.weights += sum(np.size(x) for x in jax.tree.leaves(theta.net))
        self.goal, self.theta = goal, theta

    def _measure(self, stage: Stage, goal: Objective, theta: Trained) -> None:
        """RMS of the rows, relative to the solution, at the points and between."""
        size, self.misfits = self._size(stage, goal.part(theta)), ()
        with exact_products(self.dtype):
            other, _ = objective(
                stage.problem,
                self.windows,
                self._blocks(stage, self.config.seed, self.config.seed + 1),
                eqx.combine(theta.net, goal.rest),
                stage.t0,
                stage.length,
            )
            for target, found in ((self.train, goal), (self.check, other)):
                squares, scales = looked_at(found, theta, stage.problem)
                squares[0] = squares[0] * scales**2
                for known, square in zip(found.known, squares, strict=True):
                    name, weight = known.block.name, float(known.block.weight)
                    rms = float(np.sqrt(square.sum()))
                    value = rms / size / (weight or 1.0)
                    if name.startswith("observation") and found is goal:
                        self.misfits += ((rms, known.block.num),)
                    target[name] = max(target.get(name, 0.0), value)

    def _size(self, stage: Stage, part: Part) -> float:
        """RMS of the solution in a stage."""
        points = _check_points(stage.problem, stage.t0, stage.t0 + stage.length, 200, 0)
        zero = (0,) * len(stage.problem.coords)
        with precision(np.float64):
            part = to_device(cast(part, np.float64))
        trial = Windows(self.windows.form, [*self.windows.parts, part], np.inf)
        values = trial.values(points, [zero])[zero]
        return max(float(np.sqrt(np.mean(values**2))), 1e-12)


def soft_form(problem: Problem) -> HardForm:
    """The form of a plain network: no condition is built in."""
    forms = tuple(FieldForm(0, None, None, (), None) for _ in problem.fields)
    t0 = jnp.asarray(float(problem.span()[0]))
    return HardForm(forms, problem.domain, t0, problem.time is not None)


def _check_points(
    problem: Problem, t0: float, t1: float, count: int, seed: int
) -> np.ndarray:
    """Points between the collocation points."""
    domain = problem.domain
    if problem.time is None:
        assert domain is not None
        return domain.nodes(count, seed)
    if domain is None:
        roots = np.polynomial.legendre.leggauss(min(count, 200))[0]
        return (t0 + (t1 - t0) * 0.5 * (roots + 1.0))[:, None]
    times = max(2, round(0.6 * count ** (1.0 / (domain.dim + 1.0))))
    roots = np.polynomial.legendre.leggauss(times)[0]
    space = domain.nodes(max(1, count // times), seed)
    return with_times(space, t0 + (t1 - t0) * 0.5 * (roots + 1.0))


def _counted(reasons: list[str]) -> list[str]:
    """Each reason once, with its number."""
    return [
        f"{reasons.count(reason)} trainings ended: {reason}"
        for reason in dict.fromkeys(reasons)
    ]

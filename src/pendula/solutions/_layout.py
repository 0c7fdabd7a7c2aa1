"""Neurons, points and tables of windows of one kind."""

from __future__ import annotations

import dataclasses
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from .._precision import precision
from ._blocks import Block, equation, soft_blocks, with_times
from ._derivatives import Orders, derivatives
from ._features import Combination, TanhFeatures, draw_features
from ._form import HardForm
from ._frozen_config import FrozenConfig
from ._misfit import Misfits
from ._monitor import Grading
from ._parts import Part, Start, Windows
from ._problem import Problem


@dataclasses.dataclass
class Solved:
    """A window's weights and how well they do, relative to the solution's size."""

    weights: np.ndarray
    unknown: np.ndarray
    train: float
    check: float
    iterations: int
    condition: float
    misfits: Misfits = ()


class Rows:
    """One block with the tables of features that it needs."""

    def __init__(self, layout: Layout, block: Block) -> None:
        self.block = block
        self.law = block.law
        zero = (0,) * len(self.law.coords)
        self.wanted = tuple(sorted({n.orders for n in self.law.needs} | {zero}))
        self.zero = zero
        timed = layout.timed
        ends = [block.points, block.partner]
        self.sides = [np.asarray(p) for p in ends if p is not None]
        self.tables = [layout.tables(points, self.wanted) for points in self.sides]
        self.starts: list[Any] = []
        for points in self.sides:
            if timed:
                space, back = np.unique(points[:, :-1], axis=0, return_inverse=True)
                start = layout.windows.begin(space, self.wanted)
                self.starts.append([start, back.ravel()])
            else:
                self.starts.append(None)

    def physical(self, side: int, t: float, length: float, timed: bool) -> np.ndarray:
        """Points with the time for s."""
        points = self.sides[side].copy()
        if timed:
            points[:, -1] = t + length * points[:, -1]
        return points


class Layout:
    """Neurons, points and tables for windows of one kind."""

    def __init__(
        self,
        problem: Problem,
        config: FrozenConfig,
        windows: Windows,
        slope: float,
        grading: Grading | None,
    ) -> None:
        self.problem, self.config, self.windows = problem, config, windows
        self.slope, self.grading = slope, grading
        self.stale = False
        self.timed = problem.time is not None
        self.features = self._features(grading)
        seed = config.seed
        self.places: list[tuple[np.ndarray, np.ndarray, int | None]] = []
        self.rows = self._all_rows(config.nodes or 1, config.times or 1, None)
        self.checks = self._all_rows(
            2 * (config.nodes or 1) if problem.domain is not None else 1,
            2 * (config.times or 1),
            seed + 1,
        )
        self.num_rows = sum(r.block.num for r in self.rows)

    def _features(self, grading: Grading | None) -> TanhFeatures:
        problem, config = self.problem, self.config
        domain = problem.domain
        bounds = np.zeros((0, 2)) if domain is None else domain.bounds
        periodic = () if domain is None else domain.periodic
        more: dict[str, Any] = {}
        if grading is not None and grading.key:
            centres, partners = grading.centres(config.features or 1, config.seed)
            sharp = grading.sharpness(centres)
            if partners is not None:
                sharp = np.minimum(sharp, grading.sharpness(partners[:, None]))
            more = {"centres": centres, "sharpness": sharp, "partners": partners}
        with precision(np.float64):
            return draw_features(
                bounds,
                [config.harmonics if p else 0 for p in periodic],
                config.features or 1,
                has_time=self.timed,
                slope_x=self.slope,
                slope_t=config.slope_t or 1.0,
                seed=config.seed,
                **more,
            )

    def _all_rows(self, nodes: int, times: int, seed: int | None) -> list[Rows]:
        problem = self.problem
        domain = problem.domain
        if domain is None:
            space = np.zeros((1, 0))
        elif self.grading is not None and self.grading.key:
            space = self.grading.nodes(nodes, seed)
        else:
            space = domain.nodes(nodes, seed)
        s = window_times(times, seed) if self.timed else None
        blocks = [equation(problem, with_times(space, s))]
        self.places.append((space, np.zeros(1) if s is None else s, seed))
        soft = self.soft(len(self.places) - 1, 0.0, 1.0)
        return [Rows(self, block) for block in [*blocks, *map(self._in_window, soft)]]

    def soft(self, which: int, t: float, length: float) -> list[Block]:
        """Conditions that are rows, at the points (0) or those of the check (1), as
        they are in a window: their values may change in time."""
        space, s, seed = self.places[which]
        with precision(np.float64):
            return soft_blocks(self.problem, space, t + length * s, seed=seed)

    def _in_window(self, block: Block) -> Block:
        """Starts at the beginning of the window; observations with the time in it,
        which is the whole of the time."""
        kind = block.name.split()[0]
        if not self.timed or kind not in ("initial", "observation"):
            return block
        t0, t1 = self.problem.span()
        points = np.asarray(block.points).copy()
        points[:, -1] = (points[:, -1] - t0) / (t1 - t0)
        return dataclasses.replace(block, points=points)

    def tables(self, points: np.ndarray, wanted: tuple[Orders, ...]) -> dict:
        """Derivatives of the features of each field at points in s: (field's kind,
        orders) -> `"point feature"`."""
        kinds = self.kinds
        with precision(np.float64):
            out = {}
            for kind in sorted(set(kinds)):
                field = kinds.index(kind)
                found = grown_features(
                    self.features, self.windows.form, field, jnp.asarray(points), wanted
                )
                out.update({(kind, k): np.asarray(v) for k, v in found.items()})
            return out

    @property
    def kinds(self) -> list[int]:
        """Fields of the same kind (order in time, hard sides) share tables."""
        forms = self.windows.form.fields
        keys = [(f.order, tuple(side for side, _ in f.sides)) for f in forms]
        return [keys.index(key) for key in keys]

    @property
    def size(self) -> int:
        """Bytes of all tables."""
        every = [t for rows in [*self.rows, *self.checks] for t in rows.tables]
        return sum(values.nbytes for table in every for values in table.values())

    def part(self, found: Solved, t: float, length: float) -> Part:
        """The window's part of the solution."""
        with precision(np.float64):
            weights = found.weights.reshape(len(self.kinds), -1).T
            trial = Combination(self.features, jnp.asarray(weights))
            return Part(trial, jnp.asarray(t), jnp.asarray(length))

    def continue_from(self, part: Part) -> None:
        """What the window has added is where the next one starts."""
        if not self.timed or self.stale:
            self.stale = True
            return
        for rows in [*self.rows, *self.checks]:
            for pair in rows.starts:
                pair[0] = pair[0].after(part, self.windows)

    def freshen(self) -> None:
        """Starts from all parts, where some were accepted in another layout."""
        if not self.stale:
            return
        windows = self.windows
        for rows in [*self.rows, *self.checks]:
            for pair in rows.starts:
                zero = Start.zero(pair[0].space, list(pair[0].c), windows)
                pair[0] = windows.begin(pair[0].space, list(pair[0].c), zero)
        self.stale = False


@eqx.filter_jit
def grown_features(
    features: TanhFeatures,
    form: HardForm,
    field: int,
    points: Array,
    wanted: tuple[Orders, ...],
) -> dict[Orders, Array]:
    """Derivatives of a field's features, with its mask and its start, at points in
    s."""

    def grown(p: Array) -> Array:
        value = features(p) * form.mask(p)[:, field : field + 1]
        for _ in range(form.orders[field] if form.has_time else 0):
            value = value * p[:, -1:]
        return value

    return derivatives(grown, points, wanted)


def window_times(count: int, seed: int | None) -> np.ndarray:
    """Chebyshev's points in (0, 1], the beginning left out, where starts are exact;
    for checks the points of Gauss and Legendre."""
    if seed is not None:
        return 0.5 * (np.polynomial.legendre.leggauss(count)[0] + 1.0)
    k = np.arange(1, count + 1)
    return 0.5 * (1.0 - np.cos(np.pi * k / count))

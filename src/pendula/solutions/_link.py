"""One subdomain, and the rows of one interface between two of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from .._errors import ConfigError
from .._precision import precision
from ._blocks import Block, with_times
from ._form import hard_form
from ._frozen_config import FrozenConfig
from ._interface import Interface, share
from ._layout import Layout, Rows
from ._parts import Part, Windows
from ._problem import Problem
from ._window import LeastSquares, System


class Side:
    """One subdomain: its form, its layout, its windows."""

    def __init__(self, problem: Problem, config: FrozenConfig, slope: float) -> None:
        self.problem = problem
        self.config = config.filled(problem)
        with precision(np.float64):
            form = hard_form(problem, carry=False)
            self.params = jax.tree.map(np.asarray, problem.values({}))
        self.windows = Windows(form, [], problem.span()[1])
        self.layout = Layout(problem, self.config, self.windows, slope, None)

    def system(self, t: float, length: float) -> System:
        """Its equations in a window."""
        return System(self.layout, t, length, self.params, LeastSquares())


class Link:
    """One term of one interface: rows of both sides at the same points."""

    def __init__(
        self,
        interface: Interface,
        term: str,
        sides: Mapping[str, Side],
        spots: tuple[np.ndarray, np.ndarray],
        times: np.ndarray | None,
    ) -> None:
        self.interface, self.term = interface, term
        self.pair = (interface.a, interface.b)
        self.sides = [sides[name] for name in self.pair]
        space, normals = spots
        points = with_times(space, times)
        data = np.repeat(normals, len(points) // len(space), axis=0)
        weight = np.asarray(share(term) * interface.weight)
        self.name = f"{term} {interface.name}"
        laws = [interface.law(term, side.problem) for side in self.sides]
        blocks = [
            Block(self.name, law, points, None, data, None, weight) for law in laws
        ]
        self.rows = [Rows(s.layout, b) for s, b in zip(self.sides, blocks, strict=True)]
        first, second = (rows.law.equations for rows in self.rows)
        if first != second:
            raise ConfigError(
                f'Interface {interface.name}: term "{term}" has {first} equations on '
                f"one side and {second} on the other. Leave that term out."
            )

    def residual(
        self,
        systems: Mapping[str, System],
        weights: Mapping[str, np.ndarray],
        need: bool,
        known: np.ndarray | None = None,
    ) -> tuple[np.ndarray, list[Any], np.ndarray, list[np.ndarray]]:
        """$R_b - R_a - g$ in units of u, matrices of a and b (where they are needed),
        scales (unless they are known), slopes."""
        matrices, slopes, sizes = [], [], []
        total: Any = 0.0
        none = np.zeros(0)
        for name, rows, sign in zip(self.pair, self.rows, (-1.0, 1.0), strict=True):
            system = systems[name]
            base = system.base_of(rows)
            r, matrix, slope = system.linearise(rows, base, weights[name], none, need)
            total = total + sign * r
            matrices.append(None if matrix is None else sign * matrix)
            slopes += slope
            sizes.append(system.row_scales(slope[0], rows.law))
        system = systems[self.pair[0]]
        at = self.rows[0].physical(0, system.t, system.length, system.layout.timed)
        equations = self.rows[0].law.equations
        weight = float(self.rows[0].block.weight)
        total = total - weight * self.interface.jump(self.term, at, equations)
        scale = np.minimum(sizes[0], sizes[1]) if known is None else known
        factor = scale[None, :, None]
        scaled = [None if m is None else factor * m for m in matrices]
        return scale[None, :] * np.asarray(total), scaled, scale, slopes

    def continue_from(self, parts: Mapping[str, Part]) -> None:
        """What a window has added is where the next one starts."""
        for name, side, rows in zip(self.pair, self.sides, self.rows, strict=True):
            for pair in rows.starts:
                if pair is not None:
                    pair[0] = pair[0].after(parts[name], side.windows)

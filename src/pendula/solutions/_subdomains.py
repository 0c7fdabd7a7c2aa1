"""Several subdomains at once: one least-squares problem for all of them."""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping, Sequence

import numpy as np

from .._compile_clock import CompileClock
from .._errors import ConfigError, PendulaWarning, nearest
from ._conditions import SIDED
from ._frozen_config import FrozenConfig
from ._given import of_kind
from ._interface import Interface
from ._joint import Joint
from ._problem import Problem, check_problem
from ._solution import Solution


_SEEN = 32  # points on a side
_TOUCH = 1e-6  # of a domain: how far apart two of them still meet
_SMALL = 0.1  # of the tolerance, when no other slope is tried


def solve_subdomains(
    pieces: Mapping[str, Problem],
    interfaces: Sequence[Interface],
    config: FrozenConfig | None = None,
    *,
    tol: float = 1e-4,
) -> dict[str, Solution]:
    r"""Solve problems that meet at interfaces, by frozen features and one least-squares
    problem for all of them.

    $$ \min_{a_1, a_2, \dots} \sum_i \|A_i a_i - b_i\|^2
       + \sum_{ij} \|B_{ij} a_i + B_{ji} a_j - g_{ij}\|^2 $$

    A_i are the rows of a subdomain (equation and conditions), B those of an interface.
    Each A_i is first reduced to a triangle by QR, so that the common matrix has as many
    rows as there are weights and rows of interfaces. Nonlinear equations take
    Gauss-Newton steps. In time, windows of equal length (ten, or `config.windows`) are
    solved one after the other.

    **Arguments:**
    - `pieces`: name -> problem, all in the same coordinates, time and fields.
    - `interfaces`: where they meet.
    - `config`: as for the method "frozen"; slopes are tried for all subdomains at once.
    - `tol`: relative error that is asked for; what comes is said in the reports.

    **Returns:** name -> `Solution`; the reports' `check` has what is left of each term,
    value and flux of every interface between the points.
    **Raises:** `ConfigError` for subdomains that do not fit each other, are named and
    missing, have unknown parameters, or a condition where they meet.
    **Warns:** `PendulaWarning` where all together do not have one solution, as `solve`
    does; the reports' `lacking` says why.
    **Source:** domain decomposition by interface terms after Jagtap, Karniadakis 2020
    (XPINNs); as one least-squares problem with random features Dong, Li 2021, local
    extreme learning machines, arXiv:2012.02895.

    ```python
    >>> import jax.numpy as jnp
    >>> from pendula.solutions import (
    ...     Dirichlet, Interface, Interval, Problem, solve_subdomains
    ... )
    >>> def heat(u, x, p):
    ...     return p.k * u.xx
    >>> cold = Dirichlet(0.0, on="x-")
    >>> left = Problem(heat, Interval(0, 1), conditions=[cold], params={"k": 1.0})
    >>> hot = Dirichlet(1.0, on="x+")
    >>> right = Problem(heat, Interval(1, 2), conditions=[hot], params={"k": 3.0})
    >>> meet = Interface("left", "right", on="x+", flux=lambda u, x, p: (p.k * u.x,))
    >>> found = solve_subdomains({"left": left, "right": right}, [meet])
    >>> round(float(found["left"](1.0)), 9)  # flux 3/4 on both sides
    0.75

    ```
    """
    own = config or FrozenConfig()
    _check(pieces, interfaces)
    began = time.perf_counter()
    with CompileClock() as clock:
        joint = _search(dict(pieces), list(interfaces), own, tol)
        left = joint.left_open(tol)
        seconds = time.perf_counter() - began, clock.seconds
    found = {
        name: joint.solution(name, tol, seconds, left, _met(pieces, interfaces, name))
        for name in pieces
    }
    for reason in dict.fromkeys(one.report.lacking for one in found.values()):
        if reason:
            warnings.warn(
                f"solve_subdomains: {reason}. Check the conditions of all subdomains.",
                PendulaWarning,
                stacklevel=2,
            )
    return found


def _met(
    pieces: Mapping[str, Problem], interfaces: Sequence[Interface], name: str
) -> list[str]:
    """Sides of a subdomain where others say what holds: most of them lies there."""
    own, out = pieces[name].domain, []
    for interface in interfaces:
        if name not in (interface.a, interface.b):
            continue
        other = pieces[interface.b if name == interface.a else interface.a].domain
        assert own is not None
        assert other is not None
        for side in own.sides:
            points, _ = own.on_side(side, _SEEN)
            if np.mean(other.contains(points, _TOUCH)) > 0.5:
                out.append(side)
    return out


def _check(pieces: Mapping[str, Problem], interfaces: Sequence[Interface]) -> None:
    """Refuse what does not fit before anything is computed."""
    wanted = "a dictionary from names to problems"
    of_kind("solve_subdomains: subdomains are", pieces, Mapping, wanted)
    wanted = "a list of Interface(...)"
    of_kind("solve_subdomains: interfaces are", interfaces, Sequence, wanted)
    for problem in pieces.values():
        check_problem("solve_subdomains", problem)
    for interface in interfaces:
        of_kind("solve_subdomains: an interface is", interface, Interface, wanted)
    if not pieces or not interfaces:
        raise ConfigError("solve_subdomains: give subdomains, and where they meet.")
    first = next(iter(pieces.values()))
    for name, problem in pieces.items():
        if problem.domain is None:
            raise ConfigError(f'solve_subdomains: "{name}" has no domain.')
        if problem.unknowns:
            raise ConfigError(
                f'solve_subdomains: "{name}" has unknown parameters; they are found '
                "by solve, in one domain."
            )
        same = (problem.coords, problem.time, problem.fields)
        if same != (first.coords, first.time, first.fields):
            raise ConfigError(
                f'solve_subdomains: "{name}" has coordinates {problem.coords}, time '
                f"{problem.time}, fields {problem.fields}; the first one has "
                f"{first.coords}, {first.time}, {first.fields}. All have to agree."
            )
    for interface in interfaces:
        for name in (interface.a, interface.b):
            if name not in pieces:
                raise ConfigError(
                    f'Interface: there is no subdomain "{name}".'
                    f"{nearest(name, pieces)} Subdomains are {', '.join(pieces)}."
                )
        _check_free(pieces[interface.a], interface)
        interface.spots(pieces, 16)
    names = [interface.name for interface in interfaces]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise ConfigError(
            f"solve_subdomains: two interfaces are {twice[0]}. Put their terms, or "
            "their points, into one."
        )


def _check_free(problem: Problem, interface: Interface) -> None:
    """No condition on the side where two subdomains meet."""
    for condition in problem.conditions:
        if isinstance(condition, SIDED) and interface.on in problem.on(condition):
            kind = type(condition).__name__
            raise ConfigError(
                f'Interface: "{interface.a}" meets "{interface.b}" on '
                f'"{interface.on}", and has a {kind} condition there. Say on= of that '
                "condition."
            )


def _search(
    pieces: dict[str, Problem],
    interfaces: list[Interface],
    config: FrozenConfig,
    tol: float,
) -> Joint:
    """The slope whose residuals between the points are smallest."""
    slopes = config.filled(next(iter(pieces.values()))).slopes or ()
    best: Joint | None = None
    for slope in slopes:
        joint = Joint(pieces, interfaces, config, slope)
        joint.run()
        if best is None or joint.worst < best.worst:
            best = joint
        if best.worst < _SMALL * tol:
            break
    assert best is not None
    return best

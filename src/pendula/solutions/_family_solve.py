"""`solve_family`: one problem at many sets of parameters, together."""

from __future__ import annotations

import dataclasses
import time
import warnings
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from .._checks import positive
from .._compile_clock import CompileClock
from .._errors import (
    ConfigError,
    DataError,
    PendulaWarning,
    ShapeError,
    nearest,
)
from ._conditions import Dirichlet, Initial, Observation
from ._family import FamilySolution
from ._family_plan import FamilySolver
from ._form import HardForm
from ._frozen_config import FrozenConfig
from ._given import numbers, of_kind
from ._jumps import keeps_jumps
from ._lacking import lacking
from ._parts import Windows
from ._problem import Problem, check_problem
from ._solve import of_problem


def solve_family(
    problem: Problem,
    params_batch: Mapping[str, ArrayLike],
    *,
    tol: float = 1e-4,
    config: FrozenConfig | None = None,
    check: bool = True,
    alone: bool = True,
) -> FamilySolution:
    r"""Solve one problem at many sets of parameters with frozen random features.

    All sets share neurons, points and windows, so that their tables are made once and
    one program, compiled once, solves them all:

    $$ w_{p} = \arg\min_w \| r(g_p + c_p + s^q \phi w;\ p) \|^2
       \quad\text{for each set } p $$

    How many windows there are follows the residual between the points of the set for
    which it is largest. Each set has its own residual between the points; sets for
    which it is too large get windows of their own kind, and those that fail even then
    are solved alone by `solve`, which the result says. What a small residual leaves may
    still grow: the error of each set is estimated by other neurons in the same windows.

    **Shapes and units**: entries of `params_batch` `"set"`; the result is called with
    coordinates `"..."` and gives `"set ..."`.
    **Arguments:**
    - `problem`: its other parameters are the same for all sets.
    - `params_batch`: name of a parameter -> one number for each set.
    - `tol`: relative error in L2 that is asked for, above 0.
    - `config`: sizes and seed; by default about half of what `solve` takes.
    - `check`: whether errors are estimated; that costs as much as the last round of
      windows. Without, only residuals say what has converged.
    - `alone`: whether sets that did not converge are solved alone.

    **Returns:** `FamilySolution`.
    **Raises:** `ConfigError`, `ShapeError`, `DataError` for parameters that do not
    belong to the problem or cannot be used; `ConfigError` for problems with `Unknown`
    parameters, observations, or conditions that are rows of the loss and change in
    time. **Warns:** `PendulaWarning` for ends on which too little is given, and a start
    that does not fit them.
    **Source:** Datar et al. 2024, arXiv:2405.20836, for one set; the family is ours.

    ```python
    >>> import jax.numpy as jnp, numpy as np
    >>> from pendula.solutions import Initial, Interval, Problem, solve_family
    >>> wave = Problem(
    ...     lambda u, x, t, p: u.t + p.beta * u.x,
    ...     domain=Interval(0.0, 2 * np.pi, periodic=True),
    ...     time=(0.0, 1.0),
    ...     conditions=[Initial(jnp.sin)],
    ...     params={"beta": 1.0},
    ... )
    >>> family = solve_family(wave, {"beta": [1.0, 2.0, 3.0]})
    >>> x = np.linspace(0.0, 6.0, 7)
    >>> u = family(x, 1.0)
    >>> u.shape, bool(np.abs(u[1] - np.sin(x - 2.0)).max() < 1e-4)
    ((3, 7), True)

    ```
    """
    check_problem("solve_family", problem)
    positive("solve_family", tol=tol)
    if config is not None:
        of_kind("solve_family: config is", config, FrozenConfig, "FrozenConfig(...)")
    batch = _batch(problem, params_batch)
    _check_conditions(problem)
    began = time.perf_counter()
    with CompileClock() as clock:
        whole = problem.replace(params=_generic(batch))
        solver = FamilySolver(whole, batch, tol, _sizes(whole, config))
        for doubt in of_problem(problem, solver.form, _lacking(whole, solver.form)):
            warnings.warn(f"solve_family: {doubt}", PendulaWarning, stacklevel=2)
        solver.run()
        if check:
            solver.estimate()
        if alone:
            solver.finish_alone(check=check)
        solver.found.converged &= not keeps_jumps(problem, solver.form, tol)
        compiled = clock.seconds
    ran = time.perf_counter() - began
    return FamilySolution(
        problem,
        batch,
        solver.form,
        solver.rates,
        solver.groups,
        solver.found,
        (compiled, max(ran - compiled, 0.0)),
    )


def _lacking(problem: Problem, form: HardForm) -> str | None:
    """What is not given, seen at the start."""
    return lacking(problem, Windows(form, [], problem.span()[1]), {})


def _batch(
    problem: Problem, params_batch: Mapping[str, ArrayLike]
) -> dict[str, np.ndarray]:
    """The sets, checked."""
    if problem.unknowns:
        raise ConfigError(
            f"solve_family: {next(iter(problem.unknowns))} is Unknown. Families are "
            "for parameters that are given; solve it with `solve`."
        )
    wanted = 'names with one number for each set: {"nu": [0.1, 0.2]}'
    of_kind("solve_family: params_batch is", params_batch, Mapping, wanted)
    if not params_batch:
        raise ConfigError("solve_family: params_batch is empty. Name what varies.")
    out: dict[str, np.ndarray] = {}
    for name, given in params_batch.items():
        if name not in problem.params:
            raise ConfigError(
                f'solve_family: params_batch has "{name}", which the problem has not.'
                f"{nearest(str(name), problem.params)} Parameters are "
                f"{', '.join(problem.params) or 'none'}."
            )
        values = numbers(f'solve_family: params_batch["{name}"] is', given)
        if values.ndim != 1 or not len(values):
            raise ShapeError(
                f'solve_family: params_batch["{name}"] has shape {values.shape}; '
                "expected one number for each set."
            )
        if not np.isfinite(values).all():
            bad = int(np.flatnonzero(~np.isfinite(values))[0])
            raise DataError(
                f'solve_family: params_batch["{name}"] is {values[bad]} in set {bad}; '
                "it has to be finite."
            )
        out[name] = values
    lengths = {name: len(values) for name, values in out.items()}
    if len(set(lengths.values())) > 1:
        raise ShapeError(f"solve_family: numbers of sets differ: {lengths}.")
    return out


def _generic(batch: dict[str, np.ndarray]) -> dict[str, float]:
    """Values at which every term is there that is there for any set: as large as they
    get, and no two of them alike."""
    largest = {name: v[np.abs(v).argmax()] for name, v in batch.items()}
    return {k: float(v * (1.0 + 0.01 * n)) for n, (k, v) in enumerate(largest.items())}


def _check_conditions(problem: Problem) -> None:
    """Rows of the loss have to be the same in every window."""
    for condition in problem.conditions:
        if isinstance(condition, Observation):
            raise ConfigError("solve_family: an Observation belongs to one set only.")
        refused = callable(getattr(condition, "value", None))
        if isinstance(condition, Initial):
            several = isinstance(condition.value, Sequence)
            own = range(len(problem.fields))
            own = own if several else [problem.field_index(condition.field)]
            refused = not all(problem.starts(condition, k) for k in own)
        elif isinstance(condition, Dirichlet):
            held = problem.held(condition)
            refused = refused and len(held) < len(problem.on(condition))
        if refused:
            raise ConfigError(
                f"solve_family: {type(condition).__name__} is a row of the loss that "
                "changes in time, or a start that is not met exactly. Solve each set "
                "with `solve`."
            )


def _sizes(problem: Problem, config: FrozenConfig | None) -> FrozenConfig:
    """Fewer neurons than one solve takes, in more windows: the cost of a window grows
    with the cube of their number."""
    own = config or FrozenConfig()
    dim = 0 if problem.domain is None else problem.domain.dim
    periodic = problem.domain is not None and all(problem.domain.periodic)
    if problem.time is not None and dim == 1:
        line = (200, 44, 12) if periodic else (300, 64, 9)
        names = ("features", "nodes", "times")
        more = {k: v for k, v in zip(names, line, strict=True) if not getattr(own, k)}
        own = dataclasses.replace(own, **more)
    return own.filled(problem)

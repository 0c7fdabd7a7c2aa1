"""How far solutions of different seeds lie apart."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from .._checks import positive, whole
from .._errors import ConfigError
from ._estimate import grid, norms
from ._given import of_kind
from ._outcome import Deadline, Method
from ._problem import Problem, check_problem


_NODES, _TIMES = 256, 33


def ensemble(
    problem: Problem,
    method: Method,
    seeds: Sequence[int] = range(5),
    *,
    tol: float = 1e-4,
    deadline: Deadline | None = None,
) -> dict[str, Any]:
    r"""Solve once for each seed; the spread of the solutions over time.

    $$ \sigma(t) = \Big(\frac{1}{S - 1} \sum_s \|u_s(t) - \bar u(t)\|^2\Big)^{1/2}
       \Big/ \|\bar u(t)\| $$

    A cheap measure of what the random part of a method does. It says nothing of what
    all members have in common: hidden sources, a tolerance that is too loose.

    **Arguments:** `seeds`: at least two, all different; `tol`, `deadline`: of each
    solve, of all of them.
    **Returns:** `times`, as far as all members came; `spread` (one a time, relative);
    `overall`; `converged`: how many members reached the tolerance; `members`: their
    number.
    **Raises:** `ConfigError` for seeds that will not do, or a method without one.

    ```python
    >>> from pendula.solutions import Frozen, Initial, Problem, ensemble
    >>> decay = Problem(
    ...     lambda u, t, p: u.t + u(), time=(0.0, 1.0), conditions=[Initial(1.0)]
    ... )
    >>> found = ensemble(decay, Frozen(), seeds=(0, 1, 2))
    >>> found["members"], found["overall"] < 1e-4
    (3, True)

    ```
    """
    check_problem("ensemble", problem)
    positive("ensemble", tol=tol)
    of_kind("ensemble: seeds are", seeds, Iterable, "a list of them: range(5)")
    if deadline is not None:
        of_kind("ensemble: deadline is", deadline, Deadline, "Deadline.after(seconds)")
    every = [whole(0, "ensemble", seeds=seed) for seed in seeds]
    if len(every) < 2 or len(set(every)) < len(every):
        raise ConfigError(
            f"ensemble: seeds are {every}; a spread needs two different ones at least."
        )
    limit = Deadline() if deadline is None else deadline
    outcomes = [with_seed(method, seed).run(problem, tol, limit) for seed in every]
    until = min(outcome.windows.reached() for outcome in outcomes)
    points, times, weights = grid(problem, _NODES, _TIMES, until=until)
    zero = (0,) * len(problem.coords)
    values = [outcome.windows.values(points, [zero])[zero] for outcome in outcomes]
    stack = np.stack([v.reshape(len(weights), len(times), -1) for v in values])
    # seed, point, time, field
    mean = stack.mean(0)
    each = np.stack([norms(one - mean, weights) ** 2 for one in stack])
    apart = each.sum(0) / (len(every) - 1)
    size = norms(mean, weights) ** 2
    spread = np.sqrt(apart / np.maximum(size, 1e-300))
    return {
        "times": times.tolist(),
        "spread": spread.tolist(),
        "overall": float(np.sqrt(apart.sum() / max(float(size.sum()), 1e-300))),
        "converged": sum(outcome.converged for outcome in outcomes),
        "members": len(every),
    }


def with_seed(method: Method, seed: int) -> Method:
    """The same method with another seed, its own or that of its settings.

    **Raises:** `ConfigError` for a method that has none.
    """
    if dataclasses.is_dataclass(method):
        known = {field.name for field in dataclasses.fields(method)}
        if "seed" in known:
            return dataclasses.replace(method, seed=seed)  # type: ignore[return-value, type-var]  # a dataclass
        config = getattr(method, "config", None)
        if "config" in known and hasattr(config, "seed"):
            settings = dataclasses.replace(config, seed=seed)  # type: ignore[type-var]  # a dataclass
            return dataclasses.replace(method, config=settings)  # type: ignore[return-value, type-var]  # a dataclass
    raise ConfigError(
        f'ensemble: the method "{getattr(method, "name", method)}" has no seed. Give '
        "settings that have one, as Frozen() or method_of(name, {})."
    )

"""PySINDy as a peer: every way of using it that is tried, as laws of our library.

A candidate is a method (plain, ensemble, weak form), a way to differentiate or a size
of the test functions, and a threshold. What it finds are coefficients of named terms;
they are put into a `Library`, so that one solver and one score serve both sides.
"""

from __future__ import annotations

import importlib
import importlib.util
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..data import Trajectories
from ..dynamics import Library
from ._study import NotHere


PEER = "PySINDy 2.1.0"


def check_here() -> None:
    """**Raises:** `NotHere` without the peer."""
    if importlib.util.find_spec("pysindy") is None:
        raise NotHere('pysindy is not installed here: pip install "pendula[bench]"')


def candidates(
    data: Trajectories,
    library: Library,
    settings: dict[str, Any],
    only: str | None = None,
) -> dict[str, np.ndarray]:
    """Coefficients `"term out"` found from first-order rates, by candidate.

    **Arguments:** `library`: gives the terms; `settings`: the `thresholds`, the
    `windows` of Savitzky and Golay's filter (0: plain differences), and for the weak
    form the number `domains` of test functions and their `widths`, shares of a
    record; `only`: this candidate alone.
    """
    found: dict[str, np.ndarray] = {}
    for name, model, xs, ts in _models(data, library, settings):
        if only is not None and name != only:
            continue
        with warnings.catch_warnings():
            # it tells of ill-conditioned fits and of thresholds that leave nothing
            warnings.simplefilter("ignore")
            np.random.seed(0)  # noqa: NPY002 - bagging draws from the global stream
            values = np.full(library.coefficients.shape, np.nan)
            try:
                model.fit(xs, t=ts)
                values = np.asarray(model.coefficients(), float).T
            except (ValueError, np.linalg.LinAlgError):
                pass  # a threshold that no term reaches
        found[name] = np.where(np.isfinite(values).all(), values, 0.0)
    return found


def _models(
    data: Trajectories, library: Library, settings: dict[str, Any]
) -> Iterator[tuple[str, Any, list[np.ndarray], list[np.ndarray]]]:
    """Name, unfitted model and records of every candidate."""
    ps: Any = importlib.import_module("pysindy")

    xs = [data.ys[i, :n] for i, n in enumerate(data.lengths)]
    ts = [data.ts[i, :n] for i, n in enumerate(data.lengths)]
    for threshold in settings["thresholds"]:
        for window in settings["windows"]:
            way = f"window {window}" if window else "differences"
            for method in ("plain", "ensemble"):
                optimizer = ps.STLSQ(threshold=threshold)
                if method == "ensemble":
                    optimizer = ps.EnsembleOptimizer(optimizer, bagging=True)
                model = ps.SINDy(
                    optimizer=optimizer,
                    feature_library=terms(library),
                    differentiation_method=derivative(window),
                )
                yield f"{method}, {way}, {threshold:g}", model, xs, ts
    for width in settings["widths"]:
        weak = _weak(ts, library, width, settings["domains"])
        for threshold in settings["thresholds"] if weak is not None else ():
            model = ps.SINDy(
                optimizer=ps.STLSQ(threshold=threshold), feature_library=weak
            )
            yield f"weak, width {width:g}, {threshold:g}", model, xs, ts


def derivative(window: int) -> Any:
    """A fresh way to differentiate: it remembers what it smoothed."""
    ps: Any = importlib.import_module("pysindy")

    if not window:
        return ps.FiniteDifference()
    options = {"window_length": window, "polyorder": 3}
    return ps.SmoothedFiniteDifference(smoother_kws=options)


def _weak(ts: list[np.ndarray], library: Library, width: float, domains: int) -> Any:
    """The weak form on the common times; None where records differ in length."""
    ps: Any = importlib.import_module("pysindy")

    if any(len(t) != len(ts[0]) for t in ts):
        return None
    np.random.seed(0)  # noqa: NPY002 - places of the test functions
    return ps.WeakPDELibrary(
        function_library=terms(library),
        spatiotemporal_grid=ts[0],
        K=domains,
        H_xt=width * float(ts[0][-1] - ts[0][0]),
    )


def terms(library: Library) -> Any:
    """Its own library with the terms of ours, in the same order."""
    ps: Any = importlib.import_module("pysindy")

    degree = max(map(sum, library.powers))
    out = ps.PolynomialLibrary(degree=degree)
    if not library.waves:
        return out
    functions, words = [], []
    for i in library.waves:
        for name, wave in (("sin", np.sin), ("cos", np.cos)):
            functions.append(_of_all(wave, i, len(library.powers[0])))
            words.append(lambda *x, name=name, i=i: f"{name}({x[i]})")
    return out + ps.CustomLibrary(functions, function_names=words)


def _of_all(wave: Any, index: int, variables: int) -> Any:
    """A function of all variables that looks at one: such a term occurs once."""
    two = lambda a, b: wave((a, b)[index])
    three = lambda a, b, c: wave((a, b, c)[index])
    return {1: wave, 2: two, 3: three}[variables]


def introduction(data: Trajectories) -> np.ndarray:
    """Coefficients `"term out"` of the peer's introductory example: its defaults."""
    ps: Any = importlib.import_module("pysindy")

    model = ps.SINDy()
    model.fit(data.ys[0], t=float(data.ts[0, 1] - data.ts[0, 0]))
    return np.asarray(model.coefficients(), float).T

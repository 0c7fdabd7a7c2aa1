"""The page of a solved equation: true to its numbers, and open on what it lacks."""

from __future__ import annotations

import dataclasses
import json
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pendula._precision import precision
from pendula.report import (
    read_run,
    solve_verdict,
    write_figures,
    write_page,
    write_solution,
)
from pendula.solutions import (
    Diagnosis,
    Initial,
    Problem,
    Solution,
    SolveReport,
    Unknown,
    derivatives,
    named_problem,
    truth_call,
    truth_of,
)
from pendula.systems import closed_form


IN_TIME = {"solution", "error", "residual", "windows"}  # figures


class Exact(Solution):
    """A solution in closed form, off by a factor: its errors are known."""

    def __init__(self, problem, form, report, unknown=None):
        self.problem, self.form, self.report = problem, form, report
        self.unknown = unknown or {}

    @property
    def reached(self):
        return self.report.windows[-1] if self.report.windows else 0.0

    def values(self, points, wanted):
        needed = jax.jit(lambda p: derivatives(self.form, p, wanted))
        with precision(np.float64):
            found = needed(jnp.asarray(points))
            return {k: np.asarray(v).reshape(len(points), -1) for k, v in found.items()}


def told(problem, **changes):
    """A report of a solve that went well."""
    end = [] if problem.time is None else list(np.linspace(*problem.time, 5))
    times = list(np.linspace(*problem.time, 9)) if problem.time else [0.0]
    flat = lambda value: [value] * len(times)
    entries = {
        "problem": problem.name,
        "method": "frozen",
        "converged": True,
        "tol": 1e-3,
        "windows": [float(t) for t in end],
        "weights": 1200,
        "points": 800,
        "iterations": 4,
        "seconds_compile": 2.0,
        "seconds_run": 1.0,
        "peak_memory_mb": 321.0,
        "train": {"equation": 1e-6},
        "check": {"equation": 2e-6},
        "condition": 3e11,
        "estimate": {
            "times": times,
            "relative": flat(1.1e-4),
            "overall": 1.1e-4,
            "converged": True,
        },
        "certificate": {
            "kind": "convection",
            "times": times,
            "bound": flat(5e-4),
            "overall": 5e-4,
            "informative": True,
            "text": "Rigorous up to the sampling of the residual.",
        },
        "width": [0.8, 0.6, 1e-5] if problem.domain and problem.time else None,
    }
    return SolveReport(**{**entries, **changes})


def wave(off=2e-4, end=1.0, **changes):
    problem = named_problem("convection", beta=3.0, end=end)
    form = lambda p: (1.0 + off) * jnp.sin(p[:, 0] - 3.0 * p[:, 1])
    return Exact(problem, form, told(problem, **changes))


def words(page):
    """The text of a page, without its figures."""
    hidden = re.compile(r"<svg.*?</svg>|<style>.*?</style>", re.S)
    text = hidden.sub(" ", page.read_text())
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", text))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "wave"
    page = write_solution(
        folder,
        wave(),
        name="convection",
        params={"beta": 3.0},
        config={"problem": "convection", "tol": 1e-3, "seed": 0, "options": {}},
        command="pendula solve convection --set beta=3",
        seconds=5.5,
    )
    return folder, page, read_run(folder)


def test_the_run_holds_what_the_page_is_made_from(made):
    folder, page, run = made
    files = {p.name for p in folder.iterdir()}
    kept = {"solution.json", "arrays.npz", "config.toml", "report.json", "report.html"}
    assert files == kept
    assert json.loads((folder / "solution.json").read_text())["weights"] == 1200
    before = page.read_bytes()
    assert write_page(folder).read_bytes() == before
    assert run.report["kind"] == "solve"
    assert "options" not in (folder / "config.toml").read_text()


def test_arrays_are_values_truth_and_error_on_the_grid(made):
    _, _, run = made
    x, t = run.array("solve/axis_x"), run.array("solve/t")
    u, truth = run.array("solve/u"), run.array("solve/truth")
    assert u.shape == truth.shape == (1, len(t), len(x))
    exact = np.sin(x[None, :] - 3.0 * t[:, None])
    np.testing.assert_allclose(u[0], 1.0002 * exact, atol=1e-14)
    np.testing.assert_allclose(truth[0], exact, atol=1e-12)
    # off by a factor of 1 + 2e-4 everywhere, and a residual of nothing but rounding
    np.testing.assert_allclose(run.array("solve/error"), 2e-4, rtol=1e-6)
    assert np.abs(run.array("solve/residual")).max() < 1e-14
    assert run.report["solve"]["error"]["overall"] == pytest.approx(2e-4, rel=1e-6)
    assert run.report["solve"]["error"]["truth"] == 0.0


def test_the_page_says_what_the_report_says(made):
    text = words(made[1])
    for part in (
        "Solved to 0.001: the estimated error is 0.00011.",
        "asked for 0.001, true error 0.00020",
        "u_t + beta u_x = 0",
        "beta = 3",
        "x from 0 to 6.28, periodic",
        "against a closed form",
        "Rigorous up to the sampling",
        "windows of time 4",
        "compiling 2 s",
        "solving 1 s",
        "estimate, certificate, diagnosis 2.5 s",
        "No fault was found.",
        "2 modes fixed in space leave less than 0.001 of the solution",
        "Fourier series",
        "times as long as the classical solver",
        "pendula solve convection --set beta=3",
        "The network itself is not kept",
        "Krishnapriyan",
    ):
        assert part in text, part


def test_seven_sections_and_nothing_fetched(made):
    text = made[1].read_text()
    headings = re.findall(r'<span class="k">(\d)</span> (\w+)', text)
    assert [h[0] for h in headings] == list("1234567")
    assert "<script" not in text
    assert "http" not in text.replace("http-equiv", "")
    links = re.findall(r'(?:href|src)="([^"]+)"', text)
    assert all(v.startswith(("#", "data:")) for v in links)
    assert made[1].stat().st_size < 5_000_000


def test_figures(made, tmp_path):
    paths = write_figures(made[0], tmp_path)
    assert {p.stem for p in paths} == IN_TIME | {"width"}
    text = made[1].read_text()
    for axis in ("relative error [1]", "length of the window", "t = 0.5", "truth"):
        assert axis in text
    assert "data:image/png" in text  # maps are pictures, not a box a point


PART = {"overall": 1e-4, "until": 0.5}
FAULT = (Diagnosis("bandwidth", "60 % lies beyond.", "Take more."),)


def fitted(ends):
    """What a report says of a parameter that measurements allow between ends."""
    return {"unknown": {"k": 1.8}, "unknown_interval": {"k": ends}}


@pytest.mark.parametrize(
    ("true", "changes", "trust", "part"),
    [
        (1e-4, {}, True, "Solved to 0.001"),
        (1e-4, {"estimate": None}, None, "The error was not estimated"),
        (1e-4, {"estimate": PART}, None, "up to t = 0.500 only: the time for it"),
        (1e-4, {"converged": False}, False, "residual between the points"),
        (1e-4, {"lacking": "many do"}, False, "It has not one solution: many do."),
        (0.01, {}, False, "The true error is 0.010, above 0.001"),
        (1e-4, {"tol": 1e-5}, False, "The estimated error is 0.00011, above 1e-5"),
        (1e-4, {"diagnosis": FAULT}, False, "Diagnosis: bandwidth"),
        (1e-4, fitted((1.6, 2.0)), True, "allow k from 1.6 to 2, which changes"),
        (1e-4, {"unknown": {"k": 1.8}}, True, "How sure k is"),
        (1e-4, fitted((1.0, np.inf)), False, "do not determine k"),
        (
            1e-4,
            {**fitted((1.6, 2.0)), "missed": 2.5, "converged": False},
            False,
            "missed by 2.5 of their sigma",
        ),
    ],
)
def test_verdict(true, changes, trust, part):
    report = dataclasses.asdict(wave(**changes).report)
    estimate = report["estimate"]
    verdict = solve_verdict(
        {
            "report": report,
            "problem": {"time": [0.0, 1.0], "conditions": ["Initial", "Observation"]},
            "reached": 1.0,
            "estimated": estimate and estimate["overall"],
            "error": {"overall": true, "truth": 0.0},
        }
    )
    assert verdict["trust"] is trust
    assert part in " ".join([verdict["text"], *verdict["reasons"]])


def test_what_was_not_reached_is_not_shown(tmp_path):
    """A network beyond its last window is no solution: no value, no error of it."""
    solution = wave(converged=False, windows=[0.0, 0.2, 0.5], diagnosis=FAULT)
    page = write_solution(tmp_path, solution, name="convection", params={"beta": 3.0})
    run = read_run(tmp_path)
    t = run.array("solve/t")
    known = np.isfinite(run.array("solve/u")).all(axis=(0, 2))
    np.testing.assert_array_equal(known, t <= 0.5)
    assert len(run.array("solve/error")) == known.sum()
    assert run.array("solve/estimate_times").max() <= 0.5
    assert "The budget ended at t = 0.500 of 1" in words(page)
    assert "Shaded: not reached" in words(page)
    assert "bandwidth 60 % lies beyond. Take more." in words(page)
    assert 'class="verdict bad"' in page.read_text()


def test_the_start_alone_tells_no_error(tmp_path):
    """It is what was given: an error of 0 there would say that all is well."""
    solution = wave(converged=False, windows=[0.0, 1e-4])
    page = write_solution(tmp_path, solution, name="convection", params={"beta": 3.0})
    assert read_run(tmp_path).array("solve/error") is None
    assert "true error" not in words(page)
    assert "none of the known faults explains that" in words(page)


def test_without_a_name_there_is_no_truth(tmp_path):
    page = write_solution(tmp_path, wave(), source=("mine.py", "problem = <b>"))
    run = read_run(tmp_path)
    assert run.array("solve/truth") is None
    assert "true error" not in words(page)
    assert "problem = &lt;b&gt;" in page.read_text()


def plane(name, **params):
    """A problem in the plane with its closed form."""
    problem, (truth, given) = named_problem(name, **params), truth_call(name, **params)
    timed = problem.time is not None
    form = lambda p: closed_form(
        truth, p[:, :2], p[:, 2] if timed else jnp.zeros_like(p[:, 0]), jnp, **given
    )
    return Exact(problem, form, told(problem))


def decay():
    problem = Problem(
        lambda u, t, p: u.t + p.rate * u(),
        time=(0.0, 2.0),
        conditions=[Initial(1.0)],
        params={"rate": Unknown("rate", 1.0)},
    )
    form = lambda p: jnp.exp(-(1.5 + 1e-11) * p[:, 0])
    return Exact(problem, form, told(problem), {"rate": 1.5})


def line():
    problem = named_problem("poisson", kind="sine", length=1.0)
    form = lambda p: closed_form("poisson", p[:, 0], 0.0, jnp, kind="sine")
    return Exact(problem, form, told(problem))


@pytest.mark.parametrize(
    ("make", "name", "params", "shape", "figures"),
    [
        (decay, None, {}, (1, 2000), IN_TIME),
        (
            line,
            "poisson",
            {"kind": "sine", "length": 1.0},
            (1, 1, 2000),
            {"solution", "residual"},
        ),
        pytest.param(
            lambda: plane("helmholtz"),
            "helmholtz",
            {},
            (1, 1, 128, 128),
            {"solution", "residual"},
            marks=pytest.mark.slow,
        ),
        pytest.param(
            lambda: plane("flow_mixing"),
            "flow_mixing",
            {},
            (1, 13, 64, 64),
            IN_TIME | {"width"},
            marks=pytest.mark.slow,
        ),
    ],
)
def test_other_shapes(tmp_path, make, name, params, shape, figures):
    """An equation in time, one of a line, one of a plane, a plane in time."""
    page = write_solution(tmp_path / "run", make(), name=name, params=params)
    run = read_run(tmp_path / "run")
    assert run.array("solve/u").shape == shape
    assert {p.stem for p in write_figures(tmp_path / "run", tmp_path)} == figures
    assert np.nanmax(np.abs(run.array("solve/residual"))) < 1e-9
    if name is None:
        assert "found rate = 1.5" in words(page)
    else:
        assert run.report["solve"]["error"]["overall"] < 1e-14


def test_several_fields_have_a_row_each(tmp_path):
    problem = named_problem("lorenz", end=0.5)
    t = np.linspace(0.0, 0.5, 2000)
    truth = truth_of("lorenz", np.zeros((1, 0)), t)[:, :, 0]

    def form(p):
        rows = [jnp.interp(p[:, 0], jnp.asarray(t), jnp.asarray(r)) for r in truth]
        return (1.0 + 1e-6) * jnp.stack(rows, axis=1)

    page = write_solution(
        tmp_path,
        Exact(problem, form, told(problem)),
        name="lorenz",
        params={"end": 0.5},
    )
    run = read_run(tmp_path)
    assert run.array("solve/u").shape == (3, 2000)
    assert run.report["solve"]["error"]["overall"] == pytest.approx(1e-6, rel=1e-3)
    assert run.report["solve"]["error"]["fields"] == ["x", "y", "z"]
    assert "DOP853" in words(page)
    assert "equation 3" in page.read_text()

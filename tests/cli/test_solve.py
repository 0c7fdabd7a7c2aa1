"""`pendula solve`: exit status, files, messages; what a user's file may do wrong."""

from __future__ import annotations

import json

import numpy as np
import pytest

from pendula.cli._solve import _suited
from pendula.solutions import PROBLEMS


DECAY = """
import helper
from pendula.solutions import Initial, Problem

print("made")
problem = Problem(
    lambda u, t, p: u.t + p.rate * u(),
    time=(0.0, helper.END),
    conditions=[Initial(1.0)],
    params={"rate": 1.0},
    name="decay",
)
if __name__ == "__main__":
    raise SystemExit("not run as a script")
"""


@pytest.fixture
def decay(tmp_path):
    """A problem of one equation, in a file that imports its neighbour."""
    folder = tmp_path / "my problems"
    folder.mkdir()
    (folder / "helper.py").write_text("END = 2.0\n")
    (folder / "decay.py").write_text(DECAY)
    return folder / "decay.py"


def test_a_file_is_solved_and_told(pendula, decay, tmp_path):
    options = ["--set", "rate=1.5", "--tol", "1e-6", "--out", "run", "--json"]
    done = pendula("solve", decay, *options, "--no-check", "--seed", "3")
    assert done.status == 0, done.err
    told = json.loads(done.out)  # what the file prints is not among it
    assert "made" in done.err
    assert "solving" in done.err
    assert told["verdict"]["trust"] is None
    run = tmp_path / "run"
    kept = {"solution.json", "arrays.npz", "config.toml", "report.json", "report.html"}
    assert {p.name for p in run.iterdir()} == kept
    with np.load(run / "arrays.npz") as arrays:
        t, u = arrays["solve/t"], arrays["solve/u"][0]
    np.testing.assert_allclose(u, np.exp(-1.5 * t), atol=1e-6)
    assert "seed = 3" in (run / "config.toml").read_text()
    page = (run / "report.html").read_text()
    assert "import helper" in page  # the file is shown as it was given
    assert "The error was not estimated" in page
    assert "rate = 1.5" in page
    (run / "report.html").unlink()
    assert pendula("report", run).status == 0
    assert (run / "report.html").read_text() == page
    checked = pendula("check", run)
    assert checked.status == 1  # no reason to trust it: nobody has looked
    again = pendula("solve", decay, "--out", "run")
    assert again.status == 2
    assert "--force" in again.err


@pytest.mark.slow
def test_a_file_is_checked(pendula, decay, tmp_path):
    done = pendula("solve", decay, "--tol", "1e-6", "--out", "run")
    assert done.status == 0, done.err
    assert "Solved to 1e-6: the estimated error is" in done.out
    assert "solving and checking" in done.err
    told = json.loads((tmp_path / "run" / "solution.json").read_text())
    assert told["estimate"]["overall"] < 1e-6
    checked = pendula("check", tmp_path / "run")
    assert checked.status == 0
    assert "Solved to 1e-6" in checked.out


@pytest.mark.slow
def test_a_budget_that_ends_early_is_status_1_and_a_page(pendula, tmp_path):
    options = ["--set", "end=5,sigma=9", "--method.features", "30", "--no-check"]
    done = pendula("solve", "lorenz", *options, "--budget", "0.001")
    assert done.status == 1, done.err
    assert "The budget ended at t = " in done.out
    assert "runs/lorenz/report.html" in done.out
    config = (tmp_path / "runs" / "lorenz" / "config.toml").read_text()
    for line in ("sigma = 9.0", "rho = 28.0", "features = 30", "seed = 0"):
        assert line in config


@pytest.mark.slow
def test_what_suits_a_problem_is_taken_where_nothing_else_is_said(pendula, tmp_path):
    options = ["--method.features", "30", "--no-check", "--budget", "0.001"]
    done = pendula("solve", "burgers", *options)
    assert "suits burgers, where nothing else is said: tol = 0.0005" in done.err
    config = (tmp_path / "runs" / "burgers" / "config.toml").read_text()
    for line in ("tol = 0.0005", "nodes = 140", "features = 30"):
        assert line in config
    pendula("solve", "burgers", *options, "--tol", "0.1", "--force")
    config = (tmp_path / "runs" / "burgers" / "config.toml").read_text()
    assert "tol = 0.1" in config


def test_settings_that_suit_are_those_of_one_method():
    assert _suited("burgers", "frozen") == {"tol": 5e-4, "nodes": 140}
    assert _suited("burgers", "adam") == {"tol": 5e-4}
    assert _suited("convection", "frozen") == _suited(None, "frozen") == {}


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ([], "PROBLEM requires an argument"),
        (["convecton"], 'Did you mean "convection"?'),
        (["absent.py"], "absent.py: there is no such file"),
        (["convection", "--set", "bta=1"], 'Did you mean "beta"?'),
        (["convection", "--set", "beta"], "NAME=VALUE"),
        (["convection", "--set", "beta=fast"], "no finite number"),
        (["convection", "--set", "end=-1"], "end has to come after"),
        (["convection", "--set", "method.feature=9"], 'mean "features"?'),
        (["convection", "--set", "method.seed=3"], "is given otherwise"),
        (["convection", "--set", "method.features=0"], "features is 0"),
        (["convection", "--tol", "0"], "tol is 0"),
        (["convection", "--tol", "small"], "into float"),
        (["convection", "--budget", "soon"], "write it as"),
        (["convection", "--budget", "1.2.3 s"], "write it as"),
        (["convection", "--method", "frozn"], 'Did you mean "frozen"?'),
        (["poisson", "--set", "plane=maybe"], "yes or no"),
        (["poisson", "--set", "kind=sin"], 'Did you mean "sine"?'),
    ],
)
def test_bad_input_is_one_line_and_status_2(pendula, tmp_path, argv, words):
    done = pendula("solve", *argv)
    assert done.status == 2
    assert done.out == ""
    last = done.err.strip().splitlines()[-1]
    assert last.startswith("pendula: ")
    assert words in last
    assert "Traceback" not in done.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("problem = (", "mine.py, line 1: SyntaxError"),
        ("x = 1\nproblem = missing", "mine.py, line 2: NameError: name 'missing'"),
        ("import no_such_package", "mine.py, line 1: ModuleNotFoundError"),
        ("x = 1 / 0", "mine.py, line 1: ZeroDivisionError"),
        ("x = 1", "it defines no problem"),
        ("problem = 3", "its problem is a int"),
        (DECAY.replace("helper.END", "-1.0").replace("import helper", ""), "line 6: "),
        (
            DECAY.replace("u.t + p.rate * u()", "t").replace("helper.END", "1.0"),
            "does not depend on u",
        ),
    ],
)
def test_a_file_with_a_mistake_is_one_line_that_names_it(
    pendula, tmp_path, text, words
):
    (tmp_path / "mine.py").write_text(text.replace("import helper", ""))
    done = pendula("solve", "mine.py")
    assert done.status == 2
    last = done.err.strip().splitlines()[-1]
    assert words in last
    assert "Traceback" not in done.err
    assert "Traceback" in pendula("solve", "mine.py", "--debug").err


def test_a_coefficient_that_the_file_lacks_is_refused(pendula, decay):
    done = pendula("solve", decay, "--set", "rat=2")
    assert done.status == 2
    assert 'the problem has no coefficient "rat". It has rate.' in done.err


def test_help_says_that_a_file_is_run(pendula):
    out = " ".join(pendula("solve", "--help").out.replace("│", " ").split())
    assert "The file is run: give only one that you trust" in out


def test_the_problems_are_listed_with_what_can_be_set(pendula):
    rows = json.loads(pendula("list", "problems", "--json").out)["problems"]
    assert set(rows) == set(PROBLEMS)
    assert rows["convection"].endswith("(beta=30, end=1)")
    assert "reaction_diffusion" in pendula("list").out

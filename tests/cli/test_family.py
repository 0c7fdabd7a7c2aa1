"""Families through the program: a fit of four springs, a new one adapted and measured.

The springs have closed solutions, so that what comes out is known.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
from types import SimpleNamespace

import numpy as np
import pytest

from pendula import CheckpointError, load
from pendula.cli import main
from pendula.cli._gauge import read_labels
from pendula.data import Trajectories, write
from pendula.dynamics import load_family, load_gauge
from pendula.report import adapted_verdict, read_run
from pendula.train import save_tree


STIFF = {"a": 1.0, "b": 1.6, "c": 2.5, "d": 4.0}


def call(*argv):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main([str(part) for part in argv])
    return SimpleNamespace(status=status, out=out.getvalue(), err=err.getvalue())


def spring(k, phase, size=1.0, rate=10, until=6.0):
    """Times, positions and velocities of x'' = -k x."""
    t, w = np.arange(0, until + 1e-9, 1 / rate), np.sqrt(k)
    y = [np.cos(w * t + phase), -w * np.sin(w * t + phase)]
    return t, size * np.stack(y, axis=1)


def table(path, systems, trials=2, **how):
    """A long table: columns spring, trial, time, position, velocity."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["spring", "trial", "t [s]", "x [m]", "v [m/s]"])
        for name, k in systems.items():
            for trial in range(trials):
                t, y = spring(k, 0.4 + 2.0 * trial, 1.0 - 0.3 * trial, **how)
                for row in np.column_stack([t, y]).tolist():
                    writer.writerow([name, trial, *map(repr, row)])


FORECAST = ["forecast", "empty", "--from", "new.csv"]
READ = ["--channels", "x,v", "--ignore", "spring,trial"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with the springs, a new one, and the family fitted to them."""
    folder = tmp_path_factory.mktemp("springs")
    with contextlib.chdir(folder):
        table("springs.csv", STIFF)
        table("new.csv", {"n": 2.0}, 1)
        table("far.csv", {"n": 2.0, "far": 30.0}, 1)
        table("one.csv", {"a": 1.0})
        rows = "".join(f"{name},{k}\n" for name, k in STIFF.items())
        (folder / "labels.csv").write_text("spring,k [1/s2]\n" + rows)
        (folder / "few.csv").write_text("spring,k\na,1.0\nd,4.0\n")
        (folder / "typo.csv").write_text("spring,k\na,1.0\ne,4.0\n")
        columns = ["--system", "spring", "--traj", "trial", "--channels", "x,v"]
        size = ["--width", 6, "--depth", 1, "--steps", 25]
        fitted = call("fit", "springs.csv", "--family", *columns, *size, "--out", "run")
        assert fitted.status == 0, fitted.err
        yield SimpleNamespace(folder=folder, fit=fitted, run=folder / "run")


@pytest.fixture
def at_place(place, monkeypatch):
    monkeypatch.chdir(place.folder)
    return place


@pytest.mark.slow
def test_the_run_of_a_family(at_place):
    """All files, the systems by name, and eta in the order of the stiffness."""
    assert {path.name for path in at_place.run.iterdir()} == {
        "arrays.npz",
        "config.toml",
        "family.safetensors",
        "log.txt",
        "metrics.jsonl",
        "report.html",
        "report.json",
        "resume",
        "timing.jsonl",
    }
    assert "systems: column spring (4 systems)" in at_place.fit.out
    assert "systems: column spring (4 systems)" in at_place.fit.err
    family = load_family(at_place.run / "family.safetensors")
    assert family.labels == tuple(STIFF)
    steps = np.diff(family.etas[:, 0])
    assert np.all(steps > 0) or np.all(steps < 0)
    run = read_run(at_place.run)
    assert run.report["kind"] == "family"
    assert max(run.report["family"]["errors"]) < 0.1
    # the drawn law is -k x: its slope is minus the stiffness
    slopes = [
        np.polyfit(run.arrays["law/x"], y, 1)[0] for y in run.arrays["law/values"]
    ]
    known = [-STIFF[family.labels[i]] for i in run.arrays["law/systems"]]
    np.testing.assert_allclose(slopes, known, rtol=0.15)
    page = (at_place.run / "report.html").read_text(encoding="utf-8")
    assert page.count("<svg") == 3
    assert call("report", "run", "--png", "figures").status == 0
    assert len(list((at_place.folder / "figures").iterdir())) == 3
    assert (at_place.run / "report.html").read_text(encoding="utf-8") == page


@pytest.mark.slow
def test_a_check_sweeps_three_of_its_systems(at_place):
    done = call("check", "run", "-v")
    assert done.status == 1  # a family was not held against anything
    assert "Continuity: consistent_flow" in done.out
    assert "pendula adapt says" in done.out
    for label in ("a", "c", "d"):
        assert f"  {label}: Continuity: consistent_flow" in done.err
    page = (at_place.run / "report.html").read_text(encoding="utf-8")
    assert "Continuity: the same law in other schemes and steps" in page
    refused = call("check", "run", "new.csv", *READ)
    assert refused.status == 2
    assert "pendula adapt run DATA" in refused.err


@pytest.mark.slow
def test_a_new_system_is_adapted_and_forecast(at_place):
    done = call("adapt", "run", "new.csv", *READ, "--out", "new")
    assert done.status == 0, done.err
    assert "all trajectories are one system" in done.out
    assert "identified, inside the family" in done.out
    told = json.loads((at_place.folder / "new" / "adapted.json").read_text())
    (row,) = told["systems"]
    assert row["system"] == "new"
    assert row["identified"]
    assert not row["extrapolating"]
    assert row["history"][-1] < row["history"][0]
    with open("new/forecast.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0])[:3] == ["t [s]", "x [m]", "x_measured [m]"]
    truth = spring(2.0, 0.4)[1][:, 0]
    mean = np.array([float(line["x [m]"]) for line in rows])
    assert np.sqrt(np.mean((mean - truth) ** 2)) < 0.1
    assert mean[0] == pytest.approx(truth[0])
    assert call("report", "new").status == 0
    again = call("adapt", "run", "new.csv", *READ, "--out", "new")
    assert again.status == 2
    assert "--force" in again.err


@pytest.mark.slow
def test_a_system_outside_the_family_is_told(at_place):
    """The control: a spring ten times as stiff as any; its model is not to be used."""
    columns = ["--system", "spring", "--channels", "x,v", "--ignore", "trial"]
    options = ["--out", "far", "--method", "gd", "--iterations", 3]
    done = call("adapt", "run", "far.csv", *columns, *options, "--json", "-q")
    assert done.status == 1
    rows = {row["system"]: row for row in json.loads(done.out)["systems"]}
    assert rows["far"]["extrapolating"]
    assert not rows["n"]["extrapolating"]


@pytest.mark.slow
def test_the_stiffness_is_measured(at_place):
    labels = ["--params", "labels.csv"]
    done = call("gauge", "run", "new.csv", *READ, *labels, "--json", "-q")
    assert done.status == 0, done.err
    (row,) = json.loads(done.out)["systems"]
    (k,) = row["parameters"]
    assert (k["name"], k["unit"]) == ("k", "1/s2")
    assert k["low"] < 2.0 < k["high"]
    assert k["value"] == pytest.approx(2.0, rel=0.2)
    # the law is linear in k and in eta: so is the gauge
    plain = call("gauge", "run", "new.csv", *READ, *labels, "--linear", "--json", "-q")
    (linear,) = json.loads(plain.out)["systems"][0]["parameters"]
    assert linear["value"] == pytest.approx(2.0, rel=0.05)
    assert linear["high"] - linear["low"] < k["high"] - k["low"]
    again = call("gauge", "run", "new.csv", *READ, *labels, "--out", "measured")
    assert again.status == 0, again.err
    assert load_gauge("measured/gauge.safetensors").names == ("k",)
    page = (at_place.folder / "measured" / "report.html").read_text(encoding="utf-8")
    assert page.count("<svg") == 1
    assert "inside what was calibrated" in page
    found = read_run("measured").arrays
    np.testing.assert_allclose(found["gauge/read"], found["gauge/labels"], rtol=0.3)
    assert call("report", "measured", "--png", "drawn").status == 0
    assert (at_place.folder / "drawn" / "gauge.png").is_file()
    refused(call("gauge", "run", "new.csv", *READ, *labels, "--out", "run"), "--out")
    for argv, words in (
        (["--params", "few.csv"], "a gauge needs 3"),
        (["--params", "typo.csv"], 'row 3: the family has no system "e"'),
        ([], "named no parameters"),
        ([*labels, "--params", "m"], 'no parameter "m"'),
        ([*labels, "--interval", "conformal"], "needs 9 calibrated systems"),
        ([*labels, "--level", 2], "between 0 and 1"),
    ):
        refused(call("gauge", "run", "new.csv", *READ, *argv), words)
    refused(
        call("adapt", "run", "new.csv", "--channels", "x", *READ[2:3], "spring,trial,v",
             "--out", "x"),
        'the family needs channel "v"',
    )  # fmt: skip


def refused(done, words):
    assert done.status == 2
    assert done.out == ""
    last = done.err.strip().splitlines()[-1]
    assert last.startswith("pendula: ")
    assert words in last
    assert "Traceback" not in done.err


def test_a_family_is_no_model_of_one_system(tmp_path):
    save_tree(tmp_path / "family.safetensors", np.zeros(2), {"kind": "family"})
    with pytest.raises(CheckpointError, match="a family, which is of no system alone"):
        load(tmp_path)


@pytest.mark.slow
def test_parameters_in_the_data_and_no_system_named(tmp_path, monkeypatch):
    """An own file that brings index and parameters; then one without: each trajectory
    is a system. One `params` that varies inside a system is not known."""
    monkeypatch.chdir(tmp_path)
    t, _ = spring(1.0, 0.0)
    ks = [1.0, 1.0, 2.0, 2.0, 3.0, 3.0]
    ys = [spring(k, 0.3 * i)[1] for i, k in enumerate(ks)]
    about = {"names": ("x", "v"), "param_names": ("k", "trial")}
    data = Trajectories.from_arrays(
        [t] * 6, ys, env=np.repeat([0, 1, 2], 2),
        params=np.column_stack([ks, np.arange(6)]), **about,
    )  # fmt: skip
    write(data, "named.npz")
    small = ["--width", 4, "--depth", 1, "--steps", 8, "--set", "horizon=0.2", "-q"]
    done = call("fit", "named.npz", "--family", *small, "--out", "named")
    assert done.status == 0, done.err
    assert "as the data name them (3 systems)" in done.out
    family = load_family("named/family.safetensors")
    assert family.about["params"] == [[1.0, None], [2.0, None], [3.0, None]]
    write(data.select([4]), "new.npz")
    done = call("gauge", "named", "new.npz", "--params", "k", "-q")
    assert "k = " in done.out, done.err
    write(data.select([0, 2]).replace(env=None, params=None, param_names=()), "two.npz")
    done = call("fit", "two.npz", "--family", *small, "--out", "two")
    assert done.status == 0, done.err
    assert "each trajectory is a system of its own" in done.out
    assert "2 systems" in done.out


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--system", "spring", "--traj", "trial"], "there is one system in the data"),
        (["--system", "sprng"], '--system sprng: one.csv has no column "sprng". Did'),
        (["--system", "file", "--traj", "spring,trial"], "there is one system in the"),
        (["--system", "spring", "--traj", "trial", "--channels", "y"], '"y"'),
        (["--eta", "17"], "size is 17"),
        (["--head", "afine"], 'mean "affine"'),
        (["--mode", "jiont"], 'mean "joint"'),
        (["--members", "3"], "--members does not go with --family"),
        (["--set", "clip=3"], "unknown setting clip"),
        (["--preset", "smal"], 'mean "small"'),
    ],
)
def test_bad_fits_are_one_line(pendula, tmp_path, argv, words):
    table(tmp_path / "one.csv", {"a": 1.0})
    fit = ["fit", "one.csv", "--family", "--out", "run", "-q"]
    traj = [] if "--system" in argv else ["--system", "spring", "--traj", "trial"]
    refused(pendula(*fit, *traj, *argv), words)
    assert not (tmp_path / "run").exists()


def test_bad_calls_are_one_line(pendula, tmp_path):
    table(tmp_path / "new.csv", {"n": 2.0}, 1)
    (tmp_path / "empty").mkdir()
    refused(pendula("adapt", "absent", "new.csv", "--out", "x"), "holds no family")
    refused(pendula("adapt", "empty", "new.csv", "--out", "x"), "holds no family")
    refused(pendula("gauge", "empty", "new.csv"), "holds no family")
    wrong = ["--out", "x", "--method", "newton"]
    refused(pendula("adapt", "empty", "new.csv", *wrong), "there are lm and gd")
    wrong = ["--out", "x", "--iterations", "0"]
    refused(pendula("adapt", "empty", "new.csv", *wrong), "at least 1")
    refused(pendula("adapt", "empty", "new.csv", "--out", "empty"), "family lies there")
    empty = tmp_path / "empty"
    (empty / "family.safetensors").touch()
    refused(pendula("adapt", "empty", "new.csv", "--out", "empty"), "family lies there")
    told = "holds a run already. Choose another --out, or replace it with --force"
    refused(pendula("adapt", "absent", "new.csv", "--out", "empty"), told)
    for asked in (["score", "empty", "new.csv"], FORECAST):
        refused(pendula(*asked), "pendula adapt empty DATA")
    (empty / "family.safetensors").unlink()
    (empty / "adapted.json").touch()
    refused(pendula("score", "empty", "new.csv"), "holds an adapted system")
    (empty / "adapted.json").unlink()
    refused(pendula("fit", "new.csv", "--eta", "2"), "Add --family")
    wrong = ["--system", "file", "--channels", "y", "--out", "x"]
    refused(pendula("fit", "new.csv", "--family", *wrong), '"y"')
    assert sorted(p.name for p in tmp_path.iterdir()) == ["empty", "new.csv"]


def test_labels_are_read_by_name(tmp_path):
    """Any order of rows, units in the header, empty cells and absent systems."""
    path = tmp_path / "labels.csv"
    path.write_text("id,k [N/m],c\nb,2.5,\na,1,0.1\n", encoding="utf-8")
    values, names, units = read_labels(path, ("a", "b", "c"))
    assert (names, units) == (("k", "c"), ("N/m", ""))
    nan = np.nan
    np.testing.assert_array_equal(values, [[1, 0.1], [2.5, nan], [nan, nan]])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("id\n", "expected a header"),
        ("id,k\na,1\na,2\n", "stands twice"),
        ("id,k\na,1,2\n", "3 cells"),
        ("id,k\na,one\n", 'column "k": "one" is no number'),
        ("id,k\n\na,inf\n", 'row 3, column "k": "inf" is no number'),
        ("id,k,k\na,1,2\n", 'two columns are called "k"'),
    ],
)
def test_bad_labels_name_row_and_column(tmp_path, text, words):
    path = tmp_path / "labels.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=r"labels\.csv") as caught:
        read_labels(path, ("a",))
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("change", "trust"),
    [
        ({}, True),
        ({"identified": False}, False),
        ({"forecast_error": None}, False),
        ({"forecast_error": 1.5}, False),
        ({"forecast_error": 0.5}, None),
        ({"forecast_error": 0.5, "noise": 0.45}, True),
        ({"forecast_error": 1.2, "noise": 0.9}, None),
        ({"extrapolating": True, "extrapolation": ["eta is far"]}, None),
        ({"converged": False}, None),
    ],
)
def test_the_verdict_of_an_adaptation(change, trust):
    """One bad system of two decides, and its reason names it."""
    good = {
        "system": "good",
        "identified": True,
        "extrapolating": False,
        "converged": True,
        "iterations": 8,
        "condition": 1.0,
        "forecast_error": 0.02,
    }
    found, _, reasons = adapted_verdict([good, {**good, "system": "odd", **change}])
    assert found is trust
    assert all(reason.startswith("odd: ") for reason in reasons)
    assert bool(reasons) is (trust is not True)

"""From a CSV file to a forecast through the program: one small fit, everything after.

A spring of unknown stiffness; the truth is known. One member, two compiles.
"""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import html
import io
import json
import re
import shutil
import tomllib
from types import SimpleNamespace

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

import pendula
from pendula.cli import main
from pendula.cli._on_data import fitted_to, hold_on
from pendula.data import read, write
from pendula.dynamics import FitConfig, Forecast, from_dict, load
from pendula.report import read_run, with_unseen, write_numbers


def call(*argv):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main([str(part) for part in argv])
    return SimpleNamespace(status=status, out=out.getvalue(), err=err.getvalue())


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with data of a spring (k/m = 4) and a run fitted to them."""
    folder = tmp_path_factory.mktemp("spring ü")
    with contextlib.chdir(folder), pytest.MonkeyPatch.context() as patch:
        patch.setenv("PENDULA_SMALL", "1")
        options = ["--num", 3, "--duration", 6, "--dt", 0.1, "--observe", "q"]
        more = ["--set", "stiffness=4", "--noise", 0.005, "--quiet"]
        made = call("simulate", "harmonic", "--out", "spring.csv", *options, *more)
        assert made.status == 0, made.err
        known = ["--known", "spring", "--free", "k", "--learn", "none"]
        train = ["--members", 1, "--method", "levenberg", "--seed", 3]
        fitted = call("fit", "spring.csv", *known, *train)
        assert fitted.status == 0, fitted.err
        run = folder / "runs" / "spring"
        options = [*known, *train]
        yield SimpleNamespace(folder=folder, fit=fitted, run=run, options=options)


@pytest.fixture
def at_place(place, monkeypatch):
    monkeypatch.chdir(place.folder)
    return place


def test_the_run_is_complete(place):
    names = {path.name for path in place.run.iterdir()}
    assert names == {
        "config.toml",
        "metrics.jsonl",
        "timing.jsonl",
        "model.safetensors",
        "resume",
        "arrays.npz",
        "report.json",
        "report.html",
        "log.txt",
    }
    run = read_run(place.run)
    assert run.report["title"] == "q: spring.csv"
    assert run.report["reproduce"]["command"].startswith("pendula fit spring.csv ")
    assert run.report["training"]["seconds"]["import"] >= 0
    assert run.metrics
    text = (place.run / "config.toml").read_text(encoding="utf-8")
    config = from_dict(tomllib.loads(text), FitConfig)
    assert (config.seed, config.train.members) == (3, 1)
    assert config.model.known[0].free == ("k",)
    assert "loading" not in (place.run / "report.html").read_text(encoding="utf-8")
    assert "rates" in (place.run / "log.txt").read_text(encoding="utf-8")


def test_every_decision_is_told_with_the_option_that_changes_it(place):
    decisions = read_run(place.run).report["decisions"]
    said = {row["what"]: row for row in decisions}
    assert {"time", "channels", "validation", "model", "training"} <= set(said)
    assert said["training"]["choice"].startswith("Levenberg-Marquardt, windows")
    assert "an ensemble of 1" in said["training"]["choice"]
    assert "persistence, mean, linear, sparse_polynomial" in said["baselines"]["choice"]
    page = html.unescape((place.run / "report.html").read_text(encoding="utf-8"))
    known = re.findall(r"--[a-z][a-z-]*", call("fit", "--help").out)
    for row in decisions:
        assert row["option"] in page
        assert set(re.findall(r"--[a-z-]+(?![.\w])", row["option"])) <= set(known), row


def test_what_the_fit_says(place):
    """Results on stdout, progress on stderr; the constant is found."""
    assert place.fit.out.startswith("error ")
    assert "persistence: " in place.fit.out
    assert place.fit.out.rstrip().endswith("report.html")
    assert place.fit.err.splitlines()[0] == "reading spring.csv"
    assert "rates: step 0/" in place.fit.err
    (constant,) = read_run(place.run).report["constants"]
    assert constant["name"] == "k"
    # the interval is 90 %; three widths hold for every seed that was tried
    half = 0.5 * (constant["high"] - constant["low"])
    assert abs(constant["value"] - 4.0) < 3 * half + 0.02


def test_forecast_writes_what_it_says(at_place):
    command = ["forecast", "runs/spring", "--from", "spring.csv", "--start", 3]
    done = call(*command, "--out", "f.csv")
    assert done.status == 0, done.err
    assert done.out.rstrip().endswith("f.csv")
    with open("f.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    head = ["trajectory", "t [s]", "q [m]", "q_low [m]", "q_high [m]", "q_measured [m]"]
    assert list(rows[0]) == [*head, "outside", "validated"]
    assert {row["trajectory"] for row in rows} == {"0", "1", "2"}
    mean, truth = (
        np.array([float(row[k]) for row in rows]) for k in ("q [m]", "q_measured [m]")
    )
    assert np.sqrt(np.mean((mean - truth) ** 2)) < 0.05
    assert call(*command, "--out", "f.csv").status == 2  # it is there
    found = call(*command, "--json", "-q")
    curves = json.loads(found.out)["forecasts"]
    assert [float(x[0]) for x in curves[0]["mean"]] == pytest.approx(
        [float(row["q [m]"]) for row in rows if row["trajectory"] == "0"]
    )
    assert found.err == ""


@pytest.mark.parametrize("until", ["1e7", "inf"])
def test_a_forecast_of_hours_is_refused_before_it_begins(at_place, until):
    done = call("forecast", "runs/spring", "--from", "spring.csv", "--until", until)
    assert done.status == 2
    last = done.err.strip().splitlines()[-1]
    assert f"a forecast until {float(until):g} s takes" in last
    longest = float(last.rsplit("a run of ", 1)[1].split(" s")[0])
    assert 1e3 < longest < 1e7


@pytest.mark.slow
def test_a_forecast_far_beyond_what_was_validated_is_warned_of(at_place):
    known = load(at_place.run).intervals.trusted_to
    until = ["--until", 3 + 11 * known]
    done = call("forecast", "runs/spring", "--from", "spring.csv", *until)
    assert done.status == 0
    assert "Nothing measured says how good the rest of it is" in done.err
    until = ["--until", 3 + 9 * known]
    done = call("forecast", "runs/spring", "--from", "spring.csv", *until)
    assert (done.status, "warning" in done.err) == (0, False), done.err


def test_score_and_check(at_place):
    done = call("score", "runs/spring", "spring.csv", "--start", 3)
    assert done.status == 0, done.err
    assert "error over all: " in done.out
    scores = json.loads(call("score", "runs/spring", "spring.csv", "--json").out)
    assert len(scores["trajectories"]) == 3
    assert scores["fitted_to"] == ["spring.csv"]
    assert "spring.csv: the run was fitted with it, so that this is no test" in done.out
    told = read_run(at_place.run).report
    trust = told["verdict"]["trust"]
    plain = call("check", "runs/spring")
    assert plain.status == (0 if trust else 1)
    found = json.loads(call("check", "runs/spring", "spring.csv", "--json").out)
    assert len(found["data"]) == 3
    assert found["fitted_to"] == ["spring.csv"]
    assert (found["scores"], found["constants"]) == (told["scores"], told["constants"])
    assert found["continuity"]["verdict"] == "consistent_flow"
    assert found["continuity"]["gap"] < 1e-3
    page = (at_place.run / "report.html").read_text(encoding="utf-8")
    assert "Continuity: the same law in other schemes and steps" in page
    assert "distance to the own motion" in page


def test_what_the_run_was_fitted_with_is_told_in_a_copy_too(at_place):
    """A copy in another format is the same record, a part of it is not, nor is what
    lies after all that the fit used."""
    data = read("spring.csv")
    write(data, "copy.npz")
    write(data.select([0]), "part.npz")
    for start, seen in ((1.0, ["copy.npz"]), (data.ts.max(), [])):
        assert fitted_to(at_place.run, read("copy.npz"), start) == seen
    assert fitted_to(at_place.run, read("part.npz"), 1.0) == []
    assert ", copy of spring.csv\n" in call("inspect", "copy.npz").out
    assert ", made of spring.csv\n" in call("inspect", "part.npz").out


def test_check_says_that_a_run_without_usable_starts_is_not_swept(at_place, tmp_path):
    copy = shutil.copytree(at_place.run, tmp_path / "old")
    read = read_run(copy)
    arrays = {k: v for k, v in read.arrays.items() if not k.startswith("continuity/")}
    told = {k: v for k, v in read.report.items() if k != "continuity"}
    write_numbers(copy, told, arrays)
    done = call("check", copy)
    assert "not tested, the run keeps no starts" in done.out
    starts = np.full_like(read.arrays["continuity/starts"], np.nan)
    write_numbers(copy, told, {**arrays, "continuity/starts": starts})
    done = call("check", copy)
    assert "not tested, x0 holds NaN" in done.out


def test_check_fails_on_data_of_another_spring(at_place):
    """The control: a stiffer spring is not this model's."""
    options = ["--num", 1, "--duration", 6, "--dt", 0.1, "--observe", "q", "--quiet"]
    call("simulate", "harmonic", "--out", "other.csv", *options, "--set", "stiffness=9")
    done = call("check", "runs/spring", "other.csv", "--json", "-q")
    assert done.status == 1
    assert json.loads(done.out)["data"][0]["holds"] is False


def test_one_record_of_ten_beside_a_right_band_is_no_fault():
    """A record's samples go up and down together: the band is judged by all."""
    ones = np.ones((4, 1))

    def forecast(data, *, trajectory):
        mean, truth, low, high = 0.0 * ones, 0.0 * ones, -ones, ones
        if trajectory < data.beside:
            truth = 2.0 * ones
        ok = np.zeros(1, np.int8)
        rest = np.zeros(4), 9.0, 0.0, ("q",), ("m",), truth
        return Forecast(np.arange(4.0), mean, low, high, ones, mean, ok, ok, *rest)

    for beside, holds in ((0, True), (1, True), (3, False)):
        data = SimpleNamespace(num=10, labels=["r"] * 10, beside=beside)
        rows = hold_on(SimpleNamespace(forecast=forecast), data, None)
        assert [row["holds"] for row in rows] == [holds] * 10
    assert "0 % of the measured values inside the 90 % band (70 % in" in rows[0]["text"]


def test_the_page_is_the_same_when_made_again(at_place):
    before = (at_place.run / "report.html").read_bytes()
    assert call("report", "runs/spring").status == 0
    assert (at_place.run / "report.html").read_bytes() == before


def test_unseen_samples_are_scored_by_hand(at_place):
    """Headline and baseline of the part that a fit never saw, against the plain
    sums over the forecasts."""
    run = read_run(at_place.run)
    fitted = dataclasses.replace(
        pendula.load(at_place.run), report=run.report, arrays=run.arrays
    )
    whole = read("spring.csv")
    found = with_unseen(fitted, whole, 3.0)
    errors = [fitted.forecast(whole, start=3.0, trajectory=i).error() for i in range(3)]
    rmse = np.sqrt(np.mean(np.concatenate(errors) ** 2))
    head = found.report["scores"]["headline"]
    assert head["value"] == pytest.approx(rmse)
    assert head["low"] <= head["value"] <= head["high"]
    held = [whole.ys[i, 31:, 0] - whole.ys[i, 30, 0] for i in range(3)]
    named = {row["name"]: row["rmse"] for row in found.report["scores"]["baselines"]}
    assert named["persistence"] == pytest.approx(np.sqrt(np.mean(np.square(held))))
    assert found.arrays["data/split_time"] == 3.0
    assert found.arrays["forecast/ts"][0] > 3.0
    assert found.report["verdict"] == run.report["verdict"]
    assert with_unseen(fitted, whole, 100.0) is fitted


def test_an_interrupted_fit_is_resumed_to_the_same_bits(at_place):
    """Ctrl-C in the second phase of the training: the state is kept, the program says
    how to go on, and the same command with --resume ends where the whole fit did."""
    from pendula import dynamics

    real = dynamics.fit

    def interrupted(*args, tell, **options):
        def stop(row):
            tell(row)
            if row["phase"].startswith("windows") and row["step"] == 3:
                raise KeyboardInterrupt

        return real(*args, tell=stop, **options)

    command = ["fit", "spring.csv", "--out", "stopped", *at_place.options]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dynamics, "fit", interrupted)
        done = call(*command)
    assert done.status == 130
    assert "--resume" in done.err
    stopped = at_place.folder / "stopped"
    assert not (stopped / "model.safetensors").exists()
    assert call(*command).status == 2  # neither resumed nor replaced by accident
    done = call(*command, "--resume")
    assert done.status == 0, done.err
    for name in ("model.safetensors", "metrics.jsonl"):
        assert (stopped / name).read_bytes() == (at_place.run / name).read_bytes(), name


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), "truncated"),
        (lambda path: _retold(path, format=99), "this version reads up to"),
        (lambda path: _renamed(path), "elsewhere.Model"),
        (lambda path: path.unlink(), "does not exist"),
    ],
    ids=["truncated", "newer", "another class", "gone"],
)
@pytest.mark.parametrize("command", ["forecast", "score", "check"])
def test_damaged_models_are_refused(at_place, tmp_path, command, damage, words):
    run = tmp_path / "run"
    shutil.copytree(at_place.run, run)
    damage(run / "model.safetensors")
    before = sorted(tmp_path.rglob("*"))
    data = ["--from", "spring.csv"] if command == "forecast" else ["spring.csv"]
    done = call(command, run, *data)
    assert done.status == 2
    assert done.out == ""
    last = done.err.strip().splitlines()[-1]
    assert last.startswith("pendula: ")
    assert words in last
    assert "model.safetensors" in last
    assert "Traceback" not in done.err
    assert sorted(tmp_path.rglob("*")) == before


def _description(path):
    """The description and the tensors of a model file."""
    with safe_open(str(path), framework="numpy") as opened:
        meta = json.loads(opened.metadata()["pendula"])
        return meta, {k: opened.get_tensor(k) for k in opened.keys()}  # noqa: SIM118 - not a dict


def _retold(path, **changes):
    """The same tensors under a changed description."""
    meta, tensors = _description(path)
    save_file(tensors, path, metadata={"pendula": json.dumps({**meta, **changes})})


def _renamed(path):
    """A file whose model is of a class that nobody here knows."""
    tree = _description(path)[0]["tree"]
    _retold(path, tree={**tree, "module": "elsewhere.Model"})

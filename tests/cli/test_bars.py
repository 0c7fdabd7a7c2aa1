"""A record of bars in the program: fitted, forecast, scored, shown."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import re
import shutil
import tomllib
from pathlib import Path
from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from pendula.cli import main
from pendula.cli._bars_numbers import _coverage
from pendula.cli._console import Console
from pendula.cli._forecast_bars import _line
from pendula.cli._options import Talk
from pendula.cli._score import _score_bars
from pendula.cli._simulate import _untold
from pendula.data import read, write
from pendula.dynamics import (
    BarChain,
    BarIntervals,
    BarPath,
    BarsFollowed,
    BarsMachine,
    ElasticBars,
    bar_path,
    load,
)
from pendula.dynamics._bars_records import bar_records
from pendula.report import Run, read_run
from pendula.report._bars_page import _chain
from pendula.systems import bar_record, bars_of, is_bars


BARS, FRAMES = 6, 17
CLIPS = ("--set", 'start="law"', "--set", "steps=3")
TRUE = (50.0, 120.0, 0.06)
MACHINE = BarsMachine(last=False)
SMALL = """
start = "accelerations"
width = 4
depth = 1
natural = 0.0
start_steps = 400
steps = 0
shortest = 2
longest = 4
"""


def motion(bars=BARS, frames=FRAMES, machine=MACHINE):
    """A chain whose law is known, from a straight line on."""
    law = ElasticBars(jnp.log(jnp.asarray(TRUE, jnp.float32)), 0.0)
    chain = machine.on(BarChain(law, machine.world()))
    u = np.zeros((bars, 3))
    u[:, 0] = 0.006 * np.arange(bars)
    path = bar_path(chain, 0.01 * np.arange(frames), u)
    return path.ts, path.u, path.v


def call(*argv):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main([str(part) for part in argv])
    return SimpleNamespace(status=status, out=out.getvalue(), err=err.getvalue())


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a record, and a run that learned from it."""
    folder = tmp_path_factory.mktemp("bars")
    ts, u, v = motion()
    write(bar_record(ts, u, v, origin={"system": "chain"}), folder / "rec.npz")
    (folder / "small.toml").write_text(SMALL)
    options = ("--config", folder / "small.toml", "--seed", "3", "-v")
    run = folder / "run"
    done = call("fit", folder / "rec.npz", "--out", run, *options)
    assert done.status == 0, done.err
    return SimpleNamespace(
        folder=folder, run=run, record=folder / "rec.npz", fit=done, options=options
    )


def test_a_run_is_complete_and_what_was_decided_is_said(place):
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
    config = tomllib.loads((place.run / "config.toml").read_text())
    assert (config["width"], config["seed"], config["substeps"]) == (4, 3, 5)
    assert config["machine"]["first"] is True
    assert config["machine"]["last"] is False  # it falls
    assert config["span"] == pytest.approx(0.8 * 0.16)
    assert "held at its first end" in place.fit.out
    assert "mass 2.5 g" in place.fit.out
    assert "the last 20 % choose the weights" in place.fit.err


def test_the_numbers_are_those_of_the_run(place):
    run = read_run(place.run)
    ts, u, _ = bars_of(read(place.record))
    np.testing.assert_array_equal(run.arrays["bars/record"], u)
    np.testing.assert_array_equal(run.arrays["bars/ts"], ts)
    far = run.arrays["distance/network"]
    assert far[0] == 0.0
    head = run.report["scores"]["headline"]
    late = far[ts > 0.8 * 0.16]
    assert head["value"] == pytest.approx(late.mean())
    assert head["text"].endswith(
        "samples that chose among the weights but taught none (interval: 10 to 90 % "
        "of the samples)"
    )
    parts = [run.arrays[f"energy/{k}"] for k in ("kinetic", "elastic", "gravity")]
    np.testing.assert_allclose(sum(parts), run.arrays["energy/total"], atol=1e-9)


@pytest.mark.slow
def test_the_law_that_made_a_record_is_found_and_comes_closer(place, tmp_path):
    """Three constants stand beside the network, and it is said that they do better."""
    options = [*place.options, *CLIPS]
    done = call("fit", place.record, "--out", tmp_path / "run", *options)
    assert done.status == 0, done.err
    assert np.allclose(load(tmp_path / "run").about["law"], TRUE, rtol=5e-3)
    assert "The classical law of three constants comes closer" in done.out
    run = read_run(tmp_path / "run")
    assert run.report["bars"]["law"] == pytest.approx(TRUE, rel=5e-3)
    assert run.arrays["distance/law"].max() < run.arrays["distance/network"].max()
    assert "classical law" in (tmp_path / "run" / "report.html").read_text()


def test_the_page_holds_a_film_and_fetches_nothing(place):
    text = (place.run / "report.html").read_text(encoding="utf-8")
    assert len(text) < 1_500_000
    assert "http:" not in text
    assert "https:" not in text
    assert "<script" not in text
    for words in (
        "What was asked",
        "Motion",
        "Energy",
        "Data",
        "Training",
        "Trust",
        "Reproduce",
    ):
        assert re.search(rf'<h2><span class="k">\d</span> {words}', text)
    found = re.findall(r"data:image/webp;base64,([A-Za-z0-9+/=]+)", text)
    still, moving = (Image.open(io.BytesIO(base64.b64decode(one))) for one in found)
    assert getattr(still, "n_frames", 1) == 1
    assert moving.n_frames == FRAMES
    assert still.size == moving.size
    assert moving.info["loop"] == 0
    assert moving.width < 1000
    assert 'media="print, (prefers-reduced-motion: reduce)"' in text
    assert re.search(r'<img src="data:image/webp;[^"]*" alt="Left the record', text)
    first, last = (np.asarray(frame(moving, k)) for k in (0, FRAMES - 1))
    assert (first != last).any()
    assert first.min() < 200  # something is drawn, on both halves
    for half in (first[:, : first.shape[1] // 2], first[:, first.shape[1] // 2 :]):
        assert (half.min(axis=2) < 200).sum() > 100


def frame(image, k):
    image.seek(k)
    return image.convert("RGB")


@pytest.mark.slow
def test_the_page_is_made_again_and_its_figures(place, tmp_path):
    before = (place.run / "report.html").read_bytes()
    done = call("report", place.run, "--png", tmp_path / "img")
    assert done.status == 0
    assert (place.run / "report.html").read_bytes() == before
    names = {path.stem for path in (tmp_path / "img").iterdir()}
    assert names == {"distance", "motion", "snapshots", "energy", "training"}


def test_forecasts_beside_the_record_are_records_too(place, tmp_path):
    record = ["--from", place.record]
    done = call("forecast", place.run, *record, "--out", tmp_path / "f.npz")
    assert done.status == 0, done.err
    made = read(tmp_path / "f.npz")
    assert is_bars(made)
    _, u, _ = bars_of(made)
    np.testing.assert_array_equal(u, read_run(place.run).arrays["bars/network"])


@pytest.mark.slow
def test_a_forecast_begins_where_the_record_is_and_goes_on_after_it(place):
    record = ["--from", place.record]
    options = ["--start", 0.1, "--until", 0.2, "--json"]
    row = json.loads(call("forecast", place.run, *record, *options).out)
    (row,) = row["forecasts"]
    assert (row["start"], row["held"]) == (0.1, "at its first end")
    assert row["until"] == pytest.approx(0.2)
    assert row["distance_mm"] < 50.0  # of the samples that there are


def test_the_same_network_with_heavier_bars(place):
    """They fall lower."""
    lowest = {}
    for mass in (2.5e-3, 5e-3):
        options = ["--set", f"mass={mass}", "--json"]
        done = call("forecast", place.run, "--from", place.record, *options)
        row = json.loads(done.out)["forecasts"][0]
        assert row["machine"]["mass"] == mass
        lowest[mass] = row["lowest"]
    assert lowest[5e-3] < lowest[2.5e-3]


@pytest.mark.slow
def test_the_same_network_on_another_machine(place, tmp_path):
    """More bars, hanging; the page of it has no record to compare with."""
    options = ["--case", "case2", "--set", "cycles=8,drag=0.05", "--until", 0.16]
    done = call("forecast", place.run, *options, "--out", tmp_path / "other")
    assert done.status == 0, done.err
    assert "8 bars held at its first end" in done.out
    run = read_run(tmp_path / "other")
    assert run.arrays["bars/network"].shape == (17, 8, 3)
    assert "bars/record" not in run.arrays
    text = (tmp_path / "other" / "report.html").read_text(encoding="utf-8")
    assert "No verdict" in text
    assert 'alt="The network' in text
    assert call("report", tmp_path / "other").status == 0


def test_bins_of_samples_that_set_the_intervals_do_not_judge_them():
    """And there is a number to say of them."""
    ts, u, v = motion(frames=9)
    path = BarPath(ts, u, v, {})
    none = np.zeros(9)
    run = BarsFollowed(
        MACHINE,
        (path, path),
        u,
        v,
        u,
        None,
        u + 1.0,
        None,
        none,
        none,
        intervals=BarIntervals(1.0, 0.5),
    )
    binned = lambda values, how: np.array([how(v) for v in np.split(values, 3)])
    share, count = _coverage([run], 0.055, binned)
    np.testing.assert_allclose(share, [0.9, 0.9, 0.0])
    np.testing.assert_allclose(count, [0.0, 0.0, 3.0], atol=1e-6)


def test_a_score_says_how_much_the_intervals_hold(capsys):
    row = {"trajectory": "a", "start": 0.0, "until": 1.0, "status": "ok"}
    row |= dict.fromkeys(("distance_mm", "largest_mm", "helix_mse_m2", "drift"), 1.0)
    rows = [{**row, "covered": 0.875}, {**row, "covered": None}]
    assert _score_bars(rows, [], Console(Talk())) == 0
    head, told, none = capsys.readouterr().out.splitlines()
    at = head.index("in 90 % intervals")
    assert told[at:].startswith("87.5 %")
    assert none[at:].startswith("-")


def test_intervals_outside_of_the_training_are_said_to_be_too_narrow():
    """Members that begin from one law agree where none has learned anything."""
    known = {"trajectory": "a", "bars": 6, "held": "at both ends", "drift": None}
    known |= {"start": 0.0, "until": 1.0, "lowest": -0.1, "lowest_at": 0.5}
    row = {**known, "status": "ok", "interval_mm": 2.0, "outside": 0.4}
    assert "40 % of the pairs outside the training range: intervals are too" in _line(
        row
    )
    assert "too narrow" not in _line({**row, "outside": 0.04})
    assert "too narrow" not in _line({**row, "interval_mm": None})
    for share, said in ((0.4, True), (0.04, False)):
        arrays = {"outside/share": np.full(3, share)}
        page = _chain(Run(Path(), {"bars": {"interval_mm": 2.0}}, arrays, []))
        assert ("too narrow outside the training range" in page.html()) == said


@pytest.mark.slow
def test_score_and_check(place):
    done = call("score", place.run, place.record)
    assert done.status == 0
    assert "mean distance [mm]" in done.out
    assert "in 90 % intervals" in done.out
    done = call("check", place.run, place.record, "--json")
    told = json.loads(done.out)
    assert done.status == (0 if told["trust"] else 1)
    assert told["data"][0]["holds"] in (True, False)
    assert "of the spread" in told["data"][0]["text"]
    swept = told["continuity"]
    assert swept["verdict"] in ("consistent_flow", "depends_on_solver")
    assert swept["scheme_train"] == "leapfrog"
    assert swept["dt_train"] == pytest.approx(0.01)
    page = (place.run / "report.html").read_text(encoding="utf-8")
    assert "Continuity: the same law in other schemes and steps" in page
    assert "mathdefault" not in page  # ticks are plain text


@pytest.mark.slow
def test_an_interrupted_fit_is_resumed_to_the_same_bits(place, tmp_path):
    from pendula import dynamics

    real = dynamics.fit_bars

    def interrupted(*args, tell, **options):
        def stop(row):
            tell(row)
            if row["phase"] == "clips" and row["step"] == 2:
                raise KeyboardInterrupt

        return real(*args, tell=stop, **options)

    command = ["fit", place.record, "--out", tmp_path / "run", *place.options, *CLIPS]
    whole = [*command[:3], tmp_path / "whole", *command[4:]]
    assert call(*whole).status == 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dynamics, "fit_bars", interrupted)
        done = call(*command)
    assert done.status == 130
    assert "--resume" in done.err
    assert not (tmp_path / "run" / "model.safetensors").exists()
    done = call(*command, "--resume")
    assert done.status == 0, done.err
    for name in ("arrays.npz", "metrics.jsonl"):
        ours, theirs = (tmp_path / run / name for run in ("run", "whole"))
        assert ours.read_bytes() == theirs.read_bytes(), name


def falling(u, v):
    """No end stays."""
    u = u.copy()
    u[..., 1] -= 0.5 * 9.8 * (0.01 * np.arange(len(u)))[:, None] ** 2
    return u, v


def turned(u, v):
    u = u.copy()
    u[5:, 2, 2] += 2.0 * np.pi
    return u, v


BAD = {
    "free": (falling, [], "a chain hangs from an end that is clamped"),
    "two": (
        lambda u, v: (u[:, :2], v[:, :2]),
        [],
        "has 2 bars; a chain has at least 3",
    ),
    "still": (lambda u, v: (0 * u + u[:1], 0 * v), [], "no bar of record 0 moves"),
    "law": (None, ["--known", "viscous"], "--known does not go with a record of bars"),
    "every": (None, ["--every", "2"], "--every does not go with a record of bars"),
    "setting": (None, ["--set", "stepz=3"], "unknown setting stepz."),
    "machine": (None, ["--set", "machine.mas=3"], "unknown setting machine.mas."),
    "mass": (None, ["--set", "machine.mass=-1.0"], "mass is -1.0; it must be above 0"),
    "group": (None, ["--set", "group=order5"], 'group "order5" is unknown'),
    "preset": (None, ["--preset", "huge"], "bars have no such preset"),
    "until": (None, ["--train-until", "0.001"], "no trajectory has two samples"),
    "span": (None, ["--set", "span=0.001"], "of which the records have 1 frames"),
    "channels": (
        None,
        [
            "--channels",
            ",".join(f"{c}{i}" for i in range(3) for c in ("x", "y", "alpha")),
        ],
        "3 bars without their rates",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_records_and_settings_are_one_sentence(place, tmp_path, name):
    change, options, words = BAD[name]
    path = place.record
    if change is not None:
        ts, u, v = bars_of(read(place.record))
        path = tmp_path / "bad.npz"
        write(bar_record(ts, *change(u, v), origin={}), path)
    done = call("fit", path, "--out", tmp_path / "run", *options)
    assert done.status == 2, done.err
    last = done.err.strip().splitlines()[-1]
    assert last.startswith("pendula: ")
    assert words in last
    assert "Traceback" not in done.err
    assert not (tmp_path / "run").exists()


def test_angles_that_jump_and_samples_that_are_missing(place, tmp_path):
    data = read(place.record)
    for name, change, words in (
        ("jump", lambda ys: ys[0, 5:, 8].__iadd__(7.0), "jumps by"),
        ("nan", lambda ys: ys[0, 4].__setitem__(3, np.nan), "missing samples"),
    ):
        ys = data.ys.copy()
        change(ys)
        bad = type(data).from_arrays(data.ts[0], ys[0], names=data.names)
        write(bad, tmp_path / f"{name}.npz")
        done = call("fit", tmp_path / f"{name}.npz", "--out", tmp_path / "run")
        assert (done.status, words in done.err) == (2, True), done.err


def test_records_that_do_not_go_together(place, tmp_path):
    """Other times, other ends, other machines."""
    ts, u, v = bars_of(read(place.record))
    case = {
        "system": "slinky",
        "key": "case1",
        "words": "",
        "cycles": 6,
        "seconds": 1.0,
    }
    files = {
        "short": (
            bar_record(ts[:9], u[:9], v[:9], origin={}),
            "record 1 has other times",
        ),
        "other": (
            bar_record(ts, u[:, ::-1], v[:, ::-1], origin={}),
            "held at its last end",
        ),
        "rod": (bar_record(ts, u, v, origin=case), "are of different machines"),
    }
    for name, (data, words) in files.items():
        path = tmp_path / f"{name}.npz"
        write(data.replace(licence=read(place.record).licence), path)
        done = call("fit", place.record, path, "--out", tmp_path / "run")
        assert (done.status, words in done.err) == (2, True), done.err
    met = {**case, "touching": True}
    write(bar_record(ts, u, v, origin=met), tmp_path / "met.npz")
    done = call("fit", place.record, tmp_path / "met.npz", "--out", tmp_path / "run")
    assert (done.status, "of different machines" in done.err) == (2, True), done.err
    done = call("fit", tmp_path / "met.npz", "--out", tmp_path / "run")
    assert (done.status, "learn from one with touching" in done.err) == (2, True)
    moved = {**case, "moving": True}
    write(bar_record(ts, u, v, origin=moved), tmp_path / "moved.npz")
    done = call("fit", tmp_path / "moved.npz", "--out", tmp_path / "run")
    assert (done.status, "an end is moved" in done.err) == (2, True), done.err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--case", "case99"], 'case "case99" is unknown.'),
        (["--case", "case2", "--set", "cycle=5"], 'Did you mean "cycles"?'),
        (["--case", "case2", "--set", "cycles=2"], "at least 3 bars"),
        (["--case", "case2", "--set", "touching=ja"], "is ja; say yes or no"),
        (["--case", "case2", "--set", "touching=yes"], "knows no contact of cycles"),
        (["--case", "case2", "--start", "0.1"], "a case begins at 0"),
        (["--case", "case2", "--until", "0.001"], "less than 0.01 s"),
        (["--case", "case2", "--until", "1e7"], "a forecast of 1e+07 s takes"),
        (["--case", "case2", "--set", "drag=-1"], "drag is -1.0; it must be at least"),
        ([], "Give one of them"),
    ],
)
def test_bad_forecasts(place, options, words):
    done = call("forecast", place.run, *options)
    assert done.status == 2
    assert words in done.err.strip().splitlines()[-1]


def test_bad_forecasts_from_a_record(place, tmp_path):
    record = ["--from", place.record]
    for options, words in (
        (["--set", "mas=1.0"], "unknown setting --set.mas"),
        (["--start", "3"], "has 0 samples; a run needs 2"),
        (["--until", "inf"], "a forecast of inf s takes"),
        (["--out", place.run], "holds a run already"),
        (["--out", tmp_path / "f.xyz"], 'cannot write ".xyz"'),
        (["--case", "case2"], "Give one of them"),
    ):
        done = call("forecast", place.run, *record, *options)
        assert (done.status, words in done.err) == (2, True), done.err


def test_a_motion_that_is_lost_at_once_is_said(place, tmp_path):
    """Ten thousand times as stiff, it is no record that could be written."""
    options = ["--set", "stiffness=1e4", "--out", tmp_path / "f.csv"]
    done = call("forecast", place.run, "--from", place.record, *options)
    assert (done.status, "the motion is lost within" in done.err) == (1, True), done.err


@pytest.mark.slow
def test_from_the_rod_to_a_page(tmp_path, monkeypatch):
    """Six cycles simulated by the rod, fitted, and the network on other cases."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PENDULA_SMALL", "1")
    for case in ("case0", "case2"):
        make = ["--set", "cycles=6", "--duration", 0.12, "--out", f"{case}.npz"]
        assert call("simulate", "slinky", "--case", case, *make).status == 0
    done = call("fit", "case0.npz", "--out", "run", "--members", 2)
    assert done.status == 0, done.err
    assert "6 bars held at both ends" in done.out
    run = read_run("run")
    assert run.report["bars"]["truth"] == "rod"
    assert run.arrays["distance/members"].shape == (2, 13)
    assert run.arrays["distance/interval"].shape == (13,)
    assert 0.5 < run.report["bars"]["errors"][0]["covered"] <= 1.0
    # what judges the intervals did not set them
    fit, record = load("run"), bar_records(read("case0.npz"))
    chains = [fit.model(k).field.force for k in range(2)]
    taught = record.until(fit.about["config"]["span"])
    assert len(taught.ts) < len(record.ts)
    set_by = BarIntervals.of(chains, taught, substeps=fit.ensemble.substeps)
    assert fit.about["bar_intervals"]["noise"] == pytest.approx(set_by.noise)
    done = call("forecast", "run", "--from", "case2.npz", "--out", "two")
    assert done.status == 0, done.err
    assert "held at its first end" in done.out  # the record says so
    assert "distance/interval" in read_run("two").arrays
    row = json.loads(call("score", "run", "case0.npz", "case2.npz", "--json").out)
    assert [r["held"] for r in row["records"]] == ["at both ends", "at its first end"]
    for case in ("case1", "case7"):
        options = ["--case", case, "--set", "cycles=6", "--until", 0.05]
        done = call("forecast", "run", *options, "--json")
        assert done.status == 0, done.err
        assert json.loads(done.out)["forecasts"][0]["interval_mm"] > 0.0
    assert json.loads(done.out)["forecasts"][0]["drift"] is None  # an end is moved


@pytest.mark.slow
def test_text_files_and_times_that_nobody_saw(place, tmp_path):
    """The same record as CSV, learned from until a time, scored after it."""
    write(read(place.record), tmp_path / "rec.csv")
    options = ["--config", place.folder / "small.toml", "--train-until", 0.12]
    done = call("fit", tmp_path / "rec.csv", "--out", tmp_path / "run", *options)
    assert done.status == 0, done.err
    assert "samples that the fit never saw" in done.out
    report = read_run(tmp_path / "run").report
    assert report["bars"]["taught_to"] == pytest.approx(0.096)
    shutil.rmtree(tmp_path / "run")
    done = call(
        "fit",
        tmp_path / "rec.csv",
        "--out",
        tmp_path / "run",
        *options,
        "--set",
        "span=0.2",
    )
    assert done.status == 0, done.err


def test_a_table_says_what_a_fit_has_to_be_told():
    ts, u = 0.01 * np.arange(3), np.zeros((3, 3, 3))
    told = {"system": "slinky", "key": "case2", "words": "", "cycles": 3}
    told |= {"seconds": 0.02, "setup": "vertical", "drag": 0.012, "heavier": 0.5}
    record = bar_record(ts, u, u, origin=told)
    assert _untold(record, ".csv").endswith(
        "Write .npz, or give the fit --set machine.mass=0.00125,machine.drag=0.012."
    )
    told |= {"drag": 0.0, "heavier": 1.0}
    plain = _untold(bar_record(ts, u, u, origin=told), ".tsv")
    assert plain == "note: .tsv files hold columns alone, not the machine."

"""The options of `pendula fit`: what they set, in which order, and what is refused.

Nothing here compiles: a refusal comes before any training and leaves no folder.
"""

from __future__ import annotations

import dataclasses
import os

import numpy as np
import pytest

from pendula._errors import ConfigError
from pendula.cli._fit_options import MODEL, PRESETS, TRAIN, build_config
from pendula.cli._main import _settings
from pendula.data import Trajectories, write
from pendula.dynamics import FitConfig, from_dict


@pytest.fixture
def data():
    t = np.linspace(0, 10, 101)
    ys = np.stack([np.cos(2 * t), np.sin(3 * t)], axis=1)
    return Trajectories.from_arrays(
        t, ys, names=("theta1", "theta2"), origin={"zero": {"theta2": 3.0}}
    )


def config(data, **options):
    model = {f.name for f in dataclasses.fields(MODEL)}
    chosen = {k: v for k, v in options.items() if k in model}
    rest = {k: v for k, v in options.items() if k not in model}
    return build_config(
        data,
        dataclasses.replace(MODEL, **chosen),
        dataclasses.replace(TRAIN, preset="default")
        if not rest
        else dataclasses.replace(TRAIN, **{"preset": "default", **rest}),
    )


def test_nothing_said_is_the_default(data, monkeypatch):
    monkeypatch.delenv("PENDULA_SMALL", raising=False)
    named = dataclasses.replace(data, origin={})
    assert build_config(named, MODEL, TRAIN) == FitConfig()


def test_presets_are_configurations():
    for settings in PRESETS.values():
        from_dict(settings, FitConfig)


def test_small_mode_is_a_preset(data, monkeypatch):
    monkeypatch.setenv("PENDULA_SMALL", "1")
    found = build_config(data, MODEL, TRAIN)
    assert found.train.steps == PRESETS["small"]["train"]["steps"]


def test_order_of_settings(data, tmp_path):
    """Defaults < preset < file < command line."""
    file = tmp_path / "fit.toml"
    file.write_text("seed = 3\n[train]\nsteps = 7\nlr = 1e-2\n[model]\nwidth = 24\n")
    found = config(
        data, preset="small", config=file, width=32, settings=("train.lr=2e-2",)
    )
    assert found.train.members == PRESETS["small"]["train"]["members"]
    assert (found.seed, found.train.steps) == (3, 7)
    assert (found.model.width, found.train.lr) == (32, 2e-2)


def test_options_set_what_they_say(data):
    found = config(
        data,
        learn="friction",
        prior=("zero_at_rest,odd",),
        order="second",
        depth=1,
        method="levenberg",
        members=2,
        steps=5,
        minutes=0.5,
        every=2,
        validation=0.3,
        seed=9,
        settings=("train.clips=[8, 16]", "dtype=float64"),
    )
    assert found.model.learn == "friction"
    assert found.model.priors == ("zero_at_rest", "odd")
    assert found.train.clips == (8, 16)
    assert (found.train.minutes, found.every, found.validation) == (0.5, 2, 0.3)
    assert (found.dtype, found.seed) == ("float64", 9)


def test_constants_go_to_the_laws_that_have_them(data):
    found = config(
        data,
        known=("gravity_pendulum", "viscous"),
        on=("theta1",),
        zero="pi",
        free=("w2,c",),
        constant=("w2=64", "c=0.1"),
    )
    first, second = found.model.known
    assert first.constants == {"w2": 64.0, "zero": pytest.approx(np.pi)}
    assert (first.free, second.free) == (("w2",), ("c",))
    assert second.constants == {"c": 0.1}
    assert first.on == second.on == ("theta1",)
    assert found.model.rest == (pytest.approx(np.pi), 3.0)


def test_each_law_on_its_own_channel(data):
    """The named set says where theta2 hangs."""
    found = config(
        data,
        known=("gravity_pendulum", "gravity_pendulum"),
        on=("theta1", "theta2"),
        free=("w2",),
    )
    assert [law.on for law in found.model.known] == [("theta1",), ("theta2",)]
    assert [law.constants for law in found.model.known] == [{}, {"zero": 3.0}]
    assert found.model.rest == (0.0, 3.0)


def test_dotted_options():
    told = ["fit", "--train.lr", "3e-3", "--model.width=8", "--", "--a.b", "c"]
    assert _settings(told) == [
        *("fit", "--set", "train.lr=3e-3", "--set", "model.width=8", "--", "--a.b", "c")
    ]
    assert _settings(["--train.lr"]) == ["--set", "train.lr"]
    assert _settings(["--train.lr", "--out"]) == ["--set", "train.lr", "--out"]
    assert _settings(["--model.rest", "-1"]) == ["--set", "model.rest=-1"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"on": ("theta3",), "known": ("viscous",)}, r"--on theta3.*theta1, theta2"),
        ({"on": ("theta1", "theta2"), "known": ("viscous",)}, "--on is given 2 times"),
        ({"known": ("viscos",)}, 'Did you mean "viscous"'),
        ({"free": ("w2",)}, "Name a law with --known first"),
        ({"free": ("w3",), "known": ("gravity_pendulum",)}, 'Did you mean "w2"'),
        ({"constant": ("k=1",), "known": ("viscous",)}, "viscous has c"),
        ({"constant": ("c",), "known": ("viscous",)}, "expected NAME=VALUE"),
        ({"constant": ("c=1", "c=2"), "known": ("viscous",)}, "given twice"),
        ({"constant": ("c=much",), "known": ("viscous",)}, "no finite number"),
        ({"zero": "low"}, "--zero low"),
        ({"zero": "pi", "known": ("viscous",)}, "no known law and no prior"),
        ({"zero": "pi", "known": ("two_links",)}, "--constant zero1=pi"),
        ({"on": ("theta1",)}, "there is no known law to act on it"),
        ({"learn": "forse"}, 'Did you mean "force"'),
        ({"method": "levenburg"}, 'Did you mean "levenberg"'),
        ({"order": "third"}, "Allowed: auto, first, second"),
        ({"width": -1}, "model.width is -1"),
        ({"members": 0}, "train.members is 0"),
        ({"validation": 2.0}, "validation is 2"),
        ({"settings": ("train.lrr=1",)}, r'train\.lrr\. Did you mean "lr"'),
        ({"settings": ("trian.lr=1",)}, r'trian\. Did you mean "train"'),
        ({"settings": ("train.lr=fast",)}, "train.lr is 'fast'; expected a number"),
        ({"settings": ("train.clips=[8, 16",)}, "a list of numbers"),
        ({"settings": ("train.lr=1", "train.lr.x=1")}, "a value and a table"),
        ({"preset": "smal"}, 'Did you mean "small"'),
    ],
)
def test_refused(data, options, words):
    with pytest.raises(ConfigError, match=words):
        config(data, **options)


def test_files_that_are_no_configuration(data, tmp_path):
    with pytest.raises(ConfigError, match="there is no such file"):
        config(data, config=tmp_path / "absent.toml")
    (tmp_path / "bad.toml").write_text("train = [")
    with pytest.raises(ConfigError, match="not a TOML file"):
        config(data, config=tmp_path / "bad.toml")
    (tmp_path / "odd.toml").write_text("[train]\nstep = 3\n")
    with pytest.raises(ConfigError, match=r'train\.step\. Did you mean "steps"'):
        config(data, config=tmp_path / "odd.toml")


@pytest.fixture
def swing(tmp_path, data):
    return write(data, tmp_path / "swing.csv")


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["swing.csv", "--set", "train.lrr=1"], 'Did you mean "lr"?'),
        (["swing.csv", "--train.lrr", "1"], 'Did you mean "lr"?'),
        (["swing.csv", "--knwon", "viscous"], "Did you mean --known?"),
        (["swing.csv", "--width", "0"], "model.width is 0"),
        (["swing.csv", "--channels", "thet1"], 'no column "thet1"'),
        (["swing.csv", "--dt", "-1"], "--dt -1"),
        (["swing.csv", "--input-kind", "spine"], "spline"),
        (["swing.csv", "--prior", "even"], "even"),
        (["swing.csv", "--train-until", "-5"], "no trajectory has two samples"),
        (["swing.csv", "--learn", "none"], "the model is empty"),
        (["swing.csv", "--resume"], "holds no interrupted fit"),
        (["swing.csv", "--out", "swing.csv"], "there is a file of that name"),
        (["empty.csv"], "empty.csv"),
        (["header.csv"], "header.csv"),
        (["single.csv"], "two"),
        (["words.csv"], 'words.csv, row 3, column "q"'),
        (["infinite.csv"], 'infinite.csv, row 3, column "q"'),
        (["comma.csv"], "comma.csv"),
        (["twice.csv"], 'twice.csv, row 3, column "t"'),
        (["short.csv"], "short"),
    ],
)
def test_bad_input_leaves_nothing(pendula, tmp_path, swing, argv, words):
    files = {
        "empty.csv": "",
        "header.csv": "t,q\n",
        "single.csv": "t,q\n0,1\n",
        "words.csv": "t,q\n0,1\n1,high\n2,3\n",
        "infinite.csv": "t,q\n0,1\n1,inf\n2,3\n",
        "comma.csv": "t;q\n0;1,5\n1;2,5\n2;3,5\n",
        "twice.csv": "t,q\n0,1\n0,2\n1,3\n",
        "short.csv": "t,q\n0,1\n1,2\n2,1\n",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    before = sorted(p.name for p in tmp_path.iterdir())
    done = pendula("fit", *argv)
    assert done.status == 2, done.err
    assert done.out == ""
    last = done.err.strip().splitlines()[-1]
    assert last.startswith("pendula: ")
    assert words in last
    assert "Traceback" not in done.err
    assert sorted(p.name for p in tmp_path.iterdir()) == before


def test_an_existing_run_is_kept(pendula, tmp_path, swing):
    """It is refused without --force, and bad input does not cost it with --force."""
    run = tmp_path / "runs" / "swing"
    run.mkdir(parents=True)
    (run / "report.json").write_text("{}")
    done = pendula("fit", "swing.csv")
    assert done.status == 2
    assert "holds a run already" in done.err
    assert "--force" in done.err
    for bad in (["--width", "0"], ["--prior", "even"]):
        assert pendula("fit", "swing.csv", "--force", *bad).status == 2
        assert [p.name for p in run.iterdir()] == ["report.json"]
    other = tmp_path / "notes"
    other.mkdir()
    (other / "diary.txt").write_text("dear")
    done = pendula("fit", "swing.csv", "--force", "--out", "notes")
    assert done.status == 2
    assert "is no run" in done.err


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write")
def test_a_folder_that_cannot_be_written(pendula, tmp_path, swing):
    (tmp_path / "locked").mkdir(mode=0o500)
    done = pendula("fit", "swing.csv", "--out", "locked/run")
    assert done.status == 2
    assert "cannot be written" in done.err


def test_forecast_refuses_before_it_reads(pendula, tmp_path, swing):
    (tmp_path / "there.csv").write_text("x")
    done = pendula("forecast", "run", "--from", "swing.csv", "--out", "there.csv")
    assert (done.status, "--force" in done.err) == (2, True)
    done = pendula("forecast", "run", "--from", "swing.csv", "--out", "a.png")
    assert (done.status, ".csv" in done.err) == (2, True)
    assert pendula("forecast", "run").status == 2
    assert (tmp_path / "there.csv").read_text() == "x"

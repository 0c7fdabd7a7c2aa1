"""Commands that need no training: what they print, where, and the exit status."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import shlex
import signal
import sys
from pathlib import Path

import numpy as np
import pytest

import run_example
from pendula.cli import main
from pendula.cli._app import COMMANDS, DATA
from pendula.cli._console import Console, Speed, describe
from pendula.cli._list import MODELS
from pendula.cli._options import Talk, pairs, real
from pendula.data import read
from pendula.dynamics._config import Learn


@pytest.mark.parametrize("name", [*COMMANDS, "data list"])
def test_every_command_has_help_with_an_example(pendula, name):
    done = pendula(*name.split(), "--help")
    assert done.status == 0
    assert f"Example: pendula {name}" in done.out.replace("\n", " ")
    table = DATA if name.startswith("data") else COMMANDS
    for flag in ("--json", "--quiet", "--verbose", "--debug"):
        assert flag in done.out
    assert table[name.split()[-1]][1] in " ".join(done.out.split())


def test_no_arguments_is_help(pendula):
    assert pendula().out == pendula("--help").out
    assert pendula("--version").out.strip()[0].isdigit()


def test_help_takes_the_width_and_colours_of_the_environment(pendula, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("NO_COLOR", "1")
    out = pendula("--help").out
    assert max(map(len, out.splitlines())) <= 60
    assert "\x1b[" not in out


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["inspct"], 'Unknown command "inspct". Did you mean "inspect"?'),
        (["forecast", "run", "x.csv"], 'not know what "x.csv" is for. Give it to one'),
        (["inspect", "x.csv", "--chanels", "a"], "Did you mean --channels?"),
        (["inspect"], "no data given"),
        (["inspect", "absent.csv"], "absent.csv: there is no such file"),
        (["inspect", "multiarm_pendulum/singel"], 'mean "multiarm_pendulum/single"?'),
        (["list", "lawz"], 'Did you mean "laws"?'),
        (["simulate"], "SYSTEM requires an argument"),
        (["simulate", "pendulm", "--out", "a.csv"], 'Did you mean "pendulum"?'),
        (["simulate", "pendulum", "--out", "a.xls"], 'cannot write ".xls"'),
        (["simulate", "pendulum", "--out", "a.csv", "--dt", "-1"], "dt is -1"),
        (["simulate", "pendulum", "--out", "a.csv", "--num", "two"], "whole number"),
        (["simulate", "pendulum", "--out", "a.csv", "--num", "2.4"], "whole number"),
        (["fit", "a.csv", "--width", "8.7"], '--width: "8.7" is no whole number'),
        (["fit", "a.csv", "--train.lr", "--quiet"], "no such file"),
        (["simulate", "pendulum", "--out", "a.csv", "--set", "length"], "NAME=VALUE"),
        (["simulate", "pendulum", "--out", "a.csv", "--set", "lenth=1"], '"length"?'),
        (["simulate", "pendulum", "--out", "a.csv", "--set", "length=-1"], "above 0"),
        (["simulate", "heat", "--out", "a.csv", "--set", "nodes=2.5"], "whole number"),
        (["simulate", "heat", "--out", "a.csv", "--set", "boundary=open"], "neumann"),
        (["simulate", "heat", "--out", "a.csv", "--set", "length=long"], "number"),
        (["simulate", "pendulum", "--out", "a.csv", "--missing", "2"], "missing is 2"),
        (["report", "absent"], "absent: there is no such run folder"),
        (["check", "absent"], "absent: there is no such run folder"),
        (["reproduce", "spin"], 'Did you mean "spine"?'),
    ],
)
def test_bad_usage_is_one_line_and_status_2(pendula, tmp_path, argv, words):
    done = pendula(*argv)
    assert done.status == 2
    assert done.out == ""
    last = done.err.strip().splitlines()[-1]
    assert last.startswith("pendula: ")
    assert words in last
    assert "Traceback" not in done.err
    assert list(tmp_path.iterdir()) == []  # nothing half-written stays


def test_too_little_memory_is_one_line(pendula):
    options = ["--duration", "1e15", "--dt", 1, "--out", "a.csv"]
    done = pendula("simulate", "pendulum", *options)
    assert (done.status, done.out) == (1, "")
    assert "pendula: not enough memory" in done.err


def test_the_unit_of_a_column_can_be_said(pendula, tmp_path):
    """The option that the decision names is there, and does what it says."""
    rows = "".join(f"{k},{30 * np.sin(k):.6f}\n" for k in range(40))
    (tmp_path / "a.csv").write_text("t,theta [deg]\n" + rows)
    assert "--units theta=rad if" in pendula("inspect", "a.csv").out
    done = pendula("inspect", "a.csv", "--units", "theta=rad", "--json")
    (channel,) = json.loads(done.out)["channels"]
    assert channel["unit"] == "rad"
    assert channel["range"][1] > 29
    wrong = pendula("inspect", "a.csv", "--units", "rad").err
    assert "expected NAME=VALUE, for example --units theta=rad." in wrong


def test_times_are_told_apart_and_gaps_are_not_called_uneven(pendula, tmp_path):
    t = 1.6e9 + np.r_[0:50, 80:120] * 0.1
    rows = "".join(f"{a!r},{a % 2:.3f}\n" for a in t.tolist())
    (tmp_path / "a.csv").write_text("t,q\n" + rows)
    out = pendula("inspect", "a.csv").out
    assert "1600000000 to 1600000011.9 s" in out
    assert "0.100 s, even but for the gaps" in out
    assert "note: 1 gap longer" in out


def test_a_place_that_cannot_be_written_is_named_with_the_way_out(
    pendula, tmp_path, monkeypatch
):
    """Not the name that a file has until it is whole."""
    run = run_example.write(tmp_path / "run", arrays={}, metrics=[])

    def full(path, *args, **options):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(Path, "write_text", full)
    done = pendula("report", run)
    assert done.status == 2
    words = f"pendula: {run}: No space left on device. Choose another place, or free"
    assert words in done.err


def test_a_terminal_without_the_letters_of_a_name(tmp_path, monkeypatch):
    (tmp_path / "a.csv").write_text("t,θ\n0,1\n1,2\n", encoding="utf-8")
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setattr(sys, "argv", ["pendula", "inspect", str(tmp_path / "a.csv")])
    assert main() == 0
    assert b"\\u03b8" in out.buffer.getvalue()


def test_a_process_without_standard_output(pendula, monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    assert pendula("list", "schemes").status == 0


def test_debug_shows_the_traceback(pendula):
    assert "Traceback" in pendula("inspect", "absent.csv", "--debug").err


def test_a_start_below_zero_is_no_option(pendula, tmp_path):
    options = ["--duration", 1, "--dt", 0.5, "--out", "a.csv"]
    done = pendula("simulate", "van_der_pol", "--start", "-1.2,0", *options)
    assert (done.status, "samples of" in done.out) == (0, True)
    assert read(tmp_path / "a.csv").ys[0, 0, 0] == -1.2


def test_a_time_without_a_unit_stands_alone(pendula):
    options = ["--duration", 1, "--dt", 0.5, "--out", "a.csv"]
    done = pendula("simulate", "selkov", *options)
    assert done.out.rstrip().endswith(", 1")
    done = pendula("simulate", "selkov", "--duration", 0.1, *options[2:], "--force")
    assert "duration is 0.1; it must be at least dt (0.5)" in done.err


def test_simulate_then_inspect(pendula, tmp_path):
    """Several records of one file are told apart without being told."""
    options = ["--num", 2, "--duration", 2, "--dt", 0.1, "--observe", "theta"]
    more = ["--set", "length=0.5,damping=0.1", "--start", "1,0", "--noise", 0.01]
    done = pendula("simulate", "pendulum", "--out", "a b/ü.csv", *options, *more)
    assert done.status == 0
    assert done.err == "simulating pendulum\n"
    assert "2 x 21 samples of theta" in done.out
    data = read(tmp_path / "a b" / "ü.csv")
    assert (data.num, data.names) == (2, ("theta",))
    np.testing.assert_allclose(data.ys[:, 0, 0], 1.0, atol=0.05)
    again = pendula("simulate", "pendulum", "--out", "a b/ü.csv")
    assert again.status == 2
    assert "--force" in again.err
    found = pendula("inspect", "a b/ü.csv", "--json", "--quiet")
    assert found.err == ""
    summary = json.loads(found.out)
    assert summary["num"] == 2
    assert summary["channels"][0]["name"] == "theta"
    text = pendula("inspect", "a b/ü.csv")
    assert "theta" in text.out
    assert "--channels" in text.out  # the option that changes a decision
    assert text.err == "reading a b/ü.csv\n"
    assert "all other columns" in pendula("inspect", "a b/ü.csv", "-v").err


@pytest.mark.parametrize("ending", ["h5", "nc", "parquet", "zarr", "mat"])
def test_every_format_from_the_program(pendula, tmp_path, ending):
    options = ["--num", 2, "--duration", 1, "--dt", 0.1, "--out", f"a.{ending}"]
    assert pendula("simulate", "pendulum", *options).status == 0
    summary = json.loads(pendula("inspect", f"a.{ending}", "--json", "--quiet").out)
    assert summary["num"] == 2
    assert [row["name"] for row in summary["channels"]] == ["theta", "omega"]
    assert [row["unit"] for row in summary["channels"]] == ["rad", "rad/s"]
    assert summary["licence"] == "generated"
    assert pendula("simulate", "pendulum", *options).status == 2
    assert pendula("simulate", "pendulum", *options, "--force").status == 0
    assert [path.name for path in tmp_path.iterdir()] == [f"a.{ending}"]


def test_inspect_shows_what_foreign_arrays_may_be(pendula):
    t = np.linspace(0, 1, 30)
    np.savez("rig it.npz", clock=t, theta=np.sin(t), note=np.array("by hand"))
    done = pendula("inspect", "rig it.npz")
    assert done.status == 0
    *_, command = done.out.strip().splitlines()
    assert command == "pendula inspect 'rig it.npz' --time clock --channels theta"
    found = json.loads(pendula("inspect", "rig it.npz", "--json").out)
    assert (found["time"], found["channels"]) == ("clock", ["theta"])
    assert pendula(*shlex.split(command)[1:]).status == 0
    done = pendula("fit", "rig it.npz")
    assert done.status == 2
    assert "`pendula inspect` shows what each may be" in done.err


def test_inspect_says_what_is_wrong_and_where(pendula, tmp_path):
    (tmp_path / "bad.csv").write_text("t,q\n0,1\n1,2\n0.5,3\n")
    done = pendula("inspect", "bad.csv")
    assert done.status == 2
    assert 'bad.csv, row 4, column "t": time goes backwards' in done.err


def test_warnings_are_lines(pendula, tmp_path):
    rows = "".join(f"{k},{k % 7 if k % 3 == 0 else ''}\n" for k in range(30))
    (tmp_path / "holes.csv").write_text("t,q\n" + rows)
    done = pendula("inspect", "holes.csv")
    assert done.status == 0
    assert "pendula: warning: " in done.err


def test_lists(pendula):
    every = pendula("list").out
    for name in ("pendulum", "gravity_pendulum", "friction", "rk4"):
        assert name in every
    laws = json.loads(pendula("list", "laws", "--json").out)
    assert laws["laws"]["viscous"] == "-c v  (c)"
    assert set(MODELS) == set(Learn)


def test_data_list(pendula):
    rows = json.loads(pendula("data", "list", "--json").out)
    assert {"name", "licence", "present", "citation"} <= set(rows[0])
    assert "silverbox" in pendula("data", "list").out


def test_doctor(pendula):
    done = pendula("doctor")
    assert done.status == 0
    for word in ("python", "jax", "float64", "cpus", "RK4", "ready"):
        assert word in done.out


def test_doctor_names_what_fails(pendula, monkeypatch):
    monkeypatch.setenv("PENDULA_DATA", "no/such/folder")
    done = pendula("doctor", "--json")
    assert done.status == 1
    assert json.loads(done.out)["failed"] == ["data"]


def test_claims(pendula, tmp_path):
    assert "pendula reproduce" in pendula("claims").out
    claim = {
        "id": "spine.help_seconds",
        "statement": "help",
        "value": 0.4,
        "kind": "target",
        "target": 0.5,
        "reason": "why not",
    }
    from pendula.studies import Claim
    from pendula.studies._ledger import Ledger

    ledger = Ledger(tmp_path / "results" / "spine", "spine", "full")
    ledger.put(Claim(**claim))
    done = pendula("claims")
    assert "met  spine.help_seconds  0.4    <= 0.5  ours" in done.out
    assert "spine.help_seconds: why not" in done.out
    assert json.loads(pendula("claims", "--json").out)[0]["met"] is True
    paper = {"id": "spine.period", "statement": "its period", "source": "Smith 1990"}
    ledger.put(Claim(**paper, value=2.0, kind="report", published=2.1))
    lines = pendula("claims").out.splitlines()
    assert lines[0].split() == ["claim", "value", "target", "published", "source"]
    assert "report  spine.period        2              2.1        Smith 1990" in lines


def test_report_makes_the_page_again(pendula, tmp_path):
    arrays = run_example.some("growth/")
    run = run_example.write(tmp_path / "run", arrays=arrays, metrics=[])
    done = pendula("report", run, "--png", "img", "--open")  # no terminal: not opened
    assert done.status == 0
    assert done.out.splitlines()[0] == str(run / "report.html")
    assert (tmp_path / "img" / "growth.png").exists()


@pytest.mark.slow
def test_check_says_it_by_the_status(pendula, tmp_path):
    run = run_example.write(tmp_path / "good", arrays={}, metrics=[])
    done = pendula("check", run)
    assert done.status == 0
    assert done.out.rstrip().endswith("\ntrust")
    assert "c = 0.05520 1/s" in done.out
    assert "confounded" in done.out
    report = run_example.report()
    report["verdict"].update(trust=False, trust_to=None)
    run = run_example.write(tmp_path / "bad", report=report, arrays={}, metrics=[])
    done = pendula("check", run, "--json")
    assert done.status == 1
    assert json.loads(done.out)["trust"] is False


def test_numbers_on_the_command_line():
    assert real("pi/2", "--zero") == pytest.approx(np.pi / 2)
    assert real("-2pi", "--zero") == pytest.approx(-2 * np.pi)
    assert real("1e-3", "--zero") == 1e-3
    assert pairs(["a=1,b=2", "c=[1, 2]"], "--set") == {
        "a": "1",
        "b": "2",
        "c": "[1, 2]",
    }


def test_progress_says_phase_step_losses_speed_and_time_left():
    speed = Speed()
    row = {"phase": "clips of 8", "step": 0, "total": 100}
    speed.take(row)
    assert describe(row, speed) == "clips of 8: step 0/100, compiling"
    for step in (10, 20):
        row = {**row, "step": step, "loss": [0.2, 0.4, 0.3], "validation": 0.5}
        speed.take(row)
    text = describe(row, speed)
    assert text.startswith("clips of 8: step 20/100, loss 0.3, validation 0.5, ")
    assert text.endswith(" s left")
    assert "steps/s" in text


def test_an_interrupt_that_was_swallowed_is_raised_at_the_next_row(capsys):
    """As when it comes inside a callback that ignores exceptions."""
    before = signal.getsignal(signal.SIGINT)
    taken = []

    def train(rows, interrupted_after):
        with Console(Talk(quiet=True)).training() as tell:
            for row in range(rows):
                tell({"step": row})
                taken.append(row)
                if row == interrupted_after:
                    with contextlib.suppress(KeyboardInterrupt):
                        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        train(rows=4, interrupted_after=1)
    assert taken == [0, 1]
    assert signal.getsignal(signal.SIGINT) is before
    with pytest.raises(KeyboardInterrupt):
        train(rows=2, interrupted_after=1)  # no row follows
    train(rows=2, interrupted_after=None)

"""The part of a page that says what the fitted law does."""

import re

import numpy as np
import pytest

import run_example
from pendula.cli import main
from pendula.report import law_lines, write_figures, write_page
from pendula.report._law_figures import mark_of
from pendula.report._law_words import eigenvalues, law_points, near


def behaviour():
    """A double well with damping, as a fit leaves it."""
    rest = lambda q, kind, pairs, **more: {
        "y": [q, 1e-12],
        "low": [q - 0.01, 0.0],
        "high": [q + 0.01, 0.0],
        "kind": kind,
        "eigenvalues": pairs,
        "growth": [pairs[0][0] - 0.01, pairs[0][0] + 0.01],
        "undecided": False,
        "members": 5,
        "visited": True,
        "nearest": 0.02,
        **more,
    }
    turning = [[-0.05, 1.4], [-0.05, -1.4]]
    return {
        "state": [
            {"name": "q", "unit": "m", "low": -1.5, "high": 1.5},
            {"name": "v", "unit": "m/s", "low": -1.0, "high": 1.0},
        ],
        "searched": 5,
        "rests": [
            rest(-1.0, "stable focus", turning),
            rest(0.0, "saddle", [[0.95, 0.0], [-1.05, 0.0]], members=4),
            rest(1.7, "stable focus", turning, visited=False, undecided=True),
            rest(1.0, "sink", [[-0.5, 0.0], [-2.0, 0.0]], growth=[-0.8, -0.01]),
        ],
        "text": ["Left alone, the motion dies away towards q = -1 m."],
        "left_out": ["<b>Nothing</b> more was asked."],
    }


def arrays():
    x, y = np.linspace(-2, 2, 6), np.linspace(-1.5, 1.5, 6)
    q, v = np.meshgrid(x, y)
    ts = np.linspace(0, 20, 300)
    run = np.stack([np.exp(-0.05 * ts) * f(ts) for f in (np.cos, np.sin)], axis=1)
    return {
        "behaviour/x": x,
        "behaviour/y": y,
        "behaviour/rates": np.stack([v, q - q**3], axis=-1),
        "behaviour/seen": run[::5],
        "behaviour/run": run,
        "behaviour/cycle": run[:40],
    }


def chaotic():
    """What a chaotic law leaves instead of a cycle."""
    frequency = np.linspace(0.0, 5.0, 65)
    power = 1.0 / (1.0 + frequency[:, None] ** 4)
    edges = np.linspace(-2.0, 2.0, 21)[None]
    share = np.exp(-(edges[:, 1:] ** 2))
    told = {
        "text": ["The law is chaotic."],
        "left_out": [],
        "exponents": {
            "value": 0.9,
            "low": 0.85,
            "high": 0.95,
            "all": [0.9, 0.0, -14.5],
            "dimension": 2.06,
            "record": {"value": 0.8, "low": 0.7, "high": 0.9},
        },
        "statistics": [
            {
                "name": "x",
                "overlap": 0.93,
                "overlap_halves": 0.9,
                "distance": 1.4,
                "distance_halves": 1.7,
            }
        ],
    }
    return told, {
        "behaviour/frequency": frequency,
        "behaviour/power": power,
        "behaviour/power_data": 1.1 * power,
        "behaviour/edges": edges,
        "behaviour/share": share / share.sum(),
        "behaviour/share_data": share / share.sum(),
    }


def page_of(folder, told, curves):
    report = {**run_example.report(), "behaviour": told}
    made = run_example.write(folder, report=report, arrays=curves, metrics=[])
    return write_page(made).read_text(encoding="utf-8")


def test_rest_states_are_shown_with_what_happens_near_them(tmp_path):
    text = page_of(tmp_path / "well", behaviour(), arrays())
    assert "What the fitted law does" in text
    for words in (
        "q = -1 (-1.01 to -0.990) m, v = 0 m/s",
        "spirals into it; one turn takes 4.49 s, the distance falls to 1/e in 20 s",
        "a small distance grows e-fold in 1.05 s",
        "falls to 1/e in 2 s (1.25 to 100 s over the members)",
        "centre or slow spiral: the members differ",
        "outside: never measured",
        "4 of 5",
        "-0.0500 ± 1.4i",
        "q [m]",
        "v [m/s]",
        "free run",
        "&lt;b&gt;Nothing&lt;/b&gt;",
    ):
        assert words in text, words
    # numbered between the rollouts and the trust
    anchors = re.findall(r'<section id="([\w-]+)"', text)
    assert anchors[3:6] == ["rollouts-4", "law-5", "trust-6"]


def test_a_time_is_that_of_the_usual_member():
    """The middle one may be the furthest off."""
    rest = {
        "kind": "sink",
        "eigenvalues": [[-0.02, 0.0], [-2.0, 0.0]],
        "growth": [-0.25, -0.02],
        "usual": -0.2,
    }
    text = near(rest, "s")
    assert "falls to 1/e in 5 s (4 to 50 s over the members)" in text


@pytest.mark.parametrize(
    ("kind", "pairs", "mark", "words"),
    [
        ("stable focus", [[-0.1, 1.0], [-0.1, -1.0]], "centre", "centre or slow"),
        ("saddle", [[0.385, 0.0], [-3.76, 0.0]], "open", "stable or not: the members"),
        ("sink", [[-0.07, 0.0], [-3.1, 0.0]], "open", "stable or not: the members"),
    ],
)
def test_only_what_the_motion_turns_around_is_called_a_centre(kind, pairs, mark, words):
    """Members that differ in the sign of a real eigenvalue circle nothing."""
    rest = {"kind": kind, "eigenvalues": pairs, "undecided": True}
    assert mark_of(rest) == mark
    assert near(rest, "s").startswith(words)
    line = {"kind": "degenerate", "eigenvalues": [[0.0, 0.0], [-1.0, 0.0]]}
    assert mark_of(line) == "open"


@pytest.mark.slow
def test_chaos_is_shown_by_exponent_spectrum_and_histogram(tmp_path):
    text = page_of(tmp_path / "chaos", *chaotic())
    for words in (
        "0.900 1/s (0.850 to 0.950 1/s)",
        "from the record alone, without the model",
        "0.900, 0 and -14.5",
        "93 %",
        "1.7 dB",
        "frequency [1/s]",
        "share of the time [1]",
    ):
        assert words in text, words
    figures = write_figures(tmp_path / "chaos", tmp_path / "png")
    assert [path.stem for path in figures] == ["statistics"]


def test_the_program_tells_it_too(tmp_path, capsys):
    report = {**run_example.report(), "behaviour": behaviour()}
    folder = run_example.write(tmp_path / "run", report=report)
    assert main(["check", str(folder)]) == 0
    out = capsys.readouterr().out
    assert "rest state q = 0 m, v = 0 m/s: saddle" in out
    assert "outside the visited range" in out
    assert "Left alone, the motion dies away" in out
    assert main(["check", str(folder), "--json"]) == 0
    assert '"behaviour"' in capsys.readouterr().out


def test_a_run_that_was_not_asked_has_no_such_part():
    assert law_lines(run_example.report()) == []


def test_an_input_is_held_at_a_value_with_its_unit():
    told = {
        "behaviour": {"input": [{"name": "u", "value": 0.138}]},
        "data": {"inputs": [{"name": "u", "unit": "V"}]},
    }
    assert "u = 0.138 V" in str(law_points(told)[1])


@pytest.mark.parametrize(
    ("pairs", "text"),
    [
        ([[0.0, 3.13], [0.0, -3.13]], "±3.13i"),
        ([[1e-12, 3.13], [1e-12, -3.13], [-2.0, 0.0]], "±3.13i, -2"),
        ([], ""),
    ],
)
def test_eigenvalues_in_words(pairs, text):
    assert eigenvalues(pairs) == text

"""Claims and rows: what is met follows from the numbers, and nothing else."""

import json
import math

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from pendula._errors import ConfigError, DataError
from pendula.studies import Claim, Row, Stamp


def _claim(**changes):
    about = {
        "id": "spine.help_seconds",
        "statement": "Time of help.",
        "value": 0.2,
        "unit": "s",
        "kind": "target",
        "target": 0.5,
    }
    return Claim(**{**about, **changes})


@pytest.mark.parametrize(
    ("value", "better", "target", "met"),
    [
        (0.5, "lower", 0.5, True),
        (0.500001, "lower", 0.5, False),
        (3, "higher", 3, True),
        (2.9, "higher", 3, False),
        (3, "equal", 3, True),
        (2, "equal", 3, False),
        (0.9, "within", (0.8, 1.0), True),
        (1.1, "within", (0.8, 1.0), False),
    ],
)
def test_met_follows_from_value_and_target(value, better, target, met):
    assert _claim(value=value, better=better, target=target).met is met


def test_a_run_without_a_number_does_not_meet_its_target():
    assert _claim(value=None, reason="diverged").met is False


def test_rows_without_a_target_are_neither_met_nor_missed():
    assert _claim(kind="report", target=None).met is None
    assert _claim(kind="not_run", value=None, reason="no data").met is None


def test_met_cannot_be_given():
    with pytest.raises(TypeError, match="met"):
        _claim(met=True)


def test_the_goal_is_stricter_than_the_target():
    assert _claim(goal=0.1).goal_met is False
    assert _claim(goal=0.3).goal_met is True
    with pytest.raises(ConfigError, match=r"goal 0\.6 is easier than the target 0\.5"):
        _claim(goal=0.6)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"id": "help"}, "the id must be study.part.name"),
        ({"id": "Spine.help me"}, "the id must be study.part.name"),
        ({"statement": " "}, "says nothing. Give a statement"),
        ({"kind": "targt"}, 'kind is "targt". Did you mean "target"?'),
        ({"better": "more"}, 'better is "more".'),
        ({"value": math.nan}, "value is nan; it must be finite"),
        ({"value": math.inf}, "give None and the reason"),
        ({"n": 0}, "n is 0; it counts the runs"),
        ({"target": None}, "has no target. Give one, or make it a report row"),
        ({"kind": "report"}, "a report row has no target"),
        ({"kind": "not_run"}, "it was not run but has a value"),
        ({"kind": "not_run", "value": None}, "it was not run. Give the reason"),
        ({"value": None}, "it has no value. Give the reason"),
        ({"target": (0.1, 0.2)}, "a pair (low, high) belongs to better = within"),
        ({"better": "within"}, "a pair (low, high) belongs to better = within"),
        ({"spread": (0.3, 0.4)}, "value 0.2 lies outside its spread [0.3, 0.4]"),
        ({"spread": (0.4, 0.1)}, "spread is (0.4, 0.1); expected (low, high)"),
    ],
)
def test_contradictions_are_refused_in_a_sentence(changes, sentence):
    with pytest.raises(ConfigError) as caught:
        _claim(**changes)
    assert sentence in str(caught.value)
    assert str(caught.value).startswith("claim ")


def test_a_row_of_the_file_is_what_design_says():
    claim = _claim(spread=(0.1, 0.3), n=3, goal=0.2).stamped(
        Stamp("abc123", 1.5, "2 x test", "full", "0123")
    )
    row = claim.to_dict()
    assert list(row) == [
        *["id", "statement", "value", "spread", "n", "unit", "kind", "better"],
        *["target", "goal", "source", "published", "met", "scaled_down", "reason"],
        *["commit", "seconds", "machine", "budget", "config"],
    ]
    assert row["spread"] == [0.1, 0.3]
    assert row["met"] is True
    assert Claim.from_dict(json.loads(json.dumps(row))) == claim


@settings(max_examples=50, deadline=None)
@given(
    value=st.floats(-1e6, 1e6),
    target=st.floats(-1e6, 1e6),
    better=st.sampled_from(["lower", "higher", "equal"]),
)
def test_a_written_row_reads_back_equal(value, target, better):
    claim = _claim(value=value, target=target, better=better)
    assert Claim.from_dict(json.loads(json.dumps(claim.to_dict()))) == claim
    order = {"lower": value <= target, "higher": value >= target}
    assert claim.met is order.get(better, value == target)


def test_a_verdict_that_was_typed_is_found_out():
    row = {**_claim(value=0.7, reason="slow").to_dict(), "met": True}
    with pytest.raises(DataError, match="A claim is measured, never typed"):
        Claim.from_dict(row, "claims.json")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"metx": 1}, 'unknown entry "metx". Did you mean "met"?'),
        ({"kind": "x"}, 'kind is "x"'),
        ({"id": None}, None),
    ],
)
def test_a_damaged_row_is_refused(change, sentence):
    row = {**_claim().to_dict(), **change}
    if sentence is None:
        del row["id"]
        sentence = "a claim without an id"
    with pytest.raises(DataError) as caught:
        Claim.from_dict(row, "results/spine/claims.json")
    assert sentence in str(caught.value)
    assert "results/spine/claims.json" in str(caught.value)


def test_a_row_with_an_entry_less_is_refused():
    row = _claim().to_dict()
    del row["target"]
    with pytest.raises(DataError, match='"target" is missing'):
        Claim.from_dict(row)


ROW = Row("a.b.c", "A number.", "rad", target=0.5, goal=0.2, tried="Two ways.")


def test_several_runs_give_median_and_spread():
    claim = ROW.measured([0.3, 0.1, 0.2])
    assert (claim.value, claim.spread, claim.n) == (0.2, (0.1, 0.3), 3)
    assert claim.met is True
    assert claim.reason is None


def test_what_was_tried_is_written_only_where_the_target_is_missed():
    assert ROW.measured(0.6).reason == "Two ways."
    assert ROW.measured(0.6, reason="Too short.").reason == "Too short."
    assert ROW.measured(0.4, reason="Too short.").reason is None


def test_a_diverged_run_is_the_worst_of_the_median():
    one = ROW.measured([0.1, np.nan, 0.2])
    assert (one.value, one.spread, one.met) == (0.2, None, True)
    assert one.reason == "1 of 3 runs gave no finite number. Two ways."
    two = ROW.measured([0.1, np.inf, np.nan])
    assert (two.value, two.met) == (None, False)
    higher = Row("a.b.c", "A share.", better="higher", target=0.5)
    assert higher.measured([0.9, np.nan, np.nan]).met is False
    assert higher.measured([]).met is False


def test_a_row_without_a_target_is_a_report():
    claim = Row("a.b.c", "A time.", "s").measured(2.0)
    assert (claim.kind, claim.met, claim.value) == ("report", None, 2)


def test_a_row_that_was_not_run_keeps_its_target():
    claim = ROW.not_run("no data here")
    assert (claim.kind, claim.target, claim.reason) == ("not_run", 0.5, "no data here")

"""Findings: text from values, JSON and back."""

import json
import math

import pytest
from hypothesis import given, settings, strategies as st

from pendula._errors import ConfigError
from pendula.diagnostics import Finding


numbers = st.floats(allow_nan=False)


@settings(max_examples=50, deadline=None)
@given(
    value=st.none() | st.floats(),
    ends=st.none() | st.tuples(numbers, numbers).map(sorted).map(tuple),
    comparison=st.none() | st.text(),
    verdict=st.sampled_from(["good", "bad", "note"]),
    reasons=st.lists(st.text()).map(tuple),
)
def test_json_round_trip(value, ends, comparison, verdict, reasons):
    made = Finding("a.b", "What", value, "rad", ends, comparison, verdict, reasons)
    text = json.dumps(made.to_dict(), allow_nan=False)
    assert Finding.from_dict(json.loads(text)) == made


def test_text_holds_what_was_measured():
    made = Finding(
        "a", "Error", 0.01234, "rad", (0.01, 0.02), "limit 0.1 rad", "good", ("Why.",)
    )
    assert made.text == "Error: 0.0123 rad (0.01 to 0.02); limit 0.1 rad. Why."
    assert Finding("a", "Nothing measured").text == "Nothing measured."
    assert Finding("a", "c and d: correlation", -0.99).text.endswith(
        "correlation -0.99."
    )
    assert Finding("a", "Not a number", float("nan")).value is None
    anything = Finding("a", "Open to both sides", 1.0, spread=(-math.inf, math.inf))
    assert anything.text.endswith("1 (-inf to inf).")
    assert Finding("a", "Half known", 1.0, spread=(0.0, math.nan)).spread is None


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"verdict": "fine"}, 'verdict is "fine"'),
        ({"spread": (2, 1)}, "lower end first"),
    ],
)
def test_bad_findings(change, sentence):
    with pytest.raises(ConfigError, match=sentence):
        Finding.from_dict({"id": "a", "statement": "b", "value": 1.0, **change})


def test_no_finding():
    with pytest.raises(ConfigError, match="this is no finding"):
        Finding.from_dict({"id": "a", "statement": "b", "colour": "red"})
    with pytest.raises(ConfigError, match="this is no finding"):
        Finding.from_dict({"id": "a"})

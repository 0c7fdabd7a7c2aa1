"""The verdict: each condition alone ends the trust where it fails."""

import json

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from pendula import Status
from pendula._errors import ConfigError, ShapeError
from pendula.diagnostics import Limits, verdict


H = np.array([1.0, 2.0, 3.0, 4.0])
GOOD = {
    "error": [0.01, 0.02, 0.04, 0.08],
    "baselines": {"persistence": [0.5] * 4, "linear": [0.1, 0.2, 0.3, 0.4]},
    "spread": 1.0,
    "covered": [0.9] * 4,
    "halving": [0.01] * 4,
    "outside": [0.0] * 4,
    "statuses": [0, 0, 0],
    "sampling": 0.1,
    "unit": "rad",
}


def judge(**changes):
    settings = {**GOOD, **changes}
    return verdict(H, settings.pop("error"), settings.pop("baselines"), **settings)


def test_all_conditions_hold():
    made, findings = judge()
    assert made.trust
    assert made.trust_to == 4.0
    assert made.reasons == ()
    assert made.text == "Trust to 4 s, the longest horizon tested."
    assert [f.verdict for f in findings] == ["good"] * 6
    assert json.loads(json.dumps(made.to_dict()))["reasons"] == []
    assert findings[0].value == 4.0
    assert findings[1].value == pytest.approx(0.2)  # 0.08 against linear's 0.4


ALONE = {
    "baseline": (
        {"baselines": {"persistence": [0.5] * 4, "linear": [0.1, 0.2, 0.03, 0.07]}},
        2.0,
        "From 3 s on the median error, 0.04 rad, is not below that of linear, "
        "0.03 rad.",
    ),
    "error": (
        {"error": [0.01, 0.02, 0.25, 0.1]},
        2.0,
        "From 3 s on the median error, 0.25 rad, is not below 20 % of the spread, "
        "0.2 rad.",
    ),
    "coverage below": (
        {"covered": [0.9, 0.9, 0.4, 0.4]},
        2.0,
        "Up to 3 s the 90 % band holds 73.3 % of the validation samples; expected 75 "
        "to 99 %.",
    ),
    "coverage above": (
        {"covered": [0.9, 1.0, 1.0, 1.0], "count": [1, 1, 1, 97]},
        3.0,
        "Up to 4 s the 90 % band holds 99.9 % of the validation samples; expected 75 "
        "to 99 %.",
    ),
    "halving": (
        {"halving": [0.01, 0.2, 0.01, 0.01]},
        1.0,
        "From 2 s on halving the step changes the forecast by 0.2 of its error; "
        "expected below 0.1.",
    ),
    "outside": (
        {"outside": [0.0, 0.0, 0.0, 0.3]},
        3.0,
        "Up to 4 s 7.5 % of the states lie outside the training range; expected below "
        "5 %.",
    ),
}


@pytest.mark.parametrize("case", ALONE)
def test_each_condition_alone(case):
    changes, reach, sentence = ALONE[case]
    made, findings = judge(**changes)
    assert made.trust
    assert made.trust_to == reach
    assert made.reasons == (sentence,)
    assert made.text.startswith(f"Trust to {reach:g} s. ")
    judged = {f.id: f for f in findings}
    name = f"verdict.{case.split()[0]}"
    assert judged[name].verdict == "good"  # at T it holds
    assert judged[name].reasons == (sentence,)
    assert sum(bool(f.reasons) for f in findings) == 2  # that one and the horizon


NEVER = {
    "baseline": {"baselines": {"persistence": [0.001] * 4}},
    "error": {"spread": 0.01},
    "coverage": {"covered": [0.5] * 4},
    "halving": {"halving": [0.5] * 4},
    "outside": {"outside": [0.06] * 4},
}


@pytest.mark.parametrize("case", NEVER)
def test_no_horizon_is_left(case):
    made, findings = judge(**NEVER[case])
    assert not made.trust
    assert made.trust_to is None
    assert len(made.reasons) == 2
    assert made.reasons[1] == (
        "The horizon, 0 s, is under one sampling interval, 0.1 s."
    )
    assert made.text.startswith("Do not trust this forecast. ")
    assert [f.id for f in findings if f.verdict == "bad"] == [
        "verdict.horizon",
        f"verdict.{case}",
    ]


def test_a_failed_member_ends_all_trust():
    made, _ = judge(
        statuses=[0, Status.diverged, Status.diverged, Status.left_training_range],
        t_fail=[np.inf, 7.0, 3.0, 1.0],
    )
    assert not made.trust
    assert made.reasons == (
        f"2 of 4 rollouts ended with diverged, first at 3 s. {Status.diverged.advice}",
    )
    assert judge(statuses=[Status.left_training_range])[0].trust
    made, _ = judge(statuses=[Status.non_finite_state])
    assert "1 of 1 rollouts ended with non_finite_state." in made.text


def test_horizon_under_one_sampling_interval():
    made, _ = judge(sampling=1.5, error=[0.01, 0.9, 0.9, 0.9])
    assert not made.trust
    assert made.reasons[-1].startswith("The horizon, 1 s, is under one sampling")


def test_a_sampling_interval_that_is_no_number_is_not_reached():
    assert not judge(sampling=np.nan)[0].trust


def test_reasons_stand_in_order():
    made, findings = judge(
        error=[0.01, 0.6, 0.6, 0.6],
        covered=[0.9, 0.1, 0.1, 0.1],
        halving=[0.01, 1.0, 1.0, 1.0],
        outside=[0.0, 1.0, 1.0, 1.0],
        statuses=[5],
        sampling=1.1,
    )
    starts = ["that of", "of the spread", "90 % band", "halving", "states lie"]
    for start, reason in zip(
        [*starts, "diverged", "horizon"], made.reasons, strict=True
    ):
        assert start in reason
    assert findings[0].reasons == made.reasons


def test_early_ties_do_not_end_the_trust():
    """At the shortest horizon every method is as good as the noise."""
    made, _ = judge(baselines={"persistence": [0.005, 0.5, 0.5, 0.5]})
    assert made.trust_to == 4.0
    assert made.reasons == ()
    # but an error that was too large once is not undone later
    assert judge(error=[0.3, 0.01, 0.01, 0.01])[0].trust_to is None


def test_a_band_that_holds_all_of_few_samples_is_no_fault():
    """Nine of ten bands that are right do so with one sample, a third with ten."""
    assert judge(covered=[1.0] * 4, count=[5, 5, 5, 5])[0].trust_to == 4.0
    assert judge(covered=[1.0] * 4, count=[40, 40, 40, 40])[0].trust_to == 2.0
    assert not judge(covered=[1.0] * 4)[0].trust  # nobody says how many
    assert not judge(covered=[0.6] * 4, count=[5, 5, 5, 5])[0].trust


def test_a_change_that_is_nothing_beside_the_signal_ends_no_trust():
    """Of records without noise a law repeats all digits, and any step shows in them."""
    exact = {"error": [1e-9] * 4, "baselines": {"persistence": [0.5] * 4}}
    made, findings = judge(**exact, halving=[5e3] * 4)
    assert made.trust_to == 4.0
    step = next(f for f in findings if f.id == "verdict.halving")
    assert "or a change below 0.0001 of the spread" in step.text
    assert not judge(**exact, halving=[2e5] * 4)[0].trust
    assert not judge(**exact, halving=[np.inf] * 4)[0].trust


def test_diverged_and_missing_numbers():
    assert judge(baselines={"linear": [np.inf, np.nan, 1.0, 1.0]})[0].trust_to == 4.0
    assert judge(error=[0.01, 0.02, np.nan, np.nan])[0].trust_to == 2.0
    assert judge(error=[np.inf] * 4)[0].trust_to is None
    assert judge(covered=[np.nan, 0.9, np.nan, 0.9])[0].trust_to == 4.0
    assert judge(spread=0.0)[0].trust_to is None


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("error", "how large the median error is"),
        ("covered", "how many samples the 90 % band holds"),
        ("halving", "what halving the step changes"),
        ("outside", "how many of the states lie outside"),
    ],
)
def test_what_was_not_measured_is_said_in_words(name, words):
    made, _ = judge(**{name: [np.nan] * 4})
    assert not made.trust
    assert f"Up to 1 s it is not known {words}" in made.text
    assert "nan" not in made.text


def test_what_was_not_checked_is_said():
    made, findings = judge(halving=None, outside=None, covered=None, notes=["Mind c."])
    assert made.trust
    assert "Not checked: the band's coverage, the solver's step" in made.text
    assert made.text.endswith("Mind c.")
    assert len(findings) == 3


@settings(max_examples=50, deadline=None)
@given(
    error=st.lists(st.floats(0, 0.5), min_size=4, max_size=4),
    covered=st.lists(st.floats(0.5, 1), min_size=4, max_size=4),
    halving=st.lists(st.floats(0, 0.2), min_size=4, max_size=4),
    looser=st.floats(1, 3),
)
def test_looser_limits_never_shorten_the_trust(error, covered, halving, looser):
    tight = judge(error=error, covered=covered, halving=halving)[0]
    wide = Limits(0.2 * looser, (0.75 / looser, 1.0), 0.1 * looser)
    loose = judge(error=error, covered=covered, halving=halving, limits=wide)[0]
    assert (loose.trust_to or 0) >= (tight.trust_to or 0)
    assert tight.trust == (tight.trust_to is not None)
    assert tight.trust_to == 4.0 or tight.reasons  # what ends the trust is said


def test_bad_input():
    with pytest.raises(ConfigError, match="at least one baseline"):
        judge(baselines={})
    with pytest.raises(ShapeError, match='baseline "linear"'):
        judge(baselines={"linear": [1.0]})
    told = {"spread": 1.0, "covered": None, "sampling": 1.0}
    for h in ([1.0, 1.0], [1.0, np.inf]):
        with pytest.raises(ConfigError, match="must increase"):
            verdict(h, [0, 0], {"a": [1, 1]}, **told)

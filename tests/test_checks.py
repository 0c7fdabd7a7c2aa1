"""Numbers of settings: what passes, what is refused, and in which words."""

import math

import numpy as np
import pytest

from pendula._checks import (
    at_least,
    between,
    fields_at_least,
    fields_positive,
    fields_whole,
    not_negative,
    positive,
    whole,
)
from pendula._errors import ConfigError


class Settings:
    steps = 0


def test_what_is_allowed_passes():
    at_least(1, steps=1, batch=7)
    at_least(0, starts=0)
    fields_at_least(Settings(), steps=0)
    positive(lr=1e-300)
    not_negative(drag=0.0)
    between(0, 1, level=0.5)
    whole(1, steps=1, batch=np.int64(7))


@pytest.mark.parametrize("value", [0, -3, math.nan, None])
def test_too_small_no_number_and_nothing_are_refused(value):
    with pytest.raises(ConfigError, match=rf"^steps is {value}; .* at least 1\.$"):
        at_least(1, steps=value)
    with pytest.raises(ConfigError, match=rf"^Adam: lr is {value}; .* above 0\.$"):
        positive("Adam", lr=value)


@pytest.mark.parametrize(
    ("value", "told"), [("0.1", 'the text "0.1"'), ([1.0, 2.0], "[1.0, 2.0]")]
)
def test_a_text_and_several_numbers_are_refused(value, told):
    for check in (positive, not_negative):
        with pytest.raises(ConfigError) as refused:
            check("Adam", lr=value)
        assert str(refused.value).startswith(f"Adam: lr is {told}; it must be ")
    with pytest.raises(ConfigError) as refused:
        at_least(1, lr=np.asarray([1, 2]) if isinstance(value, list) else value)
    assert "it must be at least 1" in str(refused.value)


def test_whole_numbers_of_all_kinds():
    found = [whole(1, n_steps=v) for v in (3, np.int64(3), np.asarray(3))]
    assert found == [3, 3, 3]
    assert {type(v) for v in found} == {int}


@pytest.mark.parametrize(
    "value", [2.0, 2.5, "2", True, math.nan, None, np.asarray([1, 2])]
)
def test_what_is_not_whole_is_refused(value):
    with pytest.raises(ConfigError, match=r"^here: n_steps is .* a whole number of at"):
        whole(1, "here", n_steps=value)


def test_a_field_that_is_not_whole_is_named():
    fields_whole(Settings(), "Gear", steps=0)
    with pytest.raises(ConfigError, match=r"^Gear: steps is 0; it must be at least 1"):
        fields_whole(Settings(), "Gear", steps=1)


@pytest.mark.parametrize(
    ("value", "must"), [(math.inf, "finite and "), (math.nan, ""), (None, "")]
)
def test_what_is_not_finite_is_refused(value, must):
    with pytest.raises(ConfigError, match=f"^lr is {value}; it must be {must}above 0"):
        positive(lr=value)
    with pytest.raises(ConfigError, match=f"^drag is {value}; .* be {must}at least 0"):
        not_negative(drag=value)


@pytest.mark.parametrize("value", [0, 1, 90, math.nan, None, "0.9"])
def test_what_does_not_lie_between_is_refused(value):
    with pytest.raises(ConfigError, match=r"^here: level is .* be between 0 and 1\.$"):
        between(0, 1, "here", level=value)


def test_a_field_that_is_not_above_0_is_named():
    with pytest.raises(ConfigError, match=r"^Gear: steps is 0; it must be above 0\.$"):
        fields_positive(Settings(), "Gear", "steps")


def test_the_first_that_is_wrong_is_named():
    with pytest.raises(ConfigError, match="Rod: drag is -1"):
        not_negative("Rod", mass=1.0, drag=-1.0, length=-2.0)
    with pytest.raises(ConfigError, match="steps is 0; it must be at least 2"):
        fields_at_least(Settings(), steps=2)
    with pytest.raises(ConfigError, match="Net: steps is 0; it must be at least 1"):
        fields_at_least(Settings(), "Net", steps=1)

"""Batches made ahead."""

import threading

import pytest

from pendula import ConfigError
from pendula.train import Prefetch


def test_any_order_gives_the_batch_of_its_step():
    made = []

    def batches(step):
        made.append(step)
        return {"x": float(step)}

    with Prefetch(batches, workers=2, ahead=3) as ahead:
        for step in (0, 1, 2, 7, 8, 3):
            assert float(ahead(step)["x"]) == step
    assert set(range(4)) <= set(made)


def test_they_are_made_while_nobody_waits():
    """The batch after the next is there before it is asked for."""
    there = threading.Event()

    def batches(step):
        if step == 2:
            there.set()
        return step

    with Prefetch(batches) as ahead:
        ahead(0)
        assert there.wait(10.0)


def test_what_a_batch_raises_comes_where_it_is_wanted():
    def batches(step):
        if step == 1:
            raise ValueError("no such batch")
        return step

    with Prefetch(batches) as ahead:
        assert int(ahead(0)) == 0
        with pytest.raises(ValueError, match="no such batch"):
            ahead(1)


@pytest.mark.parametrize("setting", [{"workers": 0}, {"ahead": 0}])
def test_numbers_below_one_are_refused(setting):
    with pytest.raises(ConfigError, match="at least 1"):
        Prefetch(lambda step: step, **setting)

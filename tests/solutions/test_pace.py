"""Lengths of windows from residuals."""

import numpy as np
import pytest
from hypothesis import given, strategies as st

from pendula.solutions._pace import Pace


def walk(rate, tol=1e-3, most=50):
    """Follow a residual `rate(t, length)` to the end; (windows, refused)."""
    pace = Pace(0.0, 1.0, tol, most)
    windows, refused = [], 0
    while pace.left() > 0.0:
        length = pace.next_length()
        check = rate(pace.t, length)
        if not pace.allows(check) and not pace.is_shortest():
            refused += 1
            assert refused < 200
            if pace.is_stuck(check):
                pace.tolerate(check)
            pace.shorten(check)
            continue
        windows.append((pace.t, length, check))
        pace.accept(check)
    return windows, refused


@given(power=st.floats(2.5, 8.0), size=st.floats(1e-3, 1e3))
def test_windows_cover_the_time_and_share_the_tolerance(power, size):
    windows, _ = walk(lambda t, h: size * h**power)
    edges = [t for t, _, _ in windows]
    assert edges[0] == 0.0
    np.testing.assert_allclose(edges[1:], np.cumsum([h for _, h, _ in windows])[:-1])
    if all(h > 1.0 / 50 for _, h, _ in windows):
        # by length, and the pool of a tenth once
        assert sum(check for _, _, check in windows) <= 1.1 * 1e-3 * (1 + 1e-9)


def test_a_residual_that_falls_with_the_square_only_is_tolerated():
    # shorter windows lower it by less than is_stuck asks: the tolerance is not met
    windows, _ = walk(lambda t, h: 0.03125 * h**2)
    assert sum(check for _, _, check in windows) > 1.1 * 1e-3
    assert len(windows) < 20


def test_a_fast_start_has_short_windows_and_then_longer_ones():
    windows, _ = walk(lambda t, h: 50.0 * np.exp(-8.0 * t) * h**4)
    lengths = [h for _, h, _ in windows]
    assert lengths[0] < 0.5 * max(lengths)


def test_a_residual_that_no_window_lowers_is_tolerated():
    windows, refused = walk(lambda t, h: 0.5 * h)
    assert refused < 20
    assert len(windows) < 60


@pytest.mark.parametrize("most", [5, 40])
def test_no_window_is_shorter_than_asked(most):
    windows, _ = walk(lambda t, h: 1e9 * h, most=most)
    # the last one takes what is left
    assert min(h for _, h, _ in windows[:-1]) >= 1.0 / most - 1e-12

"""The part of the falling balls on drops made here."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.integrate import solve_ivp

from pendula.data import Trajectories
from pendula.studies._catalogue import studies
from pendula.studies._families_ball_laws import baselines, from_release
from pendula.studies._families_balls import balls, left_out


DRAGS = ((0.0, 0.005), (0.01, 0.01), (0.02, 0.015), (0.03, 0.03))
CONFIG = {
    "model": {
        "known": [{"term": "constant", "on": ["height"], "constants": {"g": -9.81}}],
        "learn": "friction",
        "order": "second",
        "width": 3,
        "depth": 1,
    },
    "horizon": 0.4,
    "steps": 2,
    "every": 1,
}


def drops(held=0):
    """Two drops of four balls from 47 m, at 15 frames a second; `held` samples in the
    hand before each."""
    t = np.arange(40) / 15.0
    runs, labels = [], []
    for ball, (c, d) in enumerate(DRAGS):
        for drop, speed in ((1, 0.0), (2, -0.3)):
            rate = lambda t, y, c=c, d=d: [y[1], -9.81 - c * y[1] + d * y[1] ** 2]
            made = solve_ivp(rate, (0, t[-1]), [47.0, speed], t_eval=t, rtol=1e-10)
            runs.append(np.concatenate([np.full(held, 47.02), made.y[0]])[:, None])
            labels.append(f"{ball}/{drop}")
    ts = np.arange(40 + held) / 15.0
    about = {"names": ("height",), "units": ("m",), "labels": tuple(labels)}
    data = Trajectories.from_arrays(
        [ts] * 8, runs, origin={"system": "falling balls"}, **about
    )
    return data.replace(env=np.repeat(np.arange(4), 2))


def test_the_release_is_where_the_fall_begins():
    """Three samples in the hand: the fall is 0.1 m deep after two more."""
    data = from_release(drops(held=3))
    assert (data.ts[:, 0] == 0.0).all()
    assert_allclose(data.ts[0, :3], np.arange(3) / 15.0, atol=1e-12)
    assert (data.lengths >= 38).all()
    assert (data.ys[:, 0, 0] > 46.9).all()
    assert (data.ys[:, 3, 0] < 46.95).all()


@pytest.mark.slow
def test_laws_of_the_right_form_leave_nothing():
    """Drops by linear and quadratic drag: that law is exact from a whole drop, gravity
    alone is not."""
    found = baselines(from_release(drops()), [1.0])
    assert found["whole"].max() < 1e-2
    assert found["floor"].max() < 1e-2
    assert found["gravity"].min() > 0.3
    assert found["pooled"].max() > 10 * found["whole"].max()


@pytest.mark.slow
def test_every_ball_is_left_out_once():
    data = from_release(drops())
    found = left_out(data, CONFIG, 0)
    assert set(found) == {"1s", "15s", "2s"}
    assert all(np.isfinite(v).all() and v.shape == (4,) for v in found.values())


def test_every_row_has_its_place():
    part = studies()["families"].parts["balls"]
    assert part.measure is balls
    assert sum(row.target is not None for row in part.rows) == 4

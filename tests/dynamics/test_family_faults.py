"""Adaptation where something is wrong: units, solver failures, hulls."""

from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from pendula import DataError
from pendula.data import Trajectories
from pendula.dynamics._family_data import Clips
from pendula.dynamics._family_new import check_scale
from pendula.dynamics._family_outside import beyond_hull
from pendula.dynamics._family_shorter import on_shorter
from pendula.train import Adaptation


class Trained:
    """Only what a check of units asks a family for."""

    about: ClassVar = {"spread": [1.0, 1.0], "low": [-1.0, -1.0], "high": [1.0, 1.0]}

    class plan:
        observed = (0, 1)


def test_other_units_are_named_by_trajectory_and_channel():
    t = np.linspace(0.0, 1.0, 5)
    ys = [np.ones((5, 2)), np.ones((5, 2)) * [1.0, 5e3]]
    data = Trajectories.from_arrays([t] * 2, ys, names=("u", "v"))
    with pytest.raises(DataError, match=r'trajectory ".*", channel "v".*other units'):
        check_scale(Trained(), data)


def test_outside_the_hull_but_inside_the_box():
    corners = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    assert beyond_hull(corners, np.array([0.3, 0.3])) is None
    away = beyond_hull(corners, np.array([0.9, 0.9]))
    assert_allclose(away, np.sqrt([0.5, 0.5]), atol=1e-6)


def clips_of(systems, steps):
    """One clip a system, one channel, all measured."""
    t = np.arange(steps + 1.0)
    data = Trajectories.from_arrays([t] * systems, [t[:, None]] * systems)
    batch = data.full(np.float32)
    lead = jax.tree.map(lambda x: jnp.asarray(x)[:, None], batch)
    return Clips(lead, jnp.zeros((systems, 1, 1)))


def test_where_the_rollout_fails_the_horizon_is_shortened_and_grows_again():
    """A solver that fails beyond 20 of 64 steps from a start below 1, and never from
    another: system 1 begins badly and is led to a start that works; system 2 is
    stuck at a quarter; system 3 fails everywhere."""
    clips = clips_of(4, 64)
    reach = jnp.asarray([99.0, 20.0, 20.0, 0.0])
    lead = jnp.asarray([0.0, 2.0, 0.0, 0.0])
    seen = []

    def fit(clips, begin):
        used = jnp.sum(clips.batch.mask[:, 0, 1:, 0], 1, dtype=reach.dtype)
        seen.append(int(used[0]))
        bad = (used > reach) & (begin[:, 0, 0] < 1.0)
        cost = jnp.where(bad, jnp.inf, 1.0)
        found = jnp.maximum(begin[:, 0], lead[:, None])
        none = jnp.zeros(4)
        zero = jnp.zeros(4, jnp.int32)
        return Adaptation(
            found, jnp.zeros((4, 1, 0)), cost[:, None], zero, zero == 0,
            jnp.zeros((4, 1, 1)), none, none, found,
        )  # fmt: skip

    out, share = on_shorter(fit, clips, jnp.zeros((4, 1, 1)))
    assert_array_equal(share, [1.0, 1.0, 0.25, 0.0])
    assert_array_equal(out.eta[:, 0], [0.0, 2.0, 0.0, 0.0])
    assert seen[:6] == [64, 32, 16, 8, 4, 2]

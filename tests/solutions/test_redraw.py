"""Points drawn where the residual is large, and optimisers in turn."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pendula import ConfigError
from pendula._precision import precision
from pendula.solutions import (
    Deadline,
    FirstOrder,
    GaussNewton,
    Initial,
    Interval,
    InTurn,
    InWindows,
    Network,
    NetworkConfig,
    Problem,
    QuasiNewton,
    Whole,
    solve,
)
from pendula.solutions._trained import Training


DECAY = Problem(lambda u, t, p: u.t + u(), time=(0.0, 1.0), conditions=[Initial(1.0)])
FRONT = Problem(
    lambda u, x, t, p: u.t - jnp.exp(-200.0 * (x - 0.7) ** 2),
    domain=Interval(0.0, 1.0),
    time=(0.0, 1.0),
    conditions=[Initial(0.0)],
)


@pytest.mark.parametrize("problem", [FRONT, DECAY])
def test_points_are_drawn_where_the_residual_is_large(problem):
    config = NetworkConfig(width=3, depth=1, points=60, sharpness=2.0)
    training = Training(problem, Network(config, GaussNewton(steps=1)))
    training.run(1e-4, Deadline())
    (stage,) = Whole().stages(problem)
    with precision(np.float64):
        drawn = [
            training._drawn(stage, training.goal, training.theta, seed)
            for seed in range(2)
        ]
    count = training.goal.known[0].block.num
    assert drawn[0].shape == drawn[1].shape == (count, len(problem.coords))
    assert not np.array_equal(drawn[0], drawn[1])
    assert len(np.unique(drawn[0], axis=0)) == count
    assert 0.0 <= drawn[0][:, -1].min() <= drawn[0][:, -1].max() <= 1.0
    if problem is FRONT:
        # a third of [0, 1] holds the front; half of the points are even ones
        near = np.abs(drawn[0][:, 0] - 0.7) < 0.15
        assert near.mean() > 0.45


def test_first_order_then_quasi_newton_on_new_points():
    both = InTurn((FirstOrder(steps=100, inner=50), QuasiNewton(steps=50)))
    config = NetworkConfig(width=6, depth=1, points=20, redraws=2)
    found = solve(DECAY, method=Network(config, both), check=False)
    t = np.linspace(0.0, 1.0, 11)
    assert np.abs(found(t) - np.exp(-t)).max() < 1e-4
    assert 100 < found.report.iterations <= 100 + 3 * 50


def test_each_one_goes_on_from_the_one_before():
    """And a quasi-Newton method with the matrix that it has built."""
    training = Training(DECAY, Network(NetworkConfig(width=4, depth=1, points=12)))
    with precision(np.float64):
        (stage,) = Whole().stages(DECAY)
        net = training._fresh(jax.random.key(0))
        goal, theta = training._objective(stage, net, 0)
        broyden, key = QuasiNewton(steps=20), jax.random.key(1)
        given = {"deadline": Deadline(), "key": key}
        first, trace = InTurn((broyden,)).minimise(goal, theta, **given)
        second, other = InTurn((broyden, broyden)).minimise(goal, theta, **given)
        assert other.iterations == 2 * trace.iterations == 40
        assert other.losses[-1] < trace.losses[-1]
        _, more = InTurn((broyden,)).resumed(trace)(goal, first, **given)
        _, fresh = broyden.minimise(goal, first, **given)
    assert more.losses[0] == fresh.losses[0]
    assert more.losses[2] < fresh.losses[2]
    assert not np.array_equal(jax.tree.leaves(second)[0], jax.tree.leaves(first)[0])


def test_windows_from_the_last_weights_from_fresh_ones_and_from_both():
    """The better of the two is kept, window by window."""
    found = {}
    for warm in (False, True, "both"):
        config = NetworkConfig(width=4, depth=1, points=20, warm=warm)
        method = Network(config, QuasiNewton(steps=10, inner=10), InWindows(0.5))
        found[warm] = solve(DECAY, method=method, check=False).report
    assert found["both"].iterations == 30
    assert found[True].iterations == found[False].iterations == 20
    best = min(found[True].train["equation"], found[False].train["equation"])
    assert found["both"].train["equation"] <= best * (1.0 + 1e-9)


def test_networks_with_points_of_their_own_are_compared_at_the_same_ones():
    found = {}
    for warm in (False, True, "both"):
        config = NetworkConfig(
            width=3, depth=1, points=10, warm=warm, redraws=2, sharpness=4.0, seed=5
        )
        method = Network(config, QuasiNewton(steps=10, inner=10), InWindows(0.5))
        found[warm] = solve(DECAY, method=method, check=False).report.check["equation"]
    assert found["both"] <= min(found[True], found[False]) * (1.0 + 1e-9)


def test_bad_input():
    with pytest.raises(ConfigError, match="optimisers are empty"):
        InTurn(())
    with pytest.raises(ConfigError, match="warm is sometimes"):
        NetworkConfig(warm="sometimes")
    with pytest.raises(ConfigError, match="redraws is -1"):
        NetworkConfig(redraws=-1)
    with pytest.raises(ConfigError, match="sharpness is -1"):
        NetworkConfig(sharpness=-1.0)

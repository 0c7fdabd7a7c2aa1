"""Which channel is a state, a position, a rate."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from pendula import _errors as errors
from pendula.data import Trajectories, decide_order


def solve(field, starts, end, n, columns, noise=0.0, uneven=False, seed=0):
    rng = np.random.default_rng(seed)
    ts, ys = [], []
    for start in starts:
        t = np.linspace(0, end, n)
        if uneven:
            t[1:-1] += 0.3 * end / n * rng.uniform(-1, 1, n - 2)
        out = solve_ivp(field, (0, end), start, "DOP853", t, rtol=1e-8, atol=1e-9)
        y = out.y.T[:, columns]
        ts.append(t)
        ys.append(y + noise * y.std(axis=0) * rng.normal(size=y.shape))
    return Trajectories.from_arrays(ts, ys, origin={"system": "test"})


def pendulum(t, y):
    return [y[1], -np.sin(y[0]) - 0.05 * y[1]]


def predators(t, y):
    return [y[0] * (1 - y[1]), y[1] * (y[0] - 1)]


def lorenz(t, y):
    return [10 * (y[1] - y[0]), y[0] * (28 - y[2]) - y[1], y[0] * y[1] - 8 / 3 * y[2]]


def bistable(t, y):
    return [y[0] - y[0] ** 3]


def masses(t, y):
    return [y[2], y[3], -2 * y[0] + y[1], y[0] - 2 * y[1]]


CASES = {
    "pendulum": (pendulum, [[1, 0], [2, 0]], 30, 600, [0], "second"),
    "two masses": (masses, [[1, 0, 0, 0], [0, 1, 0, 0.5]], 30, 500, [0, 1], "second"),
    "predators": (predators, [[1, 0.5], [2, 1]], 30, 300, [0, 1], "first"),
    "lorenz": (lorenz, [[1, 1, 20]], 15, 800, [0, 1, 2], "first"),
    "bistable": (bistable, [[0.1], [-0.05], [2], [-1.5]], 5, 100, [0], "first"),
    "decay": (lambda t, y: [-y[0]], [[1]], 5, 100, [0], "first"),
}


@pytest.mark.parametrize("noise", [0.0, 0.02])
@pytest.mark.parametrize("case", CASES)
def test_order(case, noise):
    field, starts, end, n, columns, want = CASES[case]
    data = solve(field, starts, end, n, columns, noise, uneven=noise > 0)
    kinds, decisions = decide_order(data)
    assert {k.kind for k in kinds.values()} == {want}
    assert len(decisions) == len(columns)
    assert all(d.what == "order" and "--order" in d.option for d in decisions)


@pytest.mark.parametrize("noise", [0.0, 0.02, 0.1])
def test_a_rate_is_paired(noise):
    data = solve(pendulum, [[1, 0], [2, 0]], 30, 600, [1, 0], noise)
    data = data.replace(names=("w", "angle"))
    kinds, decisions = decide_order(data)
    assert kinds == {"w": ("rate", "angle"), "angle": ("position", "w")}
    assert decisions[0].choice == "w is the rate of angle"


def test_a_rate_with_impulses_is_told_by_its_name():
    data = solve(pendulum, [[1, 0]], 10, 400, [0, 1])
    ys = data.ys.copy()
    ys[0, 40::60, 1] += 8.0
    spoilt = data.replace(ys=ys)
    assert decide_order(spoilt.replace(names=("q", "dq")))[0]["dq"].kind == "rate"
    assert decide_order(spoilt.replace(names=("q", "w")))[0]["w"].kind != "rate"
    # its name does not make it one
    ys[0, :, 1] = 3.0 * data.ys[0, :, 1]
    other = data.replace(ys=ys, names=("q", "dq"))
    assert decide_order(other)[0]["dq"].kind != "rate"


def test_a_momentum_is_not_a_rate():
    """Proportional is not equal: p = m v is a state of its own."""
    data = solve(pendulum, [[1, 0], [2, 0]], 30, 600, [0, 1])
    scaled = data.replace(ys=data.ys * [1, 3])
    kinds, _ = decide_order(scaled)
    assert {k.kind for k in kinds.values()} == {"first"}


def test_prey_near_their_rest_are_not_the_rate_of_predators():
    """Of small orbits about (1, 1) they are, but for the rest."""
    data = solve(predators, [[1.02, 1.0]], 30, 300, [0, 1])
    kinds, _ = decide_order(data)
    assert {k.kind for k in kinds.values()}.isdisjoint({"rate", "position"})


def test_a_smoothed_rate_is_reported():
    data = solve(pendulum, [[2, 0]], 30, 1500, [0])
    t, q = data.ts[0], data.ys[0, :, 0]
    q = q + 1e-4 * np.random.default_rng(0).normal(size=q.size)
    rough = np.gradient(q, t)
    smooth = np.convolve(np.pad(rough, 10, mode="edge"), np.ones(21) / 21, "valid")
    inner = slice(20, -20)
    pair = Trajectories.from_arrays(
        t[inner], np.stack([q, smooth], 1)[inner], names=("q", "v")
    )
    with pytest.warns(errors.DataWarning, match='"v" looks smoothed'):
        kinds, decisions = decide_order(pair)
    assert "so it is smooth" in decisions[0].why
    assert kinds["v"] == ("rate", "q")


def test_a_rate_of_a_sensor_is_not_called_smoothed():
    """Its noise is far below that of differences; a warning would fail here."""
    data = solve(pendulum, [[2, 0]], 30, 400, [0, 1]).replace(origin={})
    rng = np.random.default_rng(0)
    noisy = data.replace(ys=data.ys + rng.normal(size=data.ys.shape) * [0.002, 0.01])
    kinds, decisions = decide_order(noisy)
    assert kinds["y1"] == ("rate", "y0")
    assert "a sensor's own, or smoothed unseen" in decisions[0].why
    assert decide_order(data)[0] == kinds  # exact values


def test_a_rough_rate_is_not_called_smoothed():
    """Backward differences look at no later sample; a warning would fail here."""
    data = solve(pendulum, [[2, 0]], 30, 400, [0])
    t, q = data.ts[0], data.ys[0, :, 0]
    q = q + 1e-4 * np.random.default_rng(0).normal(size=q.size)
    rate = np.diff(q) / np.diff(t)
    pair = Trajectories.from_arrays(t[1:], np.stack([q[1:], rate], 1))
    assert decide_order(pair)[0]["y1"] == ("rate", "y0")


def test_too_short_to_compare():
    data = Trajectories.from_arrays(np.arange(6.0), np.arange(6.0) ** 2)
    kinds, decisions = decide_order(data)
    assert kinds["y0"].kind == "first"
    assert "too short" in decisions[0].why


def test_a_rate_in_another_unit_of_time_is_told():
    """A phone gives rad/s, and its times in ms."""
    data = solve(pendulum, [[1.0, 0.0]], 30, 300, [0, 1])
    data = data.replace(
        ts=1e3 * data.ts,
        names=("theta", "gyro"),
        units=("rad", "rad/s"),
        time_unit="ms",
    )
    with pytest.warns(errors.DataWarning, match="is in rad/s, and times are in ms"):
        kinds, _ = decide_order(data)
    assert kinds["gyro"].partner is None
    kinds, _ = decide_order(data.replace(ts=data.ts / 1e3, time_unit="s"))
    assert kinds["gyro"] == ("rate", "theta")

"""Confounded constants: by hand, and the friction of a measured-like pendulum."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy.integrate import solve_ivp

from pendula._errors import ShapeError
from pendula.diagnostics import confounded, is_confounded


def by_id(findings):
    return {finding.id: finding for finding in findings}


def test_two_constants_by_hand():
    """Correlation 0.96: condition number 1.96 / 0.04 = 49."""
    sd = np.array([0.1, 20.0])
    cov = np.array([[1.0, 0.96], [0.96, 1.0]]) * np.outer(sd, sd)
    found = by_id(confounded(cov, ["c", "d"], [1.0, 500.0]))
    assert found["constants.condition"].value == pytest.approx(49)
    assert found["constants.condition"].verdict == "good"
    pair = found["constants.pair.c.d"]
    assert pair.value == pytest.approx(0.96)
    assert pair.text.startswith(
        "c and d cannot be told apart on these data: correlation 0.96; limit 0.95."
    )
    assert "3.57 times wider" in pair.text  # 1 / sqrt(1 - 0.96**2)
    assert set(found) == {"constants.condition", "constants.pair.c.d"}


def test_three_constants_confounded_without_a_pair():
    """The third is the sum of two independent ones, almost: no pair is above 0.95."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(10_000, 2))
    third = x.sum(axis=1) + 0.1 * rng.normal(size=10_000)
    cov = np.cov(np.column_stack([x, third]).T)
    found = by_id(confounded(cov, ["a", "b", "c"], [9.0, 9.0, 9.0]))
    assert not any(name.startswith("constants.pair") for name in found)
    assert "a, b and c cannot be told from the other" in found["constants.group"].text
    assert is_confounded(cov).all()


def test_wide_intervals():
    found = confounded([[0.25]], ["c"], [0.5])
    assert [f.id for f in found] == ["constants.width.c"]
    assert found[0].spread == pytest.approx((-0.3224, 1.3224), abs=1e-4)
    assert "164 % of the value" in found[0].text
    assert confounded([[0.25]], ["c"], [1.0]) == []
    assert confounded([[1.0]], ["c"], [0.0])[0].reasons == ()


def test_edges():
    assert confounded(np.zeros((0, 0)), [], []) == []
    undetermined = confounded(np.full((2, 2), np.inf), ["a", "b"], [1.0, 1.0])
    assert undetermined[0].verdict == "bad"
    assert "do not determine" in undetermined[0].text
    assert is_confounded(np.full((2, 2), np.nan)).all()
    # a constant that was held has no variance and is confounded with nothing
    assert not is_confounded(np.diag([1.0, 0.0, 4.0])).any()
    singular = confounded(np.ones((2, 2)), ["a", "b"], [9.0, 9.0])
    assert singular[0].value == np.inf
    with pytest.raises(ShapeError, match="names"):
        confounded(np.eye(2), ["a"], [1.0, 1.0])
    with pytest.raises(ShapeError, match="covariance"):
        confounded(np.ones((2, 3)), ["a", "b"], [1.0, 1.0])


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    scales=st.lists(st.floats(1e-3, 1e3), min_size=3, max_size=3),
)
def test_units_do_not_matter(seed, scales):
    a = np.random.default_rng(seed).normal(size=(3, 4))
    cov, s = a @ a.T, np.array(scales)
    names, values = ["a", "b", "c"], np.array([1.0, 1.0, 1.0])
    plain = confounded(cov, names, values)
    scaled = confounded(cov * np.outer(s, s), names, values * s)
    assert [f.id for f in plain] == [f.id for f in scaled]
    for one, two in zip(plain, scaled, strict=True):
        if not one.id.startswith("constants.width"):
            assert one.value == pytest.approx(two.value, rel=1e-6)
    paired = {n for f in plain if ".pair." in f.id for n in f.id.split(".")[2:]}
    marked = {n for n, hit in zip(names, is_confounded(cov), strict=True) if hit}
    assert paired <= marked


# the measured single arm, about its hanging angle: gravity, dry friction, linear and
# quadratic drag; the values are those fitted to the whole record
LAW = {"w2": 64.0, "f": 0.1, "c": 0.035, "d": 0.002}


def swing(constants, start, ts):
    w2, f, c, d = constants

    def field(t, y):
        q, v = y
        drag = f * np.tanh(v / 0.05) + c * v + d * v * abs(v)
        return [v, -w2 * np.sin(q) - drag]

    out = solve_ivp(field, (0, ts[-1]), start, "DOP853", ts, rtol=1e-9, atol=1e-10)
    return out.y[0]


def covariance(ts, free, noise=5e-5):
    """Of the free constants of LAW, the start state eliminated, from the Jacobian of
    the observed angle by central differences."""
    p = np.array([*LAW.values(), 1.62, 0.0])
    columns = [list(LAW).index(name) for name in free] + [4, 5]
    jacobian = []
    for k in columns:
        step = np.zeros(6)
        step[k] = 1e-4 * max(abs(p[k]), 0.1)
        up, down = p + step, p - step
        moved = swing(up[:4], up[4:], ts) - swing(down[:4], down[4:], ts)
        jacobian.append(moved / (2 * step[k]))
    j = np.array(jacobian).T
    return noise**2 * np.linalg.inv(j.T @ j)[: len(free), : len(free)]


def test_friction_is_confounded_on_a_short_window():
    """On 6 s the amplitude hardly falls: three laws of damping, one observation."""
    ts = np.linspace(0, 6, 301)
    names = list(LAW)
    cov = covariance(ts, names)
    found = confounded(cov, names, list(LAW.values()))
    condition = by_id(found)["constants.condition"]
    assert condition.verdict == "bad"
    pairs = [f for f in found if f.id.startswith("constants.pair")]
    assert any("c and d cannot be told apart" in f.text for f in pairs)
    marked = dict(zip(names, is_confounded(cov), strict=True))
    assert not marked["w2"]  # the frequency is another matter
    assert marked["c"]
    assert marked["d"]
    one = ["w2", "c"]  # a single law of damping is no problem on the same window
    alone = covariance(ts, one)
    assert not is_confounded(alone).any()
    assert all(f.verdict == "good" for f in confounded(alone, one, [64.0, 0.035]))

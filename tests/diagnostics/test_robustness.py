"""Disturbed inputs: the disturbances have their statistics, scores their meaning."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import norm

from pendula._errors import ConfigError, DataError, ShapeError
from pendula.diagnostics import (
    ProjectedDescent,
    SaltAndPepper,
    corruption,
    cross_entropy,
    robustness,
)


W = jnp.asarray([[1.0, -2.0, 0.5], [0.0, 1.0, 1.0]])
X = jnp.asarray(np.random.default_rng(0).normal(size=(60, 3)), jnp.float32)
Y = jnp.argmax(X @ W.T, axis=1)


def linear(x):
    return W @ x


def change(name, level, count=20000, value=0.25):
    x = jnp.full((count,), value)
    none = lambda x: x
    return corruption(name)(x, jnp.asarray(level), none, jax.random.key(1))


def test_noises_have_their_mean_and_spread():
    white = change("white", 0.3) - 0.25
    assert_allclose([white.mean(), white.std()], [0.0, 0.3], atol=0.01)
    scaled = change("multiplicative", 0.4) - 0.25
    assert_allclose([scaled.mean(), scaled.std()], [0.0, 0.1], atol=0.005)
    values, counts = np.unique(change("salt_and_pepper", 0.1), return_counts=True)
    assert_allclose(values, [0.0, 0.25, 1.0])
    assert_allclose(counts / 20000, [0.05, 0.9, 0.05], atol=0.006)
    ends = SaltAndPepper(-3.0, 2.0)(
        jnp.zeros(2000), jnp.asarray(1.0), lambda x: x, jax.random.key(0)
    )
    assert set(np.unique(ends)) == {-3.0, 2.0}


def test_accuracy_of_a_linear_classifier_under_noise_is_the_normal_integral():
    """Two classes: the margin m = (w1 - w0) x gets the noise level |w1 - w0|."""
    level = 0.7
    found = robustness(linear, X, Y, {"white": (0.0, level)}, seeds=40)["white"]
    margin = np.abs(np.asarray(X @ (W[1] - W[0])))
    wanted = norm.cdf(margin / (level * float(jnp.linalg.norm(W[1] - W[0])))).mean()
    assert found.mean[0] == 1.0
    assert found.std[0] == 0.0
    spread = found.std[1] / np.sqrt(40)
    assert abs(found.mean[1] - wanted) < 4 * spread
    assert found.scores.shape == (2, 40)


def test_sign_of_gradient_of_a_linear_classifier_is_exact():
    """It takes level |w1 - w0|_1 off each margin, and is the same at every call."""
    levels = np.array([0.0, 0.1, 0.4])
    found = robustness(linear, X, Y, {"fgsm": levels})["fgsm"]
    margin = np.abs(np.asarray(X @ (W[1] - W[0])))
    cost = float(jnp.abs(W[1] - W[0]).sum())
    wanted = [np.mean(margin > level * cost) for level in levels]
    assert_allclose(found.mean, wanted, atol=1e-6)
    assert found.scores.shape == (3, 1)
    assert found.area == pytest.approx(np.trapezoid(wanted, levels) / 0.4)
    yes = robustness(linear, X, Y == 1, {"fgsm": levels})["fgsm"]
    assert_array_equal(yes.scores, found.scores)


def test_draws_clipping_and_scores_of_ones_own():
    """The noise does not depend on the batch; a range cuts; a loss may be scored."""
    ask = {"white": (0.5,)}
    one = robustness(linear, X, Y, ask, seeds=2, score=cross_entropy)["white"]
    two = robustness(linear, X, Y, ask, seeds=2, score=cross_entropy, batch=7)["white"]
    assert_allclose(one.scores, two.scores, rtol=1e-5)
    assert one.area == one.mean[0]
    cut = robustness(
        lambda x: jnp.stack([jnp.max(jnp.abs(x)), jnp.full((), 1.5)]),
        X,
        jnp.ones_like(Y),
        {"white": (5.0,)},
        clip=(-1.0, 1.0),
    )["white"]
    assert cut.mean[0] == 1.0  # no entry is left above 1.5
    own = SaltAndPepper(7.0, 7.0)
    found = robustness(
        lambda x: jnp.stack([x[0], jnp.full((), 6.5)]),
        X,
        jnp.zeros_like(Y),
        {"salt_and_pepper": (1.0,)},
        using=(own,),
    )
    assert_array_equal(found["salt_and_pepper"].scores, 1.0)


def test_a_model_that_breaks_down_is_never_right():
    """NaN, for which argmax tells the first class."""
    broken = lambda x: linear(x) * jnp.nan
    found = robustness(broken, X, jnp.zeros_like(Y), {"white": (0.0, 0.1)}, seeds=1)
    assert_array_equal(found["white"].scores, 0.0)


def test_what_cannot_be_asked():
    with pytest.raises(ConfigError, match=r'"whit".*"white"'):
        robustness(linear, X, Y, {"whit": (0.1,)})
    with pytest.raises(ConfigError, match="levels of white are"):
        robustness(linear, X, Y, {"white": ()})
    with pytest.raises(ConfigError, match="levels of fgsm are"):
        robustness(linear, X, Y, {"fgsm": (-0.1,)})
    with pytest.raises(ConfigError, match="seeds is 0"):
        robustness(linear, X, Y, {"white": (0.1,)}, seeds=0)
    with pytest.raises(ShapeError, match=r"inputs \(60, 3\) and labels \(59,\)"):
        robustness(linear, X, Y[:-1], {"white": (0.1,)})
    for kind, level in (("white", np.nan), ("salt_and_pepper", 1.5), ("dropped", 2.0)):
        with pytest.raises(ConfigError, match=f"levels of {kind} are"):
            robustness(linear, X, Y, {kind: (level,)})
    for levels in (np.inf, np.array([[0.1, 0.2]])):
        with pytest.raises(ConfigError, match="levels of white are"):
            robustness(linear, X, Y, {"white": levels})
    with pytest.raises(ConfigError, match="clip is"):
        robustness(linear, X, Y, {"white": (0.1,)}, clip=(1.0, -1.0))
    with pytest.raises(ConfigError, match='using has "pgd", which kinds does not'):
        robustness(linear, X, Y, {"fgsm": 0.1}, using=(ProjectedDescent(3),))
    with pytest.raises(DataError, match=r"the value of y at \(0, 0\)"):
        robustness(linear, X, jnp.full((60, 2), jnp.nan), {"white": 0.1})
    for bad in (2, -1):
        with pytest.raises(DataError, match=f"label {bad} of sample 0"):
            robustness(linear, X, jnp.full_like(Y, bad), {"white": (0.1,)})
    with pytest.raises(ShapeError, match="Give labels as whole numbers"):
        robustness(linear, X, jnp.zeros(len(Y)), {"white": (0.1,)})
    with pytest.raises(ShapeError, match="one number a class"):
        robustness(jnp.sum, X, Y, {"white": (0.1,)})
    with pytest.raises(ShapeError, match="and a sample"):
        robustness(linear, X[:0], Y[:0], {"white": (0.1,)})
    with pytest.raises(DataError, match=r"the input at \(4, 1\)"):
        robustness(linear, X.at[4, 1].set(jnp.nan), Y, {"white": (0.1,)})
    with pytest.raises(ShapeError, match="Scale pixels"):
        robustness(linear, jnp.ones((2, 3), jnp.uint8), Y[:2], {"white": (0.1,)})


def test_projected_descent_stays_in_its_box_and_is_no_weaker_than_one_step():
    found = robustness(linear, X, Y, {"fgsm": (0.2,), "pgd": (0.2,)})
    # the loss of a linear classifier of two classes has one direction: the corner
    assert_allclose(found["pgd"].mean, found["fgsm"].mean)
    slope = lambda x: jnp.cos(3.0 * x)
    x = jnp.linspace(-1.0, 1.0, 50)
    moved = corruption("pgd")(x, jnp.asarray(0.3), slope, jax.random.key(0))
    assert float(jnp.abs(moved - x).max()) <= 0.3 + 1e-6
    with pytest.raises(ConfigError, match="steps"):
        ProjectedDescent(steps=0)


def test_a_shift_moves_all_samples_and_a_loss_holds_the_last_one():
    x = jnp.arange(40.0)[:, None]
    none = lambda x: x
    seen = set()
    for seed in range(30):
        moved = corruption("shift")(x, jnp.asarray(0.1), none, jax.random.key(seed))
        by = np.asarray(x - moved).ravel()
        seen.add(float(np.median(by)))
        assert_array_equal(moved[4:-4], x[4:-4] - np.median(by))
    assert min(seen) < -1
    assert max(seen) > 1
    assert max(map(abs, seen)) <= 4
    held = corruption("dropped")(x, jnp.asarray(0.5), none, jax.random.key(0)).ravel()
    steps = np.diff(held)
    assert (steps >= 0).all()
    assert 8 < np.count_nonzero(steps == 0) < 32
    kept = np.flatnonzero(steps) + 1
    assert_array_equal(held[kept], x[kept, 0])
    assert_array_equal(
        corruption("dropped")(x, jnp.asarray(0.0), none, jax.random.key(0)), x
    )


def test_the_response_of_a_model_of_values_is_its_squared_error():
    """y = w x: noise of level s adds (s w)^2."""
    x = jnp.asarray(np.random.default_rng(0).normal(size=(500, 1)), jnp.float32)
    found = robustness(
        lambda x: 2.0 * x, x, 2.0 * x, {"white": (0.0, 0.5), "fgsm": (0.5,)}
    )
    assert_allclose(found["white"].mean, [0.0, 1.0], atol=0.05)

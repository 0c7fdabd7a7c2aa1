"""Normal equations chained from single steps against plain forward mode."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

from pendula._errors import ConfigError
from pendula.train import (
    Rows,
    TrainState,
    chained_normal,
    levenberg_state,
    levenberg_step,
    normal_equations,
    released,
)


ITEMS, SEGMENTS, STEPS = 2, 3, 4


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


def move(p, eta, y):
    return y + 0.1 * jnp.tanh(p["w"] @ y + p["u"] @ eta)


def problem():
    rng = np.random.default_rng(0)
    params = {
        "w": jnp.asarray(rng.normal(size=(2, 2))),
        "u": jnp.asarray(rng.normal(size=(2, 1))),
    }
    items = (
        jnp.asarray(rng.normal(size=(ITEMS, SEGMENTS, 2))),
        jnp.asarray(rng.normal(size=(ITEMS, SEGMENTS, STEPS, 2))),
    )
    return params, jnp.asarray(rng.normal(size=(ITEMS, 1))), items


SCALE = np.array([0.5, 2.0])


def residual(p, eta, item, move=move):
    y0, seen = item

    def segment(y, target):
        def one(y, goal):
            y = move(p, eta, y)
            return y, y - goal

        return jax.lax.scan(one, y, target)[1]

    return jnp.ravel(jax.vmap(segment)(y0, seen))


def with_starts(p, local, item, move=move):
    """The same from free starts, and what the samples at them say."""
    eta, y0 = released(local, item[0], jnp.asarray(SCALE))
    off = y0 - item[0]
    return jnp.concatenate([jnp.ravel(off), residual(p, eta, (y0, item[1]), move)])


def from_starts(move, **more):
    """Its `linearise`."""
    return chained_normal(
        lambda p, eta, y, item, s, k: move(p, eta, y),
        lambda p, y, item, s, k: y - jnp.where(k < 0, item[0][s], item[1][s, k]),
        lambda p, item: (item[0], jnp.asarray(SCALE)),
        STEPS,
        free=True,
        **more,
    )


LINEARISE = chained_normal(
    lambda p, eta, y, item, s, k: move(p, eta, y),
    lambda p, y, item, s, k: y - item[1][s, k],
    lambda p, item: (item[0], jnp.ones(2)),
    STEPS,
)


def test_chained_equals_forward_mode():
    params, local, items = problem()
    plain = normal_equations(residual, params, local, items)
    chained = LINEARISE(residual, params, local, items, lambda p: p)
    for name in ("a", "b", "c", "gp", "gs", "rss"):
        assert_allclose(
            getattr(chained, name), getattr(plain, name), rtol=1e-11, atol=1e-13
        )


def test_a_broken_observation_pulls_nowhere():
    params, local, items = problem()
    broken = (items[0], items[1].at[0, 1, 2, 0].set(jnp.nan))
    out = LINEARISE(residual, params, local, broken, lambda p: p)
    whole = LINEARISE(residual, params, local, items, lambda p: p)
    assert np.isfinite(out.a).all()
    assert np.isfinite(out.gp).all()
    assert 0 < float(out.rss) < float(whole.rss)


def test_free_starts_are_unknowns_of_their_rollouts():
    params, local, items = problem()
    rng = np.random.default_rng(1)
    moved = jnp.asarray(rng.normal(size=(ITEMS, SEGMENTS * 2)))
    local = jnp.concatenate([local, moved], axis=1)
    plain = normal_equations(with_starts, params, local, items)
    chained = from_starts(move)(with_starts, params, local, items, lambda p: p)
    for name in ("a", "b", "c", "gp", "gs", "rss"):
        assert_allclose(
            getattr(chained, name), getattr(plain, name), rtol=1e-11, atol=1e-13
        )


MANY = 2 * ITEMS * SEGMENTS * (STEPS + 1) * 2  # weights, for half as many residuals
MIX = np.random.default_rng(2).normal(size=(2, MANY)) / MANY**0.5


def walk(p, eta, y):
    return y + 0.1 * jnp.tanh(jnp.asarray(MIX) @ p + y * eta)


def many_weights():
    """Weights, local unknowns and items of `walk`."""
    _, eta, items = problem()
    local = jnp.concatenate([eta, jnp.zeros((ITEMS, SEGMENTS * 2))], axis=1)
    return jnp.asarray(np.random.default_rng(3).normal(size=MANY)), local, items


def walks(p, local, item):
    return with_starts(p, local, item, walk)


def stepped(few, **more):
    """Parameters, state and row of three steps."""
    params, local, items = many_weights()
    step = levenberg_step(
        walks,
        lambda p: 1.5 * p,
        lambda items: jnp.asarray(items[1].size, jnp.float64),
        linearise=from_starts(walk, held=few),
        **more,
    )
    opt = levenberg_state(jnp.float64, variance=0.0)
    state, infos = TrainState.start((params, local), opt, jax.random.key(0)), []
    for _ in range(3):
        state, info = step(state, items)
        infos.append(info)
    return state.params, state.opt, infos


@pytest.mark.parametrize("known", [0, 1])
def test_few_rows_give_the_step_of_the_normal_equations(known):
    """Many weights, few residuals, free starts: the step of the residuals' space is the
    one of the unknowns', and so is every number that is told."""
    params, local, items = many_weights()
    for few in (False, True):
        linearise = from_starts(walk, held=few)
        made = linearise(walks, params, local, items, lambda p: p)
        assert isinstance(made, Rows) == few
    more = {"local_precision": 1.0, "separable_prior": True, "hold_local": known}
    after = [stepped(few, **more) for few in (False, True)]
    assert float(jnp.max(jnp.abs(after[0][0][0] - params))) > 0.1
    jax.tree.map(lambda x, y: assert_allclose(x, y, rtol=1e-8, atol=1e-10), *after)


@pytest.mark.parametrize("more", [{"local_precision": 1.0}, {"separable_prior": True}])
def test_rows_need_a_prior_of_every_unknown(more):
    with pytest.raises(ConfigError, match="separable_prior and local_precision"):
        stepped(True, **more)

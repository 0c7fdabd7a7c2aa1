"""Normal equations chained from single steps against plain forward mode."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

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


def residual(p, eta, item):
    y0, seen = item

    def segment(y, target):
        def one(y, goal):
            y = move(p, eta, y)
            return y, y - goal

        return jax.lax.scan(one, y, target)[1]

    return jnp.ravel(jax.vmap(segment)(y0, seen))


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
    scale = jnp.array([0.5, 2.0])
    rng = np.random.default_rng(1)
    moved = jnp.asarray(rng.normal(size=(ITEMS, SEGMENTS * 2)))
    local = jnp.concatenate([local, moved], axis=1)

    def with_starts(p, local, item):
        eta, y0 = released(local, item[0], scale)
        off = y0 - item[0]  # what the sample at the start says
        return jnp.concatenate(
            [jnp.ravel(off), residual(p, eta, (y0, item[1]))],
        )

    def rows(p, y, item, s, k):
        return y - jnp.where(k < 0, item[0][s], item[1][s, k])

    linearise = chained_normal(
        lambda p, eta, y, item, s, k: move(p, eta, y),
        rows,
        lambda p, item: (item[0], scale),
        STEPS,
        free=True,
    )
    plain = normal_equations(with_starts, params, local, items)
    chained = linearise(with_starts, params, local, items, lambda p: p)
    for name in ("a", "b", "c", "gp", "gs", "rss"):
        assert_allclose(
            getattr(chained, name), getattr(plain, name), rtol=1e-11, atol=1e-13
        )


@pytest.mark.parametrize("held", [0, 1])
def test_few_rows_give_the_step_of_the_normal_equations(held):
    """Many weights, few residuals, free starts: the step of the residuals' space is the
    one of the unknowns', and so is every number that is told."""
    rng = np.random.default_rng(2)
    scale, many = jnp.array([0.5, 2.0]), 2 * ITEMS * SEGMENTS * (STEPS + 1) * 2
    params = jnp.asarray(rng.normal(size=many))
    _, eta, items = problem()
    local = jnp.concatenate([eta, jnp.zeros((ITEMS, SEGMENTS * 2))], axis=1)
    mix = jnp.asarray(rng.normal(size=(2, many)) / many**0.5)

    def walk(p, eta, y):
        return y + 0.1 * jnp.tanh(mix @ p + y * eta)

    def path(p, own, item):
        shared, y0 = released(own, item[0], scale)

        def one(y, goal):
            y = walk(p, shared, y)
            return y, y - goal

        each = lambda y, goals: jax.lax.scan(one, y, goals)[1]
        off = jax.vmap(each)(y0, item[1])
        return jnp.concatenate([jnp.ravel(y0 - item[0]), jnp.ravel(off)])

    def rows(p, y, item, s, k):
        return y - jnp.where(k < 0, item[0][s], item[1][s, k])

    kinds, after = [], []
    for few in (False, True):
        linearise = chained_normal(
            lambda p, eta, y, item, s, k: walk(p, eta, y),
            rows,
            lambda p, item: (item[0], scale),
            STEPS,
            free=True,
            held=few,
        )
        kinds.append(type(linearise(path, params, local, items, lambda p: p)))
        step = levenberg_step(
            path,
            lambda p: 1.5 * p,
            lambda items: jnp.asarray(items[1].size, jnp.float64),
            linearise=linearise,
            local_precision=1.0,
            separable_prior=True,
            hold_local=held,
        )
        opt = levenberg_state(jnp.float64, variance=0.0)
        state = TrainState.start((params, local), opt, jax.random.key(0))
        for _ in range(3):
            state, info = step(state, items)
        after.append((state.params, state.opt, info))
    assert [kind is Rows for kind in kinds] == [False, True]
    assert float(jnp.max(jnp.abs(after[0][0][0] - params))) > 0.1
    jax.tree.map(lambda x, y: assert_allclose(x, y, rtol=1e-8, atol=1e-10), *after)

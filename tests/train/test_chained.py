"""Normal equations chained from single steps against plain forward mode."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

from pendula.train import chained_normal, normal_equations, released


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

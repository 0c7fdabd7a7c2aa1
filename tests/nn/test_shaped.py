"""Networks of a given shape keep it for any weights, and can still fit."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from pendula._errors import ConfigError
from pendula.nn import ConvexMLP, MonotoneMLP


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


MAKERS = {"monotone": MonotoneMLP, "convex": ConvexMLP}


@pytest.fixture(scope="module", params=[1, 3])
def nets(request):
    with jax.enable_x64(True):
        key = jax.random.key(3)
        return {
            name: make(2, 2, width=5, depth=request.param, key=key)
            for name, make in MAKERS.items()
        }


values = eqx.filter_jit(lambda net, x: jax.vmap(net)(x))


def drawn(net, seed):
    """Weights of size 2, far off the start."""
    rng = np.random.default_rng(seed)
    arrays, rest = eqx.partition(net, eqx.is_inexact_array)
    return eqx.combine(
        jax.tree.map(
            lambda x: jnp.asarray(rng.normal(size=x.shape, scale=2.0)), arrays
        ),
        rest,
    )


@given(seed=st.integers(0, 2**20))
@settings(max_examples=15, deadline=None)
def test_monotone_in_every_input(nets, seed):
    net = drawn(nets["monotone"], seed)
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(20, 2), scale=3.0)
    step = rng.uniform(0.0, 2.0, size=(20, 2))
    assert np.all(values(net, x + step) >= values(net, x))


@given(seed=st.integers(0, 2**20))
@settings(max_examples=15, deadline=None)
def test_convex_between_any_two_points(nets, seed):
    net = drawn(nets["convex"], seed)
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(2, 20, 2), scale=3.0)
    share = rng.uniform(size=(20, 1))
    between = values(net, share * a + (1 - share) * b)
    chord = share * values(net, a) + (1 - share) * values(net, b)
    # the values reach 1e2: rounding is far below
    assert np.all(between <= chord + 1e-9)


@pytest.mark.parametrize(
    ("name", "target"), [("monotone", lambda x: x + x**3), ("convex", lambda x: x**2)]
)
def test_the_shape_is_no_cage(name, target):
    """A function of the right shape is met to 1 % of its size by Gauss-Newton."""
    net = MAKERS[name](1, 1, width=12, depth=2, key=jax.random.key(0))
    x = jnp.linspace(-1.0, 1.0, 40)[:, None]
    params, static = eqx.partition(net, eqx.is_inexact_array)
    flat, unravel = jax.flatten_util.ravel_pytree(params)

    @jax.jit
    def error(p):
        return (jax.vmap(eqx.combine(unravel(p), static))(x) - target(x))[:, 0]

    from scipy.optimize import least_squares

    slope = jax.jit(jax.jacfwd(error))
    found = least_squares(
        lambda p: np.asarray(error(p)),
        flat,
        jac=lambda p: np.asarray(slope(p)),
        max_nfev=60,
    )
    size = float(jnp.sqrt(jnp.mean(target(x) ** 2)))
    assert np.sqrt(np.mean(found.fun**2)) < 0.01 * size


def test_redraw_changes_every_weight(nets):
    for net in nets.values():
        fresh = net.redraw(jax.random.key(9))
        assert jax.tree.structure(fresh) == jax.tree.structure(net)
        old, new = jax.tree.leaves(net), jax.tree.leaves(fresh)
        assert all(np.any(a != b) for a, b in zip(old, new, strict=True))


def test_what_cannot_be_is_refused():
    with pytest.raises(ConfigError, match="does not both rise and saturate"):
        MonotoneMLP(1, 1, activation="sin", key=jax.random.key(0))
    with pytest.raises(ConfigError, match="straight line"):
        ConvexMLP(1, 1, depth=0, key=jax.random.key(0))

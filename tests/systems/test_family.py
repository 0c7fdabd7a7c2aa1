"""One walk over every registered system: what all of them must satisfy."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pendula import _registry as registry
from pendula._errors import ConfigError, ShapeError
from pendula._source import Source
from pendula.systems import AbstractSystem, simulate, system


NAMES = registry.names("system")


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


@pytest.fixture(params=NAMES, scope="module")
def world(request) -> AbstractSystem:
    return system(request.param)


# one of each kind: an angle, chaos, invariants, a line of nodes, time in the field
QUICK = ("pendulum", "lorenz", "kepler", "kpp", "double_gyre")
WALK = [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in NAMES]


@pytest.fixture(params=WALK, scope="module")
def compiled(request) -> AbstractSystem:
    """For what compiles: the other systems are slow tests."""
    return system(request.param)


def nearby(world):
    """Constants off the defaults, all of them at work, and a state with them."""
    context = jnp.asarray(1.1 * world.context() + 0.05)
    return world.initial(jax.random.key(3)), context


def test_the_worlds_of_the_design_are_here():
    assert {*NAMES} >= {
        "brusselator",
        "double_gyre",
        "double_pendulum",
        "duffing",
        "fitzhugh_nagumo",
        "glycolytic",
        "harmonic",
        "heat",
        "kepler",
        "kpp",
        "lorenz",
        "lotka_volterra",
        "n_link_pendulum",
        "pendulum",
        "selkov",
        "spring_bodies",
        "spring_chain",
        "van_der_pol",
    }


def test_description_is_complete(world):
    cls = type(world)
    dim = len(world.names)
    assert len(world.units) == len(world.angle) == dim == len(world.initial())
    assert len(world.input_names) == len(world.input_units)
    assert 0 < world.good_step < world.good_duration
    assert isinstance(world.source, Source)
    assert world.source.key
    for part in ("$$", "**Shapes and units**", "**Source:**", ">>>"):
        assert part in cls.__doc__, part
    for name in cls.param_names:
        assert name in cls.__doc__, name
    assert registry.lookup("module", cls.__name__) is cls


def test_constants_are_traced_never_static(compiled):
    static = eqx.partition(compiled, eqx.is_array)[1]
    assert jax.tree.leaves(static) == []
    counted = eqx.filter_jit(
        eqx.debug.assert_max_traces(lambda w, y: w(0.0, y), max_traces=1)
    )
    y = compiled.initial()
    first = counted(compiled, y)
    values = compiled.context() * np.linspace(1.2, 1.7, len(compiled.param_names)) + 0.1
    other = type(compiled)(**dict(zip(compiled.param_names, values, strict=True)))
    assert np.any(counted(other, y) != first)


def test_context_stands_for_the_constants(world):
    y = world.initial(jax.random.key(0))
    own = jnp.asarray(world.context())
    np.testing.assert_array_equal(world(0.0, y), world(0.0, y, None, own))
    for name, value in world.invariants(y).items():
        np.testing.assert_array_equal(value, world.invariants(y, own)[name])
    np.testing.assert_array_equal(world.time_scale(), world.time_scale(own))
    with pytest.raises(ShapeError, match="context has shape"):
        world(0.0, y, None, own[:-1])


def test_jit_vmap_and_construction_inside_agree_with_a_loop(compiled):
    ys = jax.vmap(compiled.initial)(jax.random.split(jax.random.key(1), 3))
    contexts = jnp.asarray(np.outer([0.8, 1.0, 1.2], compiled.context()))
    build = lambda c: type(compiled)(**dict(zip(compiled.param_names, c, strict=True)))
    times = jnp.arange(3.0)
    loop = jnp.stack(
        [compiled(t, y, None, c) for t, y, c in zip(times, ys, contexts, strict=True)]
    )
    by_context = jax.jit(jax.vmap(lambda t, y, c: compiled(t, y, None, c)))
    inside = jax.jit(jax.vmap(lambda t, y, c: build(c)(t, y)))
    np.testing.assert_allclose(by_context(times, ys, contexts), loop, rtol=1e-13)
    np.testing.assert_allclose(inside(times, ys, contexts), loop, rtol=1e-13)


def test_field_is_finite_far_outside_and_keeps_the_dtype(world):
    y = world.initial(jax.random.key(2))
    for scale in (0.0, 1.0, -1e3, 1e6):
        assert np.isfinite(world(0.0, scale * y)).all()
        assert all(not np.isnan(v) for v in world.invariants(scale * y).values())
    single = world(jnp.float32(0.0), y.astype(jnp.float32))
    assert single.dtype == jnp.float32
    np.testing.assert_allclose(single, world(0.0, y), rtol=1e-4, atol=1e-4)


def test_gradient_reaches_every_constant_and_is_right(compiled):
    y, context = nearby(compiled)
    value = jax.jit(lambda c: jnp.sum(jnp.sin(compiled(0.7, y, None, c))))
    grad = jax.jit(jax.grad(value))(context)
    assert np.all(np.asarray(grad) != 0)
    for i, slope in enumerate(np.asarray(grad)):
        moved = lambda s, i=i: float(value(context.at[i].add(s)))
        numeric = (moved(1e-6) - moved(-1e-6)) / 2e-6
        assert slope == pytest.approx(numeric, rel=1e-5, abs=1e-9)


def test_positions_and_velocities_are_declared_rightly(world):
    y, context = nearby(world)
    half = len(y) // 2
    dy = world(0.3, y, None, context)
    moves = len(y) % 2 == 0 and bool(jnp.all(dy[:half] == y[half:]))
    assert moves == world.second_order


def test_inputs_push_or_are_declared_absent(world):
    y = world.initial()
    if not world.input_names:
        with pytest.raises(ConfigError, match="takes no input"):
            simulate(world, us=np.sin)
        return
    count = len(world.input_names)
    change = world(0.0, y, jnp.ones(count)) - world(0.0, y)
    assert np.any(np.asarray(change) != 0)
    with pytest.raises(ShapeError, match="the input has shape"):
        world(0.0, y, jnp.ones(count + 1))


def test_starts_are_random_by_key_and_fixed_without(world):
    a, b = world.initial(jax.random.key(0)), world.initial(jax.random.key(1))
    assert np.all(np.asarray(a) != np.asarray(b))
    np.testing.assert_array_equal(world.initial(), world.initial())


def test_simulated_motion_is_finite_moves_and_conserves(compiled):
    data = simulate(compiled, num=2, seed=4)
    assert np.isfinite(data.ys).all()
    assert np.all(np.ptp(data.ys, axis=1) > 1e-3)
    # a good step resolves the motion: neighbours are close compared with the range
    jumps = np.abs(np.diff(data.ys, axis=1)).max(axis=1)
    assert np.all(jumps < 0.35 * np.ptp(data.ys, axis=1))
    names = compiled.invariants(compiled.initial())
    for name in names:
        along = jax.vmap(jax.vmap(lambda y, n=name: compiled.invariants(y)[n]))
        values = np.asarray(along(jnp.asarray(data.ys)))
        scale = np.ptp(values) + np.abs(values).max()
        # the data are exact to 1e-8 of their range
        assert np.ptp(values, axis=1).max() < 1e-7 * scale, name


def test_bad_constants_are_refused_at_construction(world):
    cls = type(world)
    for name in world.param_names:
        for bad in (np.nan, np.inf):
            with pytest.raises(ConfigError, match=f"{name} is {bad}"):
                cls(**{name: bad})
        with pytest.raises(ConfigError, match="must be one number"):
            cls(**{name: np.ones(2)})
        with pytest.raises(ConfigError, match="must be a number"):
            cls(**{name: "long"})


@pytest.mark.parametrize(
    ("name", "constant", "value"),
    [
        ("harmonic", "mass", 0.0),
        ("harmonic", "stiffness", -1.0),
        ("harmonic", "damping", -0.1),
        ("pendulum", "length", -1.0),
        ("pendulum", "gravity", 0.0),
        ("pendulum", "damping", -1.0),
        ("duffing", "beta", -1.0),
        ("duffing", "drive_rate", 0.0),
        ("lotka_volterra", "death", 0.0),
        ("lorenz", "rho", -1.0),
    ],
)
def test_constants_out_of_range_are_refused(name, constant, value):
    with pytest.raises(ConfigError, match=f"{constant} is {value:g}"):
        system(name, **{constant: value})


def test_systems_by_name():
    assert float(system("pendulum", length=0.5).length) == 0.5
    ready = system("lorenz")
    assert system(ready) is ready
    with pytest.raises(ConfigError, match='Did you mean "pendulum"'):
        system("pendulm")
    with pytest.raises(ConfigError, match='Did you mean "length"'):
        system("pendulum", lenght=1.0)
    with pytest.raises(ConfigError, match="already built"):
        system(ready, rho=1.0)

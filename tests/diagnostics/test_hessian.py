"""Curvature: closed spectra, dense references, symmetry, batches, precision."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from pendula._errors import ConfigError, DataError, FitWarning, ShapeError
from pendula.depth import DenseUnit, OdeBlock
from pendula.diagnostics import (
    GaussNewtonOperator,
    HessianOperator,
    ScaledCurvature,
    spectral_density,
    top_eigenvalues,
    trace,
)
from pendula.diagnostics._krylov import Krylov
from pendula.diagnostics._products import _apply
from pendula.nn import MLP, HeldNumber, NormState


N = 200
VALUES = np.concatenate([[10.0, -7.0, 5.0, 1.0], np.linspace(-0.5, 0.5, N - 4)])


def quadratic(w, matrix):
    return 0.5 * w @ (matrix @ w)


class Quadratic(eqx.Module):
    """Half of w' A w, without data."""

    matrix: jax.Array

    def __call__(self, w, _):
        return quadratic(w, self.matrix)


@pytest.fixture(scope="module")
def matrix():
    """A symmetric matrix of known spectrum in a random frame."""
    frame = np.linalg.qr(np.random.default_rng(0).normal(size=(N, N)))[0]
    return (frame * VALUES) @ frame.T


@pytest.fixture(scope="module")
def op(matrix):
    return HessianOperator(Quadratic(matrix), np.zeros(N), dtype=np.float64)


def test_top_eigenvalues_of_a_known_spectrum(op):
    found = top_eigenvalues(op, 4)
    np.testing.assert_allclose(found.values, [10.0, -7.0, 5.0, 1.0], rtol=1e-6)
    assert found.converged
    assert found.residuals.max() <= 1e-4
    np.testing.assert_allclose(found.vectors @ found.vectors.T, np.eye(4), atol=1e-9)
    largest = top_eigenvalues(op, 3, "largest")
    np.testing.assert_allclose(largest.values, [10.0, 5.0, 1.0], rtol=1e-6)
    smallest = top_eigenvalues(op, 2, "smallest")
    np.testing.assert_allclose(smallest.values, [-7.0, -0.5], rtol=1e-6)
    assert found.sharpness(0.1) == pytest.approx(0.5)


def test_sharpness_is_that_of_the_largest_or_refused():
    """Spectrum 5, -9, 2: the first in magnitude is not the largest."""
    a = jnp.asarray([5.0, -9.0, 2.0])
    three = HessianOperator(lambda w, _: 0.5 * jnp.sum(a * w**2), np.ones(3, "f4"))
    with pytest.raises(ConfigError, match='which="largest"'):
        top_eigenvalues(three).sharpness(0.1)
    with pytest.raises(ConfigError, match='which="largest"'):
        top_eigenvalues(three, 2, "smallest").sharpness(0.1)
    for found in (
        top_eigenvalues(three, 1, "largest"),
        top_eigenvalues(three, 2),
        top_eigenvalues(three, 3, "smallest"),
        top_eigenvalues(three, 2, method="power"),
    ):
        assert found.sharpness(0.1) == pytest.approx(0.25, rel=1e-3)


def test_power_iteration_ends_near(op):
    found = top_eigenvalues(op, 3, method="power")
    np.testing.assert_allclose(found.values, [10.0, -7.0, 5.0], rtol=1e-2)
    assert found.converged
    exact = top_eigenvalues(op, 1, method="power", tol=1e-13, steps=200)
    assert exact.values[0] == pytest.approx(10.0, rel=1e-9)
    assert not top_eigenvalues(op, 1, method="power", steps=2).converged


def test_few_steps_are_extended_until_converged(op):
    found = top_eigenvalues(op, 2, steps=4)
    assert found.converged
    np.testing.assert_allclose(found.values, [10.0, -7.0], rtol=1e-6)
    stopped = top_eigenvalues(op, 2, steps=4, max_steps=4)
    assert not stopped.converged
    assert stopped.products == 4 + 2


def test_trace_within_three_standard_errors(op):
    hits = 0
    for seed in range(100):
        found = trace(op, key=jax.random.key(seed), probes=30)
        hits += abs(found.value - VALUES.sum()) <= 3.0 * found.error
    assert hits >= 95


def test_trace_stops_at_its_tolerance_and_not_by_luck(op):
    found = trace(op, tol=0.5)
    assert 10 <= found.products < 100
    assert found.error <= 0.5 * abs(found.value)
    assert trace(op, tol=1e-12, probes=20).products == 20


def test_hutch_plus_takes_the_dominant_part_exactly(op):
    plain, better = trace(op), trace(op, method="hutch++", probes=99)
    assert better.error < 0.5 * plain.error
    assert abs(better.value - VALUES.sum()) <= 3.0 * better.error


def test_moments_of_the_density(op):
    found = spectral_density(op)
    for power in (1, 2):
        mean, error = found.moment(power)
        assert abs(mean - np.mean(VALUES**power)) <= 3.0 * error
    np.testing.assert_allclose(found.weights.sum(axis=1), 1.0, rtol=1e-12)
    assert np.trapezoid(found.density, found.grid) == pytest.approx(1.0, abs=1e-4)
    assert found.nodes.max() == pytest.approx(10.0, rel=1e-9)
    assert found.nodes.min() == pytest.approx(-7.0, rel=1e-9)
    near = np.abs(found.grid) < 0.6
    share = np.trapezoid(found.density[near], found.grid[near])
    assert share == pytest.approx((N - 4) / N, abs=0.03)
    assert np.isnan(spectral_density(op, starts=1, steps=5, points=20).moment(1)[1])


def test_a_wide_spectrum_does_not_fall_between_the_points():
    a = jnp.asarray([0.0, 1e6])
    op = HessianOperator(lambda w, _: 0.5 * jnp.sum(a * w**2), jnp.ones(2))
    found = spectral_density(op, starts=2, points=1000)
    assert np.trapezoid(found.density, found.grid) == pytest.approx(1.0, abs=1e-3)


def test_a_narrow_spectrum_is_seen_as_a_wide_one_is():
    a = jnp.asarray([-3e-4, 1e-4, 1e-4, 4e-4])
    made = lambda a: spectral_density(
        HessianOperator(lambda w, _: 0.5 * jnp.sum(a * w**2), jnp.ones(4)),
        starts=2,
        points=1000,
    )
    found = made(a)
    near = np.abs(found.grid - 1e-4) < 5e-5
    peak = np.trapezoid(found.density[near], found.grid[near])
    assert peak == pytest.approx(0.5, abs=1e-3)
    finer = made(0.01 * a)
    np.testing.assert_allclose(finer.sigma, 0.01 * found.sigma, rtol=1e-4)
    same = made(0.0 * a)  # one value
    assert np.trapezoid(same.density, same.grid) == pytest.approx(1.0, abs=1e-3)
    alike = made(jnp.full(4, 1e-5))
    assert np.trapezoid(alike.density, alike.grid) == pytest.approx(1.0, abs=1e-3)


def test_breakdown_ends_with_the_exact_spectrum_of_the_space():
    values = np.repeat([3.0, 1.0, -2.0], 10)
    product = lambda v: values * v
    krylov = Krylov(product, np.ones(30))
    krylov.extend(20)
    assert krylov.steps == 3
    assert krylov.ended
    theta, s = krylov.ritz()
    np.testing.assert_allclose(theta, [-2.0, 1.0, 3.0], atol=1e-12)
    np.testing.assert_allclose(s[0] ** 2, np.full(3, 1 / 3), atol=1e-12)
    krylov.extend(5)  # ended is ended
    assert krylov.steps == 3


def test_repeated_eigenvalues_are_found_when_asked():
    values = np.concatenate([[4.0, 4.0, 4.0], np.linspace(0.0, 3.0, 97)])
    a = jnp.asarray(values, jnp.float32)
    op = HessianOperator(
        lambda w, _: 0.5 * jnp.sum(a.astype(w.dtype) * w**2),
        np.ones(100),
        dtype=np.float64,
    )
    once = top_eigenvalues(op, 4, steps=40, max_steps=40)
    assert np.sum(np.abs(once.values - 4.0) < 1e-9) == 1
    found = top_eigenvalues(op, 4, repeated=True)
    np.testing.assert_allclose(found.values, [4.0, 4.0, 4.0, 3.0], rtol=1e-6)
    np.testing.assert_allclose(found.vectors @ found.vectors.T, np.eye(4), atol=1e-9)


@pytest.mark.parametrize("value", [0.0, 2.0])
def test_a_matrix_of_one_value(value):
    op = HessianOperator(
        lambda w, _: 0.5 * value * jnp.sum(w**2), np.ones(6), dtype=np.float64
    )
    found = top_eigenvalues(op, 6)
    np.testing.assert_allclose(found.values, np.full(6, value))
    assert found.converged
    power = top_eigenvalues(op, 2, method="power")
    np.testing.assert_allclose(power.values, np.full(2, value))
    density = spectral_density(op, starts=2)
    assert density.moment(1)[0] == pytest.approx(value)


def test_zeros_are_found_and_converge():
    """Rank 3 of 9: the smallest ones are 0, and power iteration ends at the rank."""
    a = jnp.asarray([3.0, 2.0, 1.0])
    op = HessianOperator(
        lambda w, _: 0.5 * jnp.sum(a.astype(w.dtype) * w[:3] ** 2),
        np.ones(9),
        dtype=np.float64,
    )
    smallest = top_eigenvalues(op, 2, "smallest")
    np.testing.assert_allclose(smallest.values, 0.0, atol=1e-14)
    assert smallest.converged
    assert smallest.residuals.max() <= 1e-4
    power = top_eigenvalues(op, 5, method="power", tol=1e-12)
    np.testing.assert_allclose(power.values, [3.0, 2.0, 1.0, 0.0, 0.0], atol=1e-9)
    assert power.converged
    np.testing.assert_allclose(power.vectors @ power.vectors.T, np.eye(5), atol=1e-12)


def test_peaks_between_the_points_are_warned_of(op):
    with pytest.warns(FitWarning, match=r"sigma is 1e-06 and a step of the grid is"):
        spectral_density(op, starts=1, steps=5, points=50, sigma=1e-6)


# a network, and its dense Hessian


def squares(net, batch):
    x, y = batch
    return jnp.mean((jax.vmap(net)(x) - y) ** 2)


@pytest.fixture(scope="module")
def problem():
    """A network of 193 weights and 70 samples."""
    net = MLP(2, 1, width=8, depth=3, key=jax.random.key(1))
    x = np.random.default_rng(1).normal(size=(70, 2)).astype(np.float32)
    return net, (x, np.sin(x[:, :1]))


@pytest.fixture(scope="module")
def whole(problem):
    return HessianOperator(squares, *problem, dtype=np.float64)


@pytest.fixture(scope="module")
def dense(problem, whole):
    net, data = problem
    with jax.enable_x64(True):
        wide = lambda tree: jax.tree.map(
            lambda x: jnp.asarray(np.asarray(x), jnp.float64) if eqx.is_array(x) else x,
            tree,
        )
        params, rest = eqx.partition(wide(net), eqx.is_inexact_array)
        flat, unravel = jax.flatten_util.ravel_pytree(params)
        loss = lambda flat: squares(eqx.combine(unravel(flat), rest), wide(data))
        return np.asarray(jax.jit(jax.hessian(loss))(flat))


def test_products_are_those_of_the_dense_hessian(whole, dense):
    v = np.random.default_rng(2).normal(size=whole.size)
    np.testing.assert_allclose(whole(v), dense @ v, rtol=1e-10, atol=1e-12)
    assert whole(v).dtype == np.float64
    assert isinstance(whole(v), np.ndarray)
    assert sum(at.stop - at.start for at in whole.slices.values()) == whole.size


def test_eigenvalues_and_trace_of_the_network(whole, dense):
    exact = np.linalg.eigvalsh(dense)
    exact = exact[np.argsort(-np.abs(exact))]
    found = top_eigenvalues(whole, 5)
    np.testing.assert_allclose(found.values, exact[:5], rtol=1e-4)
    mean = trace(whole)
    assert abs(mean.value - np.trace(dense)) <= 3.0 * mean.error
    for name, at in whole.slices.items():
        value, error = mean.blocks[name]
        assert abs(value - np.trace(dense[at, at])) <= 4.0 * error


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_the_operator_is_linear_and_symmetric(whole, seed):
    rng = np.random.default_rng(seed)
    u, v = rng.normal(size=(2, whole.size))
    a, b = rng.normal(size=2)
    hu, hv = whole(u), whole(v)
    size = np.linalg.norm(u) * np.linalg.norm(hv)
    assert abs(u @ hv - v @ hu) <= 1e-6 * size
    np.testing.assert_allclose(whole(a * u + b * v), a * hu + b * hv, atol=1e-9 * size)


def test_batches_count_by_their_size(problem, whole):
    """Two full ones and six samples."""
    op = HessianOperator(squares, *problem, 32, dtype=np.float64)
    v = np.linspace(-1.0, 1.0, op.size)
    np.testing.assert_allclose(op(v), whole(v), rtol=1e-10, atol=1e-13)
    np.testing.assert_allclose(op.gradient, whole.gradient, rtol=1e-10, atol=1e-13)
    assert op.value == pytest.approx(whole.value, rel=1e-13)


def test_data_may_hold_what_is_no_array():
    """In one batch and in two."""

    def loss(w, batch):
        x, name, doubled = batch
        assert name == "name"
        return jnp.mean(jnp.sin(w[0] * x)) * (2.0 if doubled else 1.0)

    data = (np.linspace(0.0, 1.0, 4, dtype="f4"), "name", True)
    one, two = (HessianOperator(loss, np.ones(1, "f4"), data, b) for b in (4, 2))
    np.testing.assert_allclose(two(np.ones(1)), one(np.ones(1)), rtol=1e-6)


def test_convolutions_stay_out_of_compiled_loops():
    """In one they are fifty times slower; three batches of 2, 2 and 1 images."""
    x = np.random.default_rng(0).normal(size=(5, 1, 4, 4)).astype(np.float32)
    net = eqx.nn.Conv2d(1, 2, 3, padding=1, key=jax.random.key(0))
    loss = lambda net, x: jnp.mean(
        jnp.sin(jax.vmap(jax.checkpoint(lambda x: net(x)))(x))
    )
    whole, op = (HessianOperator(loss, net, x, b) for b in (None, 2))
    v = np.linspace(-1.0, 1.0, op.size)
    np.testing.assert_allclose(op(v), whole(v), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(op.gradient, whole.gradient, rtol=1e-4, atol=1e-6)
    assert op.value == pytest.approx(whole.value, rel=1e-5)
    _, _, form, arrays = op._machine.prepared
    program = _apply.lower(form, arrays, v.astype("f4"), x[:2]).as_text()
    assert "stablehlo.convolution" in program
    assert "stablehlo.while" not in program


def test_products_are_not_shortened_on_accelerators():
    seen = []

    def loss(w, x):
        seen.append(jax.config.jax_default_matmul_precision)
        return jnp.mean((x @ w) ** 2)

    x = np.ones((3, 2), "f4")
    for size in (None, 2):
        HessianOperator(loss, np.ones(2, "f4"), x, size)(np.ones(2))
    assert set(seen) == {"highest"}
    assert jax.config.jax_default_matmul_precision is None


def test_the_loss_is_traced_once(problem):
    count = 0

    def counted(net, batch):
        nonlocal count
        count += 1
        return squares(net, batch)

    op = HessianOperator(counted, *problem)
    v = np.ones(op.size, np.float32)
    first = op(v)
    traced = count
    assert traced <= 2  # once for its shape, once for its slope
    np.testing.assert_array_equal(op(v), first)
    top_eigenvalues(op, 2)
    trace(op, probes=3)
    assert op(2 * v).dtype == np.float32
    # another operator of the same loss and shapes: its shape, nothing compiled
    HessianOperator(counted, problem[0].redraw(jax.random.key(5)), problem[1])(v)
    assert count == traced + 1


def test_precision_is_the_operator_s(problem, whole):
    single = HessianOperator(squares, *problem)
    v = np.linspace(-1.0, 1.0, single.size)
    assert single(v).dtype == np.float32
    np.testing.assert_allclose(single(v), whole(v), atol=1e-5)
    assert jnp.ones(()).dtype == np.float32  # the scope has ended
    with jax.enable_x64(True):
        np.testing.assert_allclose(whole(v), whole(v), rtol=1e-12)


def test_a_part_is_a_diagonal_block(whole, dense):
    part = whole.part(lambda net: (net.weight_in, net.bias_out))
    rows = np.concatenate(
        [np.arange(whole.size)[whole.slices[k]] for k in ("weight_in", "bias_out")]
    )
    v = np.linspace(0.0, 1.0, part.size)
    block = dense[np.ix_(rows, rows)]
    np.testing.assert_allclose(part(v), block @ v, rtol=1e-9, atol=1e-12)
    assert list(part.slices) == ["weight_in", "bias_out"]
    values = np.linalg.eigvalsh(block)
    assert top_eigenvalues(part, 1, "largest").values[0] == pytest.approx(values[-1])
    tree = part.tree(v)
    assert tree.weight_in.shape == (8, 2)
    assert tree.weight_out is None


def test_a_part_of_a_part_is_what_is_in_both():
    params = {"a": np.ones(2, "f4"), "b": np.ones(3, "f4"), "c": np.ones(1, "f4")}
    loss = lambda p, _: sum(jnp.sum(x**3) for x in p.values())
    op = HessianOperator(loss, params, where=lambda p: (p["a"], p["b"]))
    part = op.part(lambda p: (p["b"], p["c"]))
    assert list(part.slices) == ["['b']"]
    np.testing.assert_allclose(part(np.ones(3)), 6.0)
    scaled = ScaledCurvature(op, np.arange(5.0)).part(lambda p: (p["b"], p["c"]))
    np.testing.assert_allclose(scaled(np.ones(3)), [24.0, 54.0, 96.0])
    with pytest.raises(ConfigError, match="the part that was chosen holds no"):
        op.part(lambda p: p["c"])


def test_gauss_newton_is_positive_and_exact_where_the_network_is_linear(problem):
    net, (x, y) = problem
    predict = lambda net, batch: jax.vmap(net)(batch[0])
    loss = lambda z, batch: jnp.mean((z - batch[1]) ** 2)
    op = GaussNewtonOperator(predict, loss, net, (x, y), 32, dtype=np.float64)
    smallest = top_eigenvalues(op, 1, "smallest")
    assert smallest.values[0] > -1e-10
    last = lambda net: net.weight_out
    hessian = HessianOperator(squares, net, (x, y), dtype=np.float64)
    v = np.linspace(-1.0, 1.0, 8)
    np.testing.assert_allclose(op.part(last)(v), hessian.part(last)(v), rtol=1e-10)
    assert op.value == pytest.approx(hessian.value)
    np.testing.assert_allclose(op.gradient, hessian.gradient, atol=1e-12)


def test_outputs_may_hold_whole_numbers():
    """A counter beside the outputs, as states of norms have."""
    op = GaussNewtonOperator(
        lambda w, _: {"z": jnp.sin(w), "count": jnp.arange(2)},
        lambda z, _: jnp.sum(z["z"] ** 2 * z["count"].astype("f4")),
        np.zeros(2, "f4"),
    )
    np.testing.assert_allclose(op(np.ones(2)), [0.0, 2.0])


class Normed(eqx.Module):
    """A convolution, batch norm with a state, dropout and a mean."""

    conv: eqx.nn.Conv2d
    norm: eqx.nn.BatchNorm
    drop: eqx.nn.Dropout
    out: eqx.nn.Linear

    def __init__(self, key):
        one, two = jax.random.split(key)
        self.conv = eqx.nn.Conv2d(1, 3, 3, padding=1, key=one)
        self.norm = eqx.nn.BatchNorm(3, axis_name="batch", mode="batch")
        self.drop = eqx.nn.Dropout(0.5)
        self.out = eqx.nn.Linear(3, 2, key=two)

    def __call__(self, x, state):
        h, state = self.norm(self.conv(x), state)
        return self.out(self.drop(jnp.tanh(h)).mean((1, 2))), state


def test_norms_are_frozen():
    """In inference mode samples do not see each other: batches change nothing."""
    net, state = eqx.nn.make_with_state(Normed)(jax.random.key(0))
    x = np.random.default_rng(0).normal(size=(10, 1, 5, 5)).astype(np.float32)
    keyless = eqx.tree_at(lambda n: n.drop.inference, net, replace=True)
    state = jax.vmap(keyless, in_axes=(0, None), out_axes=(0, None), axis_name="batch")(
        jnp.asarray(x), state
    )[1]

    def loss(model, batch):
        net, state = model
        run = jax.vmap(net, in_axes=(0, None), out_axes=(0, None), axis_name="batch")
        return jnp.mean(run(batch, state)[0] ** 2)

    part = lambda model: model[0]
    whole = HessianOperator(loss, (net, state), x, where=part)
    batched = HessianOperator(loss, (net, state), x, 4, where=part)
    v = np.linspace(-1.0, 1.0, whole.size)
    np.testing.assert_allclose(batched(v), whole(v), rtol=1e-4, atol=1e-6)
    assert net.drop.inference is False  # the caller's model is as it was
    # statistics are no parameters, also where nobody says which part is
    told = HessianOperator(loss, (net, state), x)
    assert list(told.slices) == list(whole.slices)
    unused = HessianOperator(
        lambda net, _: jnp.sum(net.out.weight), Normed(jax.random.key(0))
    )
    assert [f"[0].{name}" for name in unused.slices] == list(whole.slices)


def test_what_is_not_trained_is_no_parameter():
    """Statistics and fixed numbers; flags that were partitioned off are the loss's."""
    fixed, drop = HeldNumber(jnp.asarray(2.0)), eqx.nn.Dropout(0.5)
    params = {"w": np.ones(2, "f4"), "norm": NormState.start(2), "held": fixed}
    loss = lambda p, _: jnp.sum(p["held"].value * p["w"] ** 2 + p["norm"].mean)
    op = HessianOperator(loss, params)
    assert list(op.slices) == ["['w']"]
    np.testing.assert_allclose(op(np.ones(2)), 4.0)
    with pytest.raises(ConfigError, match="or what is fixed in it"):
        op.part(lambda p: p["norm"])
    arrays, rest = eqx.partition((params["w"], drop), eqx.is_inexact_array)
    rest = eqx.nn.inference_mode(rest)
    both = lambda p, _: jnp.sum((lambda w, d: d(w) ** 2)(*eqx.combine(p, rest)))
    np.testing.assert_allclose(HessianOperator(both, arrays)(np.ones(2)), 2.0)


# bad input


def test_no_parameters():
    with pytest.raises(ConfigError, match="params holds no floating arrays"):
        HessianOperator(lambda p, _: jnp.zeros(()), {"a": np.arange(3)})
    with pytest.raises(ConfigError, match="the part that was chosen holds no floating"):
        HessianOperator(
            lambda p, _: jnp.sum(p["b"]),
            {"a": np.arange(3), "b": np.ones(2)},
            where=lambda p: p["a"],
        )
    with pytest.raises(ConfigError, match="float32 or float64"):
        HessianOperator(lambda p, _: jnp.sum(p), np.ones(2, np.float16))
    with pytest.raises(ConfigError, match="float32 or float64"):
        HessianOperator(lambda p, _: jnp.sum(p), np.ones(2), dtype=np.float16)
    with pytest.raises(ConfigError, match="dtype 'doubel' is unknown"):
        HessianOperator(lambda p, _: jnp.sum(p), np.ones(2), dtype="doubel")
    some = HessianOperator(lambda p, _: jnp.sum(p[0]), (np.ones(2), None, None))
    with pytest.raises(ConfigError, match="or None"):
        some.part(lambda p: p[1])


def test_a_loss_that_is_no_scalar():
    with pytest.raises(ShapeError, match=r"the loss gives \(2,\); expected a scalar"):
        HessianOperator(lambda p, _: p, np.ones(2, np.float32))
    with pytest.raises(ShapeError, match="the loss gives tuple"):
        HessianOperator(lambda p, _: (jnp.sum(p), 1.0), np.ones(2, np.float32))


def test_data_that_do_not_fit():
    loss = lambda p, batch: jnp.sum(p)
    with pytest.raises(ShapeError, match=r"shapes \(3,\), \(4,\)"):
        HessianOperator(loss, np.ones(2), (np.ones(3), np.ones(4)))
    with pytest.raises(ShapeError, match="one leading axis"):
        HessianOperator(loss, np.ones(2), np.zeros((0, 2)))
    with pytest.raises(ConfigError, match="batch_size is 0"):
        HessianOperator(loss, np.ones(2), np.ones(3), 0)


def test_a_gradient_that_is_not_finite_names_the_array():
    params = {"a": np.ones(2), "b": {"c": np.zeros(2)}}
    loss = lambda p, _: jnp.sum(p["a"]) + jnp.sum(jnp.sqrt(p["b"]["c"]))
    op = HessianOperator(loss, params)
    with pytest.raises(DataError, match=r"not finite at \"\['b'\]\['c'\]\" \(1 of 2"):
        op(np.ones(4))
    third = HessianOperator(lambda p, _: jnp.sum(p**1.5), np.zeros(2))
    with pytest.raises(DataError, match="no second derivative"):
        third(np.ones(2))


def test_what_is_not_finite_is_blamed_on_what_it_comes_from(op):
    with pytest.raises(DataError, match="entry 1 of the vector is not finite"):
        op(np.where(np.arange(N) == 1, np.nan, 1.0))
    lost = HessianOperator(
        lambda p, x: jnp.sum(p**2) + jnp.mean(x), np.ones(2, "f4"), np.full(2, np.nan)
    )
    with pytest.raises(DataError, match="the loss is nan although its gradient"):
        lost.value  # noqa: B018


def test_the_place_cannot_be_moved_by_accident(op):
    with pytest.raises(ValueError, match="read-only"):
        op.flat[0] = 1.0
    scale = np.ones(N)
    scaled = ScaledCurvature(op, scale)
    scale[0] = 2.0
    assert scaled.scale[0] == 1.0


def test_losses_that_have_no_product():
    with pytest.raises(ShapeError, match="a number of type int32; expected a scalar"):
        HessianOperator(lambda p, _: jnp.asarray(1), np.ones(2, "f4"))

    class Unhashable:
        __hash__ = None

        def __call__(self, w, _):
            return jnp.sum(w**2)

    with pytest.raises(ConfigError, match=r"has to be hashable \(unhashable type"):
        HessianOperator(Unhashable(), np.ones(2, "f4"))

    unit = DenseUnit(1, 1, key=jax.random.key(0))
    block = OdeBlock(unit, n_basis=1, adjoint="continuous")
    loss = lambda block, x: jnp.mean(jax.vmap(lambda x: block(x)[0])(x) ** 2)
    op = HessianOperator(loss, block, np.ones((2, 1), "f4"))
    with pytest.raises(ConfigError, match='adjoint="discrete"'):
        op(np.ones(op.size))


def test_numbers_that_are_no_whole_ones(op):
    whole = "must be a whole number"
    for wrong, words in (
        (lambda: top_eigenvalues(op, True), f"k is True; it {whole}"),
        (lambda: trace(op, probes=True), f"probes is True; it {whole}"),
        (lambda: top_eigenvalues(op, max_steps=-5), "max_steps is -5; it must be at"),
        (lambda: spectral_density(op, points=1), "points is 1; it must be at least 2"),
    ):
        with pytest.raises(ConfigError, match=words):
            wrong()
    with pytest.raises(ConfigError, match="tol is -1"):
        top_eigenvalues(op, tol=-1.0)
    with pytest.raises(ConfigError, match="tol is nan"):
        trace(op, tol=float("nan"))
    with pytest.raises(ConfigError, match="power iteration has no repeated"):
        top_eigenvalues(op, method="power", repeated=True)
    with pytest.raises(ConfigError, match="power iteration has no max_steps"):
        top_eigenvalues(op, method="power", max_steps=9)


def test_settings_are_checked(op):
    with pytest.raises(ConfigError, match="k is 201; there are 200 parameters"):
        top_eigenvalues(op, N + 1)
    with pytest.raises(ConfigError, match="k is 0"):
        top_eigenvalues(op, 0)
    with pytest.raises(ConfigError, match=r'Did you mean "largest"'):
        top_eigenvalues(op, 1, "larges")
    with pytest.raises(ConfigError, match=r'Did you mean "lanczos"'):
        top_eigenvalues(op, 1, method="lanczo")
    with pytest.raises(ConfigError, match='not the "smallest"'):
        top_eigenvalues(op, 1, "smallest", "power")
    with pytest.raises(ConfigError, match="steps is 0"):
        top_eigenvalues(op, 1, steps=0)
    with pytest.raises(ShapeError, match=r"\(3,\); expected \(200,\)"):
        op(np.ones(3))
    with pytest.raises(ShapeError, match=r"\(3,\); expected \(200,\)"):
        op.tree(np.ones(3))
    with pytest.raises(ConfigError, match="probes is 1"):
        trace(op, probes=1)
    with pytest.raises(ConfigError, match='method "hutch" is unknown'):
        trace(op, method="hutch")
    with pytest.raises(ConfigError, match="starts is 0"):
        spectral_density(op, starts=0)
    with pytest.raises(ConfigError, match="sigma is -1"):
        spectral_density(op, sigma=-1.0)

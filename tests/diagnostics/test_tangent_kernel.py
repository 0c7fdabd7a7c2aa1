"""The tangent kernel against dense references; norms from layer to layer."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pendula._errors import ConfigError, DataError, ShapeError
from pendula.diagnostics import signal_norms, tangent_kernel
from pendula.nn import MLP, NormState


def residual(net, point):
    """u_t + 3 u_x at one point."""
    slope = jax.grad(lambda z: net(z)[0])(point)
    return slope[1] + 3.0 * slope[0]


def start(net, x):
    return net(jnp.stack([x, jnp.zeros_like(x)]))[0] - jnp.sin(x)


@pytest.fixture(scope="module")
def terms():
    rng = np.random.default_rng(0)
    return {
        "equation": (residual, rng.uniform(0, 1, (7, 2))),
        "start": (start, rng.uniform(0, 6, 4)),
    }


@pytest.fixture(scope="module")
def net():
    return MLP(2, 1, width=6, depth=3, key=jax.random.key(0))


@pytest.fixture(scope="module")
def kernel(terms, net):
    return tangent_kernel(terms, net)


def test_it_is_the_dense_one(kernel, terms, net):
    with jax.enable_x64(True):
        params, rest = eqx.partition(net, eqx.is_inexact_array)
        params = jax.tree.map(lambda x: jnp.asarray(np.asarray(x), float), params)
        flat, unravel = jax.flatten_util.ravel_pytree(params)

        def everything(flat):
            net = eqx.combine(unravel(flat), rest)
            parts = [jax.vmap(lambda p, f=f: f(net, p))(x) for f, x in terms.values()]
            return jnp.concatenate(parts)

        j = np.asarray(jax.jit(jax.jacfwd(everything))(flat))
    exact = j @ j.T
    assert kernel.matrix.dtype == np.float64
    scale = np.abs(exact).max()
    np.testing.assert_allclose(kernel.matrix, exact, rtol=0, atol=1e-8 * scale)
    np.testing.assert_allclose(kernel.matrix, exact, rtol=1e-10, atol=1e-12 * scale)
    block = kernel.block("start", "equation")
    np.testing.assert_allclose(block, exact[7:, :7], atol=1e-12 * scale)
    spectrum = kernel.spectrum("start")
    exact_spectrum = np.linalg.svd(j[7:])[1] ** 2
    np.testing.assert_allclose(spectrum, exact_spectrum, atol=1e-10 * scale)
    assert (np.diff(kernel.spectrum()) <= 0).all()


def test_weights_are_ratios_of_traces(kernel):
    weights = kernel.weights()
    total = kernel.trace()
    for name, weight in weights.items():
        assert weight * kernel.trace(name) == pytest.approx(total)
    per_point = kernel.weights(per_point=True)
    rate = [kernel.trace("equation") / 7, kernel.trace("start") / 4]
    assert per_point["start"] == pytest.approx(np.mean(rate) / rate[1])


def test_all_residuals_at_once_are_the_same(kernel, terms, net):
    x = terms["start"][1]
    whole = lambda net, _: jax.vmap(lambda x: start(net, x))(jnp.asarray(x))
    found = tangent_kernel({"start": (whole, None)}, net)
    np.testing.assert_allclose(found.matrix, kernel.block("start"), rtol=1e-10)


def test_vectors_and_pytrees_of_points(net):
    both = lambda net, p: net(jnp.stack([p["x"], p["t"]])) * jnp.asarray([1.0, 2.0])
    x = np.linspace(0.0, 1.0, 3)
    found = tangent_kernel({"u": (both, {"x": x, "t": x})}, net)
    assert found.matrix.shape == (6, 6)
    np.testing.assert_allclose(found.matrix[1::2, 1::2], 4 * found.matrix[::2, ::2])


def test_modes_and_empty_arrays():
    """Dropout is off, as for the Hessian; an array of size 0 has no slope."""
    params = {"w": np.ones(2), "none": np.ones((0, 3)), "drop": eqx.nn.Dropout(0.5)}
    line = lambda p, x: p["w"][0] + p["w"][1] * p["drop"](x)
    found = tangent_kernel({"u": (line, np.array([0.0, 1.0]))}, params)
    np.testing.assert_allclose(found.matrix, [[1.0, 1.0], [1.0, 2.0]])


def test_statistics_have_no_slopes():
    params = {"w": np.ones(2), "norm": NormState.start(1)}
    line = lambda p, x: p["w"][0] + p["w"][1] * (x - p["norm"].mean[0])
    found = tangent_kernel({"u": (line, np.array([0.0, 1.0]))}, params)
    np.testing.assert_allclose(found.matrix, [[1.0, 1.0], [1.0, 2.0]])


def test_bad_input(net, kernel):
    value = lambda net, p: net(p)[0]
    with pytest.raises(ConfigError, match="no terms"):
        tangent_kernel({}, net)
    with pytest.raises(ConfigError, match="501 residuals; max_points allows 500"):
        tangent_kernel({"u": (value, np.ones((501, 2)))}, net)
    with pytest.raises(ConfigError, match="max_bytes allows 0"):
        tangent_kernel({"u": (value, np.ones((9, 2)))}, net, max_bytes=1000)
    with pytest.raises(ShapeError, match=r"shapes \(3,\), \(4,\)"):
        tangent_kernel({"u": (value, (np.ones(3), np.ones(4)))}, net)
    with pytest.raises(ConfigError, match="no floating arrays"):
        tangent_kernel({"u": (value, np.ones((3, 2)))}, {"a": 3})
    with pytest.raises(ConfigError, match="no floating arrays"):
        tangent_kernel({"u": (value, np.ones((3, 2)))}, np.ones(0))
    with pytest.raises(ConfigError, match="complex parameters"):
        tangent_kernel({"u": (lambda w, p: w * p, np.ones(3))}, np.ones(1) + 1j)
    with pytest.raises(ShapeError, match='residual of term "u" is dict'):
        tangent_kernel({"u": (lambda w, p: {"a": w * p}, np.ones(3))}, np.ones(1))
    with pytest.raises(ShapeError, match='residual of term "u" is complex128'):
        tangent_kernel(
            {"u": (lambda w, p: jax.lax.complex(w, w), np.ones(3))}, np.ones(1)
        )
    with pytest.raises(DataError, match='"root" are not finite'):
        tangent_kernel(
            {"root": (lambda w, p: jnp.sqrt(w) * p, np.ones(2))}, np.zeros(1)
        )
    with pytest.raises(DataError, match='"still" does not change'):
        tangent_kernel(
            {
                "u": (lambda w, p: w * p, np.ones(2)),
                "still": (lambda w, p: p, np.ones(2)),
            },
            np.ones(1),
        ).weights()
    with pytest.raises(ConfigError, match='no term "x"'):
        kernel.block("x")


# norms from layer to layer


def test_norms_of_scaled_layers():
    rng = np.random.default_rng(0)
    frames = [np.linalg.qr(rng.normal(size=(8, 8)))[0] for _ in range(3)]
    scaled = zip(frames, (1.5, 3.0, 0.5), strict=True)
    layers = [lambda h, q=q, c=c: c * (q @ h) for q, c in scaled]
    found = signal_norms(layers, rng.normal(size=(5, 8)), key=jax.random.key(0))
    np.testing.assert_allclose(found.forward, [1.5, 3.0, 0.5], rtol=1e-12)
    np.testing.assert_allclose(found.backward, [1.5, 3.0, 0.5], rtol=1e-12)
    np.testing.assert_allclose(found.total, [2.25, 2.25])
    forward, backward = found.findings()
    assert (forward.verdict, backward.verdict) == ("bad", "bad")
    assert forward.value == pytest.approx(3.0)
    assert "Layer 1 is out of bounds" in forward.text
    good = signal_norms(layers[:1], np.ones((2, 8)), key=jax.random.key(0))
    assert [f.verdict for f in good.findings()] == ["good", "good"]


def test_an_mlp_s_hidden_layers():
    net = MLP(3, 1, width=32, depth=9, init="lecun", key=jax.random.key(0))
    x = np.random.default_rng(0).normal(size=(16, 3))
    found = signal_norms(net, x, key=jax.random.key(1))
    assert len(found.forward) == 8
    assert found.findings()[0].verdict == "good"
    h = jnp.tanh(jax.vmap(lambda x: net.weight_in @ x)(jnp.asarray(x, jnp.float32)))
    after = jnp.tanh(jax.vmap(lambda h: net.weight_hidden[0] @ h)(h))
    rms = lambda h: float(jnp.sqrt(jnp.mean(h**2)))
    assert found.forward[0] == pytest.approx(rms(after) / rms(h), rel=1e-5)


def test_signals_that_vanish_are_said():
    key = jax.random.key(0)
    with pytest.raises(DataError, match="signal is 0 before layer 1 of 2"):
        signal_norms([lambda h: 0.0 * h, lambda h: h], np.ones((2, 2)), key=key)
    with pytest.raises(DataError, match="gradient is 0 before layer 0 of 1"):
        signal_norms([lambda h: h * 0.0 + 1.0], np.ones((2, 2)), key=key)
    with pytest.raises(ConfigError, match="no layers"):
        signal_norms([], np.ones((2, 2)), key=key)
    with pytest.raises(ConfigError, match="no layers"):
        signal_norms(MLP(2, 1, depth=1, key=key), np.ones((2, 2)), key=key)
    with pytest.raises(ShapeError, match="expected"):
        signal_norms([lambda h: h], np.ones(()), key=key)

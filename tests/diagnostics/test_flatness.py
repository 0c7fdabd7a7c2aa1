"""A loss under noise: closed forms of a quadratic, draws, and what is refused."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pendula._errors import ConfigError, ShapeError
from pendula.diagnostics import (
    HessianOperator,
    ScaledCurvature,
    flatness,
    landscape,
    spectral_density,
    top_eigenvalues,
    trace,
)
from pendula.diagnostics._flatness_theory import probed
from pendula.nn import MLP, NormState


N = 50
RNG = np.random.default_rng(0)
X = RNG.normal(size=(70, N))
H = X.T @ X / len(X)  # dense, positive definite
SIGMA = 0.1 * RNG.uniform(0.5, 1.5, size=N)
PLACE = {"low": np.zeros(N), "slope": 0.05 * RNG.normal(size=N)}
PROBES, DRAWS = 60, 2000


def quadratic(w, x):
    return 0.5 * jnp.mean((x @ w) ** 2)


class UniformNoise(eqx.Module):
    """A sampler of noise between -sqrt(3) sigma and sqrt(3) sigma."""

    sigma: np.ndarray

    def __call__(self, w, key):
        bound = np.sqrt(3.0)
        noise = jax.random.uniform(key, w.shape, w.dtype, minval=-bound, maxval=bound)
        return w + self.sigma * noise


def exact(w, sigma, kurtosis):
    """Gap and the three parts of the variance."""
    a = sigma[:, None] * H * sigma
    slope = np.sum((sigma * (H @ w)) ** 2)
    tail = 0.25 * (kurtosis - 3.0) * np.sum(np.diag(a) ** 2)
    return 0.5 * np.trace(a), slope, 0.5 * np.sum(a**2), tail


def made(place, kurtosis, **more):
    draw = UniformNoise(SIGMA) if kurtosis < 3.0 else None
    told = {"probes": PROBES, "draws": DRAWS, "eigenvalues": 0} | more
    return flatness(
        quadratic,
        PLACE[place],
        X,
        32,
        sigma=SIGMA,
        kurtosis=kurtosis,
        draw=draw,
        dtype=np.float64,
        **told,
    )


@pytest.fixture(scope="module")
def found():
    return {(at, kappa): made(at, kappa) for at in PLACE for kappa in (3.0, 1.8)}


@pytest.mark.parametrize("at", ["low", "slope"])
@pytest.mark.parametrize("kappa", [3.0, 1.8])
def test_theory_is_the_closed_form_and_that_of_the_draws(found, at, kappa):
    one = found[at, kappa]
    gap, slope, bend, tail = exact(PLACE[at], SIGMA, kappa)
    within = lambda value, truth, error: abs(value - truth) <= 3.0 * error
    assert within(one.gap_theory[0], gap, one.gap_theory_error[0])
    assert within(one.gap_mc[0], gap, one.gap_mc_error[0])
    np.testing.assert_allclose(one.var_slope[0], slope, rtol=1e-9)
    variance = slope + bend + tail
    assert within(one.var_theory[0], variance, one.var_theory_error[0])
    assert within(one.var_mc[0], variance, one.var_mc_error[0])
    parts = one.var_slope + one.var_curvature + one.var_kurtosis
    np.testing.assert_allclose(parts, one.var_theory)
    assert one.var_kurtosis[0] == pytest.approx(tail, rel=0.05)
    assert 0.0 < one.gap_theory_error[0] < 0.05 * gap
    assert one.parts_at is None


def test_without_the_kurtosis_uniform_noise_is_not_met(found):
    one = found["low", 1.8]
    error = np.hypot(one.var_theory_error, one.var_mc_error)
    assert abs(one.var_theory - one.var_mc) <= 3.0 * error
    assert abs(one.var_theory - one.var_kurtosis - one.var_mc) > 5.0 * error


def test_without_the_slope_the_variance_is_not_met(found):
    one = found["slope", 3.0]
    error = np.hypot(one.var_theory_error, one.var_mc_error)
    assert 0.2 < one.slope_share[0] < 0.95
    assert abs(one.var_theory - one.var_slope - one.var_mc) > 3.0 * error


@pytest.mark.parametrize("kappa", [1.8, 3.0])
def test_estimates_have_no_bias_and_know_their_error(kappa):
    """Over keys: the mean of the estimates, and their spread beside their errors."""
    op = HessianOperator(quadratic, PLACE["low"], X, dtype=np.float64)
    scaled, probes = ScaledCurvature(op, SIGMA), 8
    kurtosis = np.full(N, kappa)
    keys = jax.random.split(jax.random.key(3), 100)
    runs = [probed(scaled, kurtosis, probes, key) for key in keys]
    gap, _, bend, tail = exact(PLACE["low"], SIGMA, kappa)
    gaps = np.array([run.gap for run in runs])
    sums = np.array([(run.curvature + run.kurtosis, run.second) for run in runs])
    for (values, errors), truth in ((gaps.T, gap), (sums.T, bend + tail)):
        spread = values.std(ddof=1)
        assert abs(values.mean() - truth) <= 3.0 * spread / np.sqrt(len(runs))
        assert errors.mean() == pytest.approx(spread, rel=0.25)
    tails = np.array([run.kurtosis for run in runs])
    error = tails.std(ddof=1) / np.sqrt(len(runs))
    assert abs(tails.mean() - tail) <= 3.0 * error
    # the square of the mean diagonal would be off by its variance
    a = SIGMA[:, None] * H * SIGMA
    off = np.sum(a**2) - np.sum(np.diag(a) ** 2)
    assert abs(0.25 * (kappa - 3.0) * off / probes) >= 4.0 * error


def test_batches_are_the_whole(found):
    one = found["slope", 3.0]
    whole = flatness(
        quadratic, PLACE["slope"], X, sigma=SIGMA, dtype=np.float64, probes=PROBES,
        draws=DRAWS, eigenvalues=0,
    )  # fmt: skip
    for name in ("gap_theory", "var_theory", "values", "gap_theory_error"):
        ours, theirs = getattr(one, name), getattr(whole, name)
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-12)


def test_float32_is_near_float64(found):
    single = flatness(
        quadratic, PLACE["slope"].astype(np.float32), X.astype(np.float32),
        sigma=SIGMA, probes=PROBES, draws=5, eigenvalues=0,
    )  # fmt: skip
    one = found["slope", 3.0]
    np.testing.assert_allclose(single.gap_theory, one.gap_theory, rtol=1e-5)
    np.testing.assert_allclose(single.var_theory, one.var_theory, rtol=1e-5)


def test_levels_scale_the_noise_in_one_program():
    # cosines part from their parabola; a sampler of the same noise changes nothing
    loss = lambda w, _: jnp.sum(1.0 - jnp.cos(w))
    told = {"sigma": 0.4, "dtype": np.float64, "probes": 4, "draws": 400}
    several = flatness(loss, np.zeros(30), levels=[0.0, 0.5, 1.0, 2.5], **told)
    sd = 0.4 * several.levels
    np.testing.assert_allclose(several.gap_theory, 15.0 * sd**2)
    truth = 30.0 * (1.0 - np.exp(-0.5 * sd**2))
    assert np.all(abs(several.gap_mc - truth) <= 3.0 * several.gap_mc_error)
    assert several.parts_at == 2.5  # the ratio is 1.27 there, 1.04 at level 1
    assert np.isnan(several.ratio[0])
    assert several.ratio[-1] == pytest.approx(1.27, abs=0.03)
    assert several.values.shape == (400, 4)
    traced = []

    def own(w, key):
        traced.append(w)
        return w + 0.4 * jax.random.normal(key, w.shape, w.dtype)

    again = flatness(loss, np.zeros(30), levels=[0.0, 0.5, 1.0, 2.5], draw=own, **told)
    np.testing.assert_allclose(again.values, several.values, rtol=1e-12)
    assert len(traced) == 2  # one look at its shapes, one program


def test_without_noise_nothing_parts():
    """A loss compiled twice differs from itself by rounding, and a step that has
    overflown is no number times 0."""
    loss = lambda w, _: jnp.sum(w**2)
    told = {"sigma": 0.1, "dtype": np.float64, "probes": 4, "eigenvalues": 0}
    gone = lambda w, key: w + jnp.inf
    found = flatness(loss, np.ones(2), levels=[0.0, 0.5], draw=gone, draws=4, **told)
    np.testing.assert_array_equal(found.values[:, 0], 0.0)
    assert found.parts_at == 0.5


def test_what_was_found_is_printed(found):
    one = found["slope", 3.0]
    lines = str(one).splitlines()
    assert lines[0] == f"loss {one.value:.4g} without noise"
    row = lines[2].split()
    assert row[:4] == [
        "1",
        f"{one.gap_theory[0]:.3g}",
        "+-",
        f"{one.gap_theory_error[0]:.1g}",
    ]
    assert row[-2:] == [f"{100 * one.slope_share[0]:.3g}", "%"]
    assert "up to level 1" in lines[3]
    assert "params" in str(one)  # the path of a bare array
    apart = dataclasses.replace(one, parts_at=0.5)
    assert "part by more than 10 % at level 0.5" in str(apart)
    assert "eigenvalues" not in str(one)


def test_differences_along_the_noise():
    """A kink at the parameters: a Hessian of 0, and a gap that is not."""
    kink = lambda w, _: jnp.sum(jax.nn.relu(w + 1e-3))
    told = {"sigma": 0.5, "dtype": np.float64, "eigenvalues": 0, "probes": 500}
    pointwise = flatness(kink, np.zeros(20), **told)
    assert pointwise.gap_theory[0] == 0.0
    assert pointwise.parts_at == 1.0
    along = flatness(kink, np.zeros(20), smooth="difference", **told)
    assert along.ratio[0] == pytest.approx(1.0, abs=0.15)
    assert along.parts_at is None
    # of a quadratic they are the same as the products, kurtosis included
    one = made("low", 1.8, smooth="difference", probes=2000, draws=2)
    gap, _, bend, tail = exact(PLACE["low"], SIGMA, 1.8)
    assert abs(one.gap_theory[0] - gap) <= 3.0 * one.gap_theory_error[0]
    assert abs(one.var_theory[0] - bend - tail) <= 3.0 * one.var_theory_error[0]
    assert one.blocks == {}


def test_gauss_newton_leaves_out_the_curvature_of_the_network():
    net = MLP(2, 1, width=4, depth=1, key=jax.random.key(1))
    x = RNG.normal(size=(9, 2)).astype(np.float32)
    predict = lambda net, x: jax.vmap(net)(x)
    loss = lambda z, x: jnp.mean((z - x[:, :1]) ** 2)
    told = {"predict": predict, "sigma": 0.1, "draws": 2, "probes": 6}
    full = flatness(loss, net, x, **told)
    half = flatness(loss, net, x, smooth="gauss_newton", **told)
    assert half.eigenvalues.values.min() > -1e-5
    assert half.gap_theory[0] != pytest.approx(full.gap_theory[0], rel=1e-3)
    assert half.value == pytest.approx(full.value)
    np.testing.assert_allclose(half.values, full.values, rtol=1e-5, atol=1e-7)


def test_spectrum_and_blocks_in_units_of_the_noise():
    params = {"a": PLACE["slope"][:20], "b": PLACE["slope"][20:], "c": np.ones(3)}
    sigma = {"a": SIGMA[:20], "b": 0.05, "c": None}
    deviations = np.concatenate([SIGMA[:20], np.full(30, 0.05)])
    join = lambda p: jnp.concatenate([p["a"], p["b"]])
    one = flatness(
        lambda p, x: quadratic(join(p), x) + jnp.sum(p["c"] ** 2), params, X,
        sigma=sigma, dtype=np.float64, draws=2, eigenvalues=3, density=2, probes=200,
    )  # fmt: skip
    a = deviations[:, None] * H * deviations
    top = np.linalg.eigvalsh(a)[::-1][:3]
    np.testing.assert_allclose(one.eigenvalues.values, top, rtol=1e-6)
    assert one.density.nodes.max() == pytest.approx(top[0], rel=1e-6)
    parts = {name: value for name, (value, _) in one.blocks.items()}
    assert sum(parts.values()) == pytest.approx(one.gap_theory[0])
    assert parts["['c']"] == 0.0
    value, error = one.blocks["['a']"]
    assert abs(value - 0.5 * np.trace(a[:20, :20])) <= 3.0 * error


def test_a_scaled_curvature_is_one_like_others():
    params = {"a": np.ones(20), "b": np.full(30, 0.5)}
    w = np.concatenate(list(params.values()))
    loss = lambda p, x: quadratic(jnp.concatenate([p["a"], p["b"]]), x)
    scaled = ScaledCurvature(HessianOperator(loss, params, X, dtype=np.float64), SIGMA)
    dense = SIGMA[:, None] * H * SIGMA
    v = RNG.normal(size=N)
    np.testing.assert_allclose(scaled(v), dense @ v, rtol=1e-9)
    np.testing.assert_allclose(scaled.gradient, SIGMA * (H @ w), rtol=1e-9)
    assert scaled.size == N
    assert not scaled.flat.any()
    block = scaled.part(lambda p: p["b"])
    np.testing.assert_allclose(block(v[20:]), dense[20:, 20:] @ v[20:], rtol=1e-9)
    assert abs(trace(scaled).value - np.trace(dense)) < 3.0 * trace(scaled).error
    top = np.linalg.eigvalsh(dense)[-1]
    assert top_eigenvalues(scaled).values[0] == pytest.approx(top)
    assert spectral_density(scaled, starts=1).nodes.max() == pytest.approx(top)
    line = landscape(scaled, v, span=(-1.0, 1.0), points=3).loss
    each = [quadratic(w + t * SIGMA * v, X) for t in (-1.0, 0.0, 1.0)]
    np.testing.assert_allclose(line, each, rtol=1e-5)
    assert scaled.tree(v)["b"].shape == (30,)
    with pytest.raises(ShapeError, match="one entry for each"):
        scaled(v[:3])
    with pytest.raises(ShapeError, match="the scale has shape"):
        ScaledCurvature(scaled, SIGMA[:3])
    with pytest.raises(ConfigError, match="entry 0 of the scale is -1"):
        ScaledCurvature(scaled, -np.ones(N))


def test_noise_is_given_as_a_pytree_of_the_model():
    net = MLP(2, 1, width=4, depth=1, key=jax.random.key(1))
    x = RNG.normal(size=(5, 2)).astype(np.float32)
    loss = lambda net, x: jnp.mean(jax.vmap(net)(x) ** 2)
    span = jax.tree.map(
        lambda w: np.full(w.shape, 0.1, w.dtype), eqx.filter(net, eqx.is_inexact_array)
    )
    few = {"draws": 3, "probes": 5, "eigenvalues": 0}
    first = flatness(loss, net, x, sigma=span, **few)
    flat = flatness(loss, net, x, sigma=np.full(17, 0.1), kurtosis=span_of(3.0), **few)
    plain = flatness(loss, net, x, sigma=0.1, **few)
    for other in (flat, plain):
        np.testing.assert_array_equal(first.values, other.values)
        assert first.gap_theory == other.gap_theory


def span_of(value):
    return np.full(17, value)


def test_a_loss_that_overflows_is_no_agreement():
    loss = lambda w, _: jnp.sum(jnp.exp(w))
    one = flatness(
        loss, jnp.zeros(2), sigma=1.0, levels=[0.01, 1e4], draws=20, probes=4
    )
    assert one.parts_at == 1e4
    assert not np.isfinite(one.gap_mc[1])


def test_draws_are_not_shortened_on_accelerators_and_leave_statistics_alone():
    seen = []

    def loss(p, x):
        seen.append(jax.config.jax_default_matmul_precision)
        return jnp.mean((x @ p["w"] - p["norm"].mean[0]) ** 2)

    params = {"w": np.ones(2, "f4"), "norm": NormState.start(1)}
    own = lambda p, key: p | {"w": p["w"] + jax.random.normal(key, (2,))}
    told = {"draws": 2, "probes": 4, "eigenvalues": 0, "draw": own}
    one = flatness(loss, params, np.ones((3, 2), "f4"), sigma=np.array([1, 1]), **told)
    assert set(seen) == {"highest"}
    assert list(one.blocks) == ["['w']"]


GOOD = {"sigma": 0.1, "draws": 2, "probes": 4}


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"sigma": -0.1}, 'sigma is -0.1 in "params"'),
        ({"sigma": np.array([0.1, np.nan])}, 'sigma is nan in "params"'),
        ({"sigma": 0.0}, "no noise and nothing to predict"),
        ({"kurtosis": 0.9}, 'kurtosis is 0.9 in "params"; it must be finite and at'),
        ({"draws": 1}, "draws is 1; it must be at least 2"),
        ({"probes": 3}, "probes is 3; it must be at least 4"),
        ({"probes": True}, "probes is True; it must be a whole number"),
        ({"draws": True}, "draws is True; it must be a whole number"),
        ({"eigenvalues": -1}, "eigenvalues is -1"),
        ({"density": -1}, "density is -1"),
        ({"levels": [-1.0, 1.0]}, "level -1 is negative"),
        ({"levels": []}, "levels are"),
        ({"levels": np.nan}, "levels are"),
        ({"smooth": "gaus_newton"}, 'Did you mean "gauss_newton"'),
        ({"smooth": "gauss_newton"}, "needs the outputs apart from the loss"),
    ],
)
def test_numbers_that_make_no_sense_are_refused(changes, sentence):
    with pytest.raises(ConfigError, match=sentence):
        flatness(lambda w, _: jnp.sum(w**2), np.ones(2), **(GOOD | changes))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"sigma": {"a": np.ones(3), "b": 1.0}}, r"shape \(3,\) at \"\['a'\]\""),
        ({"sigma": {"a": 1.0}}, r"says nothing about the parameter \"\['b'\]\""),
        ({"sigma": {"a": 1.0, "b": 1.0, "c": 1.0}}, "where there is no parameter"),
        ({"sigma": np.ones(4)}, "sigma has the shape"),
        ({"kurtosis": np.ones(4)}, "kurtosis has the shape"),
        ({"draw": lambda p, key: p["a"]}, "gives another structure"),
        ({"draw": lambda p, key: p | {"a": p["a"][:1]}}, "gives another structure"),
    ],
)
def test_pytrees_that_do_not_fit_are_refused(changes, sentence):
    params = {"a": np.ones(2), "b": np.ones((2, 2))}
    loss = lambda p, _: jnp.sum(p["a"]) + jnp.sum(p["b"])
    with pytest.raises(ShapeError, match=sentence):
        flatness(loss, params, **(GOOD | changes))

"""Linear maps, codecs, autoencoders and their training."""

import equinox as eqx
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings

from pendula import CheckpointError, ConfigError, DataError, ShapeError
from pendula.data import Snapshots
from pendula.latent import (
    DenseDynamics,
    FieldCodec,
    FittedDecoder,
    FittedLatent,
    LatentFitConfig,
    OrthogonalDynamics,
    RotationDynamics,
    SpectralNormDynamics,
    certify,
    consistency,
    eigenvalues,
    fit_latent,
    fit_latents,
    koopman_modes,
    latent_linear,
    latent_ode,
    linear_map,
    pod,
    predict_latent,
    relative_errors,
    spectral_radius,
    window_loss,
)
from pendula.nn import ACTIVATIONS, Layers


KEY = jax.random.key(0)
MAPS = {
    "rotation": lambda n: RotationDynamics(n),
    "dense": lambda n: DenseDynamics(n, key=KEY),
    "orthogonal": lambda n: OrthogonalDynamics(n, key=KEY),
    "spectral": lambda n: SpectralNormDynamics(n, scale=1.5, key=KEY),
}


def waves(count=60, size=30):
    """Two travelling waves on a mean: four directions, and never twice the same."""
    t, x = np.arange(count, dtype=float)[:, None], np.linspace(0, 2 * np.pi, size)
    return 2.0 + np.sin(x - 0.3 * t) + 0.4 * np.cos(2 * x - 0.7 * t)


@pytest.mark.parametrize("kind", list(MAPS))
@pytest.mark.parametrize("n", [4, 5])
def test_powers_are_those_of_the_matrix(kind, n):
    omega = MAPS[kind](n)
    assert omega.size == n
    z = jax.random.normal(KEY, (n,))
    matrix = np.asarray(omega.matrix(), np.float64)
    true = [np.linalg.matrix_power(matrix, k) @ np.asarray(z) for k in (1, 2, 3)]
    np.testing.assert_allclose(omega.powers(z, 3), true, atol=1e-5)
    found = np.sort(np.abs(eigenvalues(omega)))
    np.testing.assert_allclose(
        found, np.sort(np.abs(np.linalg.eigvals(matrix))), atol=1e-5
    )


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 9), st.floats(-80, 80), st.integers(0, 99))
def test_rotations_never_grow(n, a, seed):
    import equinox as eqx

    omega = RotationDynamics(n)
    rng = np.random.default_rng(seed)
    phi = jnp.asarray(rng.normal(size=n // 2) * 10, jnp.float32)
    omega = eqx.tree_at(lambda o: (o.a, o.phi), omega, (jnp.full(n - n // 2, a), phi))
    assert spectral_radius(omega) <= 1.0
    z = jnp.asarray(rng.normal(size=n), jnp.float32)
    ends = np.linalg.norm(omega.powers(z, 50), axis=1)
    assert ends.max() <= np.linalg.norm(z) * (1 + 1e-5)


def test_maps_promise_what_they_say():
    orthogonal = np.asarray(MAPS["orthogonal"](5).matrix())
    np.testing.assert_allclose(orthogonal.T @ orthogonal, np.eye(5), atol=1e-5)
    assert np.linalg.norm(MAPS["spectral"](5).matrix(), 2) <= 1.0 + 1e-6
    angles = np.array([0.1, 0.2])
    turned = eigenvalues(RotationDynamics(5, angles=angles))
    np.testing.assert_allclose(
        sorted(np.angle(turned[np.imag(turned) > 0])), angles, rtol=1e-5
    )


def test_pod_of_whole_numbers_and_of_none():
    modes, values = pod(np.outer([1, 2, 2], [3, 4]))
    np.testing.assert_allclose(np.abs(modes[:, 0]), [0.6, 0.8])
    assert values[0] == pytest.approx(15.0)
    with pytest.raises(DataError, match="snapshot 1, number 0"):
        pod(np.array([[1.0, 2.0], [np.nan, 1.0]]))
    with pytest.raises(DataError, match="Give at least one"):
        pod(np.zeros((0, 3)))


def test_pod_is_the_singular_value_decomposition():
    rows = np.random.default_rng(0).normal(size=(6, 40))
    modes, values = pod(rows)
    _, true, right = np.linalg.svd(rows, full_matrices=False)
    np.testing.assert_allclose(values, true, rtol=1e-10)
    np.testing.assert_allclose(np.abs(np.sum(modes.T * right, axis=1)), 1.0, rtol=1e-8)
    np.testing.assert_allclose(modes.T @ modes, np.eye(6), atol=1e-10)


@pytest.mark.parametrize("reduced", [True, False])
@pytest.mark.parametrize("scaling", ["spread", "range", "none"])
def test_codec_gives_training_snapshots_back(reduced, scaling):
    rows = waves()
    codec = FieldCodec.fit(rows, reduced=reduced, scaling=scaling)
    seen = codec.encode(rows)
    assert codec.size == (rows.shape[1] if not reduced else seen.shape[1])
    np.testing.assert_allclose(codec.decode(seen), rows, atol=1e-8)
    if reduced:  # two waves; with the range the mean is a direction, too
        assert codec.size == (5 if scaling in ("range",) else 4)
    elif scaling == "range":
        assert np.abs(seen).max() == pytest.approx(1.0)
    elif scaling == "spread":
        assert seen.std() == pytest.approx(1.0)


def test_codec_keeps_the_digits_of_wide_numbers_in_any_order():
    """NetCDF-3 files and those of some machines have the other one."""
    rows = waves(20)
    own = FieldCodec.fit(rows, reduced=True)
    for other in (">f8", np.longdouble):
        found = FieldCodec.fit(rows.astype(other), reduced=True)
        assert found.mean.dtype == np.float64
        np.testing.assert_array_equal(found.basis, own.basis)


def test_cells_that_do_not_count_may_hold_anything():
    found, true = np.array([[3.0, np.nan, 9.0]]), np.array([[4.0, 1.0, np.nan]])
    assert relative_errors(found, true, np.array([1.0, 0.0, 0.0])) == 0.25


def test_codec_knows_the_grid_and_its_mask(tmp_path):
    values = waves().reshape(60, 5, 6)
    mask = np.ones((5, 6), bool)
    mask[0, 0] = False
    axes = {"x": np.arange(5), "y": np.arange(6)}
    data = Snapshots.of(np.arange(60), values, axes=axes, mask=mask)
    codec = FieldCodec.fit(data, rank=4)
    field = codec.field(codec.encode(data))
    assert field.shape == (60, 5, 6, 1)
    assert np.isnan(field[:, 0, 0]).all()
    np.testing.assert_allclose(field[:, mask, 0], values[:, mask], atol=1e-5)
    arrays, about = codec.to_tree()
    again = FieldCodec.from_tree(arrays, about)
    np.testing.assert_array_equal(again.field(codec.encode(data)), field)
    with pytest.raises(ConfigError, match="knows no grid"):
        FieldCodec.fit(waves()).field(np.zeros(30))


@pytest.mark.parametrize(
    ("rows", "how", "error", "words"),
    [
        (np.ones((5, 3)), {}, DataError, "scale is 0"),
        (np.ones((1, 3)), {}, DataError, "at least 2"),
        (np.full((5, 3), np.nan), {}, DataError, "snapshot 0, number 0"),
        (np.tile(np.arange(3.0), (5, 1)), {"reduced": True}, DataError, "no motion"),
        (waves(), {"rank": 60}, ConfigError, "1 to 59"),
        (waves(), {"scaling": "max"}, ConfigError, "Allowed: spread"),
        (1j * waves(), {}, DataError, "complex"),
        ([waves(), waves()[:, :9]], {}, ShapeError, "expected equal ones"),
    ],
)
def test_codec_refuses(rows, how, error, words):
    with pytest.raises(error, match=words):
        FieldCodec.fit(rows, **how)


def test_codec_of_another_field():
    with pytest.raises(ShapeError, match="codec of 30"):
        FieldCodec.fit(waves()).encode(np.zeros(29))


def test_both_predictors_are_the_formulas():
    model = latent_linear(6, (5,), 4, "dense", key=KEY)
    y = jax.random.normal(KEY, (6,))
    omega = model.dynamics.matrix()
    z = model.encoder(y)
    true = [model.decoder(omega @ z), model.decoder(omega @ omega @ z)]
    np.testing.assert_allclose(predict_latent(model, y, 2), true, atol=1e-6)
    once = predict_latent(model, y, 1)[0]
    twice = predict_latent(model, once, 1)[0]
    found = predict_latent(model, y, 2, "re-encode")
    np.testing.assert_allclose(found, [once, twice], atol=1e-6)


def test_loss_is_the_sum_of_its_terms():
    """Worked out term by term for one window."""
    model = latent_linear(6, (5,), 4, "dense", consistent="inverse", key=KEY)
    ys = jax.random.normal(KEY, (3, 6))
    omega, back = model.dynamics.matrix(), model.backward.matrix()
    encode, decode = model.encoder, model.decoder
    mean = lambda x: float(jnp.mean(x**2))
    moved = [encode(ys[0])]
    for _ in range(2):
        moved.append(omega @ moved[-1])
    turned = [encode(ys[2])]
    for _ in range(2):
        turned.append(back @ turned[-1])
    forward = [mean(decode(moved[k]) - ys[k]) for k in (1, 2)]
    seen = [mean(encode(ys[k]) - moved[k]) for k in (1, 2)]
    behind = [mean(decode(turned[k]) - ys[2 - k]) for k in (1, 2)]
    identity = mean(decode(moved[0]) - ys[0])
    how = {"steps": 2, "identity": 0.7, "latent": 0.3, "backward": 0.2}
    found = window_loss(model, ys, LatentFitConfig(**how))
    expected = (sum(forward) + 0.3 * sum(seen) + 0.2 * sum(behind)) / 2 + 0.7 * identity
    assert float(found) == pytest.approx(expected, rel=1e-5)
    found = window_loss(model, ys, LatentFitConfig(**how, total=True))
    expected = sum(forward) + 0.3 * sum(seen) + 0.2 * sum(behind) + 0.7 * identity
    assert float(found) == pytest.approx(expected, rel=1e-5)


def test_consistency_is_the_sum_over_leading_blocks():
    rng = np.random.default_rng(0)
    c, d = rng.normal(size=(2, 4, 4)).astype(np.float32)
    true = sum(
        (
            np.sum((d[:k] @ c[:, :k] - np.eye(k)) ** 2)
            + np.sum((c[:k] @ d[:, :k] - np.eye(k)) ** 2)
        )
        / (2 * k)
        for k in range(1, 5)
    )
    assert float(consistency(jnp.asarray(c), jnp.asarray(d))) == pytest.approx(
        true, rel=1e-5
    )


def test_start_of_the_map_back():
    inverse = latent_linear(6, (), 4, "dense", consistent="inverse", key=KEY)
    c, d = inverse.dynamics.matrix(), inverse.backward.matrix()
    np.testing.assert_allclose(d @ c, np.eye(4), atol=1e-5)
    paper = latent_linear(6, (), 4, "dense", consistent="paper", key=KEY)
    c, d = np.asarray(paper.dynamics.matrix()), np.asarray(paper.backward.matrix())
    np.testing.assert_allclose(d, c / 0.99**2, atol=1e-5)  # C itself, scaled


def test_certificate_bounds_what_the_map_does():
    model = latent_linear(6, (5,), 4, "dense", key=KEY)
    proof = certify(model)
    omega = np.asarray(model.dynamics.matrix(), np.float64)
    powers = [np.linalg.norm(np.linalg.matrix_power(omega, k), 2) for k in range(200)]
    assert max(powers) <= proof.transient * (1 + 1e-6)
    assert proof.radius == pytest.approx(0.99, abs=1e-5)
    assert proof.smallest >= 1.0
    z = jax.random.normal(KEY, (4,))
    away = predict_away(model, z)
    assert away <= proof.bound(float(jnp.linalg.norm(z))) * (1 + 1e-5)
    assert "stable" in str(proof)


def predict_away(model, z):
    origin = model.decoder(jnp.zeros(4))
    ends = jax.vmap(model.decoder)(model.advance(z, 20)) - origin[None]
    return float(jnp.linalg.norm(ends, axis=1).max())


def test_certificate_of_marginal_and_of_growing_maps():
    assert certify(latent_linear(6, (), 4, "orthogonal", key=KEY)).is_marginal
    rotation = certify(latent_linear(6, (), 4, key=KEY))
    assert not rotation.is_marginal
    assert rotation.transient == 1.0
    growing = latent_linear(6, (), 4, DenseDynamics(4, scale=1.05, key=KEY), key=KEY)
    with pytest.raises(ConfigError, match=r"modulus 1\.05"):
        certify(growing)


def test_certificates_next_to_the_circle():
    near = latent_linear(6, (), 5, key=KEY)
    near = eqx.tree_at(lambda m: m.dynamics.a, near, jnp.array([-15.0, -14.0, -16.0]))
    radius = 1.0 / (1.0 + np.exp([-15.0, -14.0, -16.0]))
    proof = certify(near)
    p = np.sort(np.linalg.eigvalsh(proof.lyapunov))[[0, 2, 4]]
    np.testing.assert_allclose(p, np.sort(1.0 / (1.0 - radius**2)), rtol=1e-6)
    dense = latent_linear(6, (), 2, "dense", key=KEY)
    put = lambda omega: eqx.tree_at(lambda m: m.dynamics.omega, dense, jnp.array(omega))
    stretched = certify(put([[1.0 - 1e-6, 0.5], [0.0, 0.5]]))
    assert not stretched.is_marginal
    assert 1.0 < stretched.transient < 1e4
    with pytest.raises(ConfigError, match="not below 1"):
        certify(put([[1.0, 0.5], [0.0, 0.5]]))


def test_the_bound_counts_activations_that_are_steeper_than_one():
    for name, function in ACTIVATIONS.items():
        slope = jax.vmap(jax.grad(function))(jnp.linspace(-6, 6, 2001))
        steepest = float(jnp.abs(slope).max())
        layers = Layers((1, 1, 2), activation=name, last=name, key=KEY)
        model = latent_linear(2, (1,), 1, key=KEY)
        model = eqx.tree_at(lambda m: m.decoder, model, layers)
        bound = certify(model).decoder / float(layers.lipschitz_bound())
        assert max(1.0, steepest**2) * (1 - 1e-6) <= bound < 1.02 * max(1, steepest**2)


def test_modes_are_eigenvectors_of_the_decoded_motion():
    """With linear coders the motion of fields is Phi Omega Psi."""
    model = latent_linear(4, (), 4, "dense", key=KEY)
    values, modes = koopman_modes(model)
    phi = np.asarray(model.decoder.weights[0], np.float64)
    omega = np.asarray(model.dynamics.matrix(), np.float64)
    moved = phi @ omega @ np.linalg.inv(phi)
    np.testing.assert_allclose(moved @ modes.T, modes.T * values[None], atol=1e-4)


@pytest.fixture(scope="module")
def learned():
    """A rotation learns two waves; the same model on shuffled snapshots does not."""
    rows = waves(100)
    config = LatentFitConfig(updates=600, batch=16, steps=4)
    codec = FieldCodec.fit(rows[:60], reduced=True)
    model = latent_linear(codec.size, (16,), 6, key=KEY)
    fitted = fit_latent(model, rows[:60], codec, config)
    mixed = np.random.default_rng(0).permutation(60)
    control = fit_latent(model, rows[mixed], codec, config)
    return rows, fitted, control


def error(fitted, rows):
    return relative_errors(fitted.predict(rows[60], 30) - 2.0, rows[61:91] - 2.0).mean()


def test_learns_to_forecast(learned):
    rows, fitted, control = learned
    assert error(fitted, rows) < 0.15
    assert error(control, rows) > 0.5
    assert certify(fitted.model).radius < 1.0
    assert str(certify(fitted)) == str(certify(fitted.model))
    ends = fitted.coordinates(rows[60], 1000)
    assert np.abs(ends).max() <= 1.5 * np.abs(fitted.codec.encode(rows[:60])).max()


def test_saved_is_loaded_to_the_same_bits(learned, tmp_path):
    rows, fitted, _ = learned
    fitted.save(tmp_path / "model.safetensors")
    again = FittedLatent.load(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(again.predict(rows[0], 3), fitted.predict(rows[0], 3))
    assert again.config == fitted.config
    with pytest.raises(CheckpointError, match="does not hold a shallow decoder"):
        FittedDecoder.load(tmp_path / "model.safetensors")
    assert fitted.predict(rows[:2], 3).shape == (2, 3, 30)


def test_a_killed_training_goes_on_to_the_same_bits(tmp_path):
    rows = waves(40)
    config = LatentFitConfig(updates=60, batch=8, steps=2, lyapunov=1.0)
    model = latent_linear(30, (8,), 4, "dense", consistent="paper", key=KEY)

    class Killed(Exception):
        pass

    def kill(row):
        if row["step"] >= 30:
            raise Killed

    whole = fit_latent(model, rows, config=config, folder=tmp_path / "whole")
    with pytest.raises(Killed):
        fit_latent(
            model, rows, config=config, folder=tmp_path / "cut", seconds=0.0, tell=kill
        )
    again = fit_latent(model, rows, config=config, folder=tmp_path / "cut")
    for a, b in zip(
        jax.tree.leaves(whole.model), jax.tree.leaves(again.model), strict=True
    ):
        np.testing.assert_array_equal(a, b)
    assert [row["step"] for row in again.history] == [
        row["step"] for row in whole.history
    ]


@pytest.mark.slow
def test_latent_ode_learns_growth_that_no_rotation_has():
    """An oscillation that grows and saturates."""
    t = np.arange(120) * 0.25
    r = 1.0 / np.sqrt(1.0 + 99.0 * np.exp(-0.6 * t))
    x = np.linspace(0, 2 * np.pi, 20)
    rows = r[:, None] * np.sin(x[None] - t[:, None])
    config = LatentFitConfig(updates=3000, steps=8)
    codec = FieldCodec.fit(rows, reduced=False, centred=False)
    found = {}
    for name, model in (
        ("ode", latent_ode(20, (16,), 2, width=32, key=KEY)),
        ("rotation", latent_linear(20, (16,), 2, key=KEY)),
    ):
        fitted = fit_latent(model, rows, codec, config)
        found[name] = relative_errors(fitted.predict(rows[5], 100)[-1], rows[105])
    assert found["ode"] < 0.2
    assert found["rotation"] > 0.5


def test_bad_input():
    rows = waves(20)
    model = latent_linear(30, (4,), 4, key=KEY)
    with pytest.raises(DataError, match="at least 10"):
        fit_latent(model, rows[:9])
    with pytest.raises(ShapeError, match="codec gives 30"):
        fit_latent(latent_linear(29, (4,), 4, key=KEY), rows)
    with pytest.raises(ConfigError, match="Take fewer"):
        fit_latent(latent_linear(30, (4,), 20, key=KEY), rows)
    uneven = Snapshots.of(np.arange(20) ** 2, rows, axes={"x": np.arange(30)})
    with pytest.raises(DataError, match="OptimizedDMD"):
        fit_latent(model, uneven)
    codec = FieldCodec.fit(rows)
    turning = latent_ode(30, (4,), 4, width=4, key=KEY)
    with pytest.raises(ConfigError, match="no linear map"):
        fit_latent(turning, rows, config=LatentFitConfig(updates=0)).damping()
    with pytest.raises(ConfigError, match="1 codecs"):
        fit_latents([model, model], [rows, rows], [codec])
    with pytest.raises(ConfigError, match="dt is -1"):
        fit_latent(model, rows, dt=-1.0)
    rows[3, 4] = np.nan
    with pytest.raises(DataError, match="snapshot 3"):
        fit_latent(model, rows, codec)


def test_sets_of_snapshots_keep_their_own_step_and_grid():
    rows, none = waves(24), LatentFitConfig(updates=0, steps=2)
    make = lambda dt: Snapshots.of(
        dt * np.arange(24), rows, axes={"x": np.arange(30)}, names=("u",)
    )
    fast, slow = make(0.5), make(2.0)
    model = latent_linear(30, (4,), 5, key=KEY)
    both = fit_latents([model, model], [fast, slow], config=none)
    assert [one.dt for one in both] == [0.5, 2.0]
    assert both[0].codec.field(np.zeros(30)).shape == (30, 1)
    parts = fit_latent(model, [slow[:12], slow[12:]], config=none)
    assert parts.dt == 2.0
    np.testing.assert_array_equal(parts.codec.mean, both[1].codec.mean)
    angles = np.angle(both[1].spectrum())
    np.testing.assert_allclose(both[1].frequencies(), angles / (4 * np.pi))
    values, modes = both[1].modes()
    np.testing.assert_allclose(abs(values), abs(both[1].spectrum()), rtol=1e-5)
    inner = koopman_modes(both[1].model)[1]
    np.testing.assert_allclose(
        modes.real, both[1].codec.decode(inner.real) - both[1].codec.mean, atol=1e-4
    )
    damped = -np.log1p(np.exp(-8.0)) / 2.0
    np.testing.assert_allclose(both[1].damping(), damped, rtol=1e-3)
    with pytest.raises(DataError, match=r"steps of 0\.5 and 2"):
        fit_latent(model, [fast, slow], config=none)
    uneven = Snapshots.of(np.arange(24) ** 2, rows, axes={"x": np.arange(30)})
    with pytest.raises(DataError, match="not equally spaced"):
        fit_latents([model, model], [fast, uneven], config=none)
    with pytest.raises(DataError, match="number 4 of the snapshot is not finite"):
        parts.codec.encode(np.where(np.arange(30) == 4, np.nan, rows[0]))
    with pytest.raises(DataError, match="snapshot 1, number 0, is not finite"):
        parts.predict(rows[:2] * np.array([[1.0], [np.nan]]), 3)
    with pytest.raises(ShapeError, match="gives 30"):
        parts.codec.decode(np.zeros((5, 1)))


def test_the_published_weight_of_the_identity_goes_with_the_steps():
    assert LatentFitConfig.published("koopman").identity == 0.08
    assert LatentFitConfig.published("koopman", steps=14).identity == 0.14
    assert LatentFitConfig.published("koopman", steps=14, identity=1.0).identity == 1.0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"steps": 0}, "at least 1"),
        ({"lr": 0.0}, "above 0"),
        ({"latent": -1.0}, "at least 0"),
        ({"drops": (5, 3)}, "Sort"),
        ({"clip": -1.0}, "above 0"),
        ({"drops": (0, 5)}, "at least 1"),
    ],
)
def test_settings_that_cannot_be(change, words):
    with pytest.raises(ConfigError, match=words):
        LatentFitConfig(**change)


def test_parts_that_do_not_fit():
    with pytest.raises(ConfigError, match="expected one of rotation"):
        linear_map("turning", 4, key=KEY)
    with pytest.raises(ConfigError, match="at least 1"):
        RotationDynamics(0)
    with pytest.raises(ConfigError, match="one a pair"):
        RotationDynamics(4, angles=np.ones(3))
    with pytest.raises(ConfigError, match=r"angles of shape \(\) for 2"):
        RotationDynamics(2, angles=0.1)
    with pytest.raises(
        ConfigError, match=r"angles are complex numbers; .* numpy.angle"
    ):
        RotationDynamics(2, angles=np.array([0.8 + 0.6j]))
    with pytest.raises(ConfigError, match="must be finite"):
        RotationDynamics(2, angles=np.array([np.nan]))
    with pytest.raises(ConfigError, match="must be the same"):
        latent_linear(6, (4,), 4, RotationDynamics(3), key=KEY)
    with pytest.raises(ConfigError, match="inverse"):
        latent_linear(6, (4,), 4, consistent="both", key=KEY)
    model = latent_linear(6, (4,), 4, key=KEY)
    with pytest.raises(ConfigError, match="latent, re-encode"):
        predict_latent(model, jnp.zeros(6), 3, "both")
    with pytest.raises(ShapeError, match="expected"):
        predict_latent(model, jnp.zeros(5), 3)
    with pytest.raises(ConfigError, match="at least two"):
        Layers((3,), key=KEY)
    with pytest.raises(ConfigError, match="no published"):
        LatentFitConfig.published("lem")
    with pytest.raises(ConfigError, match="steps is 0"):
        LatentFitConfig.published("koopman", steps=0)


def test_a_network_of_several_widths_and_its_bound():
    net = Layers((3, 5, 2), last="tanh", key=KEY)
    x, y = jax.random.normal(KEY, (2, 3))
    w, b = net.weights, net.biases
    true = jnp.tanh(w[1] @ jnp.tanh(w[0] @ x + b[0]) + b[1])
    np.testing.assert_allclose(net(x), true, atol=1e-6)
    gap = jnp.linalg.norm(net(x) - net(y)) / jnp.linalg.norm(x - y)
    assert float(gap) <= float(net.lipschitz_bound())


def test_models_trained_together_are_as_good_as_apart():
    """Each has its own start and its own data; the windows are drawn apart."""
    sets = [waves(100), waves(101)[1:]]
    codecs = [FieldCodec.fit(rows[:60], rank=4) for rows in sets]
    keys = jax.random.split(KEY, 2)
    models = [latent_linear(4, (16,), 6, key=key) for key in keys]
    config = LatentFitConfig(updates=600, batch=16, steps=4)
    fitted = fit_latents(models, [rows[:60] for rows in sets], codecs, config)
    found = [error(one, rows) for one, rows in zip(fitted, sets, strict=True)]
    assert max(found) < 0.25  # 0.075 and 0.163
    assert found[0] != found[1]
    assert isinstance(fitted[1].history[-1]["loss"], float)
    with pytest.raises(ConfigError, match="one by one"):
        fit_latents([models[0], latent_linear(4, (8,), 6, key=KEY)], sets, codecs)
    with pytest.raises(ConfigError, match="one number of snapshots"):
        fit_latents(models, [sets[0][:60], sets[1][:50]], codecs)
    with pytest.raises(ConfigError, match="one each"):
        fit_latents(models, sets[:1], codecs)


def test_what_only_a_linear_map_has_is_not_asked_of_a_neural_ode():
    model = latent_ode(30, (8,), 4, key=KEY)
    with pytest.raises(ConfigError, match="LatentODE moves by no linear map"):
        certify(model)
    with pytest.raises(ConfigError, match="LatentODE moves by no linear map"):
        koopman_modes(model)
    config = LatentFitConfig(updates=1, lyapunov=3.0)
    with pytest.raises(ConfigError, match=r"lyapunov is 3, .* LatentODE has none"):
        fit_latent(model, waves(), config=config)


def test_errors_of_unlike_fields_are_refused():
    with pytest.raises(ShapeError, match=r"\(1, 3\) beside true ones of \(2, 3\)"):
        relative_errors(np.ones((1, 3)), np.ones((2, 3)))
    with pytest.raises(ShapeError, match=r"weights of \(2,\)"):
        relative_errors(np.ones((2, 3)), np.ones((2, 3)), np.ones(2))

"""The neural gauge: exact maps, bent maps, intervals, and what it refuses."""

import dataclasses
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from pendula import CheckpointError, ConfigError, DataError, ShapeError
from pendula._errors import DataWarning
from pendula.dynamics import GaugeConfig, fit_gauge, load_gauge
from pendula.train import save_tree


AFFINE = GaugeConfig(neural=False)
QUICK = GaugeConfig(steps=200, width=16)
MIX = np.array([[1.0, 0.5], [-0.3, 0.8]])
NAMES, UNITS = ("k1", "k3"), ("N/m", "N/m^3")


def draw(count, seed=0):
    """Two positive parameters a system."""
    rng = np.random.default_rng(seed)
    low, high = np.array([0.4, 2.0]), np.array([1.0, 5.0])
    return rng.uniform(low, high, (count, 2))


def bent(params):
    """A diffeomorphism of the box of parameters."""
    a, b = ((np.log(params) - [-0.4, 1.2]) / [0.3, 0.25]).T
    first = np.tanh(0.6 * a) + 0.3 * b + 0.15 * a * b
    return np.column_stack([first, 0.8 * b - 0.3 * a + 0.2 * a**2])


def affine(params):
    return np.log(params) @ MIX + [0.2, -1.0]


@pytest.fixture(scope="module")
def exact():
    params = draw(9)
    return fit_gauge(affine(params), params, NAMES, UNITS)


@pytest.fixture(scope="module")
def curved():
    params = draw(14)
    return fit_gauge(bent(params), params, NAMES, UNITS, config=QUICK)


def test_an_affine_relation_is_exact_both_ways(exact):
    unseen = draw(5, seed=1)
    for params, eta in zip(unseen, affine(unseen), strict=True):
        assert_allclose(exact(eta), params, rtol=1e-9)
        assert_allclose(exact.inverse(params), eta, rtol=1e-9)
    assert not exact.neural
    assert exact.neural_error is None
    assert "not tried" in exact.summary()
    assert exact.log == (True, True)


def test_parameters_that_are_not_on_a_log_scale():
    params = draw(6) - 0.7  # of both signs
    gauge = fit_gauge(params @ MIX, params, log=None, config=AFFINE)
    assert gauge.log == (False, True)
    gauge = fit_gauge(params @ MIX, params, log=False, config=AFFINE)
    assert_allclose(gauge(np.array([0.1, -0.2]) @ MIX), [0.1, -0.2], rtol=1e-9)
    assert gauge.names == ("phi1", "phi2")


def test_a_label_that_is_told_far_better_as_it_is_says_so():
    """Stiffnesses of springs, in which eta is affine: as logarithms they are read with
    an interval of 20 % and more."""
    k = np.array([1.0, 1.7, 2.4, 3.2, 4.0])[:, None]
    eta = 0.7 - 0.45 * k
    given = {"names": ("k",), "config": AFFINE}
    assert "k is told" in fit_gauge(eta, k, **given).summary()
    assert "--linear" in fit_gauge(eta, k, **given).measure(eta[1]).text
    assert not fit_gauge(eta, k, log=False, **given).warnings
    assert not fit_gauge(eta, np.exp(eta), **given).warnings


def test_a_bent_relation_needs_the_flow(curved):
    unseen = draw(40, seed=1)
    found = np.asarray(jax.vmap(curved)(jnp.asarray(bent(unseen))))
    error = np.abs(found / unseen - 1)
    assert curved.neural
    assert "kept" in curved.summary()
    # medians over seeds 0-4 of the data: 0.6-1.3 %; of the affine map alone: 2.3-4.4 %
    assert np.median(error) < 0.02
    assert np.all(curved.neural_error < 0.8 * curved.affine_error)


def test_there_and_back(curved):
    """In float32 under jit and vmap too, where the Jacobians are inverse as well."""
    etas = bent(draw(20, seed=2))
    back = [curved.inverse(curved(eta)) for eta in etas]
    assert_allclose(back, etas, atol=1e-5)

    def both(eta):
        phi, forward = curved(eta), jax.jacfwd(curved)(eta)
        return curved.inverse(phi), jax.jacfwd(curved.inverse)(phi) @ forward

    back, unit = jax.jit(jax.vmap(both))(jnp.asarray(etas, jnp.float32))
    assert_allclose(back, etas, atol=1e-4)
    assert_allclose(unit, np.broadcast_to(np.eye(2), unit.shape), atol=1e-3)


def test_noise_does_not_bend_the_gauge():
    """The control: where the truth is affine, the flow predicts no better."""
    params = draw(14)
    noise = 0.1 * np.random.default_rng(3).normal(size=(14, 2))
    gauge = fit_gauge(affine(params) + noise, params, NAMES, config=QUICK)
    assert not gauge.neural
    assert "dropped" in gauge.summary()


def test_more_etas_than_parameters():
    """Five lengths on a line in a space of three etas; the inverse finds the line."""
    length = np.array([1.0, 3.0, 5.0, 7.0, 9.0])
    line = lambda x: np.outer(np.log(x), [1.0, -0.5, 0.2]) - np.array([0.0, 1.0, 2.0])
    gauge = fit_gauge(line(length), length[:, None], ("length",), ("m",))
    assert_allclose(gauge(line([4.0])[0]), [4.0], rtol=1e-6)
    assert_allclose(gauge.inverse([4.0]), line([4.0])[0], atol=1e-6)


def test_only_the_size_of_eta_counts_when_folded():
    params = draw(8)[:, :1]
    etas = np.log(params) + 2.0
    signs = np.array([1, -1, 1, 1, -1, -1, 1, -1.0])[:, None]
    gauge = fit_gauge(signs * etas, params, fold=True)
    assert_allclose(gauge(etas[0]), params[0], rtol=1e-9)
    assert_allclose(gauge(-etas[0]), params[0], rtol=1e-9)
    assert gauge.inverse(params[0]) > 0
    assert_array_equal(
        gauge.measure(etas[0], [[0.01]]).low, gauge.measure(-etas[0], [[0.01]]).low
    )


def test_covariances_turn_with_the_signs_that_are_folded():
    """The same systems with other signs, and covariances that go with them."""
    rng = np.random.default_rng(0)
    params = rng.uniform(1.0, 3.0, (12, 2))
    etas = 1.0 + np.log(params) @ [[1.0, 0.5], [0.3, 1.0]]
    etas += 0.03 * rng.normal(size=etas.shape)
    known = np.tile(1e-3 * np.array([[1.0, 0.9], [0.9, 1.0]]), (12, 1, 1))
    turn = rng.choice([-1.0, 1.0], etas.shape)
    turned = turn[:, :, None] * known * turn[:, None]
    plain = GaugeConfig(neural=False)
    one = fit_gauge(etas, params, covariances=known, config=plain)
    two = fit_gauge(turn * etas, params, covariances=turned, fold=True, config=plain)
    assert_allclose(two.spread, one.spread, rtol=1e-9)
    assert_allclose(two.scores, one.scores, rtol=1e-9)


def test_whole_numbers_are_measured_like_others(exact):
    two = np.array([1, 2])
    assert_allclose(exact(jnp.asarray(two)), exact(two), rtol=1e-4)
    assert_allclose(exact.inverse(jnp.asarray(two)), exact.inverse(two), rtol=1e-4)


def test_laplace_pushes_the_covariance_through(exact):
    """Of an affine map of log parameters the interval is known in closed form."""
    covariance = np.array([[0.02, 0.005], [0.005, 0.01]])
    params = np.array([0.6, 3.0])
    told = exact.measure(affine(params), covariance)
    back = np.linalg.inv(MIX)
    sd = np.sqrt(np.diag(back.T @ covariance @ back))
    assert_allclose(told.value, params, rtol=1e-9)
    assert_allclose(told.standard_error, params * sd, rtol=1e-6)
    assert_allclose(told.low, params * np.exp(-1.6448536 * sd), rtol=1e-4)
    assert_allclose(told.high, params * np.exp(1.6448536 * sd), rtol=1e-4)
    assert not told.extrapolating
    assert told.text.startswith("k1 = 0.6 N/m (")
    sharp = exact.measure(affine(params), 1e-8 * covariance).text.split(";")[0]
    low, high = sharp.split("(")[1].split(")")[0].split(" to ")
    assert float(low) < 0.6 < float(high)
    assert told.names == NAMES


@pytest.mark.parametrize(
    "interval", ["laplace", pytest.param("conformal", marks=pytest.mark.slow)]
)
def test_coverage(interval):
    """Calibrated and measured with noisy etas: 90 % intervals cover 80 to 97 %."""
    noise = np.diag([0.03, 0.03]) ** 2
    inside = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        etas = lambda p, rng=rng: affine(p) + rng.normal(0, 0.03, p.shape)
        params, unseen = draw(15, seed), draw(25, seed + 100)
        known = np.broadcast_to(noise, (15, 2, 2))
        gauge = fit_gauge(etas(params), params, covariances=known, config=AFFINE)
        for truth, eta in zip(unseen, etas(unseen), strict=True):
            told = gauge.measure(eta, noise, interval=interval)
            inside.append((told.low <= truth) & (truth <= told.high))
    # 600 values: a standard error of 1.2 %, more as those of a gauge go together
    assert 0.8 < np.mean(inside) < 0.97


def test_systems_left_out_are_read_back_in_units():
    """An exact map reads them exactly; the bars hold the read values."""
    params = draw(9)
    exact = fit_gauge(affine(params), params, config=AFFINE)
    assert_allclose(exact.left_out()[0], params, rtol=1e-6)
    value, low, high = fit_gauge(bent(params), params, config=AFFINE).left_out(0.5)
    assert np.all((low < value) & (value < high))
    with pytest.raises(ConfigError, match="between 0 and 1"):
        exact.left_out(1.5)


def test_the_conformal_interval_needs_systems():
    params = draw(5)[:, :1]
    gauge = fit_gauge(np.log(params), params, config=AFFINE)
    with pytest.raises(ConfigError, match="needs 9 calibrated systems, and the gauge"):
        gauge.measure(np.log(params[0]), interval="conformal")
    with pytest.raises(ConfigError, match="needs 19"):
        gauge.measure(np.log(params[0]), interval="conformal", level=0.95)
    told = gauge.measure(np.log(params[0]), interval="conformal", level=0.8)
    assert told.method == "conformal"
    assert told.low <= told.value <= told.high


def test_what_is_not_identified_gets_no_number(exact):
    eta = affine(np.array([0.6, 3.0]))
    for covariance in (np.diag([np.inf, 0.01]), np.diag([1e8, 0.01])):
        told = exact.measure(eta, covariance)
        assert not told.identified.any()
        assert_array_equal(told.low, [0.0, 0.0])
        assert_array_equal(told.high, [np.inf, np.inf])
        assert "k1 is not identified" in told.text
    nan = exact.measure(eta, np.full((2, 2), np.nan), interval="conformal")
    assert not nan.identified.any()


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        (-np.eye(2), "negative variance"),
        (np.array([[1.0, 2.0], [2.0, 1.0]]), "negative variance"),
        (np.array([[1.0, 5.0], [0.0, 1.0]]), "not symmetric"),
    ],
)
def test_what_is_no_covariance_gives_no_interval(exact, wrong, match):
    """Taken as one, it would narrow the interval: of -I nothing would be left of it."""
    with pytest.raises(DataError, match=match):
        exact.measure(exact.etas[0], wrong)
    with pytest.raises(DataError, match=f"system 0 .*{match}"):
        fit_gauge(
            exact.etas, exact.labels, covariances=np.stack([wrong] * 9), config=AFFINE
        )


def test_a_parameter_that_does_not_feel_the_open_eta_is_measured():
    params = draw(9)
    gauge = fit_gauge(np.log(params), params, config=AFFINE)
    told = gauge.measure(np.log(params[0]), np.diag([np.inf, 1e-4]))
    assert_array_equal(told.identified, [False, True])
    assert_allclose(told.value[1], params[0, 1])


def test_extrapolation_is_said_with_its_direction(exact):
    far = exact.measure(affine(np.array([0.6, 40.0])))
    assert far.extrapolating
    assert "standard deviations from the calibrated" in far.text
    assert "k3 = 40 lies above the calibrated" in far.text
    near = exact.measure(affine(np.array([0.3, 3.0])))
    assert "k1 = 0.3 lies below" in near.text
    assert not exact.measure(affine(np.array([0.7, 3.0]))).extrapolating


def test_fewer_etas_than_labels_says_what_is_told():
    rng = np.random.default_rng(0)
    modulus, density = rng.uniform(50, 80, 12), rng.uniform(2, 8, 12)
    etas = np.sqrt(modulus / density)[:, None]
    labels = np.column_stack([modulus, density])
    with pytest.raises(ConfigError, match="eta tells only log E - log rho"):
        fit_gauge(etas, labels, ("E", "rho"))
    with pytest.raises(ConfigError, match="log E - log rho never varies"):
        fit_gauge(etas, np.column_stack([modulus, 2 * modulus]), ("E", "rho"))
    # with an eta more, which tells nothing, the gauge is made but flagged
    both = np.column_stack([etas, rng.normal(size=12)])
    gauge = fit_gauge(both, labels, ("E", "rho"), config=AFFINE)
    assert any("only log E - log rho is told" in text for text in gauge.warnings)
    assert "not identifiable" in gauge.summary()


def test_labels_that_move_together_are_flagged():
    params = draw(9)
    labels = np.column_stack([params[:, 0], 3 * params[:, 0]])
    gauge = fit_gauge(affine(params), labels, ("E", "rho"), config=AFFINE)
    assert any("log E - log rho never varies" in text for text in gauge.warnings)
    assert "move together" in gauge.measure(affine(params[0])).text


def test_a_label_that_does_not_vary_is_dropped():
    params = np.column_stack([draw(6), np.full(6, 9.81)])
    with pytest.warns(DataWarning, match="g is the same in all systems"):
        gauge = fit_gauge(affine(params[:, :2]), params, ("a", "b", "g"), config=AFFINE)
    assert gauge.names == ("a", "b")
    with pytest.raises(DataError, match="nothing to calibrate"):
        fit_gauge(draw(6), np.ones((6, 1)), ("g",))


def test_few_systems():
    params = draw(4)
    gauge = fit_gauge(affine(params), params, config=AFFINE)
    assert "only 4 systems" in gauge.summary()
    with pytest.raises(DataError, match="a gauge needs 3"):
        fit_gauge(affine(params[:2]), params[:2])


def test_what_is_missing_is_named():
    params = draw(6)
    etas = affine(params)
    hole = params.copy()
    hole[2, 1] = np.nan
    with pytest.raises(DataError, match='system 2 has no label "k3"'):
        fit_gauge(etas, hole, NAMES)
    etas[3, 0] = np.inf
    with pytest.raises(DataError, match="system 3 has eta 1 = inf"):
        fit_gauge(etas, params, NAMES)
    with pytest.raises(DataError, match="eta is the same in all systems"):
        fit_gauge(np.ones((6, 2)), params)
    with pytest.raises(DataError, match=r"params cannot be read .* 'soft'"):
        fit_gauge(etas, [["soft", 1.0]] * 6)
    with pytest.raises(DataError, match="etas cannot be read"):
        fit_gauge([[1.0, 2.0], [1.0]], params)
    known = np.zeros((6, 2, 2))
    known[1, 0, 0] = np.inf
    with pytest.raises(DataError, match="system 1 is not identified"):
        fit_gauge(affine(params), params, covariances=known)


def test_settings_that_make_no_sense(exact):
    params = draw(6)
    etas = affine(params)
    with pytest.raises(ShapeError, match="6 of etas, 5 of params"):
        fit_gauge(etas, params[:5])
    with pytest.raises(ShapeError, match="one row a system"):
        fit_gauge(etas, params[:, 0])
    with pytest.raises(ShapeError, match="covariances"):
        fit_gauge(etas, params, covariances=np.zeros((6, 2)))
    with pytest.raises(ConfigError, match="1 names"):
        fit_gauge(etas, params, ("k1",))
    with pytest.raises(ConfigError, match="log has 3"):
        fit_gauge(etas, params, log=(True, True, False))
    with pytest.raises(DataError, match="goes down to"):
        fit_gauge(etas, params - 0.7, NAMES, log=True)
    with pytest.raises(ConfigError, match='Did you mean "laplace"'):
        exact.measure(etas[0], interval="laplas")
    with pytest.raises(ConfigError, match="between 0 and 1"):
        exact.measure(etas[0], level=90)
    with pytest.raises(ShapeError, match="takes"):
        exact.measure(etas[0], np.eye(3))
    with pytest.raises(DataError, match="not finite"):
        exact.measure([np.nan, 0.0])
    with pytest.raises(ShapeError, match="vmap"):
        exact(etas)
    with pytest.raises(DataError, match="cannot be read"):
        exact(["a", "b"])
    with pytest.raises(ConfigError, match='two columns are called "k"'):
        fit_gauge(etas, params, ("k", "k"))
    with pytest.raises(ConfigError, match="1 names"):  # of a text, not of its letters
        fit_gauge(etas, params, "k1")
    with pytest.raises(ConfigError, match="seed is -1"):
        fit_gauge(etas, params, seed=-1)
    with pytest.raises(ConfigError, match="level is nan"):
        exact.measure(etas[0], level=np.nan)
    for name, value in (
        ("width", 0), ("lr", 0.0), ("kinetic", -1.0), ("gain", np.nan),
        ("decay", np.nan), ("rest", np.inf),
    ):  # fmt: skip
        with pytest.raises(ConfigError, match=name):
            GaugeConfig(**{name: value})
    with pytest.raises(ConfigError, match="seed is -1"):
        fit_gauge(etas, params, seed=-1)
    with pytest.raises(ConfigError, match='two columns are called "k1"'):
        fit_gauge(etas, params, ("k1", "k1"))


@pytest.mark.parametrize("name", ["kinetic", "decay", "rest", "lr", "gain"])
@pytest.mark.parametrize("value", ["a", None, [1.0, 2.0], np.nan, np.inf])
def test_a_setting_that_is_no_number_is_named(name, value):
    """Past the type checker of the tests, which a user has not."""
    settings = SimpleNamespace(**{**vars(GaugeConfig()), name: value})
    with pytest.raises(ConfigError, match=f"^{name} is"):
        GaugeConfig.__post_init__(settings)


def test_a_text_is_no_number(exact):
    params = draw(6)
    etas, words = affine(params), [["a", "b"]] * 6
    with pytest.raises(DataError, match="params cannot be read as numbers"):
        fit_gauge(etas, words)
    with pytest.raises(DataError, match="etas cannot be read as numbers"):
        fit_gauge([[1.0, 2.0], [1.0]], params)
    with pytest.raises(DataError, match="eta cannot be read as numbers"):
        exact.measure(["a", "b"])
    with pytest.raises(DataError, match="cannot be read as numbers"):
        exact(["a", "b"])
    with pytest.raises(DataError, match="the covariance of eta cannot be read"):
        exact.measure(etas[0], [["a", "b"]] * 2)


def test_a_saved_gauge_measures_the_same(curved, tmp_path):
    curved.save(tmp_path / "gauge.safetensors")
    again = load_gauge(tmp_path / "gauge.safetensors")
    eta = bent(np.array([[0.6, 3.0]]))[0]
    assert_array_equal(again(eta), curved(eta))
    told, same = (g.measure(eta, 0.01 * np.eye(2)) for g in (curved, again))
    for field in dataclasses.fields(told):
        assert_array_equal(getattr(told, field.name), getattr(same, field.name))
    save_tree(tmp_path / "flow.safetensors", curved.flow, {})
    with pytest.raises(CheckpointError, match="not a Gauge"):
        load_gauge(tmp_path / "flow.safetensors")


@pytest.mark.slow
def test_many_systems_are_left_out_in_groups():
    """And a fit of the same shape does not compile again: it takes a second."""
    params = draw(40)
    gauge = fit_gauge(bent(params), params, NAMES)
    assert len(np.unique(gauge.fold_of)) == 10
    unseen = draw(100, seed=1)
    told = [gauge.measure(eta, interval="conformal") for eta in bent(unseen)]
    hits = [(t.low <= p) & (p <= t.high) for t, p in zip(told, unseen, strict=True)]
    assert 0.8 < np.mean(hits) <= 1.0
    value = np.array([t.value for t in told])
    assert np.median(np.abs(value / unseen - 1)) < 0.005

"""Metrics of many chips: one program for all levels, the same whatever the chunks."""

import csv
import io
import json

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from pendula._errors import ConfigError, DataError, ShapeError
from pendula.hardware import (
    HOUR,
    LEVELS,
    PCM,
    AnalogWarning,
    RangeNoise,
    Relaxing,
    WriteVerify,
    is_right,
    monte_carlo,
    refresh,
    time_to_failure,
    to_analog,
)
from pendula.nn import Convolution


KEY = jax.random.key(8)
NET = eqx.nn.MLP(3, 4, 8, 1, key=KEY)
XS = jax.random.normal(jax.random.key(1), (37, 3))
LABELS = jnp.argmax(jax.vmap(NET)(XS), axis=1)
DATA = (XS, LABELS)
TWIN = to_analog(NET)


def right(chip, batch):
    return is_right(jax.vmap(chip)(batch[0]), batch[1])


def test_accuracies_are_the_same_bits_for_all_chunks_and_batches():
    levels = (0.0, 0.1)
    whole = monte_carlo(TWIN, right, DATA, KEY, 6, levels)
    for chunk, size in ((4, None), (1, 10), (3, 37)):
        other = monte_carlo(
            TWIN, right, DATA, KEY, 6, levels, chunk=chunk, batch_size=size
        )
        assert_array_equal(other.values, whole.values)
    assert_array_equal(whole.values[0], np.ones(6))
    assert whole.digital == 1.0
    assert whole.mean[1] < 1.0
    more = monte_carlo(TWIN, right, DATA, KEY, 9, levels)
    assert_array_equal(more.values[:, :6], whole.values)


def test_one_program_for_all_levels():
    count = 0

    def counted(chip, batch):
        nonlocal count
        count += 1
        return right(chip, batch)

    monte_carlo(TWIN, counted, DATA, KEY, 2, (0.0, 0.05, 0.1, 0.2))
    assert count == 2  # chips, and the digital model


def test_a_report_is_printed_in_both_conventions_of_the_level():
    net = eqx.nn.Linear(2, 1, use_bias=False, key=KEY)
    net = eqx.tree_at(lambda n: n.weight, net, jnp.asarray([[1.0, 4.0]]))
    size = lambda chip, _: jnp.abs(chip.weight).mean()
    found = monte_carlo(to_analog(net), size, None, KEY, 3, (0.0, 0.1))
    assert found.sigma() == [("0", "0"), ("0.1", "0.075")]  # of 3, and of 4
    table = str(found).splitlines()
    assert table[0].startswith("level  sigma / range  sigma / max|w|  mean")
    assert table[2].split()[:4] == ["0.1", "0.1", "0.075", f"{found.mean[1]:.4g}"]
    assert table[-1].endswith(f"without errors {found.digital:.4g}")
    said = json.loads(found.to_json())
    assert said["sigma of the range, of the largest weight"][1] == ["0.1", "0.075"]
    alone = monte_carlo(to_analog(net), size, None, KEY, 1, ({"linear": 0.1},))
    assert "linear 0.1" in str(alone)
    assert "not known" in str(alone)
    written = to_analog(net, WriteVerify(RangeNoise()))
    assert monte_carlo(written, size, None, KEY, 2, 0.1).sigma() == [("", "")]


def test_measured_errors_are_swept_to_twice_their_size():
    net = eqx.nn.Linear(2, 1, use_bias=False, key=KEY)
    size = lambda chip, _: jnp.abs(chip.weight).mean()
    found = monte_carlo(to_analog(net, PCM(read=False)), size, None, KEY, 2)
    assert found.levels == tuple(round(0.2 * k, 1) for k in range(11))
    assert not found.in_shares
    assert found.plot().get_xlabel().endswith("times the measured errors")
    assert monte_carlo(to_analog(net), size, None, KEY, 2).levels == LEVELS
    # of weights at the top, in uS of 25: that of the full cell, and of the idle one
    one = eqx.tree_at(lambda n: n.weight, net, jnp.ones((1, 2)))
    cells = np.hypot(0.26348 + 1.9650 - 1.1731, 0.26348) / 25.0
    found = monte_carlo(to_analog(one, PCM(read=False)), size, None, KEY, 2, 1.0)
    assert found.sigma() == [(f"{cells / 2:.3g}", f"{cells:.3g}")]


def test_a_level_of_a_kind_that_is_not_there_is_told():
    with pytest.warns(AnalogWarning, match=r'kind "conv".*Kinds here: linear, bias'):
        monte_carlo(TWIN, right, DATA, KEY, 2, [{"linear": 0.1, "conv": 0.1}])


def test_mean_against_theory_of_a_linear_layer():
    layer = eqx.nn.Linear(3, 1, use_bias=False, key=KEY)
    truth = jax.vmap(layer)(XS)
    error = lambda chip, b: jnp.mean((jax.vmap(chip)(b[0]) - b[1]) ** 2, axis=1)
    twin = to_analog(layer)
    found = monte_carlo(twin, error, (XS, truth), KEY, 2000, (0.1,))
    sigma = 0.1 * float(jnp.ptp(layer.weight))
    want = sigma**2 * float(jnp.mean(jnp.sum(XS**2, axis=1)))
    assert abs(found.mean[0] - want) < 4 * found.error[0]


def test_levels_as_dicts_and_a_single_number():
    some = monte_carlo(TWIN, right, DATA, KEY, 2, [{"linear": 0.1, "bias": 0.0}])
    assert some.levels == ((("linear", 0.1), ("bias", 0.0)),)
    assert monte_carlo(TWIN, right, DATA, KEY, 2, 0.1).values.shape == (1, 2)


def test_report_tells_all(tmp_path):
    found = monte_carlo(TWIN, right, DATA, KEY, 5, (0.0, 0.1))
    rows = list(csv.reader(io.StringIO(found.to_csv(tmp_path / "a.csv"))))
    assert len(rows) == 3
    assert rows[0][:4] == ["level", "mean", "std", "error"]
    assert_allclose(float(rows[2][1]), found.mean[1], rtol=1e-6)
    about = json.loads(found.to_json(tmp_path / "a.json"))
    assert about["components"][0][0] == "layers[0].weight"
    assert found.quantiles.shape == (2, 5)
    assert_array_equal(found.at(0.1), found.values[1])
    found.plot(label="chips")
    with pytest.raises(ConfigError, match="not simulated"):
        found.at(0.3)
    lost = lambda chip, batch: jnp.full(len(batch[1]), jnp.nan)
    levels = np.asarray((1e-8, 3e-8), np.float32)
    one = monte_carlo(TWIN, lost, DATA, KEY, 1, levels)
    assert np.isnan(one.std).all()
    assert one.at(levels[1]) is not one.at(levels[0])
    refuse = lambda word: pytest.fail(f"{word} is no JSON")
    assert json.loads(one.to_json(), parse_constant=refuse)["values"] == [[None]] * 2


def test_spread_is_not_told_for_marginal_copies():
    conv = Convolution(1, 2, key=KEY)
    images = jnp.ones((3, 4, 4, 1))
    mean = lambda chip, b: jnp.mean(jax.vmap(chip)(b), axis=(1, 2, 3))
    twin = to_analog(conv, unfold="marginal")
    found = monte_carlo(twin, mean, images, KEY, 3, (0.1,))
    assert not found.spread_known
    assert np.isnan(found.std).all()
    assert np.isnan(found.quantiles).all()
    assert np.isfinite(found.error).all()


def test_time_to_failure_and_refresh_by_the_law():
    net = eqx.nn.Linear(1, 1, use_bias=False, key=KEY)
    device = Relaxing(RangeNoise(default_level=0.0), 0.1, 0.0, over_program=False)
    twin = to_analog(net, device)
    kept = lambda chip, _: jnp.abs(chip.weight[0, 0] / net.weight[0, 0])
    times = [HOUR * 10.0**p for p in np.linspace(-1, 2, 40)]
    found = time_to_failure(twin, kept, None, 0.2, key=KEY, n=2, times=times)
    assert_allclose(found.failure, 99 * 60.0, rtol=0.01)  # rho = 0.2 at 10^2 - 1
    early = [0.0, HOUR, 4 * HOUR]  # in the first hour the loss is taken as linear
    found = time_to_failure(twin, kept, None, 0.1, key=KEY, n=2, times=early)
    assert_allclose(found.failure, HOUR * 0.1 / (0.1 * np.log10(61.0)), rtol=1e-4)
    never = time_to_failure(twin, kept, None, 0.9, key=KEY, n=2, times=times)
    assert never.failure == np.inf
    assert str(never).endswith("is not lost within 100 hours")
    table = str(found).splitlines()
    assert table[0].split() == ["hours", "lost", "std"]
    assert table[2].split() == ["1", f"{0.1 * np.log10(61.0):.4g}", "0"]
    assert table[-1] == "0.1 of 1 without errors is lost after 0.56 hours"
    period, lost = refresh(twin, kept, None, key=KEY, periods=times, drop=0.2, n=2)
    assert period == max(t for t in times if t <= 99 * 60.0)
    assert (np.diff(lost) > 0).all()
    gone = lambda chip, _: jnp.where(kept(chip, None) > 0.85, 1.0, jnp.nan)
    lost_to_nan = time_to_failure(twin, gone, None, 0.2, key=KEY, n=2, times=times)
    assert 0.0 < lost_to_nan.failure < 99 * 60.0
    # beyond its target at first, right an hour later
    over = to_analog(net, Relaxing(RangeNoise(default_level=0.0), 0.1, 0.0, HOUR))
    near = lambda chip, _: -jnp.abs(kept(chip, None) - 1.0)
    with pytest.warns(AnalogWarning, match="cannot help"):
        period, lost = refresh(over, near, None, key=KEY, periods=times[::10], drop=0.1)
    assert lost.min() < 0.1 < lost[0]
    assert period == 0.0
    with pytest.raises(ConfigError, match="increasing"):
        refresh(twin, kept, None, key=KEY, periods=[2.0, 1.0])


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"metric": lambda c, b: jnp.ones((37, 2))}, ShapeError, "one a sample"),
        ({"metric": lambda c, b: jnp.ones(5)}, ShapeError, "5 numbers for 37"),
        ({"n": 0}, ConfigError, "at least one chip"),
        ({"chunk": "all"}, ConfigError, "chunk"),
        ({"batch_size": 0}, ConfigError, "batch_size"),
        ({"levels": ()}, ConfigError, "no noise levels"),
        ({"levels": (-0.1,)}, ConfigError, "at least 0"),
        ({"levels": [{"lineer": 0.1}]}, ConfigError, "linear"),
        ({"data": (XS, LABELS[:3])}, DataError, "one leading axis"),
        ({"data": (XS[:0], LABELS[:0])}, DataError, "at least one sample"),
        ({"data": ([[1.0, 2.0, 3.0]], [0])}, DataError, "pytree of arrays"),
        ({"t": -1.0}, ConfigError, "t is -1"),
    ],
)
def test_bad_input(change, error, words):
    given = {"metric": right, "data": DATA, "n": 2, "levels": (0.1,), **change}
    metric, data = given.pop("metric"), given.pop("data")
    with pytest.raises(error, match=words):
        monte_carlo(
            TWIN, metric, data, KEY, given.pop("n"), given.pop("levels"), **given
        )

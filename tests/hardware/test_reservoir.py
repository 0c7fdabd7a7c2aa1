"""Reservoirs of device weights: neurons, reads and readouts against their closed forms,
and a task that no linear map of the inputs does."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from pendula._errors import ConfigError, DataError, ShapeError
from pendula._precision import precision
from pendula._tree import split_trainable
from pendula.hardware import (
    LIF,
    Crossbar,
    EchoState,
    LinearReadout,
    LiquidStateMachine,
    RandomPairs,
    Truncated,
    bits_accuracy,
    delayed_xor,
    fit_classes,
    fit_projections,
    fit_ridge,
    fit_softmax,
    latency_code,
    memory_capacity,
    pair_loss,
    reservoir_states,
    spectral_radius,
)


def fires(cell, currents):
    """Potentials and spikes of one neuron under a current that changes."""

    def one(state, current):
        state, spike = cell(state, current)
        return state, (state.v, spike)

    return jax.lax.scan(one, cell.start(()), currents)[1]


# ------------------------------------------------------------------------- neurons


def test_between_spikes_the_potential_is_the_closed_form():
    tau, steps = 5.0, 30
    cell = LIF.of(tau=tau, threshold=10.0)
    held = jnp.concatenate([jnp.full(steps, 2.0), jnp.full(steps, -1.0)])
    v, spikes = fires(cell, held)
    k = np.arange(1, steps + 1)
    rising = 2.0 * (1.0 - np.exp(-k / tau))
    falling = -1.0 + (rising[-1] + 1.0) * np.exp(-k / tau)
    assert_allclose(v, np.concatenate([rising, falling]), atol=1e-5)
    assert not spikes.any()


@pytest.mark.parametrize("current", [1.3, 2.5])
def test_a_constant_current_gives_the_analytic_rate(current):
    tau, reset, pause = 50.0, -0.5, 7
    cell = LIF.of(tau=tau, threshold=1.0, reset=reset, refractory=pause)
    _, spikes = fires(cell, jnp.full(4000, current))
    when = np.flatnonzero(spikes)
    # the interval in whole samples, exactly
    exact = tau * np.log((current - reset) / (current - 1.0))
    assert set(np.diff(when)) == {int(np.ceil(exact)) + pause}
    rate = float(cell.rate(jnp.asarray(current)))
    assert_allclose(rate, 1.0 / (exact + pause), rtol=1e-5)
    assert_allclose(1.0 / np.diff(when).mean(), rate, rtol=1.0 * rate)


def test_no_rate_below_threshold_and_silence_while_refractory():
    cell = LIF.of(tau=1.0, refractory=2)
    assert_array_equal(cell.rate(jnp.asarray([-1.0, 0.5, 1.0])), 0.0)
    v, spikes = fires(cell, jnp.full(9, 100.0))
    assert_array_equal(spikes, [1, 0, 0] * 3)
    assert_array_equal(v, 0.0)


def test_latency_code_is_one_spike_a_channel():
    x = jnp.asarray([1.0, 0.75, 0.3, 0.1, 0.0, 7.0])
    code = latency_code(x, 5, threshold=0.2)
    assert code.shape == (5, 6)
    assert_array_equal(code.sum(axis=0), [1, 1, 1, 0, 0, 1])
    first = np.argmax(np.asarray(code), axis=0)
    assert_array_equal(first[[0, 1, 2, 5]], [0, 1, 3, 0])
    for steps, values, error in ((0, x, ConfigError), (3, x[:0], ShapeError)):
        with pytest.raises(error):
            latency_code(values, steps)


# ----------------------------------------------------------------- devices and reads


def test_pairs_are_differences_of_conductances(key):
    w = np.asarray(RandomPairs().draw(key, (300, 200)))
    assert np.abs(w).max() <= 1.0
    assert_allclose([w.mean(), w.std()], [0.0, np.sqrt(1 / 6)], atol=5e-3)
    narrow = RandomPairs(Truncated(2.0), mean=0.3, spread=0.05)
    assert_allclose(narrow.draw(key, (300, 200)).std(), 0.05 * np.sqrt(2), rtol=0.02)


def test_read_noise_has_the_law_of_errors_on_every_weight(key):
    bar = Crossbar.draw(6, 3, scale=1.7, key=key)
    x = jnp.asarray([0.5, -1.0, 0.0, 2.0, 1.0, -0.3])
    level, n = 0.05, 20_000
    keys = jax.random.split(jax.random.fold_in(key, 1), n)
    y = np.asarray(jax.vmap(lambda k: bar(x, key=k, level=level))(keys))
    sigma = level * 2.0 * 1.7
    dense = np.random.default_rng(0).normal(size=(n, 3, 6)) * sigma
    dense = (np.asarray(bar.matrix) + dense) @ np.asarray(x)
    exact = sigma * np.linalg.norm(x)
    for made in (y, dense):
        # standard errors of mean and deviation, times 4
        error = 4.0 * exact / np.sqrt(n)
        assert_allclose(made.mean(axis=0), bar.matrix @ x, atol=error)
        assert_allclose(made.std(axis=0), exact, atol=error)
        assert np.abs(np.corrcoef(made.T) - np.eye(3)).max() < 4.0 / np.sqrt(n)
    assert_allclose(bar(x), bar.matrix @ x, rtol=1e-6)


def test_spectral_radius_is_rescaled(key):
    chip = LiquidStateMachine.draw(2, 40, radius=0.7, key=key)
    assert_allclose(spectral_radius(chip.recurrent.matrix), 0.7, rtol=1e-5)
    raw = EchoState.draw(2, 40, radius=None, key=key).recurrent
    assert float(raw.scale) == 1.0
    # same devices: rescaling changes how they are read
    assert_array_equal(raw.weight, chip.recurrent.weight)
    with pytest.raises(DataError, match="spectral radius 0"):
        Crossbar(jnp.zeros((3, 3)), jnp.asarray(1.0)).rescaled(0.9)


# ------------------------------------------------------------------------ reservoirs


def by_hand(chip, us):
    """An echo state network in NumPy."""
    w, v = np.asarray(chip.recurrent.matrix), np.asarray(chip.inputs.matrix)
    x, out = np.zeros(len(w)), []
    for u in np.asarray(us):
        new = np.tanh(w @ x + v @ np.append(u, float(chip.bias)))
        x = (1.0 - float(chip.leak)) * x + float(chip.leak) * new
        out.append(x)
    return np.stack(out)


def test_rates_follow_their_equation_and_streams_are_apart(key):
    chip = EchoState.draw(2, 15, leak=0.6, bias=0.3, key=key)
    us = jax.random.normal(jax.random.fold_in(key, 1), (5, 9, 2))
    whole = reservoir_states(chip, us, chunk=2)
    assert_allclose(whole[3], by_hand(chip, us[3]), atol=1e-5)
    assert_allclose(reservoir_states(chip, us, every=3)[:, -1], whole[:, -1], atol=1e-6)
    noisy = [reservoir_states(chip, us[:1].repeat(3, 0), key=key, level=e, chunk=c)
             for e, c in ((0.05, 3), (0.05, 2), (0.0, 3))]  # fmt: skip
    assert_allclose(noisy[0], noisy[1], atol=1e-5)
    assert not np.allclose(noisy[0][0], noisy[0][1])
    assert_allclose(noisy[2], whole[:1].repeat(3, 0), atol=1e-6)


def test_spikes_and_traces_follow_their_equations(key):
    chip = LiquidStateMachine.draw(3, 12, trace=2.0, bias=0.2, key=key)
    us = jax.random.bernoulli(key, 0.5, (20, 3)).astype(jnp.float32)
    found = chip(us)
    w, v = np.asarray(chip.recurrent.matrix), np.asarray(chip.inputs.matrix)
    keep, lasting = np.exp(-1.0 / 6.0), np.exp(-0.5)
    cells, spikes, trace = np.zeros(12), np.zeros(12), np.zeros(12)
    wait = np.zeros(12)
    for k, u in enumerate(np.asarray(us)):
        current = w @ spikes + v @ np.append(u, 0.2)
        cells = np.where(wait > 0, 0.0, keep * cells + (1.0 - keep) * current)
        spikes = 1.0 * (cells >= 1.0)
        cells = np.where(spikes > 0, 0.0, cells)
        wait = np.where(spikes > 0, 3, np.maximum(wait - 1, 0))
        trace = lasting * trace + (1.0 - lasting) * spikes
        assert_allclose(found[k], trace, atol=1e-5)
    assert found.max() > 0.0
    at_once = LiquidStateMachine.draw(3, 12, trace=0.0, bias=0.2, key=key)(us)
    assert set(np.unique(at_once)) == {0.0, 1.0}


def test_streams_of_another_precision(key):
    us = np.linspace(-1.0, 1.0, 8).reshape(1, 8, 1)
    chip = EchoState.draw(1, 20, leak=0.5, key=key)
    with precision(np.float64):
        wide = reservoir_states(chip, us)
    assert_allclose(wide, reservoir_states(chip, us.astype(np.float32)), atol=1e-6)


def test_nothing_in_a_reservoir_is_trained(key):
    chip = LiquidStateMachine.draw(1, 5, key=key)
    assert jax.tree.leaves(split_trainable(chip)[0]) == []
    readout = LinearReadout(jnp.ones((2, 5)), jnp.ones(2))
    assert len(jax.tree.leaves(split_trainable((chip, readout))[0])) == 2


def test_a_linear_delay_line_remembers_its_length(key):
    n = 8
    line = EchoState(
        Crossbar(jnp.zeros((n, 2)).at[0, 0].set(1.0), jnp.asarray(1.0)),
        Crossbar(jnp.eye(n, k=-1), jnp.asarray(1.0)),
        jnp.asarray(0.0),
        jnp.asarray(1.0),
        "identity",
    )
    found = memory_capacity(line, key=key, length=2000, ridge=1e-12)
    assert_allclose(found.by_delay[:n], 1.0, atol=1e-4)
    assert_allclose(found.by_delay[n:], 0.0, atol=0.02)
    assert_allclose(found.total, n, atol=0.05)
    noisy = memory_capacity(line, key=key, length=2000, level=0.05)
    # each step adds the noise of its read, of the size of the whole state
    assert 1.0 < noisy.total < 0.9 * n
    assert np.all(np.diff(noisy.by_delay[:n]) < 0.0)


# -------------------------------------------------------------------------- readouts


@pytest.mark.parametrize("shape", [(40, 6), (5, 9)])
def test_ridge_is_the_dense_solution(shape):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=shape) + 3.0, rng.normal(size=(shape[0], 2))
    ridge = 1e-3
    dx, dy = x - x.mean(0), y - y.mean(0)
    size = ridge * np.mean(np.var(x, axis=0)) * shape[0]
    stacked = np.concatenate([dx, np.sqrt(size) * np.eye(shape[1])])
    zeros = np.zeros((shape[1], 2))
    exact = np.linalg.lstsq(stacked, np.concatenate([dy, zeros]), rcond=None)[0]
    found = fit_ridge(x, y, ridge=ridge)
    assert_allclose(found.weight, exact.T, rtol=2e-5, atol=2e-6)
    assert_allclose(found.bias, y.mean(0) - x.mean(0) @ exact, rtol=2e-5, atol=1e-5)
    assert_allclose(
        found(jnp.asarray(x[0], jnp.float32)), found.scores(x)[0], atol=1e-4
    )
    plain = fit_ridge(x, y, ridge=0.0)  # of all solutions the smallest
    exact = np.linalg.lstsq(dx, dy, rcond=None)[0]
    assert_allclose(plain.weight, exact.T, rtol=2e-5, atol=2e-6)


def test_each_output_takes_the_ridge_that_is_best_held_out():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(60, 20))
    y = np.stack([x @ rng.normal(size=20), rng.normal(size=60)], axis=1)
    found = fit_ridge(x, y, ridge=[1e-9, 100.0])
    for out, ridge in enumerate((1e-9, 100.0)):
        alone = fit_ridge(x, y[:, out : out + 1], ridge=ridge)
        assert_allclose(found.weight[out], alone.weight[0], rtol=1e-5)


def test_softmax_is_at_the_minimum_of_its_loss():
    rng = np.random.default_rng(2)
    labels = rng.integers(0, 3, 90)
    x = 5.0 + 4.0 * (np.eye(3)[labels] + rng.normal(size=(90, 3)))
    found = fit_softmax(x, labels, 3, decay=0.1)
    scores = found.scores(x)
    p = np.exp(scores - scores.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    spread = x.std(0)
    slope = (p - np.eye(3)[labels]).T @ ((x - x.mean(0)) / spread) / 90
    slope += 0.1 * np.asarray(found.weight) * spread
    assert np.abs(slope).max() < 1e-3
    assert found.accuracy(x, labels) > 0.6
    assert fit_classes(x, labels, 3).accuracy(x, labels) > 0.6
    # a column that stands still, but for how its mean is rounded, says nothing
    still = np.concatenate([x, np.full((90, 1), 0.1)], axis=1)
    again = fit_softmax(still, labels, 3, decay=0.1).scores(still)
    assert_allclose(again, scores, atol=1e-3)


def test_projections_bring_pairs_together():
    # by hand: cosines 1 and 0 over the temperature
    a = jnp.asarray([[2.0, 0.0], [0.0, 3.0]])
    assert_allclose(pair_loss(a, a, 0.5), np.log1p(np.exp(-2.0)), rtol=1e-6)
    rng = np.random.default_rng(3)
    z = rng.normal(size=(120, 4))
    first, second = np.tanh(z @ rng.normal(size=(4, 12))), z @ rng.normal(size=(4, 9))
    pair = fit_projections(first[:80], second[:80], 8, num_steps=200, lr=1e-2)
    blind = fit_projections(first[:80], second[:80], 8, num_steps=0)
    test = first[80:], second[80:]
    assert pair.retrieval(*test) > 0.6 > 0.2 > blind.retrieval(*test)


# ------------------------------------------------------------------------ acceptance


def test_xor_of_bits_is_the_stream_and_no_linear_map_sees_it(key):
    stream = delayed_xor(3000, delay=2, hold=2, key=key)
    assert_array_equal(stream.us[::2], np.eye(2)[stream.bits])
    assert_array_equal(stream.us[1::2], np.eye(2)[stream.bits])
    assert_array_equal(stream.targets[2:], stream.bits[2:] ^ stream.bits[:-2])
    # zero but for the sampling error of a correlation: at most 3 of 4 signs are right
    aims = 2.0 * stream.targets[:, None] - 1.0
    fitted = fit_ridge(stream.window()[2:], aims[2:], ridge=1e-3)
    assert np.std(fitted.scores(stream.window()[2:])) < 4.0 * np.sqrt(3 / 3000)
    assert bits_accuracy(stream.window(), stream) < 0.8


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "hold"), [(EchoState, 1), (LiquidStateMachine, 4)], ids=["rate", "lif"]
)
def test_delayed_xor_is_read_and_survives_noisy_reads(key, kind, hold):
    """The acceptance figures on one chip: 300 neurons, delay 2, reads of 5 %."""
    stream = delayed_xor(5000, hold=hold, key=key)
    chip = kind.draw(2, 300, key=jax.random.fold_in(key, 1))
    raw = bits_accuracy(stream.window(), stream)
    right = []
    for level in (0.0, 0.05):
        made = reservoir_states(chip, stream.us[None], every=hold, key=key, level=level)
        right.append(bits_accuracy(made[0], stream))
    assert right[0] >= 0.95
    assert (right[1] - raw) / (right[0] - raw) >= 0.9


# ------------------------------------------------------------------------- bad input

BAD_NUMBERS = {
    "tau": lambda k: LIF.of(tau=0.0),
    "threshold": lambda k: LIF.of(threshold=0.0),
    "refractory": lambda k: LIF.of(refractory=-1.0),
    "finite": lambda k: LIF.of(reset=float("nan")),
    "mean": lambda k: RandomPairs(mean=1.5),
    "spread": lambda k: RandomPairs(spread=0.0),
    "leak": lambda k: EchoState.draw(1, 5, leak=0.0, key=k),
    "activation": lambda k: EchoState.draw(1, 5, activation="tan", key=k),
    "trace": lambda k: LiquidStateMachine.draw(1, 5, trace=-1.0, key=k),
    "radius": lambda k: EchoState.draw(1, 5, radius=-0.1, key=k),
    "neurons": lambda k: EchoState.draw(1, 0, key=k),
    "in_size": lambda k: Crossbar.draw(0, 5, key=k),
    "scale": lambda k: Crossbar.draw(1, 5, scale=float("inf"), key=k),
    "delayed_xor": lambda k: delayed_xor(2, delay=2, key=k),
    "ridge": lambda k: fit_ridge(np.ones((3, 1)), np.ones((3, 1)), ridge=-1.0),
    "classes": lambda k: fit_classes(np.ones((3, 1)), [0, 0, 0], 1),
    "decay": lambda k: fit_softmax(np.ones((3, 1)), [0, 1, 0], 2, decay=-1.0),
    "temperature": lambda k: fit_projections(np.eye(2), np.eye(2), temperature=0.0),
}


@pytest.mark.parametrize("word", BAD_NUMBERS)
def test_numbers_that_cannot_be_are_refused(word, key):
    with pytest.raises(ConfigError, match=word):
        BAD_NUMBERS[word](key)


def test_streams_and_levels_that_cannot_be_are_refused(key):
    chip = EchoState.draw(2, 5, key=key)
    us = np.zeros((2, 4, 2))
    for level, k, word in ((-0.1, key, "level"), (float("nan"), key, "level"),
                           (0.1, None, "key")):  # fmt: skip
        with pytest.raises(ConfigError, match=word):
            reservoir_states(chip, us, key=k, level=level)
        with pytest.raises(ConfigError, match=word):
            chip(jnp.zeros((4, 2)), key=k, level=level)
        with pytest.raises(ConfigError, match=word):
            chip(jnp.zeros((4, 2)), key=k, level=jnp.asarray(level))
    with pytest.raises(ShapeError, match=r"\(4, 3\).*\(time, 2\)"):
        reservoir_states(chip, np.zeros((2, 4, 3)))
    with pytest.raises(ShapeError, match="at least one"):
        chip(jnp.zeros((0, 2)))
    with pytest.raises(DataError, match="no streams"):
        reservoir_states(chip, us[:0])
    us[1, 2, 0] = np.nan
    with pytest.raises(DataError, match="stream 1"):
        reservoir_states(chip, us)
    with pytest.raises(ConfigError, match="every"):
        reservoir_states(chip, us, every=0)
    with pytest.raises(ShapeError, match="2 channels"):
        memory_capacity(chip, key=key)
    one = EchoState.draw(1, 5, key=key)
    with pytest.raises(ConfigError, match="washout"):
        memory_capacity(one, key=key, washout=3)
    with pytest.raises(DataError, match="too few"):
        memory_capacity(one, key=key, length=3)


def test_tables_that_cannot_be_are_refused():
    x, marks = np.ones((4, 2)), np.asarray([0, 1, 0, 1])
    for bad, error in (
        (np.ones(4), ShapeError),
        (np.ones((0, 2)), DataError),
        (np.full((4, 2), np.nan), DataError),
    ):
        with pytest.raises(error):
            fit_ridge(bad, x)
    with pytest.raises(ShapeError, match="3 samples"):
        fit_ridge(x[:3], x)
    with pytest.raises(DataError, match="too few"):
        fit_ridge(x[:2], x[:2])
    for labels, error in (
        (marks[:3], ShapeError),
        (marks - 1, DataError),
        (marks + 1, DataError),
        (marks * 1.0, DataError),
    ):
        with pytest.raises(error):
            fit_classes(x, labels, 2)
    readout = LinearReadout(jnp.ones((2, 3)), jnp.ones(2))
    with pytest.raises(ShapeError, match="fitted to 3"):
        readout.scores(x)
    with pytest.raises(ConfigError, match="held_out"):
        fit_ridge(x, x, held_out=np.nan)
    with pytest.raises(ConfigError, match="batch"):
        fit_projections(np.eye(3), np.eye(3), 2, batch=0)
    pair = fit_projections(np.eye(3), np.eye(3), 2, num_steps=1)
    with pytest.raises(ShapeError, match="fitted to 3"):
        pair.retrieval(x, x)
    stream = delayed_xor(20, key=jax.random.key(0))
    with pytest.raises(ShapeError, match="4 features"):
        bits_accuracy(x, stream)
    with pytest.raises(DataError, match="too short"):
        bits_accuracy(stream.window(), stream)

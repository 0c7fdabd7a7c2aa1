"""Checkpoints: interrupted + resumed = uninterrupted, to the last bit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_array_equal

from pendula._errors import CheckpointError
from pendula.train import (
    AbstractCallback,
    Checkpoint,
    KeepBest,
    MetricsLog,
    TrainState,
    adam_cosine,
    check_same,
    gradient_step,
    init_opt,
    latest,
    levenberg_state,
    levenberg_step,
    resume,
    run,
)


class Interrupt(AbstractCallback):
    """Ctrl-C at a step."""

    def __init__(self, at):
        self.at = at

    def __call__(self, state, row):
        if row["step"] == self.at:
            raise KeyboardInterrupt
        return state


def assert_same(a, b):
    """Equal to the last bit, keys and counters too."""
    leaves = [jax.tree.leaves(tree) for tree in (a, b)]
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(*leaves, strict=True):
        if isinstance(x, jax.Array) and jax.dtypes.issubdtype(
            x.dtype, jax.dtypes.prng_key
        ):
            x, y = jax.random.key_data(x), jax.random.key_data(y)
        assert x.dtype == y.dtype
        assert_array_equal(x, y)


@pytest.fixture(scope="module")
def adam():
    """Minibatches drawn from the state's key, three members, validation."""

    def loss(params, batch, key):
        take = jax.random.randint(key, (4,), 0, batch.shape[0])
        return jnp.mean((params["w"] - batch[take]) ** 2)

    transform = adam_cosine(0.05, 40)
    params = {"w": jnp.arange(3.0)}
    state = TrainState.start(
        params, init_opt(transform, params, 3), jax.random.key(7), 3
    )
    data = jax.random.normal(jax.random.key(0), (20,))
    score = jax.jit(lambda p: (p["w"] - jnp.mean(data)) ** 2)
    return gradient_step(loss, transform, members=3), state, data, score


@pytest.mark.parametrize("at", [10, 20, 35])
@pytest.mark.parametrize("before", [True, False])
def test_adam_resumes_to_the_same_bits(adam, tmp_path, at, before):
    """Interrupted before or after the validation of that step."""
    step, start, data, score = adam

    def go(folder, state, *others):
        calls = [
            KeepBest(score),
            MetricsLog(folder, "p", int(state.step)),
            Checkpoint(folder / "resume", 0, 0.0),
        ]
        place = 0 if before else 2
        calls[place:place] = others
        return run(step, state, data, calls, num_steps=40, log_every=5)[0]

    whole = go(tmp_path / "whole", start)
    with pytest.raises(KeyboardInterrupt):
        go(tmp_path / "cut", start, Interrupt(at))
    state, ended = resume(tmp_path / "cut" / "resume", 0, start)
    assert ended is None
    assert at - 5 <= int(state.step) < at
    again = go(tmp_path / "cut", state)
    assert_same(whole, again)
    logs = [(tmp_path / n / "metrics.jsonl").read_bytes() for n in ("whole", "cut")]
    assert logs[0] == logs[1]
    assert resume(tmp_path / "cut" / "resume", 0, start)[1] == "done"
    assert resume(tmp_path / "cut" / "resume", 1, start) is None


def test_levenberg_resumes_to_the_same_bits(tmp_path):
    with jax.enable_x64(True):
        ts = jnp.linspace(0.0, 2.0, 9)[None]
        items = (ts, 3.0 * jnp.exp(-1.7 * ts))
        step = levenberg_step(
            lambda p, s, item: s[0] * jnp.exp(-jnp.exp(p) * item[0]) - item[1],
            lambda p: jnp.reshape(p, (1,)),
            lambda items: jnp.asarray(9.0),
        )
        opt = levenberg_state(jnp.float64, damping=10.0)
        pair = (jnp.zeros(()), jnp.ones((1, 1)))
        start = TrainState.start(pair, opt, jax.random.key(0))

        def go(folder, state, *others):
            calls = [*others, Checkpoint(folder, 3, 0.0)]
            return run(step, state, items, calls, num_steps=12, log_every=1)[0]

        whole = go(tmp_path / "whole", start)
        with pytest.raises(KeyboardInterrupt):
            go(tmp_path / "cut", start, Interrupt(5))
        state, _ = resume(tmp_path / "cut", 3, start)
        assert int(state.step) == 4
        assert_same(whole, go(tmp_path / "cut", state))


@pytest.fixture
def state():
    return TrainState.start({"w": jnp.arange(3.0)}, None, jax.random.key(0))


def test_the_last_two_are_kept_and_the_newest_counts(state, tmp_path):
    checkpoint = Checkpoint(tmp_path, 2, 0.0)
    for k in range(5):
        checkpoint(TrainState.start({"w": k * jnp.ones(3)}, None, state.key), {})
        # same step, same name: only the content changes
    assert [p.name for p in tmp_path.iterdir()] == ["state-002-000000000.safetensors"]
    for k in (7, 11, 1000):
        moved = jax.tree.map(lambda x: x, state)
        object.__setattr__(moved, "step", jnp.asarray(k))
        checkpoint(moved, {})
    names = sorted(p.name for p in tmp_path.iterdir())
    assert names == [
        "state-002-000000011.safetensors",
        "state-002-000001000.safetensors",
    ]
    assert latest(tmp_path) == (2, tmp_path / names[-1])
    Checkpoint(tmp_path, 3).close(state, "done")
    assert latest(tmp_path)[0] == 3
    assert len(list(tmp_path.iterdir())) == 2


def test_a_key_of_another_generator_comes_back(tmp_path):
    key = jax.random.key(5, impl="rbg")
    start = TrainState.start(jnp.ones(2), None, key)
    Checkpoint(tmp_path, 0).write(start)
    state, _ = resume(tmp_path, 0, start)
    assert_array_equal(jax.random.bits(state.key), jax.random.bits(key))


def test_nothing_there(tmp_path, state):
    assert latest(tmp_path) is None
    assert latest(tmp_path / "missing") is None
    assert resume(tmp_path, 0, state) is None


def test_between_two_saves_nothing_is_written(state, tmp_path):
    checkpoint = Checkpoint(tmp_path, 0, 1e6)
    checkpoint(state, {})
    assert list(tmp_path.iterdir()) == []
    checkpoint.close(state, None)
    assert len(list(tmp_path.iterdir())) == 1


def test_a_half_written_file_does_not_count(state, tmp_path):
    Checkpoint(tmp_path, 0).write(state)
    good = latest(tmp_path)[1]
    (tmp_path / ".0123456789ab.safetensors").write_bytes(b"half")
    (tmp_path / "state-000-000000009.safetensors").write_bytes(good.read_bytes()[:-4])
    (tmp_path / "state-x-1.safetensors").write_bytes(b"")
    wrong = bytearray(good.read_bytes())
    wrong[-1] ^= 1
    (tmp_path / "state-000-000000010.safetensors").write_bytes(wrong)
    assert latest(tmp_path) == (0, good)
    found, ended = resume(tmp_path, 0, state)
    assert ended is None
    assert_same(found, state)
    Checkpoint(tmp_path, 0)
    assert not (tmp_path / ".0123456789ab.safetensors").exists()


def test_a_write_that_fails_leaves_the_old_file(state, tmp_path, monkeypatch):
    checkpoint = Checkpoint(tmp_path, 0)
    checkpoint.write(state)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}

    def fail(tensors, path, metadata):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pendula.train._serial.save_file", fail)
    with pytest.raises(OSError, match="No space"):
        checkpoint.write(state)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_a_state_of_another_training_is_refused(state, tmp_path):
    Checkpoint(tmp_path, 0).write(state)
    others = {
        "another shape": {"w": jnp.arange(4.0)},
        "another dtype": {"w": jnp.arange(3)},
        "one more": {"w": jnp.arange(3.0), "v": jnp.zeros(())},
        "one less": {},
    }
    for what, params in others.items():
        like = TrainState.start(params, None, jax.random.key(0))
        with pytest.raises(CheckpointError, match=r"training|more than") as found:
            resume(tmp_path, 0, like)
        assert str(tmp_path) in str(found.value), what


def test_a_model_file_is_no_checkpoint(state, tmp_path):
    from safetensors.numpy import save_file

    save_file({"00000": np.zeros(3)}, tmp_path / "state-000-000000001.safetensors")
    with pytest.raises(CheckpointError, match="is not a checkpoint of a training"):
        resume(tmp_path, 0, state)


def test_other_settings_or_data_are_refused(tmp_path):
    folder = tmp_path / "resume"
    check_same(folder, {"config": {"seed": 0}, "data": "abc"})
    check_same(folder, {"data": "abc", "config": {"seed": 0}})
    with pytest.raises(CheckpointError, match="other settings or data") as found:
        check_same(folder, {"config": {"seed": 1}, "data": "abc"})
    assert "settings or data: config.seed. Resume" in str(found.value)
    assert "start again without --resume" in str(found.value)
    assert [p.name for p in folder.iterdir()] == ["identity.json"]

"""The one loop: when callbacks are called, how it ends, what it writes."""

import json
import time

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pendula._errors import ConfigError
from pendula.train import (
    AbstractCallback,
    MetricsLog,
    Plateau,
    StopTraining,
    Tell,
    TimeLimit,
    TrainState,
    logged,
    run,
)


def counting(inner=1):
    """A step that adds the batch to the parameters; no compilation."""

    def step(state, batch):
        done = (state.params + inner * batch, state.step + inner)
        new = eqx.tree_at(lambda s: (s.params, s.step), state, done)
        return new, {"loss": new.params, "still": new.step // 4}

    return step


def begin():
    return TrainState.start(jnp.zeros(()), None, jax.random.key(0))


class Record(AbstractCallback):
    """Remembers the steps it saw and how the loop ended."""

    def __init__(self, stop_at=None, error=KeyboardInterrupt):
        self.steps, self.ended = [], None
        self.stop_at, self.error = stop_at, error

    def __call__(self, state, row):
        self.steps.append(row["step"])
        if row["step"] == self.stop_at:
            raise self.error
        return state

    def close(self, state, reason):
        self.ended = (int(state.step), reason)


@pytest.mark.parametrize(
    ("num_steps", "log_every", "inner", "seen"),
    [
        (7, 3, 1, [3, 6, 7]),
        (6, 3, 1, [3, 6]),
        (3, 10, 1, [3]),
        (20, 10, 5, [10, 20]),
        (15, 10, 5, [10, 15]),
        (10, 1, 5, [5, 10]),
        (11, 10, 5, [10, 15]),
    ],
)
def test_callbacks_see_every_interval_and_the_end(num_steps, log_every, inner, seen):
    record = Record()
    state, reason = run(
        counting(inner),
        begin(),
        jnp.ones(()),
        [record],
        num_steps=num_steps,
        log_every=log_every,
        inner=inner,
    )
    assert record.steps == seen
    assert reason == "done"
    assert record.ended == (seen[-1], "done")
    assert float(state.params) == seen[-1]


def test_batches_are_asked_for_by_step_so_that_a_resumed_run_sees_the_same():
    asked = []

    def batches(k):
        asked.append(k)
        return jnp.asarray(float(k))

    half, _ = run(counting(), begin(), batches, num_steps=3)
    state, _ = run(counting(), half, batches, num_steps=5)
    assert asked == [0, 1, 2, 3, 4]
    assert float(state.params) == 10.0


def test_a_finished_state_comes_back_unchanged():
    done, _ = run(counting(), begin(), jnp.ones(()), num_steps=4)
    again, reason = run(counting(), done, jnp.ones(()), num_steps=4)
    assert reason == "done"
    assert again is done


@pytest.mark.parametrize("setting", ["num_steps", "log_every", "max_bad", "inner"])
def test_counts_that_make_no_sense_are_refused(setting):
    with pytest.raises(ConfigError, match=f"{setting} is -1; it must be at least"):
        run(counting(), begin(), None, **{"num_steps": 3, setting: -1})


def test_a_callback_that_stops_gives_the_reason():
    class Enough(AbstractCallback):
        def __call__(self, state, row):
            raise StopTraining("enough")

    record = Record()
    state, reason = run(
        counting(), begin(), jnp.ones(()), [record, Enough()], num_steps=50
    )
    assert reason == "enough"
    assert record.ended == (10, "enough")
    assert int(state.step) == 10


@pytest.mark.parametrize("first", [True, False])
def test_an_interrupt_hands_on_only_what_every_callback_has_seen(first):
    """Else what is saved would lack, say, the validation of its last step."""
    stop, other = Record(stop_at=6), Record()
    with pytest.raises(KeyboardInterrupt):
        run(
            counting(),
            begin(),
            jnp.ones(()),
            [stop, other] if first else [other, stop],
            num_steps=50,
            log_every=3,
        )
    assert other.ended == stop.ended == (5, None)
    assert other.steps == ([3] if first else [3, 6])


def test_an_error_in_a_step_closes_the_callbacks():
    def broken(state, batch):
        if int(state.step) == 4:
            raise MemoryError
        return counting()(state, batch)

    record = Record()
    with pytest.raises(MemoryError):
        run(broken, begin(), jnp.ones(()), [record], num_steps=9, log_every=2)
    assert record.ended == (4, None)


def test_time_limit_and_plateau():
    late = TimeLimit(time.perf_counter() - 1.0, "the limit of 1 min")
    _, reason = run(counting(), begin(), jnp.ones(()), [late], num_steps=50)
    assert reason == "stopped at step 10: the limit of 1 min"
    early = TimeLimit(time.perf_counter() + 1e6, "never")
    _, reason = run(counting(), begin(), jnp.ones(()), [early], num_steps=20)
    assert reason == "done"
    calls = [Plateau(patience=3)]
    _, reason = run(counting(), begin(), jnp.ones(()), calls, num_steps=50, log_every=1)
    assert reason == "converged at step 12"


def test_plateau_waits_for_the_last_member():
    plateau = Plateau(patience=3)
    plateau(begin(), {"step": 1, "still": np.array([9.0, 2.0])})
    with pytest.raises(StopTraining, match="converged at step 2"):
        plateau(begin(), {"step": 2, "still": np.array([9.0, 3.0])})


def lines(folder, name="metrics.jsonl"):
    return [json.loads(s) for s in (folder / name).read_text().splitlines()]


def test_metrics_are_the_same_bytes_for_the_same_run(tmp_path):
    for name in ("a", "b"):
        log = MetricsLog(tmp_path / name, "clips")
        run(counting(), begin(), jnp.asarray(0.1), [log], num_steps=25)
    first = (tmp_path / "a" / "metrics.jsonl").read_bytes()
    assert first == (tmp_path / "b" / "metrics.jsonl").read_bytes()
    rows = lines(tmp_path / "a")
    assert [row["step"] for row in rows] == [10, 20, 25]
    assert {row["phase"] for row in rows} == {"clips"}
    timed = lines(tmp_path / "a", "timing.jsonl")
    assert [set(row) for row in timed] == [{"phase", "step", "seconds"}] * 3


def test_what_is_not_finite_is_null_in_the_log(tmp_path):
    log = MetricsLog(tmp_path, "p")
    log(begin(), {"step": 1, "loss": np.array([1.0, np.nan]), "validation": np.inf})
    text = (tmp_path / "metrics.jsonl").read_text()
    assert text == (
        '{"phase": "p", "step": 1, "loss": [1.0, null], "validation": null}\n'
    )


def test_a_resumed_log_drops_what_lies_behind_its_checkpoint(tmp_path):
    for phase in ("one", "two"):
        log = MetricsLog(tmp_path, phase)
        run(counting(), begin(), jnp.ones(()), [log], num_steps=30)
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"phase": "two", "st')  # a kill in the middle of a line
    MetricsLog(tmp_path, "two", 20)
    found = [(row["phase"], row["step"]) for row in lines(tmp_path)]
    assert found == [("one", 10), ("one", 20), ("one", 30), ("two", 10), ("two", 20)]
    MetricsLog(tmp_path, "one", 10)
    assert [(row["phase"], row["step"]) for row in lines(tmp_path)] == [("one", 10)]


def test_tell_hands_on_plain_numbers():
    told = []
    run(counting(), begin(), jnp.ones(()), [Tell(told.append)], num_steps=10)
    assert told == [{"step": 10, "loss": 10.0, "still": 2}]
    assert type(told[0]["loss"]) is float


def test_what_is_logged_counts_the_seconds_of_all_processes(tmp_path):
    """A phase killed twice: 3 s, 2 s and 4 s of it; then another phase of 1 s, whose
    last line a kill left half written."""
    assert logged(tmp_path) == ([], 0.0)
    seen = [("a", 1), ("a", 3), ("a", 2), ("a", 1), ("a", 4), ("b", 1)]
    lines = [json.dumps({"phase": p, "step": 1, "seconds": s}) for p, s in seen]
    (tmp_path / "timing.jsonl").write_text("\n".join([*lines, '{"pha']))
    (tmp_path / "metrics.jsonl").write_text('{"phase": "a", "step": 1, "loss": 2.0}\n')
    assert logged(tmp_path) == ([{"step": 1, "loss": 2.0}], 10.0)


def test_a_process_counts_on_from_what_its_phase_took(tmp_path):
    seen = [("a", 1, 1.0), ("b", 1, 2.0), ("b", 2, 9.0)]
    rows = [json.dumps({"phase": p, "step": k, "seconds": s}) for p, k, s in seen]
    (tmp_path / "timing.jsonl").write_text("".join(f"{row}\n" for row in rows))
    log = MetricsLog(tmp_path, "b", 1)
    log(begin(), {"step": 2, "loss": 1.0})
    last = lines(tmp_path, "timing.jsonl")[-1]["seconds"]
    assert 2.0 <= last < 9.0
    assert logged(tmp_path)[1] == pytest.approx(1.0 + last)

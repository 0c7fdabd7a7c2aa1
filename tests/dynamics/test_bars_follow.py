"""A chain run beside a record: machines, distances, the balance of energy."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pendula import ConfigError, DataError
from pendula.dynamics import (
    BarChain,
    BarIntervals,
    BarsMachine,
    ElasticBars,
    Fitted,
    bar_model,
    bar_path,
    follow_bars,
    load,
)
from pendula.dynamics._bars_records import bar_records
from pendula.systems import (
    Slinky,
    SlinkyCase,
    bar_distance,
    bar_record,
    slinky_case,
)


BARS, FRAMES = 5, 21
TRUE = (50.0, 120.0, 0.06)
TS = 0.01 * np.arange(FRAMES)
MACHINE = BarsMachine(drag=0.05, last=False)


def chain_of(constants, machine):
    law = ElasticBars(jnp.log(jnp.asarray(constants, jnp.float32)), 0.0)
    return machine.on(BarChain(law, machine.world()))


def fitted_of(*members, **about):
    """As if it had been learned, constants by constants."""
    chains = [chain_of(constants, BarsMachine()) for constants in members]
    stacked = jax.tree.map(lambda *xs: np.stack([np.asarray(x) for x in xs]), *chains)
    own = {
        "members": len(members),
        "dtype": "float32",
        "step": 0.01,
        "config": {"natural": 0.0},
    }
    return Fitted(bar_model(stacked, BARS), own | about)


def straight(bars=BARS):
    u = np.zeros((bars, 3))
    u[:, 0] = 0.006 * np.arange(bars)
    return u


@pytest.fixture(scope="module")
def record():
    return bar_path(chain_of(TRUE, MACHINE), TS, straight())


def test_the_chain_that_made_a_record_stays_on_it(record):
    """And what drag took makes up for what its energy lost."""
    fitted = fitted_of(TRUE, law=TRUE, visited=[[-1.0, 1.0]] * 3)
    run = follow_bars(fitted, MACHINE, TS, record.u, record.v)
    assert run.good
    assert run.ends_at is None
    assert run.kept == FRAMES
    spun = run.mean.copy()
    spun[7, 2, 2] += 4.0
    assert dataclasses.replace(run, mean=spun).kept == 7
    assert run.error.max() < 1e-6
    assert run.distance(run.law).max() < 1e-6
    assert run.helix_error < 1e-12
    assert run.persistence[0] == 0.0
    assert run.persistence[-1] > 1e-3
    assert run.halving.max() < 0.1 * run.persistence.max()
    assert run.outside.max() == 0.0
    lost = record.total[0] - record.total[-1]
    assert lost > 0.0
    assert run.lost[-1] == pytest.approx(lost, rel=0.02)
    assert run.drift < 0.02  # much drag; 0.009 measured
    assert sum(run.truth_energy.values()) == pytest.approx(record.total, abs=1e-7)


def test_another_chain_strays_and_what_lies_beyond_training_is_counted(record):
    fitted = fitted_of((60.0, 120.0, 0.06), visited=[[0.006, 0.0061]] * 3)
    run = follow_bars(fitted, MACHINE, TS, record.u, record.v)
    assert run.law is None
    assert run.error[-1] > 1e-5
    assert run.outside[-1] == 1.0
    part = follow_bars(fitted, MACHINE, TS, record.u[:11], record.v[:11])
    assert np.isfinite(part.helix_error)  # over what is known of the record
    assert part.helix_error < run.helix_error
    alone = follow_bars(fitted, MACHINE, TS, record.u[:1], record.v[:1])
    assert alone.truth is None
    np.testing.assert_array_equal(alone.mean, run.mean)


def test_a_motion_that_leaves_the_finite_numbers_is_said(record):
    fitted = fitted_of((5e7, 5e7, 5e4))
    run = follow_bars(fitted, MACHINE, TS, record.u, record.v)
    assert not run.good
    assert 0.0 < run.ends_at < TS[-1]
    assert np.isinf(run.error[-1])
    assert run.drift == float("inf")  # and not none at all
    assert run.kept == 1


def test_the_distance_of_bars_is_that_of_their_ends():
    u = straight()
    turned = u + np.array([0.0, 0.0, 0.1])
    chord = 2.0 * 0.033 * np.sin(0.05)
    assert bar_distance(u, turned) == pytest.approx(chord)
    assert bar_distance(u, u + np.array([3e-3, 4e-3, 0.0])) == pytest.approx(5e-3)
    assert bar_distance(np.stack([u, u]), np.stack([u, turned])).shape == (2,)


def test_a_simulated_record_says_its_machine():
    """What `record` writes of a case is read again."""
    case = dataclasses.replace(slinky_case("case4"), heavier=2.0, seconds=0.6)
    told = {k: v for k, v in dataclasses.asdict(case).items() if k != "at"}
    origin = {"system": "slinky", "integrator": "bdf2", "dt": 1e-3, **told}
    again = SlinkyCase.recorded(origin)
    assert again == dataclasses.replace(case, at=())
    assert SlinkyCase.recorded({"system": "pendulum"}) is None
    assert SlinkyCase.recorded({"system": "slinky", "cycles": 76}) is None
    assert SlinkyCase.recorded(origin | {"key": "case1"}).at == (0.53,)
    u = np.tile(straight(), (4, 1, 1))
    data = bar_record(TS[:4], u, 0 * u, origin=origin)
    machine, why = BarsMachine.of_record(data)
    assert machine == BarsMachine.of_case(case)
    assert machine.mass == pytest.approx(2.0 * Slinky().cycle_mass)
    assert machine.stiffness == 0.5
    assert "simulated" in why


def test_held_ends_are_seen(record):
    made = lambda u: bar_record(TS, u, 0 * u, origin={})
    usual = BarsMachine(mass=1e-3, drag=0.1)
    machine, _ = BarsMachine.of_record(made(record.u), usual)
    assert machine == dataclasses.replace(usual, first=True, last=False)
    noisy = record.u + 2e-4 * np.random.default_rng(1).normal(size=record.u.shape)
    machine, _ = BarsMachine.of_record(made(noisy))
    assert (machine.first, machine.last) == (True, False)
    assert BarsMachine.of_record(made(noisy), usual, see=False)[0] == usual
    trembling = record.u + 1e-6 * np.random.default_rng(0).normal(size=record.u.shape)
    machine, _ = BarsMachine.of_record(made(trembling))
    assert (machine.first, machine.last) == (True, False)
    machine, _ = BarsMachine.of_record(made(record.u[:, ::-1]))
    assert (machine.held, machine.first) == ("at its last end", False)
    with pytest.raises(DataError, match="no bar of record 0 moves"):
        BarsMachine.of_record(made(np.tile(straight(), (FRAMES, 1, 1))))


def test_bad_machines_are_named():
    with pytest.raises(ConfigError, match="mass is 0"):
        BarsMachine(mass=0.0)
    with pytest.raises(ConfigError, match="drag is -1"):
        BarsMachine(drag=-1.0)
    with pytest.raises(ConfigError, match="expected two numbers"):
        BarsMachine(gravity=(9.8,))


def test_several_members_have_intervals(record, tmp_path):
    """Calibrated on the record, they cover it as often as they say; a saved fit
    too."""
    members = [tuple(c * np.asarray(TRUE)) for c in (0.98, 1.01, 1.03)]
    chains = [chain_of(m, MACHINE) for m in members]
    data = bar_record(TS, record.u, record.v)
    found = BarIntervals.of(chains, bar_records(data))
    fitted = fitted_of(*members, bar_intervals=dataclasses.asdict(found))
    run = follow_bars(fitted, MACHINE, TS, record.u, record.v)
    assert run.half.shape == (FRAMES, BARS, 2, 2)
    assert np.all(run.half[:, 0] == 0.0)  # held
    assert run.half[:, -1].min() > 0.0  # let go
    assert abs(run.covered[1:].mean() - 0.9) < 0.06
    again = load(
        dataclasses.replace(fitted, about=fitted.about | {"layout": {}}).save(
            tmp_path / "m.safetensors"
        )
    )
    other = follow_bars(again, MACHINE, TS, record.u, record.v)
    np.testing.assert_array_equal(other.half, run.half)
    alone = follow_bars(fitted_of(TRUE), MACHINE, TS, record.u, record.v)
    assert alone.half is None
    assert alone.covered is None
    unseen = follow_bars(fitted, MACHINE, TS, record.u[:1], record.v[:1])
    assert unseen.covered is None

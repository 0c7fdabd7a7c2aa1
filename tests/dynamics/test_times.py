"""Times of a rollout where a record has gaps."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from pendula._errors import DataWarning
from pendula._units import with_unit
from pendula.data import Trajectories
from pendula.dynamics import FitConfig, ModelConfig
from pendula.dynamics._prepare import prepare
from pendula.dynamics._times import GAP, affordable, filled


STEP, LONGEST = 0.1, 0.25
TS = np.arange(0.0, 8.0, STEP)
THERE = (TS < 2.0) | (TS > 2.75)


def record(kind="spline", keep=THERE, num=1):
    return Trajectories.from_arrays(
        [TS[keep]] * num,
        [np.sin(2.0 * TS[keep]) + k for k in range(num)],
        [np.cos(3.0 * TS[keep])] * num,
        input_kind=kind,
    )


def test_no_step_of_a_training_runs_over_a_gap():
    """The rate is learned from what was measured; what came is kept as it came."""
    data = record(num=3).replace(us=None, input_names=(), input_units=())
    prepared = prepare(data, FitConfig(ModelConfig(order="second")), "levenberg")
    parts = (prepared.whole, prepared.train, prepared.validation)
    for part in parts:
        steps = np.diff(part.ts, axis=1)
        assert steps.max() <= GAP * prepared.sampling * prepared.every * (1 + 1e-9)
    assert prepared.given is data
    train, states = prepared.train, prepared.states
    assert train.mask.sum() == 2 * THERE.sum()
    inside = ~train.mask.any(-1)
    assert np.isnan(states.rates[inside]).all()
    assert np.isfinite(states.rates[~inside]).all()


@pytest.mark.parametrize("kind", ["held", "linear", "spline"])
def test_inputs_run_over_a_gap_as_they_did(kind):
    data = record(kind)
    more = filled(data, LONGEST)
    assert np.diff(more.ts).max() <= LONGEST * (1 + 1e-9)
    assert_array_equal(more.ts[0][more.mask[0, :, 0]], data.ts[0])
    k = int(np.argmax(np.diff(data.ts[0])))
    begin = np.searchsorted(more.ts[0], data.ts[0, k])
    for at in range(begin, np.searchsorted(more.ts[0], data.ts[0, k + 1])):
        s = more.ts[0, at] - data.ts[0, k] + 0.03
        wanted = data.paths()[0, k, :, 0] @ s ** np.arange(4)
        found = more.paths()[0, at, :, 0] @ 0.03 ** np.arange(4)
        assert_allclose(found, wanted, atol=1e-9)


def test_what_has_no_gap_stays_what_it_is():
    data = record(keep=TS >= 0.0)
    assert filled(data, LONGEST) is data


def test_a_long_pause_is_not_filled_without_end():
    """Ten hours between two halves of a record: told, and not stepped through."""
    data = record()
    paused = data.replace(ts=data.ts + np.where(data.ts > 2.0, 36000.0, 0.0))
    with pytest.warns(DataWarning, match="record 0 pauses for 3.6e.04 after 1.9,"):
        more = filled(paused, affordable(paused, LONGEST))
    assert more.ts.shape[1] <= 2.1 * data.ts.shape[1]


@pytest.mark.parametrize(("unit", "text"), [("s", "60 s"), ("1", "60"), ("", "60")])
def test_a_time_without_a_unit_is_a_number(unit, text):
    assert with_unit("60", unit) == text

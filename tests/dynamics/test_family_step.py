"""A law of the motion, or one that corrects the step it was trained with."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from pendula._precision import precision
from pendula.data import Trajectories
from pendula.dynamics import FamilyConfig, ModelConfig, load_family, meta_fit
from pendula.dynamics._family_data import family_data
from pendula.dynamics._family_fit import Setup
from pendula.dynamics._family_step import coarse, step_change, step_lines


T = np.linspace(0.0, 4.0, 21)
ROUGH = {"learn": "force", "width": 4, "depth": 1, "scheme": "euler"}


def decays():
    """u'' = -w^2 u - 2 w u': Euler's step of 0.2 is far from it."""
    ys = []
    for w in (0.8, 1.0, 1.3):
        u = np.exp(-w * T)
        ys.append(np.stack([(1.0 + w * T) * u, -(w**2) * T * u], 1))
    made = {"system": "decays"}
    return Trajectories.from_arrays([T] * 3, ys, names=("u", "v"), origin=made)


@pytest.mark.slow
def test_a_law_that_counts_on_its_step_is_trained_on_with_finer_ones(tmp_path):
    """Half the step changes less than it did, the file keeps the finer one, and a run
    that is killed between the steps comes to the same bits."""
    config = FamilyConfig(ModelConfig(**ROUGH), steps=5, horizon=1.0)
    data = decays()
    found = meta_fit(data, config)
    names = [s["stage"] for s in found.about["stages"]]
    assert names == ["clips of 2", "clips of 6", *["clips of 6, finer step"] * 2]

    known = family_data(data, config.model, config.every, config.seed)
    rough = Setup(known, config)
    with precision(rough.dtype):
        model, etas, _ = rough.train(None, False, None)
    assert found.model.substeps == 4 * model.substeps
    before = step_change(model, etas, known, rough.horizon, rough.dtype)
    assert coarse(*before)
    assert found.about["step_change"] < 0.5 * before[0]
    told = dict(zip(("step_change", "step_error"), before, strict=True))
    assert "counts on its step" in step_lines(told)[0]

    again = load_family(found.save(tmp_path / "family.safetensors"))
    assert again.model.substeps == found.model.substeps

    class Killed(Exception):
        pass

    def kill(row):
        if row["index"] == len(names) - 1 and row["step"] == 3:
            raise Killed

    with pytest.raises(Killed):
        meta_fit(data, config, folder=tmp_path, tell=kill)
    resumed = meta_fit(data, config, folder=tmp_path, resume=True)
    assert resumed.model.substeps == found.model.substeps
    assert_array_equal(resumed.etas, found.etas)


@pytest.mark.slow
def test_a_law_that_holds_says_nothing():
    family = meta_fit(
        decays(), FamilyConfig(ModelConfig("force", width=4, depth=1), steps=8)
    )
    assert family.step_lines == []
    assert family.about["step_change"] < 1e-3
    assert not any("finer" in s["stage"] for s in family.about["stages"])


def test_half_the_step_may_change_a_tenth_of_the_error_or_a_thousandth():
    assert not coarse(0.0009, 0.0)
    assert not coarse(0.009, 0.1)
    assert coarse(0.011, 0.1)
    assert not coarse(np.nan, 0.1)
    assert step_lines({}) == []

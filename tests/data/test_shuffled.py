"""Batches by step: each epoch once through everything, the same for the same seed."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from pendula._errors import ConfigError
from pendula.data import ShuffledBatches


XS, YS = np.arange(10.0), np.arange(10) * 2


def test_an_epoch_goes_once_through_all_that_fills_batches():
    batches = ShuffledBatches((XS, YS), 3, seed=4)
    assert batches.per_epoch == 3
    seen = [batches(k) for k in range(3)]
    xs = np.concatenate([x for x, _ in seen])
    assert len(set(xs)) == 9
    assert_array_equal(np.concatenate([y for _, y in seen]), 2 * xs)


def test_batches_are_functions_of_seed_and_step_alone():
    one, other = (ShuffledBatches((XS,), 4, seed=4) for _ in range(2))
    later = [other(k)[0] for k in (5, 0, 3)]
    for k, want in zip((5, 0, 3), later, strict=True):
        assert_array_equal(one(k)[0], want)
    order = np.random.default_rng([4, 2]).permutation(10)
    assert_array_equal(one(5)[0], XS[order[4:8]])
    assert not np.array_equal(ShuffledBatches((XS,), 4, seed=5)(0)[0], one(0)[0])


def test_a_size_that_no_batch_can_have_is_refused():
    for size in (0, 11):
        with pytest.raises(ConfigError, match="no batch"):
            ShuffledBatches((XS,), size)

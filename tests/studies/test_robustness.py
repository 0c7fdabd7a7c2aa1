"""What the table of sensitivities takes for a number."""

import dataclasses

import jax.numpy as jnp
import numpy as np

from pendula.diagnostics import HessianOperator, top_eigenvalues
from pendula.studies import _robustness


def test_an_eigenvalue_that_did_not_converge_is_a_lost_run(monkeypatch):
    op = HessianOperator(lambda w, _: 2.5 * w @ w, jnp.ones(3))
    assert np.isclose(_robustness._largest(op), 5.0)
    short = lambda *how: dataclasses.replace(top_eigenvalues(*how), converged=False)
    monkeypatch.setattr(_robustness, "top_eigenvalues", short)
    assert np.isnan(_robustness._largest(op))

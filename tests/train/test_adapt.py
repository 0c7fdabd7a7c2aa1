"""Adaptation of one member of a family: what it says of itself."""

import jax
import jax.numpy as jnp
import numpy as np

from pendula.train import EtaPrior, adapt


def test_what_is_never_finite_has_not_converged():
    """The damping comes to its end there too."""
    for value, converged in ((jnp.nan, False), (1.0, True)):
        out = adapt(
            lambda eta, start, item, value=value: item * eta - value,
            EtaPrior(jnp.zeros(1), jnp.eye(1)),
            jnp.ones((1, 1)),
            jnp.zeros((1, 0)),
            jnp.zeros(1),
            variance=1.0,
            start_precision=jnp.zeros((0, 0)),
            count=jnp.ones(()),
            iterations=20,
        )
        assert bool(out.converged) is converged
    np.testing.assert_allclose(out.eta, [0.5], rtol=1e-5)


def test_a_direction_that_is_felt_little_has_not_converged_where_it_stands_still():
    """One entry moves the residuals far more than the other: held by a damping that is
    a share of the trace, the other stands where it was when nothing more is gained."""
    with jax.enable_x64(True):
        slopes = jnp.array([[1.0, 0.0], [0.0, 1e-5], [0.0, 0.0]])
        goal = jnp.array([1.0, 1e-4, 1e-3])
        rough, fine = (
            adapt(
                lambda eta, start, item: slopes @ eta - goal,
                EtaPrior(jnp.zeros(2), jnp.eye(2)),
                jnp.ones((1, 1)),
                jnp.zeros((1, 0)),
                jnp.zeros(2),
                variance=0.0,
                start_precision=jnp.zeros((0, 0)),
                count=jnp.asarray(3.0),
                iterations=60,
                damping=damping,
            )
            for damping in (1e-2, 1e-9)
        )
    assert float(rough.eta[1]) < 1.0
    assert not rough.converged
    np.testing.assert_allclose(rough.eta + rough.short, [1.0, 10.0], rtol=1e-6)
    np.testing.assert_allclose(fine.eta, [1.0, 10.0], rtol=0.1)
    assert fine.converged

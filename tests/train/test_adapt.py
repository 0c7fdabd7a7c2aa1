"""Adaptation of one member of a family: what it says of itself."""

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

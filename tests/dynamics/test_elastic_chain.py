"""The learned spring of a chain: what holds for any weights."""

import jax
import jax.numpy as jnp
import numpy as np

from pendula.dynamics import ElasticChain, SecondOrder, SpringLaw
from pendula.solve import rollout
from pendula.systems import SpringChain


KEY = jax.random.key(1)


def chain(raw_drag=-1.0):
    return ElasticChain(SpringLaw.create(KEY, 8), jnp.asarray(raw_drag))


def test_a_spring_pulls_with_nothing_at_rest_and_oddly_aside():
    law = SpringLaw.create(KEY, 8)
    e = jnp.linspace(-0.4, 0.4, 9)
    assert float(law(jnp.zeros(()))) == 0.0
    np.testing.assert_allclose(law(-e), -law(e), rtol=1e-6, atol=1e-6)


def test_springs_act_alike_on_both_sides_and_the_drag_only_loses():
    field = chain()
    y = jnp.concatenate([jnp.asarray([0.1, 0.3, 0.35, 0.2]), jnp.zeros(4)])
    out = field(0.0, y, None, None)
    # all springs but that at the wall cancel in the sum
    np.testing.assert_allclose(out.sum(), -field.law(y[:1])[0], rtol=1e-5)
    moving = jnp.concatenate([jnp.zeros(4), jnp.asarray([1.0, -2.0, 3.0, 0.5])])
    np.testing.assert_allclose(
        field(0.0, moving, None, None), -field.drag * moving[4:], rtol=1e-6
    )
    assert float(field.drag) > 0.0


def test_one_spring_stands_for_any_number_of_masses():
    for masses in (3, 7):
        world = SpringChain(masses=masses)
        field = SecondOrder(chain(), masses)
        out = rollout(field, world.initial(KEY), np.arange(0.0, 0.2, 0.02))
        assert bool(jnp.isfinite(out.ys).all())

"""What the tests check of every call: types, shapes, an int where a float is meant."""

import jax.numpy as jnp
import pytest
from jaxtyping import TypeCheckError

from pendula.data import read
from pendula.diagnostics import modified_eigenvalue
from pendula.nn import convolve


def test_wrong_types_and_shapes_are_errors_of_the_test():
    with pytest.raises(TypeCheckError, match="path"):
        read(3)
    with pytest.raises(TypeCheckError, match="kernel"):
        convolve(jnp.ones((4, 4, 1)), jnp.ones((3, 3)))
    # a size that two arguments share
    with pytest.raises(TypeCheckError, match="kernel"):
        convolve(jnp.ones((4, 4, 1)), jnp.ones((3, 3, 2, 1)))


def test_an_int_may_stand_for_a_float_and_that_for_a_complex_number():
    assert modified_eigenvalue(0, 1, "euler") == 0
    with pytest.raises(TypeCheckError, match="eigenvalue"):
        modified_eigenvalue("1j", 0.5, "euler")

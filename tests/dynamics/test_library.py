"""A library's terms against hand-computed values, and what is refused."""

import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

from pendula import ConfigError
from pendula.dynamics import Library, exponents


def test_terms_are_monomials_then_sines_and_cosines():
    library = Library(exponents(2, 2), (1,), out=1, size=(2.0, 4.0))
    found = library.terms(jnp.array([1.0, 2.0]))
    z = np.array([0.5, 0.5])
    expected = [1, *z, z[0] ** 2, z[0] * z[1], z[1] ** 2, np.sin(2.0), np.cos(2.0)]
    assert_allclose(found, expected, rtol=1e-6)
    assert library.words(("a", "b")) == [
        *["1", "a", "b", "a^2", "a b", "b^2", "sin(b)", "cos(b)"]
    ]


def test_physical_coefficients_come_back_and_make_the_rates():
    """The Lotka-Volterra field, whatever the units the library counts in."""
    values = np.zeros((6, 2))
    values[1, 0], values[4, 0], values[2, 1], values[4, 1] = 1.5, -0.5, -2.0, 0.25
    library = Library(exponents(2, 2), out=2, size=(3.0, 0.2), out_size=(5.0, 0.1))
    library = library.with_physical(values)
    assert_allclose(library.physical, values, rtol=1e-6)
    rates = library(0.0, jnp.array([2.0, 3.0]), None, None)
    assert_allclose(rates, [1.5 * 2 - 0.5 * 6, -2.0 * 3 + 0.25 * 6], rtol=1e-5)
    assert library.equations(("x", "y")) == ["1.5 x - 0.5 x y", "-2 y + 0.25 x y"]
    assert int(library.scale.kept.sum()) == 4


def test_inputs_are_variables_behind_the_state():
    library = Library(exponents(2, 1), out=1).with_physical(
        np.array([[0.0], [0.0], [3.0]])
    )
    found = library(0.0, jnp.array([7.0]), jnp.array([2.0]), None)
    assert_allclose(found, [6.0])


@pytest.mark.parametrize(
    ("call", "found"),
    [
        (lambda: Library((), out=1), "exponents"),
        (lambda: Library(((1, 0), (1,)), out=1), "exponents"),
        (lambda: Library(((-1,),), out=1), "exponents"),
        (lambda: Library(exponents(2, 1), (2,), out=1), "waves is [2]"),
        (lambda: Library(exponents(2, 1), out=0), "out is 0"),
        (lambda: Library(exponents(2, 1), out=1, precision=0.0), "precision 0"),
        (lambda: exponents(0, 2), "variables is 0"),
    ],
)
def test_what_makes_no_library_is_refused(call, found):
    with pytest.raises(ConfigError) as error:
        call()
    assert found in str(error.value)

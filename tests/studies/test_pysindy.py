"""Our use of PySINDy: its documented example, its terms and ours, and the score."""

import importlib.util

import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

from pendula.dynamics import Library, exponents
from pendula.studies import NotHere, studies
from pendula.studies._pysindy import _lorenz
from pendula.studies._pysindy_fit import candidates, check_here, introduction, terms
from pendula.studies._pysindy_rows import ROWS, cells
from pendula.studies._pysindy_score import CAP, free_run_errors, law_models
from pendula.systems import simulate


needs_peer = pytest.mark.skipif(
    importlib.util.find_spec("pysindy") is None,
    reason='the peer is not installed: pip install "pendula[bench]"',
)
VOLTERRA = {(1, 0): (1.0, 0.0), (1, 1): (-1.0, 1.0), (0, 1): (0.0, -1.0)}


def volterra():
    """A library of degree three, and the true law in it."""
    library = Library(exponents(2, 3), out=2)
    return library, np.array([VOLTERRA.get(p, (0.0, 0.0)) for p in library.powers])


def test_the_true_law_runs_without_error_and_a_lost_one_counts_ten():
    library, law = volterra()
    lost = 50.0 * np.abs(law)  # both grow without end
    truth = simulate("lotka_volterra", num=2, duration=4.0, dt=0.1, seed=9)
    right, wrong = free_run_errors(law_models(library, [law, lost], 2), truth)
    assert right < 1e-5
    assert wrong == CAP


def test_every_cell_has_its_two_errors():
    keys = {row.id for row in ROWS}
    assert len(cells()) == 9
    assert len(keys) == len(ROWS)
    assert "real_data.vs_pysindy.lorenz" in keys
    assert "real_data.vs_pysindy.lorenz_n0_t10_pysindy" in keys
    assert "vs_pysindy" in studies()["real_data"].parts


def test_a_peer_that_is_missing_is_said(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(NotHere, match="pip install"):
        check_here()


@needs_peer
@pytest.mark.filterwarnings("default")
def test_its_introductory_example_gives_what_it_documents():
    """Lorenz's seven terms and no other, coefficients within 1 %."""
    data = simulate("lorenz", ts=np.arange(0, 10, 0.002), y0=[-8.0, 8.0, 27.0])
    assert_allclose(introduction(data), _lorenz(), rtol=0.01)


@needs_peer
@pytest.mark.filterwarnings("default")
def test_its_terms_are_ours_in_the_same_order():
    library = Library(exponents(2, 3), (0,), out=2)
    x = np.array([[0.3, -1.2], [0.7, 0.4]])
    ours = [library.terms(jnp.asarray(row)) for row in x]
    assert_allclose(terms(library).fit_transform(x), ours, rtol=1e-5)


@pytest.mark.slow
@needs_peer
@pytest.mark.filterwarnings("default")
def test_every_way_of_using_it_finds_an_easy_law():
    library, law = volterra()
    data = simulate("lotka_volterra", num=4, duration=20.0, dt=0.05, seed=0)
    settings = {"thresholds": [0.1], "windows": [0, 11], "widths": [0.05]}
    found = candidates(data, library, {**settings, "domains": 200})
    assert len(found) == 5
    for name, values in found.items():
        assert_allclose(values, law, atol=0.02, err_msg=name)
    only = candidates(data, library, {**settings, "domains": 200}, only=name)
    assert list(only) == [name]

"""Single-particle cell against the series of diffusion in a sphere."""

from __future__ import annotations

import numpy as np
import pytest

from pendula.solutions._battery import (
    CATHODE,
    Cell,
    Electrode,
    SingleParticle,
    early,
)
from pendula.studies._pinns_inverse import series_voltage, surface_series


@pytest.fixture(scope="module")
def model() -> SingleParticle:
    return SingleParticle(features=250, nodes=900, slopes=(2.0,))


T = np.arange(1.0, 1351.0, 3.0)


def test_early_solves_diffusion():
    rho, tau, h = np.linspace(0.2, 0.9, 8), 0.07, 1e-3
    c = early(rho, tau)
    up, down = early(rho + h, tau), early(rho - h, tau)
    space = (up - 2.0 * c + down) / h**2 + (up - down) / (h * rho)
    rate = (early(rho, tau + 1e-5) - early(rho, tau - 1e-5)) / 2e-5
    np.testing.assert_allclose(rate, space, atol=1e-4)
    np.testing.assert_allclose(early(0.0, tau), early(1e-4, tau), rtol=1e-5)


def test_series_begins_with_the_root_of_time():
    tau = np.asarray([1e-4])
    np.testing.assert_allclose(
        surface_series(tau), 2.0 * np.sqrt(tau / np.pi) + tau, rtol=3e-3
    )


@pytest.mark.parametrize("p", [(0.5, 1.0), (4.0, 1.0), (0.5, 10.0), (2.0, 3.0)])
def test_voltage_is_the_series(model: SingleParticle, p: tuple[float, float]):
    gap = model.voltage(T, *p) - series_voltage(model.cell, T, *p)
    assert np.sqrt(np.mean(gap**2)) < 2e-4  # asked for: 2e-3


def test_lithium_is_kept(model: SingleParticle):
    r = np.linspace(0.0, CATHODE.radius, 401)
    c = model.concentration("cathode", r, 700.0, 2.0)
    mean = 3.0 * np.trapezoid(c * r**2, r) / CATHODE.radius**3
    flux = model.cell.flux("cathode")
    expected = CATHODE.start * CATHODE.most - 3.0 * flux * 700.0 / CATHODE.radius
    assert mean == pytest.approx(expected, rel=1e-4)


def test_start(model: SingleParticle):
    c = model.concentration("anode", np.linspace(0.0, 3e-6, 4), 0.0)
    np.testing.assert_allclose(c, 0.91 * 30.53, rtol=1e-6)


def test_parameters_from_a_discharge(model: SingleParticle):
    rng = np.random.default_rng(1)
    t = np.arange(1.0, 1351.0)
    seen = series_voltage(model.cell, t, 1.0, 2.0) + 1e-3 * rng.normal(size=t.size)
    found = model.identify(t, seen)
    for name, true in (("p1", 1.0), ("p2", 2.0)):
        one = found[name]
        assert one.value == pytest.approx(true, rel=0.05)
        assert abs(one.value - true) < 4.0 * one.sd
        assert one.interval[0] < one.value < one.interval[1]


def test_bad_input(model: SingleParticle):
    with pytest.raises(ValueError, match="radius"):
        Electrode(-1.0, 1.0, 0.5, 1.0, 0.5, 1.0, 1.0, 0.0, 1.0)
    with pytest.raises(ValueError, match="current"):
        Cell(current=np.nan)
    with pytest.raises(ValueError, match="electrode"):
        model.cell.electrode("separator")
    with pytest.raises(ValueError, match="p1"):
        model.voltage(T, 0.0, 1.0)
    with pytest.raises(ValueError, match="within the particle"):
        model.concentration("anode", 5e-6, 1.0)
    with pytest.raises(ValueError, match="shape"):
        model.identify(T, T[:-1])
    with pytest.raises(ValueError, match="NaN"):
        model.identify(T, np.full(T.size, np.nan))

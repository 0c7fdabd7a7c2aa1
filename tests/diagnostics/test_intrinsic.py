"""How many directions of eta a family fills: by hand, and under any re-mixing."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from pendula._errors import ConfigError, DataError, ShapeError
from pendula.diagnostics import (
    intrinsic_dimension,
    neighbour_dimension,
    principal_dimension,
    sensitive_dimension,
)


def cross(*lengths):
    """Points at +-length on each axis: the covariance is diagonal."""
    points = np.concatenate([np.diag(lengths), -np.diag(lengths)])
    return points + 7.0  # the centre does not matter


def mixing(rng, size):
    """A matrix of condition number at most 30."""
    q, _ = np.linalg.qr(rng.normal(size=(size, size)))
    p, _ = np.linalg.qr(rng.normal(size=(size, size)))
    return q @ np.diag(rng.uniform(0.1, 3.0, size)) @ p


def arc(count, seed=0):
    angle = np.random.default_rng(seed).uniform(0, np.pi, count)
    return np.column_stack([np.cos(angle), np.sin(angle)])


def neighbours(points):
    found = neighbour_dimension(points)
    assert found is not None
    return found


def test_components_by_hand():
    """Six systems: the variance along an axis is 2 length^2 / 5."""
    found = principal_dimension(cross(3.0, 1.0, 0.1))
    assert found.eigenvalues == pytest.approx([3.6, 0.4, 0.004])
    assert found.explained == pytest.approx([900 / 1001, 1000 / 1001, 1])
    assert found.estimate == 2
    assert found.elbow is None  # the logarithms fall ever faster
    assert principal_dimension(cross(3.0, 1.0, 0.1), share=0.85).estimate == 1
    assert principal_dimension(cross(3.0, 1.0, 0.1), share=0.9999).estimate == 3
    assert found.text == (
        "2 of 3 directions hold 99 % of the variance of eta over 6 systems; no elbow."
    )


def test_the_elbow_is_where_the_floor_begins():
    assert principal_dimension(cross(1.0, 0.5, 1e-4, 0.9e-4)).elbow == 2
    assert principal_dimension(cross(1.0, 0.01, 0.009)).elbow == 1
    # exact zeros are a floor, equal eigenvalues have no bend
    assert principal_dimension(cross(1.0, 1.0, 0.0, 0.0)).elbow == 2
    assert principal_dimension(cross(1.0, 1.0, 1.0, 1.0)).elbow is None


def test_an_elbow_is_not_made_by_few_systems():
    """Four systems fill three directions of eight: the five zeros are no floor."""
    etas = np.random.default_rng(0).normal(size=(4, 8))
    found = principal_dimension(etas)
    assert found.estimate <= 3
    assert found.elbow in (None, 1)
    assert found.eigenvalues[3:] == pytest.approx(np.zeros(5), abs=1e-12)


def test_sensitive_directions_by_hand():
    """C = diag(3.6, 0.4, 0.004), F = diag(0, 1, 25): 0, 0.4 and 0.1."""
    etas, fisher = cross(3.0, 1.0, 0.1), np.diag([0.0, 1.0, 25.0])
    found = sensitive_dimension(etas, fisher)
    assert found.eigenvalues == pytest.approx([0.4, 0.1, 0.0], abs=1e-12)
    assert found.estimate == 2  # the first component moves nothing and is gone
    root = np.sqrt([0.4, 0.004])
    wanted = np.array([[0, 0], [root[0], 0], [0, root[1]]])
    assert found.directions == pytest.approx(wanted, abs=1e-12)
    each = np.array(
        [np.zeros((3, 3)), 2 * fisher, 3 * fisher, fisher, 0 * fisher, 0 * fisher]
    )
    assert sensitive_dimension(etas, each).eigenvalues == pytest.approx(
        found.eigenvalues, abs=1e-12
    )
    assert found.text.startswith("2 of 3 directions hold 99 % of what eta moves")


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), systems=st.integers(3, 12), size=st.integers(1, 5))
def test_re_mixing_eta_changes_no_sensitivity(seed, systems, size):
    """eta -> A eta + b with F -> A^-T F A^-1; the directions become A times
    themselves."""
    rng = np.random.default_rng(seed)
    etas = rng.normal(size=(systems, size)) * 10.0 ** rng.uniform(-1, 1, size)
    j = rng.normal(size=(systems, 4, size))
    fisher = np.einsum("sra,srb->sab", j, j)
    a, b = mixing(rng, size), rng.normal(size=size)
    back = np.linalg.inv(a)
    plain = sensitive_dimension(etas, fisher)
    mixed = sensitive_dimension(etas @ a.T + b, back.T @ fisher @ back)
    scale = plain.eigenvalues[0]
    assert mixed.eigenvalues == pytest.approx(plain.eigenvalues, abs=1e-8 * scale)
    # the count may differ only where a share is within rounding of 99 %
    if np.all(np.abs(plain.explained - 0.99) > 1e-6):
        assert mixed.estimate == plain.estimate
    kept = min(mixed.estimate, plain.estimate)
    moved = a @ plain.directions[:, :kept]
    projector = lambda d: d @ d.T  # free of signs
    if kept == min(size, systems - 1):
        assert projector(mixed.directions[:, :kept]) == pytest.approx(
            projector(moved), abs=1e-6 * np.abs(moved).max() ** 2
        )
    total = np.trace(np.cov(etas.T).reshape(size, size) @ fisher.mean(axis=0))
    assert plain.eigenvalues.sum() == pytest.approx(total)


@pytest.mark.parametrize("unit", [1e-9, 1e-3, 1e6, 1e9])
def test_units_of_eta_may_differ_widely(unit):
    rng = np.random.default_rng(0)
    etas, j = rng.uniform(size=(60, 3)), rng.normal(size=(60, 4, 3))
    fisher = np.einsum("sra,srb->sab", j, j)
    units = np.array([unit, 1.0, 1 / unit])
    plain = intrinsic_dimension(etas, fisher)
    other = intrinsic_dimension(etas * units, fisher / np.outer(units, units))
    assert plain.sensitive
    assert other.sensitive
    assert plain.neighbour
    assert other.neighbour
    assert other.sensitive.eigenvalues == pytest.approx(plain.sensitive.eigenvalues)
    assert other.neighbour.estimate == pytest.approx(plain.neighbour.estimate)


def test_a_constant_entry_is_no_rounded_variation():
    etas = np.random.default_rng(0).normal(size=(7, 2)) * [1.0, 0.0] + 0.1
    with pytest.raises(DataError, match="moves no trajectory"):
        sensitive_dimension(etas, np.diag([0.0, 1.0]))


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), size=st.integers(2, 5))
def test_turning_eta_changes_no_component(seed, size):
    rng = np.random.default_rng(seed)
    etas = rng.normal(size=(9, size)) * np.arange(1, size + 1)
    q, _ = np.linalg.qr(rng.normal(size=(size, size)))
    plain, turned = principal_dimension(etas), principal_dimension(etas @ q.T - 3.0)
    assert turned.eigenvalues == pytest.approx(plain.eigenvalues)
    assert turned.elbow == plain.elbow


@pytest.mark.parametrize("dimension", [1, 2, 3])
def test_neighbours_count_a_scattered_set(dimension):
    """Median over seeds, of sets bent into five coordinates."""
    estimates = []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        flat = rng.uniform(size=(300, dimension))
        bent = np.column_stack([flat, np.sin(2 * flat.sum(axis=1)), flat[:, 0] ** 2])
        found = neighbours(bent)
        assert found.is_reliable
        estimates.append(found.estimate)
    # 1.35 d / sqrt(300) = 0.08 d each
    assert np.median(estimates) == pytest.approx(dimension, rel=0.1)


def test_the_stated_scatter_is_the_measured_one():
    estimates = [
        neighbours(np.random.default_rng(seed).uniform(size=(100, 2)))
        for seed in range(60)
    ]
    stated = np.median([found.deviation for found in estimates])
    measured = np.std([found.estimate for found in estimates])
    # the standard deviation of 60 values is known to 9 %, three times that allowed
    assert measured == pytest.approx(stated, rel=0.3)


def test_ratios_by_hand():
    """On a line, triples 0, 1, 3 far apart: ratios 3, 2 and 1.5, equally often."""
    start = 1000.0 * np.arange(20)
    line = (start[:, None] + np.array([0.0, 1.0, 3.0])).reshape(-1, 1)
    found = neighbours(line)
    x = np.log(np.repeat([1.5, 2.0, 3.0], 20))[:54]
    y = -np.log(1 - np.arange(1, 55) / 60)
    assert found.estimate == pytest.approx((x @ y) / (x @ x))
    assert found.deviation == pytest.approx(1.35 * found.estimate / np.sqrt(60))
    assert not found.is_reliable  # three ratios are no law


def test_a_grid_says_nothing():
    grid = np.stack(np.meshgrid(np.arange(8.0), np.arange(8.0)), -1).reshape(-1, 2)
    exact = neighbours(grid)
    assert exact.estimate == np.inf
    assert not any(exact.is_near(count) for count in (1, 2, 7))
    assert not exact.is_reliable
    rough = grid + 1e-3 * np.random.default_rng(0).normal(size=grid.shape)
    assert not neighbours(rough).is_reliable
    assert "say nothing" in exact.text
    joined = intrinsic_dimension(grid)
    assert joined.agree  # what says nothing contradicts nothing
    assert "curved line fills 2 directions" in joined.curvature


def test_repeated_points_count_once():
    points = arc(60)
    twice = neighbours(np.concatenate([points, points[:20]]))
    assert twice == neighbours(points)
    assert neighbour_dimension(np.tile(points[:49], (2, 1))) is None
    joined = intrinsic_dimension(np.tile(points[:40], (2, 1)))
    assert joined.notes[0].startswith("Repeated systems leave fewer than 50")


def test_points_that_repeat_but_for_rounding_count_once():
    """Also where eta wanders in a direction that moves nothing."""
    points, rng = arc(60), np.random.default_rng(1)
    noisy = np.concatenate([points, points[:20] + 1e-14 * rng.normal(size=(20, 2))])
    found, plain = neighbours(noisy), neighbours(points)
    assert found.points == 60
    assert found.estimate == pytest.approx(plain.estimate, rel=1e-6)
    # on either side of what they are rounded to
    apart = np.concatenate([points, points + 1e-10 * rng.normal(size=(60, 2))])
    assert neighbours(apart).points == 60
    etas = np.column_stack([np.repeat(rng.uniform(size=60), 2), rng.normal(size=120)])
    turn = np.array([[0.6, -0.8], [0.8, 0.6]])
    seen = intrinsic_dimension(etas @ turn.T, turn @ np.diag([1.0, 0.0]) @ turn.T)
    assert seen.neighbour
    assert seen.neighbour.points == 60
    assert seen.neighbour.is_reliable
    assert seen.neighbour.is_near(1)
    assert neighbour_dimension(np.zeros((60, 2))) is None
    assert neighbours(1e-200 * points).estimate == pytest.approx(plain.estimate)
    assert neighbour_dimension(np.zeros((0, 2))) is None


def test_a_curved_line_is_seen():
    found = intrinsic_dimension(arc(100))
    assert (found.estimate, found.agree) == (2, False)
    assert "The set is curved: its dimension is about 1" in found.text
    assert found.notes == ()  # a line needs no longer eta
    few = intrinsic_dimension(arc(20))
    assert few.neighbour is None
    assert "A curved line fills 2 directions, too" in few.curvature


def test_all_counts_agree_on_a_flat_family():
    rng = np.random.default_rng(0)
    etas = rng.uniform(size=(80, 2)) @ rng.normal(size=(2, 4))
    etas += 1e-4 * rng.normal(size=etas.shape)
    found = intrinsic_dimension(etas, np.eye(4))
    assert found.agree
    assert found.estimate == 2
    assert "The counts agree." in found.text
    assert "does not look curved" in found.curvature
    assert found.notes == ()
    line = intrinsic_dimension(etas[:, :1])
    assert "no curvature" in line.curvature
    assert "1 of 1 directions holds" in line.text


def test_neighbours_are_sought_where_the_trajectory_sees_them():
    """A second entry of eta that varies widely but moves nothing."""
    etas = np.random.default_rng(0).uniform(size=(80, 2)) * [1.0, 10.0]
    found = intrinsic_dimension(etas, np.diag([1.0, 0.0]))
    assert found.sensitive
    assert found.neighbour
    assert found.principal.eigenvalues[0] > 50 * found.principal.eigenvalues[1]
    assert found.sensitive.estimate == found.estimate == 1
    assert found.neighbour.is_near(1)
    assert not found.neighbour.is_near(2)
    moved = np.abs(found.sensitive.directions[0, 0])
    assert moved == pytest.approx(etas[:, 0].std(ddof=1))


def test_few_systems_are_said():
    rng = np.random.default_rng(0)
    notes = intrinsic_dimension(rng.normal(size=(4, 6))).notes
    assert notes[0].startswith("4 systems are few")
    assert notes[1].startswith("4 systems fill at most 3 directions")
    assert intrinsic_dimension(rng.normal(size=(3, 1))).notes[0].startswith("3 systems")
    assert not any("few" in n for n in intrinsic_dimension(arc(5)).notes)
    assert "need a longer eta" in intrinsic_dimension(arc(5)).notes[0]


def test_bad_input():
    etas = np.random.default_rng(0).normal(size=(6, 2))
    with pytest.raises(DataError, match=r"2 systems; at least 3 .* more systems"):
        intrinsic_dimension(etas[:2])
    with pytest.raises(DataError, match="all 6 systems have the same eta"):
        principal_dimension(np.full((6, 2), 0.1))
    with pytest.raises(DataError, match="same eta"):
        principal_dimension(np.zeros((6, 0)))
    with pytest.raises(ShapeError, match="system, eta"):
        principal_dimension(etas[0])
    for share in (0.0, 1.0, np.nan):
        with pytest.raises(ConfigError, match="between 0 and 1"):
            principal_dimension(etas, share=share)
    for wrong in ([["a", "b"]] * 6, [[1.0, 2.0], [3.0]], etas + 1j):
        with pytest.raises(DataError, match="etas cannot be read as numbers"):
            principal_dimension(wrong)
    holed = etas.copy()
    holed[4, 1] = np.nan
    with pytest.raises(DataError, match="etas, system 4, eta 1: nan"):
        principal_dimension(holed)
    with pytest.raises(DataError, match="points, system 4, coordinate 1"):
        neighbour_dimension(holed)


def test_bad_sensitivity():
    etas = np.random.default_rng(0).normal(size=(6, 2))
    with pytest.raises(ShapeError, match="fisher"):
        sensitive_dimension(etas, np.eye(3))
    with pytest.raises(ShapeError, match="fisher has shape"):
        sensitive_dimension(etas, np.ones(2))
    with pytest.raises(ShapeError, match="fisher"):
        sensitive_dimension(etas, np.ones((5, 2, 2)))
    with pytest.raises(DataError, match="not symmetric"):
        sensitive_dimension(etas, np.array([[1.0, 1.0], [0.0, 1.0]]))
    with pytest.raises(DataError, match="negative eigenvalue"):
        sensitive_dimension(etas, np.diag([1.0, -1.0]))
    with pytest.raises(DataError, match="fisher, eta 0, other 1: inf"):
        sensitive_dimension(etas, np.array([[1.0, np.inf], [0.0, 1.0]]))
    still = etas * [1.0, 0.0]
    with pytest.raises(DataError, match="moves no trajectory"):
        sensitive_dimension(still, np.diag([0.0, 1.0]))
    with pytest.raises(DataError, match="moves no trajectory"):
        sensitive_dimension(etas, np.zeros((2, 2)))

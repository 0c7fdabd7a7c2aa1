"""Settings that act on eta and settings that do not: by hand, and false alarms."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy.stats import kstest

from pendula._errors import ConfigError, DataError, ShapeError
from pendula.diagnostics import causality


def test_partial_r2_by_hand():
    """Orthogonal columns: eta = a + e + 3 b has |a|^2 / (|a|^2 + |e|^2) = 0.8 of a
    beside b, and 9 / (9 + 0.25) of b beside a."""
    a = np.array([-1.0, -1.0, 1.0, 1.0] * 2)
    b = np.array([1.0, -1.0, -1.0, 1.0] * 2)
    e = 0.5 * np.array([1.0, -1.0, 1.0, -1.0] * 2)
    eta = (a + e + 3 * b)[:, None]
    found = causality(eta, np.column_stack([5 * a + 2, b]), ["a", "b"])
    assert found.partial_r2 == pytest.approx([0.8, 9 / 9.25])
    assert found.inflation == pytest.approx([1, 1])
    assert found.chance == pytest.approx([1 / 6, 1 / 6])  # 8 - 1 - 1 dimensions left
    alone = causality(eta, a[:, None], ["a"])
    assert alone.partial_r2 == pytest.approx([1 / (1 + 0.25 + 9)])


def test_partial_r2_is_that_of_two_regressions():
    """1 - RSS(setting on others and eta) / RSS(setting on others), correlated
    settings."""
    rng = np.random.default_rng(0)
    c = rng.normal(size=(15, 3)) @ rng.normal(size=(3, 3))
    eta = c[:, :2] @ rng.normal(size=(2, 2)) + rng.normal(size=(15, 2))
    found = causality(eta, c, ["a", "b", "c"])

    def rss(columns, y):
        x = np.column_stack([np.ones(15), *columns])
        return np.sum((y - x @ np.linalg.lstsq(x, y, rcond=None)[0]) ** 2)

    for k in range(3):
        others = np.delete(c, k, axis=1).T
        ratio = rss([*others, *eta.T], c[:, k]) / rss(others, c[:, k])
        assert found.partial_r2[k] == pytest.approx(1 - ratio)
    inverse = np.linalg.inv(np.corrcoef(c.T))
    assert found.inflation == pytest.approx(np.diag(inverse))


def test_every_permutation_by_hand():
    """Three systems in order: of six orders two reach the R^2 of a straight line."""
    line = np.array([[0.0], [1.0], [2.0]])
    found = causality(line, line, ["a"], permutations=3000)
    assert found.partial_r2 == pytest.approx([1.0])
    # 3000 draws of 1/3: standard deviation 0.0086
    assert found.p[0] == pytest.approx(1 / 3, abs=0.03)
    assert not found.acts.any()


def test_what_acts_is_told_from_what_does_not():
    """One number E / rho in eta: both act on it, the colour does not."""
    rng = np.random.default_rng(0)
    stiffness, density, colour = rng.uniform(-1, 1, size=(3, 27))
    eta = (stiffness - density)[:, None] * [1.0, -0.4]
    eta = eta + 0.1 * rng.normal(size=eta.shape)
    names = ["stiffness", "density", "colour"]
    found = causality(eta, np.column_stack([stiffness, density, colour]), names)
    assert found.acts.tolist() == [True, True, False]
    assert found.partial_r2[:2].min() > 0.9
    assert found.p[:2] == pytest.approx([0.001, 0.001])
    assert found.p_holm[:2] == pytest.approx([0.003, 0.003])
    assert found.p_holm[2] == found.p[2] > 0.05
    first, _, last = found.findings()
    assert first.id == "causality.stiffness"
    assert first.text.startswith("stiffness acts on the dynamics: partial R² 0.9")
    assert first.reasons == (
        "Permutation p = 0.001, corrected for all settings 0.003.",
    )
    assert last.text.startswith("colour is not seen to act on the dynamics")
    assert found.text.count("\n") == 2


@pytest.mark.parametrize("spread", ["normal", "grid", "heavy"])
def test_false_alarms_are_as_rare_as_stated(spread):
    """A setting that does nothing, correlated with one that acts strongly: p is
    uniform over 150 families of 14 systems."""
    p = []
    for seed in range(150):
        rng = np.random.default_rng(seed)
        if spread == "grid":
            acting = np.tile(np.arange(7.0), 2)
            idle = np.repeat([0.0, 1.0], 7) + 0.1 * acting
        else:
            acting = rng.normal(size=14)
            idle = 0.7 * acting + rng.normal(size=14)
        noise = rng.standard_t(3, (14, 2)) if spread == "heavy" else None
        noise = rng.normal(size=(14, 2)) if noise is None else noise
        eta = acting[:, None] * [5.0, 2.0] + noise
        found = causality(
            eta,
            np.column_stack([acting, idle]),
            ["acting", "idle"],
            permutations=99,
            seed=seed,
        )
        p.append(found.p)
    seen, p = np.array(p).T
    assert np.mean(seen <= 0.05) > 0.9
    # 5 % of 150: 7.5, standard deviation 2.7; three of them either way
    assert 0 <= np.sum(p <= 0.05) <= 16
    assert kstest(p, "uniform").pvalue > 0.001


def test_chance_is_what_an_idle_setting_reaches():
    r2 = []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        found = causality(
            rng.normal(size=(12, 3)),
            rng.normal(size=(12, 2)),
            ["a", "b"],
            permutations=40,
        )
        r2.append(found.partial_r2)
        assert found.chance == pytest.approx([0.3, 0.3])  # 3 of 12 - 1 - 1
    assert np.mean(r2) == pytest.approx(0.3, abs=0.03)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), size=st.integers(1, 4))
def test_re_mixing_eta_changes_nothing(seed, size):
    rng = np.random.default_rng(seed)
    c = rng.normal(size=(12, 2))
    eta = rng.normal(size=(12, size)) + c[:, :1]
    mixed = eta @ (rng.normal(size=(size, size)) + 4 * np.eye(size)) + 10.0
    plain = causality(eta, c, ["a", "b"], permutations=99)
    other = causality(mixed, c * [1e3, -1e-3] - 5.0, ["a", "b"], permutations=99)
    assert other.partial_r2 == pytest.approx(plain.partial_r2)
    assert other.p == pytest.approx(plain.p)
    turned = causality(eta, c[:, ::-1], ["b", "a"], permutations=99)
    assert turned.p[::-1] == pytest.approx(plain.p)


def test_the_seed_is_all_that_is_random():
    rng = np.random.default_rng(0)
    eta, c = rng.normal(size=(10, 1)), rng.normal(size=(10, 1))
    first, again = (causality(eta, c, ["a"], seed=3) for _ in range(2))
    assert first.p == again.p
    other = causality(eta, c, ["a"], seed=4)
    assert other.p == pytest.approx(first.p, abs=0.06)


def test_collinear_settings_are_not_judged():
    rng = np.random.default_rng(0)
    a, b, c = rng.normal(size=(3, 20))
    eta = (a + c)[:, None] + 0.1 * rng.normal(size=(20, 1))
    given = np.column_stack([a, 3 - 2 * a + 1e-3 * b, c])
    found = causality(eta, given, ["a", "twice a", "c"])
    assert np.isnan(found.partial_r2).tolist() == [True, True, False]
    assert np.isnan(found.p_holm).tolist() == [True, True, False]
    assert found.inflation[0] == np.inf
    assert found.acts.tolist() == [False, False, True]
    assert found.p_holm[2] == found.p[2]  # only one setting was tested
    text = found.text.splitlines()
    assert text[0] == (
        "Whether a acts cannot be told. a follows from twice a: vary it by itself, or "
        "leave one of them out."
    )
    assert text[2].startswith("c acts on the dynamics")
    group = causality(eta, np.column_stack([a, b, a + b, c]), ["a", "b", "sum", "c"])
    assert "sum follows from a and b:" in group.reasons[2]
    assert np.isfinite(group.p).tolist() == [False, False, False, True]


def test_almost_collinear_settings_are_said_to_be():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 20))
    eta = (a + b)[:, None] + 0.1 * rng.normal(size=(20, 1))
    found = causality(eta, np.column_stack([a, a + 0.2 * b]), ["a", "near"])
    assert found.inflation.min() > 10.3
    assert all("varies apart from the others." in f.text for f in found.findings())


def test_eta_that_follows_from_one_setting_tells_nothing_of_another():
    rng = np.random.default_rng(0)
    c = rng.normal(size=(10, 2))
    found = causality(c[:, :1], c, ["a", "b"])
    assert found.partial_r2 == pytest.approx([1.0, 0.0])
    assert found.p[1] == 1.0
    assert found.chance[1] == 0.0


def test_bad_input():
    rng = np.random.default_rng(0)
    eta, c = rng.normal(size=(8, 2)), rng.normal(size=(8, 2))
    names = ["length", "mass"]
    with pytest.raises(DataError, match=r'"mass": the same value 0.1 in all 8 systems'):
        causality(eta, np.column_stack([c[:, 0], np.full(8, 0.1)]), names)
    with pytest.raises(DataError, match=r"4 systems .* at least 5 are needed"):
        causality(eta[:4], c[:4], names)
    with pytest.raises(DataError, match="same eta"):
        causality(np.ones((8, 2)), c, names)
    with pytest.raises(DataError, match="settings, system 0, setting 1: nan"):
        causality(eta, c * [1.0, np.nan], names)
    with pytest.raises(ShapeError, match="names"):
        causality(eta, c, ["length"])
    with pytest.raises(ShapeError, match="settings"):
        causality(eta, c[:5], names)
    with pytest.raises(ConfigError, match='"length" is given twice'):
        causality(eta, c, ["length", "length"])
    with pytest.raises(ConfigError, match="at least 40 are needed for 2 settings"):
        causality(eta, c, names, permutations=39)
    with pytest.raises(ConfigError, match="seed is -1"):
        causality(eta, c, names, seed=-1)
    with pytest.raises(DataError, match="settings cannot be read as numbers"):
        causality(eta, [["a", "b"]] * 8, names)

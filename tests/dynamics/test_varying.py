"""Known laws whose constants differ between the members of a family."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

from pendula._errors import ConfigError
from pendula.cli._family_options import FamilyOptions, build_family_config
from pendula.cli._fit_options import ModelOptions, TrainOptions
from pendula.data import Trajectories
from pendula.dynamics import (
    FamilyConfig,
    Free,
    KnownConfig,
    ModelConfig,
    Varying,
    fit,
    from_dict,
    load_family,
    meta_fit,
)
from pendula.dynamics._build import build_model
from pendula.dynamics._family_constants import varying_names
from pendula.dynamics._layout import layout
from pendula.dynamics._slots import Ranges
from pendula.nn import bind


DAMPING = 0.1
STIFFNESS = np.array([2.0, 3.0, 4.5])
SPRING = {"term": "spring", "varies": ["k"], "constants": {"k": 3.2}}
VISCOUS = {"term": "viscous", "free": ["c"], "constants": {"c": 0.2}}
MODEL = {"known": [SPRING, VISCOUS], "learn": "none", "order": "second"}
TIMES = np.linspace(0.0, 4.0, 81)


def swings(stiffness, starts=((1.0, 0.0), (0.3, 1.0))):
    """Exact records of damped springs, one system for each stiffness."""
    ys, env = [], []
    for i, k in enumerate(stiffness):
        w = np.sqrt(k - DAMPING**2 / 4)
        for q, v in starts:
            b = (v + DAMPING / 2 * q) / w
            fade = np.exp(-DAMPING / 2 * TIMES)
            cos, sin = np.cos(w * TIMES), np.sin(w * TIMES)
            away = fade * (q * cos + b * sin)
            turn = fade * w * (b * cos - q * sin)
            ys.append(np.stack([away, turn - DAMPING / 2 * away], 1))
            env.append(i)
    data = Trajectories.from_arrays(
        [TIMES] * len(ys), ys, names=("q", "v"), origin={"system": "springs"}
    )
    return data.replace(env=np.array(env))


@pytest.fixture(scope="module")
def family():
    config = from_dict({"model": MODEL, "size": 1}, FamilyConfig)
    return meta_fit(swings(STIFFNESS), config)


def value(model, law, name):
    terms = {t.law: t for t in model.field.force.terms}
    return float(terms[law].constants[name].value)


def test_members_get_constants_of_their_own_and_share_the_others(family):
    models = [family.at(eta) for eta in family.etas]
    found = [value(m, "spring", "k") for m in models]
    assert_allclose(found, STIFFNESS, rtol=1e-5)
    assert_allclose([value(m, "viscous", "c") for m in models], DAMPING, rtol=1e-3)
    # a spring may push, too: its constant has no logarithm
    moved = 3.2 * np.diff(family.etas[:, 0])
    assert_allclose(moved, np.diff(STIFFNESS), rtol=1e-5)


@pytest.mark.slow
def test_a_new_member_is_read_off_a_short_clip(family, tmp_path):
    new = swings([3.7], [(0.6, 0.4)]).between(0.0, 1.0)
    again = load_family(family.save(tmp_path / "family.safetensors"))
    found = again.adapt(new)
    assert found.identified
    assert not found.extrapolating
    assert_allclose(value(found.model(), "spring", "k"), 3.7, rtol=1e-5)
    ((name, (k, sd)),) = found.constants.items()
    assert (name, k) == ("k", pytest.approx(3.7, rel=1e-5))
    assert sd == pytest.approx(3.2 * np.sqrt(found.covariance[0, 0]))


@pytest.mark.slow
def test_intervals_of_a_few_gradient_steps_hold_in_noise(family):
    """Start states held at noisy samples draw k along, and the steps end early: 90 % of
    40 systems are 36 +- 1.9, three of which are allowed."""
    rng = np.random.default_rng(0)
    truth = rng.uniform(2.2, 4.2, 40)
    exact = swings(truth, [(1.0, 0.3)])
    noisy = exact.replace(ys=exact.ys + 0.05 * rng.normal(size=exact.ys.shape))
    found = family.adapt_many(noisy.replace(origin={}), method="gd")
    told = np.array([one.constants["k"] for one in found if one.identified])
    truth = truth[[one.identified for one in found]]
    assert len(truth) > 30
    assert np.mean(np.abs(told[:, 0] - truth) < 1.645 * told[:, 1]) > 0.75


def test_directions_that_few_systems_cannot_show_are_as_wide_as_the_others(family):
    etas = np.array([[0.3, 0.0, 0.4], [-0.3, 0.0, -0.4]])
    fisher = np.zeros((2, 3, 3))
    few = dataclasses.replace(family, etas=etas, fisher=fisher)
    across = np.array([[0.6, 0.0, 0.8], [0.0, 1.0, 0.0], [-0.8, 0.0, 0.6]])
    seen, *unseen = np.diag(across @ few.covariance @ across.T)
    assert_allclose(seen, 0.5, rtol=1e-3)  # 2 (0.5)^2 / (2 - 1)
    assert_allclose(unseen, 0.5 / 3, rtol=1e-3)  # the mean of all three


@pytest.mark.parametrize("sign", ["positive", "any"])
def test_bound_constant(sign):
    constant = Varying(Free.make(2.0, sign, scale=0.5), 1)
    with pytest.raises(ConfigError, match="bind the model to an eta first"):
        constant.value  # noqa: B018
    tree = bind({"c": constant}, jnp.array([9.0, 0.3]))
    expected = 2.0 * np.exp(0.3) if sign == "positive" else 2.0 + 0.5 * 0.3
    assert_allclose(tree["c"].value, expected, rtol=1e-6)
    assert jax.tree.structure(tree["c"]) == jax.tree.structure(constant.shared)


def test_one_system_has_nothing_that_varies():
    config = from_dict({"model": MODEL, "every": 1})
    with pytest.raises(ConfigError, match="Name it with --free, or fit a family"):
        fit(None, swings([2.0]), config)


@pytest.mark.parametrize(
    ("size", "said"),
    [
        (
            1,
            r"an entry of eta each, and eta has 1. Set its size \(--eta\) to 2 or more",
        ),
        (0, r"Give its size \(--eta\), 2 or more"),
    ],
)
def test_every_varying_constant_has_its_entry(size, said):
    known = [SPRING, {**VISCOUS, "varies": ["c"], "free": []}]
    config = from_dict({"model": {**MODEL, "known": known}, "size": size}, FamilyConfig)
    with pytest.raises(ConfigError, match=said):
        meta_fit(swings(STIFFNESS), config)


def test_a_constant_that_no_law_has():
    known = [{**SPRING, "varies": ["stiffness"]}]
    config = from_dict({"model": {**MODEL, "known": known}}, FamilyConfig)
    with pytest.raises(ConfigError, match='has no constant "stiffness"'):
        meta_fit(swings(STIFFNESS), config)


def test_a_constant_varies_once():
    known = [{**SPRING, "varies": ["k", "k"]}]
    config = {"model": {**MODEL, "known": known}, "size": 2}
    with pytest.raises(ConfigError, match="named twice"):
        meta_fit(swings(STIFFNESS), from_dict(config, FamilyConfig))


def test_the_diffusivity_of_a_line_may_vary():
    line = KnownConfig("diffusion", varies=("d",), constants={"d": 0.1, "dx": 0.5})
    one, none = np.ones(4), np.zeros(0)
    ranges = Ranges(one, one, -one, one, none, none, none, none, one, (False,) * 4)
    model = build_model(
        ModelConfig(known=(line,), learn="none", order="first"),
        layout(("a", "b", "c", "d"), ("first",) * 4),
        ranges,
        1,
        jax.random.key(0),
        family=("affine", 1),
    )
    rates = lambda eta: bind(model, eta).field(0.0, jnp.arange(4.0) ** 2, None, None)
    twice = rates(jnp.log(jnp.array([2.0])))
    assert_allclose(twice, 2.0 * rates(jnp.zeros(1)), rtol=1e-6)


def test_on_the_command_line():
    options = ModelOptions(
        known=("spring", "viscous"),
        vary=("k,c",),
        constant=("k=3.2", "c=0.2"),
        learn="none",
    )
    config = build_family_config(
        swings(STIFFNESS), options, TrainOptions(), FamilyOptions(family=True)
    )
    assert [law.varies for law in config.model.known] == [("k",), ("c",)]
    assert config.size == 2
    wrong = dataclasses.replace(options, vary=("stiffness",))
    with pytest.raises(ConfigError, match="--vary stiffness: no known law"):
        build_family_config(
            swings(STIFFNESS), wrong, TrainOptions(), FamilyOptions(family=True)
        )


def test_constants_of_one_name_are_told_apart():
    forces = [
        {"term": "coulomb", "on": ["q1"], "varies": ["f"]},
        {"term": "spring", "on": [], "varies": ["k"]},
        {"term": "coulomb", "on": ["q2"], "varies": ["f"]},
    ]
    names = ["f of coulomb on q1", "k", "f of coulomb on q2"]
    assert varying_names(forces) == names

"""One energy for chains of several materials."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from pendula import CheckpointError, ConfigError, ShapeError
from pendula.data import join
from pendula.dynamics import (
    BarChain,
    BarFamily,
    BarsConfig,
    BarWorld,
    ElasticBars,
    bar_path,
    fit_bar_family,
    slinky_network,
    to_dict,
)
from pendula.dynamics._bars import AbstractBarEnergy
from pendula.dynamics._bars_family import leading
from pendula.dynamics._chain_stages import Loop
from pendula.systems import bar_record


BARS, FRAMES = 6, 24
TRUE = np.array([50.0, 120.0, 0.06])
WORLD = BarWorld.of()
SMALL = BarsConfig(
    width=4,
    depth=1,
    natural=0.0,
    start_steps=100,
    steps=2,
    shortest=2,
    longest=6,
    span=0.2,
    drawn=3,
    batch=4,
)
SCALES = (0.8, 1.0, 1.2)


class Scaled(AbstractBarEnergy):
    """The classical law, exp(eta / 5) times as stiff: eta is known in closed form."""

    law: ElasticBars

    def __call__(self, z, context=None):
        return jnp.exp(0.2 * context[0]) * self.law(z)


def law(scale):
    return ElasticBars(jnp.log(jnp.asarray(scale * TRUE, jnp.float32)), 0.0)


def record(scale):
    u = np.zeros((BARS, 3))
    u[:, 0] = 0.006 * np.arange(BARS)
    path = bar_path(
        BarChain(law(scale), WORLD, last=False), 0.01 * np.arange(FRAMES), u
    )
    return bar_record(path.ts, path.u, path.v)


@pytest.fixture(scope="module")
def family(tmp_path_factory):
    data = join([record(s) for s in SCALES])
    out = tmp_path_factory.mktemp("family")
    return fit_bar_family(data, WORLD, SMALL, support=0.15, last=False, out=out)


@pytest.mark.slow
def test_eta_of_a_new_material_is_found_where_it_is_known():
    etas = 5.0 * np.log(SCALES)[:, None]
    chain = BarChain(Scaled(law(1.0)), WORLD, last=False)
    about = {"config": to_dict(SMALL), "inner": 2, "support": 0.15}
    family = BarFamily(chain, etas, np.zeros(1), about)
    new, true = record(0.9), 5.0 * np.log(0.9)
    assert np.allclose(family.adapt(new, steps=6), true, atol=1e-3)
    assert np.allclose(family.adapt(new), true, atol=0.02)
    assert np.allclose(family.adapt(join([new, new])), family.adapt(new), atol=1e-4)
    with pytest.raises(ConfigError, match="at least one step"):
        family.adapt(new, steps=0)


def test_etas_begin_with_the_leading_components_of_the_laws():
    rows = np.log(np.outer([0.8, 1.0, 1.3], TRUE))
    found = leading(rows, 1)[:, 0]
    line = np.log([0.8, 1.0, 1.3])
    expected = (line - line.mean()) / line.std()
    assert np.allclose(np.abs(found @ expected), 3.0)
    with pytest.raises(ShapeError, match="3 constants"):
        leading(np.zeros((5, 3)), 4)


@pytest.mark.slow
def test_a_family_is_learned_from_records_alone(family):
    laws = np.asarray(family.about["laws"])
    assert np.allclose(laws[:, 0], np.outer(SCALES, TRUE)[:, 0], rtol=1e-3)
    assert family.etas.shape == (3, 1)
    assert np.isfinite(family.etas).all()


@pytest.mark.slow
def test_its_file_holds_all_of_it(family, tmp_path):
    again = BarFamily.load(family.save(tmp_path / "bars.safetensors"))
    assert np.array_equal(again.etas, family.etas)
    new = record(1.1)
    assert np.array_equal(again.adapt(new), family.adapt(new))
    other = slinky_network().save(tmp_path / "other.safetensors")
    with pytest.raises(CheckpointError, match="no family of bars"):
        BarFamily.load(other)


@pytest.mark.parametrize(
    ("records", "changes", "more", "told"),
    [
        (1, {}, {}, "needs more records"),
        (3, {}, {"inner": 0}, "at least one step"),
        (3, {"members": 2}, {}, "members is 1"),
        (3, {}, {"support": 0.3}, "eta is found from a part"),
    ],
)
def test_settings_that_do_not_fit_are_refused(records, changes, more, told):
    data = join([record(1.0)] * records)
    config = dataclasses.replace(SMALL, **changes)
    with pytest.raises(ConfigError, match=told):
        fit_bar_family(data, WORLD, config, **more)


def test_a_run_in_another_world_is_not_taken_up(tmp_path):
    data = join([record(s) for s in SCALES])
    own = {"first": True, "last": False, "size": 1, "inner": 2, "support": 0.15}
    Loop.opened(tmp_path, False, None, SMALL, WORLD, data, **own)
    with pytest.raises(CheckpointError):
        fit_bar_family(
            data,
            BarWorld.of(mass=5e-3),
            SMALL,
            support=0.15,
            last=False,
            out=tmp_path,
            resume=True,
        )

"""Contact of neighbouring cycles: exact derivatives, both solvers, and rebounds."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pendula import ConfigError, DataError
from pendula.systems import (
    Boundary,
    Contact,
    ElasticRod,
    Slinky,
    drop,
    rod_energy,
    simulate_rod,
)


P = 5  # nodes to a cycle
DOWN = (0.0, -9.8, 0.0)


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


@pytest.fixture
def touching():
    """A winding whose cycles are within the margin of each other."""
    rng = np.random.default_rng(0)
    k = np.arange(2 * P + 3)
    a = 2.0 * np.pi * k / P
    line = np.stack([1.5e-3 * k / P, 0.02 * np.cos(a), 0.02 * np.sin(a)])
    z = np.concatenate([line, np.zeros((1, len(k)))])
    z[:3] += rng.normal(0.0, 1e-4, (3, len(k)))
    contact = Contact.of(300.0, thickness=5e-4, margin=2e-3, around=P)
    return contact, jnp.asarray(z), jnp.asarray(0.01 + 0.01 * rng.random(len(k)))


def dense(blocks):
    n = blocks.diagonal.shape[2]
    eye = jnp.eye(4 * n).reshape(4 * n, n, 4).transpose(0, 2, 1)
    columns = jax.vmap(blocks.times)(eye)
    return columns.transpose(0, 2, 1).reshape(4 * n, 4 * n)


def test_slope_and_curvature_are_those_of_the_energy(touching):
    contact, z, lengths = touching
    flat = lambda a: a.T.reshape(-1)
    grid = lambda x: x.reshape(-1, 4).T
    energy = lambda x: contact.energy(grid(x), lengths)
    x = flat(z)
    value = float(energy(x))
    assert 0.0 < value < np.inf
    exact = jax.hessian(energy)(x)
    ours = dense(contact.curvature(z, lengths))
    scale = float(jnp.abs(exact).max())
    np.testing.assert_allclose(ours, exact, atol=1e-12 * scale)
    np.testing.assert_allclose(
        flat(contact.slope(z, lengths)), jax.grad(energy)(x), atol=1e-14
    )
    safe = dense(contact.curvature(z, lengths, positive=True))
    assert float(jnp.linalg.eigvalsh(safe).min()) > -1e-12 * scale


@pytest.mark.slow
def test_both_solvers_solve_the_wide_system(touching):
    contact, z, lengths = touching
    blocks = contact.curvature(z, lengths, positive=True)
    blocks = blocks.plus(0.1 * float(jnp.abs(blocks.diagonal).max()) + 0.0 * z)
    fixed = np.zeros(z.shape, bool)
    fixed[:, :2] = True
    blocks = blocks.held(fixed)
    rhs = jax.random.normal(jax.random.key(0), z.shape)
    expected = jnp.linalg.solve(dense(blocks), rhs.T.reshape(-1))
    for solver in ("blocks", "lapack"):
        x = jax.jit(lambda b, v, s=solver: b.solve(v, s))(blocks, rhs)
        np.testing.assert_allclose(x.T.reshape(-1), expected, rtol=1e-9, atol=1e-12)


def test_a_step_is_cut_before_cycles_meet(touching):
    contact, z, _ = touching
    gaps = contact.gaps(z)
    move = jnp.zeros_like(z).at[0, :P].set(1.0)
    share = contact.share(z, move)
    assert 0.0 < float(share) < 1e-3
    after = contact.gaps(z + share * move)
    assert float((after / gaps).min()) > 0.2 - 1e-9
    assert float(contact.share(z, 0.0 * z)) == 1.0
    # what all do together brings nothing nearer
    assert float(contact.share(z, jnp.ones_like(z))) == 1.0


@pytest.mark.slow
def test_a_slinky_flung_up_meets_itself():
    """Six cycles drawn out to 9 mm each and let go: they fly at what holds them, at
    fifty times the gap a step, and stay apart from one another."""
    slinky = Slinky(cycles=6)
    contact = slinky.contact(100.0)
    rod, state, held = slinky.vertical(6 * 9e-3)
    run = drop(rod, state, held, 0.06, 1e-3, contact=contact, save_every=4)
    assert run.good
    gaps = np.asarray(jax.vmap(contact.gaps)(jnp.asarray(run.z)))
    assert gaps[0].min() > 5e-3  # far apart to begin with
    assert 0.0 < gaps.min() < 2e-4
    # the free end rises faster than a cycle's gap in a step
    assert np.diff(run.nodes[:, -17, 1]).max() > 4 * 1e-3 * 0.5


@pytest.mark.slow
def test_a_slinky_that_is_let_go_rests_on_itself_instead_of_passing_through():
    slinky = Slinky(cycles=4)
    contact = slinky.contact()
    rod, state, _ = slinky.horizontal(4 * 2.5e-3)
    held = slinky.clamps(rod, last=False)
    options = {"integrator": "bdf2", "save_every": 5, "gravity": (-30.0, 0.0, 0.0)}
    through = drop(rod, state, held, 0.06, 5e-4, **options)
    run = drop(rod, state, held, 0.06, 5e-4, contact=contact, **options)
    assert run.good
    gap = lambda r: np.asarray(jax.vmap(contact.gaps)(jnp.asarray(r.z))).min()
    assert gap(through) < 0.0
    assert gap(run) > 0.0
    told = rod_energy(rod, run, (-30.0, 0.0, 0.0), contact)
    assert told["contact"].max() > 0.0
    # an implicit step through an impact loses energy, and gains none
    rise = (told["total"] - told["total"][0]).max()
    assert rise < 0.01 * told["kinetic"].max()


def test_what_overlaps_or_cannot_touch_is_refused():
    slinky = Slinky(cycles=2)
    rod = slinky.rod()
    thick = Contact.of(1.0, thickness=2e-3)
    with pytest.raises(DataError, match=r"cycles overlap at the start: node \d+ is"):
        drop(rod, rod.start, Boundary.of(rod), 0.01, contact=thick)
    line = ElasticRod.from_points(
        np.linspace([0, 0, 0], [1.0, 0, 0], 9), rest=None, section=slinky.own_section
    )
    with pytest.raises(ConfigError, match="9 nodes, which is no cycle of 16"):
        simulate_rod(line, 0.01, 0.01, contact=slinky.contact())
    with pytest.raises(ConfigError, match="through what touches"):
        drop(
            rod,
            rod.start,
            Boundary.of(rod),
            0.01,
            contact=slinky.contact(),
            integrator="midpoint",
        )
    with pytest.raises(ConfigError, match=r"margin is 0\.0; it must be above 0"):
        Contact.of(1.0, margin=0.0)
    with pytest.raises(ConfigError, match="around is 2; a cycle has at least 3"):
        Contact.of(1.0, around=2)

"""Reaction and diffusion on a line: the waves of the grid, one network for all nodes,
boundaries that change after training, and a growth law found again."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from pendula._errors import ConfigError
from pendula.data import Trajectories
from pendula.dynamics import (
    AbstractField,
    FamilyConfig,
    FitConfig,
    Given,
    Known,
    KnownConfig,
    Learned,
    ModelConfig,
    Reaction,
    ReactionDiffusion,
    SlotScale,
    from_dict,
    load_family,
    meta_fit,
    terms_of,
    with_boundary,
)
from pendula.dynamics._build import build_model, equation
from pendula.dynamics._forecast import outside
from pendula.dynamics._layout import layout
from pendula.dynamics._prepare import decided_plan
from pendula.dynamics._slots import Ranges
from pendula.nn import MLP
from pendula.systems import KPP


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


T = np.float64(0.0)
N, D, H = 9, 0.3, 0.5
SPREADS = KnownConfig("diffusion", constants={"d": D, "dx": H})
NAMES = tuple(f"u{i}" for i in range(N))
PLAN = layout(NAMES, ("first",) * N)
compiled = eqx.filter_jit(lambda field, y: field(T, y, None, None))


def line(boundary="neumann", sources=()):
    known = {"d": Given(jnp.asarray(D)), "dx": Given(jnp.asarray(H))}
    return ReactionDiffusion(known, sources, boundary)


def growth():
    net = MLP(1, 1, width=5, depth=2, key=jax.random.key(0))
    scale = SlotScale.unit(1, 1, 1.0)
    span = (jnp.zeros(1), jnp.ones(1))
    scale = eqx.tree_at(lambda s: (s.low, s.high), scale, span)
    return Reaction(Learned(net, scale, (0,)))


def ranges(n=N):
    one, none = np.ones(n), np.zeros(0)
    return Ranges(
        *(0.5 * one, 0.2 * one, 0.0 * one, one, none, none, none, none),
        np.linspace(0.1, 0.3, n),
        (False,) * n,
    )


def built(config, plan=PLAN, **options):
    key = jax.random.key(0)
    return build_model(config, plan, ranges(plan.dim), 1, key, **options)


@pytest.mark.parametrize("wave", range(1, N - 1))
def test_waves_of_the_grid_decay_at_their_own_rate(wave):
    """Cosines without flux, sines between held ends: eigenvectors of the operator."""
    phase = np.pi * wave * np.arange(N) / (N - 1)
    rate = -4.0 * D / H**2 * np.sin(0.5 * np.pi * wave / (N - 1)) ** 2
    for boundary, shape in (("neumann", np.cos), ("dirichlet", np.sin)):
        y = shape(phase)
        assert_allclose(compiled(line(boundary), jnp.asarray(y)), rate * y, atol=1e-14)


def test_held_ends_stay_whatever_reacts():
    y = jnp.linspace(0.2, 0.9, N)
    free, held = (compiled(line(b, (growth(),)), y) for b in ("neumann", "dirichlet"))
    assert_array_equal(held[jnp.array([0, -1])], 0.0)
    assert_array_equal(held[1:-1], free[1:-1])
    # changed afterwards is the same as built so, and the network is untouched
    changed = with_boundary(line("neumann", (growth(),)), "dirichlet")
    assert_array_equal(compiled(changed, y), held)
    assert changed.sources[0].slot.net is not None


def test_nodes_are_all_alike():
    """Permuted nodes react in permuted order, and one node alone as among others."""
    y = jnp.linspace(-0.3, 1.2, N)
    order = jnp.asarray(np.random.default_rng(0).permutation(N))
    rates = compiled(growth(), y)
    assert_allclose(compiled(growth(), y[order]), rates[order], rtol=1e-14)
    assert_allclose(growth()(T, y[2:3], None, None), rates[2:3], rtol=1e-14)


def test_the_range_of_values_counts_at_every_node():
    field = line("neumann", (growth(),))
    inside = jnp.full(N, 0.5)
    assert not outside(field, inside, None, None)
    assert outside(field, inside.at[N - 1].set(1.5), None, None)


def test_what_is_built_from_the_configuration():
    """One slot, scaled to what all nodes visit; its size does not grow with them."""
    model = built(ModelConfig(known=(SPREADS,), width=5, priors=("zero_at_rest",)))
    _, term = terms_of(model.field)
    assert isinstance(term, Reaction)
    assert term.slot.net.in_size == term.slot.net.out_size == 1
    assert_allclose(term.slot.scale.out, np.sqrt(np.mean(ranges().rate ** 2)))
    assert_allclose(term(T, jnp.zeros(1), None, None), 0.0, atol=1e-15)
    held = KnownConfig("diffusion", constants={"d": D, "dx": H}, boundary="dirichlet")
    config = ModelConfig(learn="none", known=(held,))
    with pytest.raises(ConfigError, match="there is nothing to find"):
        built(config)
    assert "dirichlet" in equation(config, PLAN)[0]


def test_known_and_learned_make_the_known_system():
    """With the true growth in place of the network: KPP as simulated."""

    class Logistic(AbstractField):
        def __call__(self, t, y, u, context):
            return 0.03 * y * (1.0 - y)

    y = jnp.asarray(np.random.default_rng(1).uniform(size=21))
    for boundary in ("neumann", "dirichlet"):
        known = {"d": Given(jnp.asarray(1e-4)), "dx": Given(jnp.asarray(0.05))}
        mine = ReactionDiffusion(known, (Logistic(),), boundary)
        world = KPP(nodes=21, rate=0.03, boundary=boundary)
        assert_allclose(compiled(mine, y), world(T, y), atol=1e-15)


def test_channels_of_a_line_are_of_first_order():
    t = np.linspace(0.0, 6.0, 61)
    ys = np.stack([np.cos(w * t) for w in (0.7, 1.0, 1.3)], 1)
    data = Trajectories.from_arrays([t], [ys])
    for model in (ModelConfig(learn="reaction"), ModelConfig(known=(SPREADS,))):
        assert decided_plan(data, FitConfig(model), []).n == 0


def test_a_free_diffusivity_is_a_constant_to_be_found():
    from pendula.dynamics._posterior import free_constants

    free = KnownConfig("diffusion", free=("d",), constants={"d": D, "dx": H})
    model = built(ModelConfig(known=(free,), learn="none"))
    ((name, law, _, sign, node),) = free_constants(model)
    assert (name, law, sign) == ("d", "diffusion", "positive")
    assert_allclose(node.value, D)


SECOND = layout(("q", "p", "r"), ("second",) * 3)


@pytest.mark.parametrize(
    ("known", "plan", "match"),
    [
        ({"boundary": "dirichlett"}, PLAN, 'Did you mean "dirichlet"'),
        ({"constants": {"d": D}}, PLAN, 'constant "dx" is None; give dx=NUMBER'),
        ({"constants": {"d": -1.0, "dx": H}}, PLAN, 'constant "d" is -1.0'),
        ({"constants": {"d": D, "dx": H, "D": 1.0}}, PLAN, 'no constant "D"'),
        ({"on": ("u1",)}, PLAN, "takes all channels, in their order"),
        ({}, SECOND, "needs three or more channels of first order"),
        ({}, layout(NAMES[:2], ("first",) * 2), "needs three or more channels"),
    ],
)
def test_bad_lines_are_refused(known, plan, match):
    settings = {"constants": {"d": D, "dx": H}, **known}
    config = ModelConfig(known=(KnownConfig("diffusion", **settings),))
    with pytest.raises(ConfigError, match=match):
        built(config, plan)


def test_other_bad_uses_are_refused():
    with pytest.raises(ConfigError, match='needs channels of first order; "q" is of'):
        built(ModelConfig(learn="reaction"), SECOND)
    with pytest.raises(ConfigError, match="stands twice"):
        built(ModelConfig(known=(SPREADS, SPREADS)))
    with pytest.raises(ConfigError, match="all of them one rest value"):
        built(ModelConfig(learn="reaction", rest=tuple(range(N))))
    with pytest.raises(ConfigError, match="acts along a line of nodes"):
        Known("diffusion", d=1.0, dx=1.0)
    with pytest.raises(ConfigError, match="nothing in the model diffuses"):
        with_boundary(growth(), "dirichlet")
    with pytest.raises(ConfigError, match="Allowed: neumann, dirichlet"):
        with_boundary(line(), "periodic")
    with pytest.raises(ConfigError, match="it needs d, the diffusivity, and dx"):
        ReactionDiffusion({"d": Given(jnp.asarray(D))})
    net = MLP(2, 1, width=5, depth=2, key=jax.random.key(0))
    two = Learned(net, SlotScale.unit(2, 1), (0, 1))
    with pytest.raises(ConfigError, match="a slot of one entry with one output"):
        Reaction(two)
    table = {"known": [{"term": "diffusion", "boundary": 1}]}
    with pytest.raises(ConfigError, match=r"boundary is 1; expected a text"):
        from_dict(table, ModelConfig)


def lines(rates, rng, nodes=5):
    """Exact motion of a short line without flux, from random starts."""
    from scipy.integrate import solve_ivp

    t, ys = np.arange(31.0), []
    for rate in rates:
        world = lambda u, r=rate: (
            0.02 * np.diff(np.concatenate([u[1:2], u, u[-2:-1]]), 2) + r * u * (1 - u)
        )
        out = solve_ivp(
            lambda _, u, f=world: f(u),
            (0.0, 30.0),
            rng.uniform(0.02, 0.9, nodes),
            t_eval=t,
            rtol=1e-10,
            atol=1e-12,
        )
        ys.append(out.y.T)
    made = {"system": "lines"}
    return Trajectories.from_arrays([t] * len(ys), ys, origin=made)


@pytest.mark.slow
def test_the_growth_law_is_found_and_holds_between_held_ends(tmp_path):
    """r u (1 - u) of an unseen r from one record of a short line; then both ends are
    held at 1, after a round trip through a file."""
    rng = np.random.default_rng(0)
    spreads = KnownConfig("diffusion", constants={"d": 0.02, "dx": 1.0})
    config = ModelConfig(known=(spreads,), width=6, depth=1)
    family = meta_fit(lines([0.05, 0.1, 0.15, 0.2], rng), FamilyConfig(config))
    new = family.adapt(lines([0.13], rng))
    assert new.identified
    assert not new.extrapolating
    us = np.linspace(0.0, 1.0, 51)
    field = jax.tree.map(jnp.asarray, family.at(new.eta)).field
    (term,) = (t for t in terms_of(field) if isinstance(t, Reaction))
    truth = 0.13 * us * (1.0 - us)
    off = np.asarray(term(T, jnp.asarray(us), None, None)) - truth
    assert np.linalg.norm(off) < 0.02 * np.linalg.norm(truth)
    family.with_boundary("dirichlet").save(tmp_path / "held.safetensors")
    held = load_family(tmp_path / "held.safetensors")
    start = np.array([1.0, 0.1, 0.3, 0.1, 1.0])
    got = held.predict(new.eta, start, np.arange(31.0))
    assert_array_equal(got[:, [0, -1]], 1.0)
    world = KPP(nodes=5, rate=0.13, diffusivity=0.02, length=4.0, boundary="dirichlet")
    from pendula.solve import rollout

    exact = rollout(world, start, np.linspace(0.0, 30.0, 301)).ys[::10]
    assert_allclose(got, exact, atol=2e-3)

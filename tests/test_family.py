"""One walk over every registered building block: what all of them must satisfy."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from pendula import _registry as registry
from pendula._source import Source
from pendula._tree import Fixed, split_trainable
from pendula.depth import (
    ConvUnit,
    DenseUnit,
    Evolved,
    ImageNet,
    ImageNetConfig,
    OdeBlock,
    ResidualChain,
    SkipInit,
    Stitch,
    make_basis,
)
from pendula.dynamics import (
    ESNN,
    BarChain,
    BarWorld,
    Conservative,
    ControlMap,
    CycleCode,
    Dissipative,
    ElasticBars,
    ElasticChain,
    ElasticRings,
    Free,
    Friction,
    GapPotential,
    GaugeFlow,
    Given,
    GivenMatrix,
    Hamiltonian,
    Known,
    Lagrangian,
    Learned,
    LearnedBody,
    Library,
    Links,
    Model,
    NeuralSDE,
    Noisy,
    PolynomialBars,
    PortHamiltonian,
    Ports,
    Reaction,
    ReactionDiffusion,
    RingChain,
    RingESNN,
    RingWorld,
    SecondOrder,
    SlotScale,
    SpringLaw,
    Stationary,
    Stochastic,
    Sum,
    Varying,
    exponents,
    fit_gauge,
)
from pendula.dynamics._bars_family import SavedBarFamily
from pendula.dynamics._constants import PriorWidth
from pendula.dynamics._family import SavedFamily
from pendula.dynamics._fitted import Saved
from pendula.dynamics._stochastic import Belief, Uncertain
from pendula.hardware import (
    Diffractive,
    DigitalModel,
    EchoState,
    EquilibriumNet,
    FrontEndCoder,
    LinearReadout,
    LiquidStateMachine,
    LocalLayer,
    LocalNet,
    OscillatorChain,
    ProjectionPair,
    PulseWidth,
    Quantised,
    ReadNoise,
    UnknownGain,
)
from pendula.latent import (
    DenseDynamics,
    OrthogonalDynamics,
    ShallowDecoder,
    SpectralNormDynamics,
    latent_linear,
    latent_ode,
)
from pendula.nn import (
    MLP,
    BatchNorm,
    ConvexMLP,
    Convolution,
    GroupNorm,
    HeldNumber,
    Hyper,
    MonotoneMLP,
    NormState,
    ReferenceMLP,
    Shortcut,
    ShortcutNet,
    SymmetricMix,
    WideBlock,
    WideResNet,
    bind,
    conditioned,
)
from pendula.sequences import CELLS, Substeps, neural_cde, recurrent_model
from pendula.solutions import Axis, build
from pendula.systems import system
from pendula.train import load_tree, save_tree


N, DIM, CTRL = 2, 4, 1
T = jnp.asarray(0.7)


def net(in_size, out_size, depth=2, index=0):
    key = jax.random.fold_in(jax.random.key(0), index)
    return MLP(in_size, out_size, width=5, depth=depth, key=key)


def slot(takes, out, *, inputs=(), priors=(), index=0):
    size = len(takes) + len(inputs)
    return Learned(
        net(size, out, index=index),
        SlotScale.unit(size, out, 1.0),
        takes,
        inputs,
        priors=priors,
    )


def all_laws():
    """Every law, every constant free, on the two coordinates in turn."""
    terms = []
    for k, name in enumerate(registry.names("known")):
        law = registry.lookup("known", name)
        if law.value.__module__ == "pendula.dynamics._known":
            constants = dict.fromkeys(law.constants, 0.7)
            terms.append(Known(name, N, k % N, free=tuple(law.constants), **constants))
    return Sum(tuple(terms))


def conservative(priors=()):
    return Conservative(slot((0, 1), 1, priors=priors), N)


def shaped(prior, out=2, space=0):
    """A slot whose prior needs a network, or vectors, of its own."""
    takes = (0, 1, 2, 3)
    kind = {"convex": ConvexMLP, "increasing": MonotoneMLP, "decreasing": MonotoneMLP}
    size = Learned.size(takes, space=space)
    number = out // space * (4 // space) if prior == "equivariant" else out
    net = kind.get(prior, MLP)(size, number, width=5, depth=2, key=jax.random.key(0))
    return Learned(
        net, SlotScale.unit(4, out, 1.0), takes, priors=(prior,), space=space
    )


def with_linear(known=False):
    matrix = jnp.linspace(-1.0, 1.0, 8).reshape(2, 4)
    linear = GivenMatrix(matrix) if known else matrix
    return Learned(net(4, 2), SlotScale.unit(4, 2, 1.0), (0, 1, 2, 3), linear=linear)


def links():
    names = {"d1": 1.0, "d2": 0.5, "u12": 0.8, "g1": 9.0, "g2": 4.0}
    return Links(N, free=tuple(names), **names)


def learned_body():
    return LearnedBody(slot((0, 1), 3, index=1), slot((0, 1), 1))


def hamiltonian():
    masses = (Free.make(1.5, "positive"), Given(jnp.asarray(1.0)))
    return Hamiltonian((slot((0, 1, 2, 3), 1),), N, masses)


def port():
    ports = Ports(jnp.ones((N, CTRL)), GivenMatrix(jnp.ones((N, CTRL))))
    return PortHamiltonian(hamiltonian(), slot((0, 1, 2, 3), 3), ports)


def friction():
    parts = [Free.make(v, "positive") for v in (0.3, 0.2, 0.1, 0.5)]
    return Friction(*parts, slot((2,), 1), N)


def diffusing():
    """A line without flux whose diffusivity is free, its nodes reacting alike."""
    constants = {"d": Free.make(0.3, "positive"), "dx": Given(jnp.asarray(0.5))}
    return ReactionDiffusion(constants, (Reaction(slot((0,), 1)),))


def spring():
    return SpringLaw.create(jax.random.key(0), 5)


def bars():
    """A chain of any number of bars: no field of two coordinates."""
    energy = ESNN.create(jax.random.key(0), width=3, depth=2)
    return BarChain(energy, BarWorld.of())


def rings():
    """A chain of any number of rings in space."""
    law = ElasticRings.of([65.0, 170.0, 170.0, 0.09, 0.08, 0.08])
    energy = RingESNN.create(jax.random.key(0), law, width=3, depth=2)
    return RingChain(energy, RingWorld.of())


def library():
    """Monomials of state and input, sine and cosine of one entry."""
    field = Library(exponents(DIM + CTRL, 2), (1,), out=2)
    return field.with_physical(np.full(field.coefficients.shape, 0.3))


# name -> the block; state (q, v) of two coordinates, one input
FIELDS = {
    "Sum of all laws": all_laws,
    "Known": lambda: Known("spring", N, 1, free=("k",), k=4.0),
    "Learned": lambda: slot((0, 1, 2, 3), DIM, inputs=(0,)),
    **{
        f"Learned, {prior}": lambda prior=prior: slot((0, 3), 2, priors=(prior,))
        for prior in (
            "zero_at_rest",
            "odd",
            "even",
            "flat_at_rest",
            "positive",
            "bounded",
        )
    },
    **{
        f"Learned, {prior}": lambda prior=prior, out=out, space=space: shaped(
            prior, out, space
        )
        for prior, out, space in (
            ("convex", 1, 0),
            ("increasing", 2, 0),
            ("decreasing", 2, 0),
            ("symmetric", 4, 0),
            ("invariant", 1, 2),
            ("equivariant", 2, 2),
        )
    },
    "Learned, linear part": with_linear,
    "Learned, known linear part": lambda: with_linear(known=True),
    "Lagrangian, links": lambda: Lagrangian(links(), (friction(),), N),
    "Lagrangian, learned": lambda: SecondOrder(Lagrangian(learned_body(), (), N), N),
    "Hamiltonian": hamiltonian,
    "PortHamiltonian": port,
    "Conservative": conservative,
    "Conservative, even": lambda: conservative(("even",)),
    "Dissipative": lambda: Dissipative(slot((0, 1, 2, 3), 3), N),
    "Friction": friction,
    "Library": library,
    "ElasticChain": lambda: ElasticChain(spring(), jnp.asarray(-1.0)),
    "Reaction": lambda: Reaction(slot((0,), 1)),
    "ReactionDiffusion": diffusing,
    "SecondOrder": lambda: SecondOrder(slot((0, 1, 2, 3), N), N),
    "MLP": lambda: _OnState(net(DIM, 3, depth=5)),
    "MonotoneMLP": lambda: _OnState(MonotoneMLP(DIM, 3, 5, 2, key=jax.random.key(0))),
    "ConvexMLP": lambda: _OnState(ConvexMLP(DIM, 3, 5, 2, key=jax.random.key(0))),
    "ReferenceMLP": lambda: _OnState(ReferenceMLP(DIM, 3, key=jax.random.key(0))),
    **{
        head: lambda head=head: _OfFamily(
            conditioned(head, DIM, 3, 2, width=5, depth=2, key=jax.random.key(0))
        )
        for head in ("concat", "affine", "lowrank", "hyper", "reference")
    },
}


def world(name):
    """A known system with its drive on, where it has one."""
    cls = type(system(name))
    return cls(drive_amplitude=0.5) if "drive_amplitude" in cls.param_names else cls()


SYSTEMS = {name: (lambda name=name: world(name)) for name in registry.names("system")}
# A parameter that cancels by construction: its gradient is zero, and should be.
CANCELS = {
    "Learned, zero_at_rest": "bias_out",
    "Learned, odd": "bias_out",
    "Learned, flat_at_rest": "bias_out",
    "Conservative": "bias_out",
    "Conservative, even": "bias_out",
    "Lagrangian, learned": "bias_out",
    "Hamiltonian": "bias_out",
    "PortHamiltonian": "bias_out",
}


class _OnState(eqx.Module):
    """A network called as a field."""

    net: eqx.Module

    def __call__(self, t, y, u, context):
        return self.net(y)


class _OfFamily(_OnState):
    """One member of a family of networks."""

    def __call__(self, t, y, u, context):
        return bind(self.net, jnp.asarray([0.3, -0.8]))(y)


def inside(block):
    """The registered module itself."""
    return block.net if isinstance(block, _OnState) else block


def states(block, scale=1.0):
    dim = len(block.names) if hasattr(block, "names") else DIM
    rng = np.random.default_rng(4)
    return jnp.asarray(0.1 + scale * rng.uniform(size=(3, dim)), jnp.float32)


def control(block):
    return None if hasattr(block, "names") else jnp.asarray([0.3])


def call(block, y):
    return block(T, y, control(block), None)


@eqx.filter_jit
def evaluate(block, ys):
    """One program a block: values of a batch, and the gradient of their sum of
    squares with respect to what is trained."""
    params, static = split_trainable(block)

    def total(params):
        values = jax.vmap(lambda y: call(eqx.combine(params, static), y))(ys)
        return jnp.sum(values**2 + values), values

    grads, values = jax.grad(total, has_aux=True)(params)
    return values, grads


# Systems have a walk of their own; a model and a line of nodes stand for them here.
WALK = [
    name
    if name in FIELDS or name in ("pendulum", "kpp")
    else pytest.param(name, marks=pytest.mark.slow)
    for name in (*FIELDS, *SYSTEMS)
]


@pytest.fixture(scope="module", params=WALK)
def case(request):
    """(name, block, values of three states, gradients)."""
    name = request.param
    block = {**FIELDS, **SYSTEMS}[name]()
    ys = states(block)
    return name, block, ys, *evaluate(block, ys)


def test_values_are_finite_also_far_outside(case):
    _, block, _, values, _ = case
    assert np.isfinite(values).all()
    far, _ = evaluate(block, states(block, 1e3))
    assert np.isfinite(far).all()


def test_gradient_reaches_every_parameter(case):
    name, _, _, _, grads = case
    dead = [
        jax.tree_util.keystr(path)
        for path, leaf in jax.tree_util.tree_leaves_with_path(grads)
        if not np.all(np.isfinite(leaf)) or not np.any(np.asarray(leaf) != 0)
    ]
    assert [path.split(".")[-1] for path in dead] == (
        [CANCELS[name]] if name in CANCELS else []
    ), dead


def test_jit_and_vmap_agree_with_a_plain_loop(case):
    _, block, ys, values, _ = case
    with jax.disable_jit():
        plain = [call(block, y) for y in ys]
    # float32: a program may round its sums in another order
    assert_allclose(np.stack(plain), values, rtol=2e-5, atol=2e-5)


def test_saved_is_loaded_to_the_same_bits(case, tmp_path):
    _, block, ys, values, _ = case
    save_tree(tmp_path / "block.safetensors", inside(block), {})
    again, _ = load_tree(tmp_path / "block.safetensors")
    assert type(again) is type(inside(block))
    assert jax.tree.structure(again) == jax.tree.structure(inside(block))
    again = jax.tree.map(jnp.asarray, again)
    again = type(block)(again) if isinstance(block, _OnState) else again
    assert_array_equal(evaluate(again, ys)[0], values)


def test_docstring_and_source(case):
    _, block, *_ = case
    cls = type(inside(block))
    assert isinstance(cls.source, Source)
    for part in ("$$", "**Source:**", "**Shapes", ">>>"):
        assert part in cls.__doc__ or cls in (Dissipative, Friction), part
    assert cls.source.key[:-4].lower() in cls.__doc__.lower().replace(" ", "")


def gauge():
    """Of two labels, affine: nothing is compiled."""
    labels = 1.0 + np.arange(10.0).reshape(5, 2) ** 2
    return fit_gauge(np.log(labels), labels, ("k1", "k3"))


def control_map():
    """Three systems, two settings, one eta."""
    one, two = np.ones(1), np.ones(2)
    kernel = (np.ones((1, 3)), np.eye(3)[None], np.ones((1, 2)))
    scales = (one, one, two, two, one, one)
    texts = ((True, False), ("E", "rho"), ("Pa", ""), ())
    return ControlMap(np.ones((3, 2)), one, two[None], *kernel, *scales, *texts)


@functools.cache
def in_depth():
    """Networks continuous in depth, and their parts."""
    key = jax.random.key(0)
    dense = DenseUnit(2, 3, key=key)
    names = {
        "PiecewiseConstant": "piecewise_constant",
        "Linear": "linear",
        "PiecewiseLinear": "piecewise_linear",
        "Polynomial": "polynomial",
    }
    return {
        **{kind: make_basis(name, 2) for kind, name in names.items()},
        "Evolved": Evolved.of(),
        "DenseUnit": dense,
        "SkipInit": SkipInit(dense),
        "HeldNumber": HeldNumber(jnp.asarray(0.5)),
        "SymmetricMix": SymmetricMix(Convolution(2, 2, key=key), 0.5),
        "OdeBlock": OdeBlock(dense, n_basis=2, key=key),
        "ConvUnit": ConvUnit(2, norm="batch", key=key),
        "Stitch": Stitch(2, 4, stride=2, key=key),
        "ResidualChain": ResidualChain((dense,)),
        "ImageNet": ImageNet(ImageNetConfig.mnist(width=2), key=key),
        "Convolution": Convolution(1, 2, use_bias=True, key=key),
        "GroupNorm": GroupNorm(2),
        "BatchNorm": BatchNorm(2),
        "NormState": NormState.start(2),
    }


def trial(kind, **options):
    """A trial network with row sizes and slopes, one period of it trained."""
    axes = (Axis(0.0, 2.0, periodic=True), Axis(0.0, 1.0, trainable_period=True))
    more = {"factor_mean": 0.5, "adaptive": 5.0, "depth": 1, **options}
    return build(kind, axes, width=3, key=jax.random.key(0), **more)


@functools.cache
def trials():
    """Networks that are solutions, and their parts."""
    plain, pirate = trial("plain", fourier=2), trial("pirate")
    see, layer = plain.embedding, plain.hidden[0]
    return {
        "PlainNet": plain,
        "ModifiedNet": trial("modified"),
        "PirateNet": pirate,
        "PirateBlock": pirate.blocks[0],
        "GaussianNet": trial("gaussian", gaussians=4, features=2),
        "Embedding": see,
        "Frame": see.frame,
        "FourierFeatures": see.fourier,
        "Frequencies": see.fourier.frequencies,
        "Dense": layer,
        "RowFactor": layer.factor,
        "AdaptiveSlope": layer.slope,
    }


@functools.cache
def recurrent():
    """Cells, and what holds them; a cell of a map is in a model of its own."""
    key = jax.random.key(0)
    models = [recurrent_model(name, 1, 2, 1, key=key) for name in CELLS]
    lem = next(m.cell for m in models if type(m.cell).__name__ == "LEMCell")
    return {
        **{type(m.cell).__name__: m.cell for m in models},
        "RecurrentModel": models[0],
        "Substeps": Substeps(lem, 2),
        "NeuralCDE": neural_cde(2, 3, 1, width=2, key=key).cell,
    }


def on_hardware():
    """Physical layers, and what is built of them."""
    key = jax.random.key(0)
    gain = UnknownGain(2, key=key)
    return {
        "UnknownGain": gain,
        "Shortcut": Shortcut(),
        "Draw": Shortcut().error,
        "WideBlock": WideBlock(2, 2, key=key),
        "WideResNet": WideResNet(10, 1, 2, base=2, key=key),
        "OscillatorChain": OscillatorChain(2, key=key),
        "Diffractive": Diffractive(2, 3, key=key),
        "LocalLayer": LocalLayer(2, 3, gain, key=key),
        "Quantised": Quantised(net(2, 2), 4, 6, range_in=1.0),
        "ReadNoise": ReadNoise(Convolution(2, 2, key=jax.random.key(0)), 0.01),
        "PulseWidth": PulseWidth(net(2, 2), 4, 0.01, limit=1.0),
        "FrontEndCoder": FrontEndCoder((4, 4, 1), latent=2, width=3, key=key),
        "EquilibriumNet": EquilibriumNet((2, 3, 2), 2, angle=30.0, key=key),
        **reservoirs(key),
        "LocalNet": LocalNet((3, 2, 2), 2, (None, gain), key=key),
        "DigitalModel": DigitalModel(net(4, 2), *map(jnp.ones, (4, 4, 2, 2))),
    }


def reservoirs(key):
    """Chips of random device pairs, and what is trained on their features."""
    chip = LiquidStateMachine.draw(2, 3, key=key)
    return {
        "Crossbar": chip.inputs,
        "LIF": chip.neuron,
        "LiquidStateMachine": chip,
        "EchoState": EchoState.draw(1, 3, key=key),
        "LinearReadout": LinearReadout(jnp.ones((2, 3)), jnp.ones(2)),
        "ProjectionPair": ProjectionPair(*map(jnp.ones, ((2, 3), (2, 4), 3, 4))),
    }


def in_latent_space():
    """Autoencoders, what they are made of, and the maps inside."""
    key = jax.random.key(0)
    linear = latent_linear(3, (2,), 2, key=key)
    return {
        "LatentLinear": linear,
        "LatentODE": latent_ode(3, (2,), 2, width=2, key=key),
        "Layers": linear.encoder,
        "RotationDynamics": linear.dynamics,
        "DenseDynamics": DenseDynamics(2, key=key),
        "OrthogonalDynamics": OrthogonalDynamics(2, key=key),
        "SpectralNormDynamics": SpectralNormDynamics(2, key=key),
    }


@functools.cache
def others():
    """What is registered and no field: parts of models, and their containers."""
    model = Model(SecondOrder(Known("spring", k=4.0), 1), (0,), 2)
    return {
        **trials(),
        "Free": Free.make(2.0, "positive"),
        "Given": Given(jnp.asarray(3.0)),
        "Varying": Varying(Free.make(2.0, "positive"), 1),
        "PriorWidth": PriorWidth(jnp.asarray(0.0), jnp.asarray(5.0)),
        "SlotScale": SlotScale.unit(3, 2),
        "GivenMatrix": GivenMatrix(jnp.ones((2, 3))),
        "Ports": Ports(jnp.ones((2, 1)), GivenMatrix(jnp.ones((2, 1)))),
        "LibraryScale": library().scale,
        "Links": links(),
        "LearnedBody": learned_body(),
        "SpringLaw": spring(),
        "BarChain": bars(),
        "BarWorld": bars().world,
        "BarScale": bars().energy.scale,
        "ESNN": bars().energy,
        "ElasticBars": ElasticBars(jnp.zeros(3), 1e-3),
        "GapPotential": GapPotential.create(),
        "RingChain": rings(),
        "RingWorld": rings().world,
        "RingScale": rings().energy.scale,
        "RingESNN": rings().energy,
        "ElasticRings": rings().energy.law,
        "CycleCode": CycleCode.create(jax.random.key(0), 2, width=3),
        "PolynomialBars": PolynomialBars(jnp.zeros(1), ((2, 0, 0),)),
        "ShortcutNet": ShortcutNet(6, 3, 2, key=jax.random.key(0)),
        "Model": model,
        "Hyper": Hyper(net(2, 1), 1, rank=2, key=jax.random.key(0)),
        "SavedBarFamily": SavedBarFamily(bars(), np.ones((3, 1)), np.ones(1)),
        "SavedFamily": SavedFamily(model, np.ones((3, 1)), np.ones((3, 1, 1))),
        "Belief": Belief(jnp.zeros(2), jnp.ones(2)),
        "Uncertain": Uncertain.make(jnp.zeros(3), 0.5),
        "Noisy": Noisy.make(slot((0, 1), 2), 2, 0.5),
        "Stationary": Stationary.make(2, 1, rest=slot((0, 1), 2, inputs=(0,))),
        "Stochastic": Stochastic.make(Stationary.make(3), (0, 1), 3, error=0.2),
        "GaugeFlow": GaugeFlow(
            np.zeros(2), np.ones(2), np.eye(2), np.zeros(2), net(2, 2), 8
        ),
        "Gauge": gauge(),
        "ControlMap": control_map(),
        **in_depth(),
        **recurrent(),
        **in_latent_space(),
        **on_hardware(),
        "NeuralSDE": NeuralSDE.make(2, width=3, key=jax.random.key(0)),
        "ShallowDecoder": ShallowDecoder(
            2, 3, widths=(2, 2), dropout=0.1, key=jax.random.key(0)
        ),
        "StateFrame": NeuralSDE.make(2, width=3, key=jax.random.key(0)).frame,
        "Saved": Saved(jax.tree.map(lambda x: x[None], model), np.ones((1, 2, 2))),
    }


def test_parts_survive_a_file(subtests, tmp_path):
    """One test for all: to name them at collection is to build them."""
    for name, part in others().items():
        with subtests.test(name):
            save_tree(tmp_path / "part.safetensors", part, {})
            again, _ = load_tree(tmp_path / "part.safetensors")
            assert type(again) is type(part)
            assert jax.tree.structure(again) == jax.tree.structure(part)
            for x, y in zip(jax.tree.leaves(part), jax.tree.leaves(again), strict=True):
                assert_array_equal(x, y)
            assert type(part).__doc__


def test_fixed_parts_are_never_trained():
    for part in others().values():
        if isinstance(part, Fixed):
            assert jax.tree.leaves(split_trainable(part)[0]) == []
    slots = slot((0, 1), 2)
    trained = jax.tree.leaves(split_trainable(slots)[0])
    assert sum(x.size for x in trained) == sum(
        x.size for x in jax.tree.leaves(slots.net)
    )


def test_the_walk_leaves_nothing_out():
    walked = {type(inside(make())).__name__ for make in FIELDS.values()}
    walked |= {type(make()).__name__ for make in SYSTEMS.values()} | set(others())
    ours = {
        name
        for name in registry.names("module")
        if registry.lookup("module", name).__module__.startswith("pendula.")
    }
    assert walked == ours

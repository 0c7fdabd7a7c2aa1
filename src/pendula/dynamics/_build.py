"""From a configuration to a model of motion."""

from __future__ import annotations

from jaxtyping import PRNGKeyArray

from .._errors import ConfigError
from .._registry import lookup
from .._tree import num_parameters
from ..solve import scheme
from ._config import ModelConfig
from ._field import AbstractField, SecondOrder, Sum
from ._known import Law
from ._known_terms import Guesses, diffusion_of, known_terms, spreads, varying
from ._lagrangian import Lagrangian
from ._layout import Layout
from ._model import Model
from ._reaction import ReactionDiffusion
from ._slots import OF_ENERGY, Maker, Ranges


def build_model(
    config: ModelConfig,
    plan: Layout,
    ranges: Ranges,
    substeps: int,
    key: PRNGKeyArray,
    guesses: Guesses | None = None,
    family: tuple[str, int] | None = None,
) -> Model:
    """A fresh model (float dtype of the surrounding scope); `guesses` are the starts
    of free constants that have no value; `family` the kind of the conditioned networks
    and the size of eta.

    **Raises:** `ConfigError` for combinations that make no sense.
    """
    learn = _resolve(config, plan)
    body, known = known_terms(config, plan, guesses or {})
    line = diffusion_of(config, plan)
    _check_terms(config, plan, ranges, learn)
    _check_varying(config, family)
    has_input_law = any(k.term == "input" for k in config.known)
    ctrl = 0 if has_input_law else len(ranges.input_mean)
    joints = None if body is None else body.joints(plan.n)
    maker = Maker(config, plan, ranges, ctrl, key, joints, family)
    field: AbstractField
    if learn == "hamiltonian":
        field = maker.hamiltonian()
    else:
        terms: list[AbstractField] = [*known, *maker.terms(learn)]
        inner = body if learn != "lagrangian" else maker.body()
        if inner is not None:
            terms = [Lagrangian(inner, tuple(terms), plan.n)]
        if line is not None:
            terms = [ReactionDiffusion(line[0], tuple(terms), line[1])]
        if not terms:
            raise ConfigError(
                'learn is "none" and there is no known term: the model is empty. Add '
                "--known TERM, or let it learn something."
            )
        field = terms[0] if len(terms) == 1 else Sum(tuple(terms))
        if plan.n:
            field = SecondOrder(field, plan.n)
    model = Model(field, plan.observed, plan.dim, config.scheme, substeps)
    if num_parameters(model) == 0:
        raise ConfigError(
            "there is nothing to find: every constant is given and nothing is learned. "
            "Name the unknown constants with --free, or let the model learn something."
        )
    return model


def _check_terms(config: ModelConfig, plan: Layout, ranges: Ranges, learn: str) -> None:
    """Refuse laws without their input, rates that nobody gives, and schemes that would
    take the state for something else."""
    whole = plan.n and not plan.first and not plan.canonical
    if scheme(config.scheme).needs_second_order and not whole:
        raise ConfigError(
            f'model.scheme is "{config.scheme}", for positions and their velocities; '
            f"in the state ({', '.join(plan.state_names)}) not all are. Set it to "
            '"rk4", or model.order to "second".'
        )
    inputs = len(ranges.input_mean)
    for known in config.known:
        if known.term == "input" and not inputs:
            raise ConfigError(
                'the known law "input" needs an input; the data have none. Name it '
                "with --inputs, or leave the law out."
            )
        if known.term == "input" and not 0 <= known.channel < inputs:
            raise ConfigError(
                f'the known law "input" uses channel {known.channel}, but the data '
                f"have {inputs} inputs, counted from 0."
            )
    body = any(lookup("known", k.term).links for k in config.known)
    if body and learn in ("energy", "lagrangian"):
        raise ConfigError(
            f'learn is "{learn}" beside a body that is known. Learn friction, drag, '
            "force or none, or leave the body out."
        )
    if (
        learn == "lagrangian"
        and inputs
        and not any(k.term == "input" for k in config.known)
    ):
        raise ConfigError(
            "a learned Lagrangian takes inputs as forces on single coordinates. Say "
            "which with --known input --free b --on NAME."
        )
    if plan.n and plan.first and learn != "force":
        raise ConfigError(
            f'channel "{plan.names[plan.first[0]]}" is of first order, and with learn '
            f'"{learn}" nothing gives its rate. Use --learn force, or leave the '
            "channel out."
        )


def _check_varying(config: ModelConfig, family: tuple[str, int] | None) -> None:
    """Constants that differ need members that do, and an entry of eta each."""
    names = varying(config)
    for known in config.known:
        if len(set(known.varies)) < len(known.varies):
            raise ConfigError(
                f'law "{known.term}": a constant of {", ".join(known.varies)} is named '
                "twice. Name each once."
            )
    if names and family is None:
        raise ConfigError(
            f'constant "{names[0]}" varies between the members of a family, but one '
            "system is fitted. Name it with --free, or fit a family with --family."
        )
    if family is not None and family[1] < len(names):
        raise ConfigError(
            f"{len(names)} constants vary ({', '.join(names)}), an entry of eta each, "
            f"and eta has {family[1]}. Set its size (--eta) to {len(names)} or more."
        )


# Which learned terms a prior can be said of (after `potential` and `dissipative` have
# turned a force into an energy or a drag).
_ENERGIES = ("energy", "lagrangian", "hamiltonian")
_MEANS = {
    "zero_at_rest": ("force", "field", "reaction", *_ENERGIES),
    "odd": ("force", "field", "reaction", *_ENERGIES),
    "positive": ("force", "field", "reaction"),
    "bounded": ("force", "field", "reaction"),
    "potential": ("energy",),
    "dissipative": (*_ENERGIES, "drag", "friction"),
    "convex": ("energy", "lagrangian", "hamiltonian"),
    "increasing": ("force", "field", "reaction"),
    "decreasing": ("force", "field", "reaction"),
    "linear": ("force", "field", "reaction"),
    "rotation_equivariant": ("force", "field", "energy"),
    "separable": ("hamiltonian",),
}
assert set(OF_ENERGY) <= set(_MEANS)


def _resolve(config: ModelConfig, plan: Layout) -> str:
    learn = config.learn
    if learn == "auto" and not plan.n and spreads(config):
        learn = "reaction"
    if learn == "auto" or (learn == "field" and plan.n):
        learn = "force" if plan.n else "field"
    if "potential" in config.priors and learn in ("force", "field"):
        learn = "energy"
    if "dissipative" in config.priors and learn == "force":
        learn = "drag"
    for prior in config.priors:
        if learn not in _MEANS[prior]:
            raise ConfigError(
                f'the prior "{prior}" says nothing about a learned "{learn}"; it is '
                f"for {', '.join(_MEANS[prior])}. Leave it out, or learn one of these."
            )
    if config.linear and learn not in ("force", "field"):
        raise ConfigError(
            f'model.linear is part of a learned force or field, not of "{learn}".'
        )
    if learn == "hamiltonian":
        _check_momenta(plan)
    elif learn == "reaction":
        if plan.n:
            raise ConfigError(
                'learn "reaction" needs channels of first order; '
                f'"{plan.names[plan.positions[0]]}" is of second. Use --order first.'
            )
    elif learn not in ("field", "none") and plan.n == 0:
        raise ConfigError(
            f'learn "{learn}" needs second-order channels; these are of first order. '
            "Use --learn field, or --order second."
        )
    return learn


def _check_momenta(plan: Layout) -> None:
    """Channels are coordinates alone, or coordinates and then as many momenta."""
    measured = [plan.names[c] for c in plan.velocities if c is not None]
    if measured:
        raise ConfigError(
            f"a Hamiltonian is one of momenta; {', '.join(measured)} are velocities. "
            "Use --learn lagrangian, or --order first when they are momenta."
        )
    if (plan.n and plan.first) or (plan.n == 0 and plan.dim % 2):
        raise ConfigError(
            "a Hamiltonian needs coordinates and as many momenta, in this order (or "
            f"coordinates alone); there are {', '.join(plan.names)}. Choose with "
            "--channels."
        )


def equation(config: ModelConfig, plan: Layout) -> list[str]:
    """The terms of a model in words and formulas, for the report."""
    out = []
    for known in config.known:
        law: Law = lookup("known", known.term)
        if law.links:
            out.append(f"{known.term}: {law.text}; the forces below act in its joints")
            continue
        if law.line:
            out.append(f"{known.term}: {law.text}; {known.boundary} at both ends")
            continue
        on = known.on[0] if known.on else plan.names[plan.positions[0]]
        out.append(f"{known.term} on {on}: {law.text}")
    learn = _resolve(config, plan)
    net = f"network {config.depth} x {config.width} {config.activation}"
    texts = {
        "lagrangian": f"learned mass matrix and potential, Euler-Lagrange ({net})",
        "hamiltonian": _hamiltonian_text(config, net),
        "force": f"learned force of the whole state ({net})",
        "field": f"learned rate of the whole state ({net})",
        "energy": f"learned potential energy, force = -dV/dq ({net})",
        "drag": f"learned dissipation -L L' v ({net})",
        "reaction": f"learned rate of each channel from its own value ({net})",
        "friction": "friction (f tanh(v/w) + c v + d v|v|) exp(g(|v|)), g a " + net,
    }
    if learn != "none":
        out.append(texts[learn])
    if learn in ("energy", "lagrangian") and "dissipative" in config.priors:
        out.append(texts["drag"])
    return out


def _hamiltonian_text(config: ModelConfig, net: str) -> str:
    form = "T(p) + V(q)" if "separable" in config.priors else "H(q, p)"
    losses = ", losses -L L' dH/dp" if "dissipative" in config.priors else ""
    return f"learned energy {form}, dq/dt = dH/dp, dp/dt = -dH/dq{losses} ({net})"

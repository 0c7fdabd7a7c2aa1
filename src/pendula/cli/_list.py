"""`pendula list`: what there is, by kind."""

from __future__ import annotations

from importlib import import_module
from typing import Annotated, Any, Literal, get_args

from cyclopts import Parameter

from ._console import Console
from ._options import TALK, Talk


Kind = Literal["systems", "laws", "models", "schemes", "problems"]

# what `--learn` may stand for
MODELS = {
    "auto": "force of a second-order system, reaction beside a known diffusion, else "
    "field",
    "field": "dy/dt of all states",
    "force": "the accelerations",
    "energy": "a potential: the force is minus its gradient",
    "drag": "a dissipative matrix times the velocity",
    "friction": "a factor on a classical friction law",
    "lagrangian": "a mass matrix and a potential: the Euler-Lagrange equations",
    "hamiltonian": "an energy of coordinates and momenta: Hamilton's equations",
    "reaction": "the rate of each channel from its own value, one network for all",
    "none": "nothing is learned: only the constants of known terms",
}


def list_(
    kind: Annotated[
        Kind | None,
        Parameter(help="What to list; all of it without."),
    ] = None,
    /,
    *,
    talk: Talk = TALK,
) -> int:
    """The systems to simulate, known laws for --known, what --learn can stand for,
    the schemes that step a model, and the equations for `pendula solve`."""
    kinds = get_args(Kind) if kind is None else (kind,)
    found = {one: _entries(one) for one in kinds}
    lines = []
    for one, entries in found.items():
        if kind is None:
            lines += ["" if lines else None, f"{one}:"]
        indent = "  " if kind is None else ""
        width = max(map(len, entries), default=0)
        for name, text in entries.items():
            lines.append(f"{indent}{name:<{width}}  {text}".rstrip())
    Console(talk).result("\n".join(x for x in lines if x is not None), found)
    return 0


def _entries(kind: str) -> dict[str, str]:
    """Name -> one line about it."""
    from .. import _registry

    if kind == "systems":
        import_module("pendula.systems")  # registers them

        table = {n: _registry.lookup("system", n) for n in _registry.names("system")}
        return {name: _first_line(cls.__doc__) for name, cls in table.items()}
    if kind == "laws":
        import_module("pendula.dynamics")

        laws = {n: _registry.lookup("known", n) for n in _registry.names("known")}
        return {
            name: f"{law.text}  ({', '.join(law.constants)})"
            for name, law in laws.items()
        }
    if kind == "schemes":
        import_module("pendula.solve")

        return dict.fromkeys(_registry.names("scheme"), "")
    if kind == "problems":
        problems = import_module("pendula.solutions").PROBLEMS
        return {name: f"{p.help}  ({_settings(p)})" for name, p in problems.items()}
    return dict(MODELS)


def _settings(problem: Any) -> str:
    """What --set can change, with its default."""
    text = lambda v: f"{v:.4g}" if isinstance(v, float) else str(v)
    return ", ".join(f"{k}={text(v)}" for k, v in problem.defaults.items())


def _first_line(text: str | None) -> str:
    return (text or "").strip().splitlines()[0] if text else ""

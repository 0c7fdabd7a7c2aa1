"""`pendula reproduce`: run a study and print its claims."""

from __future__ import annotations

from typing import Annotated, Literal

from cyclopts import Parameter

from ._claims import claims_text
from ._console import Console
from ._options import TALK, Talk


def reproduce(
    name: Annotated[
        str, Parameter(help="A study, STUDY.PART for one part of it, or all.")
    ],
    /,
    *,
    budget: Annotated[
        Literal["quick", "full"],
        Parameter(help="quick: a minute or two, the same code at smaller size."),
    ] = "quick",
    again: Annotated[bool, Parameter(help="Measure finished rows again.")] = False,
    talk: Talk = TALK,
) -> int:
    """Run a study; print its claims: value, target, source, met or not."""
    console = Console(talk)
    console.say(f"study {name}, budget {budget}")
    from ..studies import reproduce as run

    claims = run(name, budget, again=again, progress=console.say)
    rows = [claim.to_dict() for claim in claims]
    console.result(claims_text(rows), rows)
    # at the quick budget the sizes are not those of the claims
    missed = [claim for claim in claims if claim.met is False]
    return 1 if missed and budget == "full" else 0

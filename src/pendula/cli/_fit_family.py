"""`pendula fit --family`: several systems in, their shared law out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ._console import Console, command
from ._family_options import FamilyOptions, build_family_config
from ._fit_options import ModelOptions, TrainOptions
from ._open import open_page
from ._options import Reading
from ._systems import load_systems
from ._training import trained


if TYPE_CHECKING:
    from ..dynamics import Family

# what a finished run of a family leaves beside logs and states
RESULTS = (
    "config.toml",
    "family.safetensors",
    "arrays.npz",
    "report.json",
    "report.html",
    "log.txt",
)


def fit_family(
    given: tuple[str, ...],
    folder: Path,
    resume: bool,
    open_: bool,
    reading: Reading,
    model: ModelOptions,
    train: TrainOptions,
    options: FamilyOptions,
    console: Console,
) -> int:
    """Learn the law that several systems share; write it, its numbers and its page.
    The folder was checked by who calls."""
    data, decisions = load_systems(given, reading, options.system, console)
    console.say("loading the numerical libraries")
    config = build_family_config(data, model, train, options)
    from .._files import replacing
    from ..dynamics import meta_fit, to_dict
    from ..report import to_toml, write_numbers
    from ._family_numbers import family_report

    family = trained(
        console,
        folder,
        resume,
        _clear,
        lambda tell: meta_fit(data, config, folder=folder, resume=resume, tell=tell),
    )
    console.say("writing the page")
    report, arrays = family_report(family, data, command(), decisions)
    with replacing(folder / "config.toml") as temporary:
        temporary.write_text(to_toml(to_dict(config)), encoding="utf-8")
    family.save(folder / "family.safetensors")
    page = write_numbers(folder, report, arrays)
    for row in report["decisions"]:
        console.detail(f"  {row['what']}: {row['choice']} ({row['why']})")
    console.result(
        _text(family, report, decisions, page),
        {"run": str(folder), "page": str(page), "report": report},
    )
    if open_:
        open_page(page)
    return 1 if _failed(family) else 0


def _clear(folder: Path) -> None:
    """Remove the results of an earlier run; its logs and states the fit itself
    replaces."""
    for name in RESULTS:
        (folder / name).unlink(missing_ok=True)


def _text(
    family: Family, report: dict[str, Any], decisions: list[Any], page: Path
) -> str:
    """What was learned, a line a system, and where the page is."""
    from ..report import number, percent
    from ._family_numbers import constants_text, eta_deviations

    first = family.summary().splitlines()[0]
    lines = [first, f"systems: {decisions[0]['choice']}"]
    errors, rows = report["family"]["errors"], eta_deviations(family)
    constants = report["family"]["constants"]
    for i, (name, eta, sd, error) in enumerate(
        zip(family.labels, family.etas, rows, errors, strict=True)
    ):
        told = ", ".join(
            f"{number(float(e), 4)} ± {number(float(s), 2)}"
            for e, s in zip(eta, sd, strict=True)
        )
        off = f"{percent(error)} of the spread" if error < float("inf") else "failed"
        lines.append(f"  {name}: eta {told}, free run {off}")
        if constants:
            mine = {constant: each[i] for constant, each in constants.items()}
            lines.append(f"    {constants_text(mine)}")
    lines += report["family"]["dimension"]
    return "\n".join([*lines, f"page: {page}"])


def _failed(family: Family) -> bool:
    """Whether a training stopped on values that are not finite."""
    from ..train import NOT_FINITE

    return any(str(s["reason"]).startswith(NOT_FINITE) for s in family.about["stages"])

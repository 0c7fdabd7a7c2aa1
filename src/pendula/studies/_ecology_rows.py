"""Tables of the parts `hare_lynx` and `chemostat`: rows, targets, what was tried."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ._row import Row


TRIED = (
    "A linear stochastic model that is stationary by construction, one or two hidden "
    "entries, anchored ensembles, a mixture over the prior widths. Also tried: one "
    "member, three hidden entries, looser priors, the medium straight between samples, "
    "a choice by validation, a drift by the laws of a chemostat."
)
PLAIN = {
    "climatology": "the mean and spread of the training part",
    "random_walk": "a random walk from the last value",
    "ar2": "an AR(2) for each species",
    "var3": "a VAR(3) of both species",
    "varx1": "a VAR(1) with the medium as input",
    "lotka_volterra": "a least-squares fit of the Lotka-Volterra law",
    "phase_mean": "the mean of the training part at the same phase of the medium",
    "repeat16": "the last 16 days again and again",
}
MODEL = "the stochastic model"


def _bounds(better: str, target: object, goal: object = None) -> dict[str, object]:
    tried = None if target is None else TRIED
    return {"better": better, "target": target, "goal": goal, "tried": tried}


def _ahead(steps: Mapping[int, str]) -> dict[str, str]:
    return {str(k): f"rolling forecasts {text} ahead" for k, text in steps.items()}


def table(
    name: str,
    long: str,
    what: str,
    steps: Mapping[int, str],
    targets: Mapping[str, object],
    plain: Sequence[str],
    rolling: Sequence[str],
    goal: float | None = None,
) -> list[Row]:
    """Rows of one record: `long` the label of the forecast of `what`; `steps` the
    leads in words; `targets` by the end of their ids; the baselines at once and
    rolling."""
    head = f"real_data.{name}"
    rows: list[Row] = []

    def add(key: str, text: str, better: str = "lower", goal: object = None) -> None:
        told = _bounds(better, targets.get(key), goal)
        rows.append(Row(f"{head}.{key}", text, **told))  # type: ignore[arg-type]  # a table of bounds

    add(f"crps{long}", f"CRPS of {what} at once by {MODEL}, natural logs.", goal=goal)
    add(f"logscore{long}", f"Log score of {what} at once by {MODEL}.", "higher")
    add("coverage", f"Share of {what} inside the 90 % interval.", "within")
    add("width", f"Mean width of the 90 % interval over {what}, natural logs.")
    for lead, text in steps.items():
        add(f"crps{lead}", f"CRPS of rolling forecasts {text} ahead by {MODEL}.")
        add(
            f"logscore{lead}", f"Log score of rolling forecasts {text} ahead.", "higher"
        )
    for key in plain:
        of = f"of {what} at once by {PLAIN[key]}"
        add(f"{key}_crps{long}", f"CRPS {of}.")
        add(f"{key}_logscore{long}", f"Log score {of}.", "higher")
        add(f"{key}_coverage", f"Share of the values in the interval, {of}.", "higher")
    for key in rolling:
        for lead, text in steps.items():
            of = f"of rolling forecasts {text} ahead by {PLAIN[key]}"
            add(f"{key}_crps{lead}", f"CRPS {of}.")
    chosen = "the candidate that validation inside the training part prefers"
    add("chosen_hidden", f"Hidden entries of {chosen}.", "equal")
    add("chosen_prior", f"Factor on the prior widths of {chosen}.", "equal")
    for label, text in {long: f"{what} at once", **_ahead(steps)}.items():
        add(f"chosen_crps{label}", f"CRPS of {text} by {chosen}.")
        add(f"chosen_logscore{label}", f"Log score of {text} by {chosen}.", "higher")
    add(
        f"candidates_crps{long}",
        f"CRPS of {what} at once, over the candidates that are mixed.",
    )
    return rows


HARE_LYNX = table(
    "hare_lynx",
    "30",
    "30 years",
    {1: "1 year", 2: "2 years", 5: "5 years"},
    {
        "crps30": 0.60,
        "logscore30": -1.50,
        "coverage": (0.80, 0.98),
        "width": 4.2,
        "crps1": 0.36,
        "logscore1": -1.05,
    },
    ("climatology", "random_walk", "ar2", "var3", "lotka_volterra"),
    ("climatology", "random_walk", "ar2"),
)
CHEMOSTAT = table(
    "chemostat",
    "90",
    "90 days",
    {1: "1 day", 3: "3 days", 8: "8 days"},
    {
        "crps90": 0.32,
        "logscore90": -0.80,
        "coverage": (0.83, 0.97),
        "crps1": 0.16,
        "crps3": 0.24,
    },
    (
        "climatology",
        "random_walk",
        "var3",
        "lotka_volterra",
        "varx1",
        "phase_mean",
        "repeat16",
    ),
    ("random_walk", "var3", "varx1", "phase_mean", "repeat16"),
    goal=0.27,
)

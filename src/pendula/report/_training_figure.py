"""Figure: training and validation loss over the steps, phases marked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ._draw import (
    INK,
    MODEL,
    MUTED,
    WIDE,
    canvas,
    drawing,
    label,
    log_axis,
    thin,
)
from ._run_folder import Run


if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Other quantities that a training logs, in the words of the page.
EXTRA = {
    "grad_norm": "gradient norm",
    "damping": "damping",
    "lr": "learning rate",
}


def training_figure(run: Run) -> Figure | None:
    """Loss over step, one thin line a member and its median; beside it what else
    was logged. None when nothing was."""
    table = training_table(run)
    if table is None or not np.isfinite(table["values"].get("loss", np.nan)).any():
        return None
    extra = [
        name for name in EXTRA if np.isfinite(table["values"].get(name, np.nan)).any()
    ]
    with drawing():
        figure, axes = canvas(
            WIDE, 3.1, 1, 1 + bool(extra), width_ratios=(5, 3) if extra else (1,)
        )
        left = axes[0, 0]
        _lines(left, table, "loss", INK, "training loss")
        _lines(left, table, "validation", MODEL, "validation loss")
        left.set_ylabel("loss [1]")
        if extra:
            right = axes[0, 1]
            for name, colour, dash in zip(
                extra, (INK, MODEL, MUTED), ("-", "--", ":"), strict=False
            ):
                _lines(right, table, name, colour, EXTRA[name], dash)
            right.set_ylabel(f"{', '.join(EXTRA[n] for n in extra)} [1]")
        for ax in axes[0]:
            ax.set_xlabel("step")
            ax.margins(x=0.01)
            if all(np.nanmin(line.get_ydata()) > 0 for line in ax.lines):
                log_axis(ax)
            for k, (start, name) in enumerate(table["phases"]):
                if k:
                    ax.axvline(start, color=MUTED, linewidth=0.8)
                if ax is left:
                    ax.annotate(
                        label(name),
                        (start, 1.0),
                        xycoords=("data", "axes fraction"),
                        xytext=(3, 3),
                        textcoords="offset points",
                        fontsize=8,
                        color=MUTED,
                        va="bottom",
                        rotation=0 if len(table["phases"]) < 7 else 30,
                        annotation_clip=False,
                    )
            ax.legend(loc="best")
    return figure


def training_table(run: Run) -> dict[str, Any] | None:
    """Steps counted through all phases, and the logged values `"row member"`.

    From the metrics log; from the arrays `loss/...` where there is none.
    """
    if run.metrics:
        return _from_metrics(run.metrics)
    step, loss = run.array("loss/step"), run.array("loss/train")
    if step is None or loss is None:
        return None
    width = max((np.shape(loss) or (0, 1))[1:] or (1,))
    values = {"loss": np.reshape(loss, (len(step), width))}
    validation = run.array("loss/validation")
    if validation is not None:
        values["validation"] = np.reshape(validation, (len(step), -1))
    counted, starts = _through(np.asarray(step, float))
    told = (run.report.get("training") or {}).get("phases") or []
    names = [str(phase.get("name", "")) for phase in told]
    names += [""] * (len(starts) - len(names))
    return {
        "step": counted,
        "values": values,
        "phases": list(zip(starts, names, strict=False)),
    }


def _from_metrics(rows: list[dict[str, Any]]) -> dict[str, Any] | None:
    rows = [row for row in rows if isinstance(row.get("step"), int | float)]
    if not rows:
        return None
    offset, phases, steps = 0.0, [], []
    last: Any = object()
    for row in rows:
        if row.get("phase") != last:
            last = row.get("phase")
            offset = steps[-1] if steps else 0.0
            phases.append((offset, str(last or "")))
        steps.append(offset + float(row["step"]))
    values = {}
    for name in ("loss", "validation", *EXTRA):
        cells = [np.atleast_1d(_floats(row.get(name))) for row in rows]
        width = max(len(cell) for cell in cells)
        table = np.full((len(rows), width), np.nan)
        for i, cell in enumerate(cells):
            table[i, : len(cell)] = cell
        if np.isfinite(table).any():
            values[name] = table
    return {"step": np.array(steps), "values": values, "phases": phases}


def _floats(value: Any) -> np.ndarray:
    if isinstance(value, list):
        return np.array([np.nan if v is None else float(v) for v in value])
    return np.array(np.nan if value is None else float(value))


def _through(step: np.ndarray) -> tuple[np.ndarray, list[float]]:
    """Steps that begin anew at each phase -> steps through all; where they begin."""
    back = np.flatnonzero(np.diff(step) <= 0) + 1
    out = step.copy()
    for k in back:
        out[k:] += step[k - 1]
    return out, [0.0, *[float(out[k - 1]) for k in back]]


def _lines(
    ax: Axes, table: dict[str, Any], name: str, colour: str, text: str, dash: str = "-"
) -> None:
    values = table["values"].get(name)
    if values is None:
        return
    there = np.isfinite(values).any(axis=1)
    step, values = thin(table["step"][there], values[there])
    # a phase has a loss of its own: no line from one to the next
    starts = [start for start, _ in table["phases"]][1:]
    breaks = np.searchsorted(step, starts, side="right")
    step = np.insert(step, breaks, np.nan)
    values = np.insert(values, breaks, np.nan, axis=0)
    if values.shape[1] > 1:
        for column in values.T:
            ax.plot(
                step, column, color=colour, linewidth=0.5, alpha=0.4, linestyle=dash
            )
        text = f"{text}, median of {values.shape[1]}"
    gap = np.isnan(values).all(axis=1)
    middle = np.full(len(values), np.nan)
    middle[~gap] = np.nanmedian(values[~gap], axis=1)
    ax.plot(step, middle, color=colour, linewidth=1.5, label=text, linestyle=dash)

"""`pendula simulate`: records of a known system, as a data file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from .._errors import ConfigError
from ._case import changed_case
from ._console import Console
from ._options import TALK, Talk, check_free, names, pairs, real, whole


if TYPE_CHECKING:
    from ..data import Trajectories


TABLES = (".csv", ".tsv", ".parquet")  # columns, and nothing about them


def simulate(
    system: Annotated[
        str, Parameter(help="A name of `pendula list systems`, or slinky.")
    ],
    /,
    *,
    out: Annotated[
        Path,
        Parameter(
            name=["--out", "-o"],
            help="The file: .csv, .tsv, .npz, .mat, .h5, .nc, .parquet or .zarr.",
        ),
    ],
    num: Annotated[int, Parameter(converter=whole, help="Number of trajectories.")] = 1,
    duration: Annotated[float | None, Parameter(help="Length of a record.")] = None,
    dt: Annotated[float | None, Parameter(help="Sampling step.")] = None,
    noise: Annotated[
        float, Parameter(help="Standard deviation of the measurement noise.")
    ] = 0.0,
    relative: Annotated[
        bool, Parameter(help="Noise counts in standard deviations of the signal.")
    ] = False,
    missing: Annotated[float, Parameter(help="Share of samples that is lost.")] = 0.0,
    irregular: Annotated[
        float, Parameter(help="Share by which sampling times are moved.")
    ] = 0.0,
    observe: Annotated[
        tuple[str, ...], Parameter(help="Observed components; all without.")
    ] = (),
    start: Annotated[
        str | None,
        Parameter(
            allow_leading_hyphen=True,  # -1.2,0 is no option
            help="Initial state: 1.2,0; random without.",
        ),
    ] = None,
    seed: Annotated[
        int, Parameter(converter=whole, help="Of starts, times, noise, losses.")
    ] = 0,
    settings: Annotated[
        tuple[str, ...],
        Parameter(
            name="--set", help="Constants and options of the system: length=0.5."
        ),
    ] = (),
    case: Annotated[
        str | None,
        Parameter(help="Of the slinky: case0 to case7; case0 without."),
    ] = None,
    force: Annotated[bool, Parameter(help="Replace an existing file.")] = False,
    talk: Talk = TALK,
) -> int:
    """Make a data set from a known system."""
    console = Console(talk)
    check_free(out, force)
    from ..data import check_writable
    from ..systems import Observation, simulate as make, system as find, words

    suffix = check_writable(out)
    given = pairs(settings, "--set")
    y0 = None if start is None else [real(v, "--start") for v in start.split(",")]
    console.say(f"simulating {system}")
    if case is not None and system != "slinky":
        raise ConfigError(f"--case belongs to the slinky, not to {system}. Leave it.")
    if system == "slinky":
        unused = {
            "--num": num != 1,
            "--irregular": irregular != 0.0,
            "--observe": bool(observe),
            "--start": start is not None,
        }
        for option, used in unused.items():
            if used:
                raise ConfigError(
                    f"{option} does not apply to the slinky, whose record is that of "
                    "a case. Leave it out."
                )
        data = _slinky(case or "case0", given, duration, dt)
        if suffix in TABLES:
            console.say(_untold(data, suffix))
        if noise or missing:
            data = Observation(None, noise, relative, 0.0, missing)(data, seed)
        return _written(console, data, out)

    texts = words(system)
    constants = {
        k: v if k in texts else real(v, f"--set {k}") for k, v in given.items()
    }
    data = make(
        find(system, **constants),
        num=num,
        duration=duration,
        dt=dt,
        seed=seed,
        y0=y0,
        observe=names(observe) or None,
        noise=noise,
        relative=relative,
        irregular=irregular,
        missing=missing,
    )
    return _written(console, data, out)


def _slinky(
    case: str, given: dict[str, str], duration: float | None, dt: float | None
) -> Trajectories:
    """The record of a case, with other settings."""
    made = changed_case(case, given, duration).record(0.01 if dt is None else dt)
    return made.replace(licence="generated")


def _untold(data: Trajectories, suffix: str) -> str:
    """What a fit of a table has to be told of the machine."""
    from ..dynamics import BarsMachine

    own, usual = BarsMachine.of_record(data)[0], BarsMachine()
    names = ("mass", "drag", "stiffness")
    told = {k: tuple(f"{getattr(m, k):.5g}" for m in (own, usual)) for k in names}
    other = [f"machine.{k}={a}" for k, (a, b) in told.items() if a != b]
    give = f" Write .npz, or give the fit --set {','.join(other)}." if other else ""
    return f"note: {suffix} files hold columns alone, not the machine.{give}"


def _written(console: Console, data: Trajectories, out: Path) -> int:
    """Write the file and say what is in it."""
    from ..data import write
    from ..report import quantity

    write(data, out)
    shape = {"trajectories": data.num, "samples": int(data.lengths.max())}
    shown = [*data.names[:6], ".."] if data.dim > 12 else data.names
    text = (
        f"{out}: {data.num} x {shape['samples']} samples of {', '.join(shown)}, "
        f"{quantity(f'{data.ts.max():g}', data.time_unit)}"
    )
    console.result(text, {"file": str(out), **shape, "channels": list(data.names)})
    return 0

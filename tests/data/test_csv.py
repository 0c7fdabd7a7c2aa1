"""Reading CSV and TSV: what is accepted, and the sentence for what is not."""

import contextlib
import itertools

import numpy as np
import pytest

from pendula import _errors as errors
from pendula.data import read_csv, summary


@pytest.fixture
def write(tmp_path):
    def one(text, name="pump.csv", encoding="utf-8"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode(encoding))
        return path

    return one


def rows(*lines):
    return "\n".join(lines) + "\n"


def choices(data):
    return {d["what"]: d["choice"] for d in data.origin["decisions"]}


def test_wide_file_with_units_and_gaps(write):
    data = read_csv(write(rows("t,q [m],p", "0,1,2", "0.5,,3", "1,4,nan")))
    np.testing.assert_array_equal(data.ts, [[0, 0.5, 1]])
    np.testing.assert_array_equal(data.ys[0], [[1, 2], [0, 3], [4, 0]])
    np.testing.assert_array_equal(data.mask[0, :, 0], [True, False, True])
    np.testing.assert_array_equal(data.mask[0, :, 1], [True, True, False])
    assert data.names == ("q", "p")
    assert data.units == ("m", "")
    assert (data.labels, data.time_unit, data.licence) == (("pump",), "s", None)
    assert data.origin["files"][0]["rows"] == 3
    assert len(data.origin["files"][0]["sha256"]) == 64


@pytest.mark.parametrize("mark", [",", "\t", ";"])
def test_delimiter_is_found(write, mark):
    text = rows("time [ms],q [m],u_a", "0,1,5", "1,2,5.5", "3,4,7").replace(",", mark)
    data = read_csv(write(text))
    assert data.names == ("q",)
    assert data.input_names == ("u_a",)
    assert data.time_unit == "ms"
    np.testing.assert_array_equal(data.us[0, :, 0], [5, 5.5, 7])


def test_the_line_by_which_excel_names_the_delimiter_is_no_header(write):
    data = read_csv(write("sep=;\r\nt;q\r\n0;1\r\n1;2\r\n"))
    assert (data.names, data.lengths[0]) == (("q",), 2)
    with pytest.raises(errors.DataError, match="row 4"):
        read_csv(write("sep=;\nt;q\n0;1\n1;x\n"))


def test_byte_order_mark_comments_crlf_quotes_and_trailing_commas(write):
    text = '\ufeff# made by hand\r\n\r\n"t","q, wide",\r\n0,1,\r\n1,"2",\r\n,,\r\n'
    data = read_csv(write(text))
    assert data.names == ("q, wide",)
    np.testing.assert_array_equal(data.ys[0, :, 0], [1, 2])


def test_long_file(write):
    text = rows(
        "ball,drop,t,h",
        *("a,1,0,5", "a,1,1,4", "b,1,0,7", "a,2,0,9", "b,1,1,6", "a,2,1,8", "a,2,3,2"),
    )
    data = read_csv(write(text), traj=("ball", "drop"))
    assert data.labels == ("a/1", "b/1", "a/2")
    np.testing.assert_array_equal(data.lengths, [2, 2, 3])
    np.testing.assert_array_equal(data.ys[1, :, 0], [7, 6, 0])
    np.testing.assert_array_equal(data.ts[1], [0, 1, 1])
    assert not data.mask[1, 2, 0]


def test_several_files_are_one_trajectory_each(write):
    one = write(rows("t,q", "0,1", "1,2"), "one.csv")
    two = write(rows("t,q", "0,3", "1,4", "2,5"), "two.csv")
    data = read_csv([one, two])
    assert data.labels == ("one", "two")
    np.testing.assert_array_equal(data.lengths, [2, 3])
    assert choices(data)["trajectories"] == "one for each of 2 files"


def test_iso_stamps_keep_microseconds(write):
    text = rows("date,q", "2024-05-31T23:59:59.9,1", "2024-06-01T00:00:00.000001,2")
    data = read_csv(write(text))
    np.testing.assert_array_equal(data.ts, [[0, 0.100001]])
    assert data.origin["epoch"] == "2024-05-31T23:59:59.900000"
    zoned = rows("t,q", "2024-05-31T12:00:00Z,1", "2024-05-31T15:00:00+02:00,2")
    np.testing.assert_array_equal(read_csv(write(zoned)).ts, [[0, 3600]])


def test_stamps_finer_than_a_microsecond(write):
    text = rows(
        "t,q", "2024-05-31T12:00:00.0000019,1", "2024-05-31T12:00:00.000002100,2"
    )
    np.testing.assert_allclose(read_csv(write(text)).ts, [[0, 2e-7]], rtol=1e-12)


def test_dates_without_hyphens_are_no_numbers(write):
    data = read_csv(write(rows("date,q", "20240531,1", "20240601,2")))
    np.testing.assert_array_equal(data.ts, [[0, 86400]])
    assert data.origin["epoch"] == "2024-05-31T00:00:00"
    data = read_csv(write(rows("t,q", "20240531,1", "20240601,2")))
    np.testing.assert_array_equal(data.ts, [[20240531, 20240601]])


def test_time_is_t_where_there_is_another_letter_case(write):
    data = read_csv(write(rows("T,t,q", "20,0,1", "21,2,2")))
    np.testing.assert_array_equal(data.ts, [[0, 2]])
    assert data.names == ("T", "q")


def test_step_given_instead_of_times(write):
    data = read_csv(write(rows("u_V,y", "1,2", "2,3", "4,5")), dt=0.1)
    np.testing.assert_array_equal(data.ts, [0.1 * np.arange(3)[None][0]])
    assert choices(data)["time"] == "row number times 0.1"


def test_blank_line_in_a_file_of_one_column_is_a_missing_sample(write):
    data = read_csv(write("y\n1\n\n3\n4\n\n"), dt=1.0)
    np.testing.assert_array_equal(data.ts, [[0, 1, 2, 3]])
    np.testing.assert_array_equal(data.mask[0, :, 0], [True, False, True, True])


def test_decisions_about_columns(write):
    lines = [f"{k},{k * k},{k % 2},{3 * k},0,{k}" for k in range(10)]
    path = write(rows("day,q,switch,tau_1,Validation,note", *lines))
    data = read_csv(path, ignore="note")
    assert data.names == ("q",)
    assert data.input_names == ("tau_1",)
    assert data.time_unit == "d"
    said = data.origin["decisions"]
    ignored = {d["choice"]: d["why"] for d in said if d["what"] == "ignored"}
    assert ignored == {
        "note": "given",
        "switch": "it takes two values only",
        "Validation": "its name",
    }
    assert all(set(d) == {"what", "choice", "why", "option"} for d in said)
    forced = read_csv(path, channels=["q", "switch"], inputs=["note"])
    assert forced.names == ("q", "switch")
    assert forced.input_names == ("note",)
    assert choices(forced)["not used"] == "tau_1, Validation"


def test_steps_between_samples_of_an_input(write):
    held = rows("t,q,u_a", *[f"{k},{k},{k // 5}" for k in range(20)])
    assert read_csv(write(held)).input_kind == "held"
    smooth = rows("t,q,u_a", *[f"{k},{k},{np.sin(k)}" for k in range(20)])
    assert read_csv(write(smooth)).input_kind == "spline"
    assert read_csv(write(smooth), input_kind="linear").input_kind == "linear"


def test_angles_are_radians(write):
    text = rows("t,theta1,phi [deg],w [deg/s],q", "0,1,180,90,1", "1,2,90,0,2")
    data = read_csv(write(text))
    assert data.angle == (True, True, False, False)
    assert data.units == ("", "rad", "rad/s", "")
    np.testing.assert_allclose(data.ys[0, 0, 1:3], [np.pi, np.pi / 2], rtol=1e-15)
    np.testing.assert_array_equal(data.ys[0, :, 0], [1, 2])  # not touched
    assert read_csv(write(text), angles="q").angle == (False, False, False, True)
    assert read_csv(write(text), units={"phi": "rad"}).ys[0, 0, 1] == 180
    big = rows("t,theta1", "0,10", "1,60")
    with pytest.warns(errors.DataWarning, match=r'"theta1": values up to 60 look like'):
        read_csv(write(big))
    read_csv(write(big), units={"theta1": "rad"})


def test_units_in_round_brackets_are_told_to_be_none(write):
    """They are part of the name: times would count as seconds, degrees as radians."""
    path = write(rows("Time (ms),w (deg/s),q (m)", "0,1,2", "1,2,1"))
    told = {"time": "Time (ms)"}
    with (
        pytest.warns(errors.DataWarning, match="its times are taken as seconds"),
        pytest.warns(errors.DataWarning, match=r'Give --units "w \(deg/s\)=deg/s"'),
    ):
        assert read_csv(path, **told).time_unit == "s"
    units = {"Time (ms)": "ms", "w (deg/s)": "deg/s"}
    data = read_csv(path, **told, units=units)
    assert (data.time_unit, data.units) == ("ms", ("rad/s", ""))
    (said,) = (d for d in data.origin["decisions"] if d["what"] == "unit")
    assert said["option"].startswith("--units w (deg/s)=rad/s if")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({9: -999, 20: -999}, r"2 of 50 values \(-999\) lie far from all others"),
        ({20: 99, 30: -50}, r"2 of 50 values \(-50 to 99\) lie far"),
        ({k: -999 for k in range(5, 15)}, r"10 of 50 values \(-999\)"),
        ({k: k for k in range(5, 15)}, None),  # a tenth, and each another one
        ({0: 99}, None),  # a motion that runs away from its start
        ({20: 5}, None),  # no more than a wide swing
        ({}, None),
    ],
)
def test_values_far_from_all_others_warn(write, change, words):
    values = [change.get(k, round(np.sin(0.5 * k), 3)) for k in range(50)]
    path = write(rows("t,q", *(f"{k},{q}" for k, q in enumerate(values))))
    told = pytest.warns(errors.DataWarning, match=words or "")
    with told if words else contextlib.nullcontext():
        data = read_csv(path)
    assert [words is not None] == [
        any("far from all" in note for note in summary(data)["warnings"])
    ]


@pytest.mark.parametrize(
    ("column", "apart", "options", "warns"),
    [
        (lambda k: k // 20, 0.7, {}, True),  # each trial starts elsewhere
        (lambda k: k // 30, 0.7, {}, True),  # two values: not among the channels
        (lambda k: "abc"[k // 20], 0.7, {"channels": "q"}, True),
        (lambda k: k // 20, 0.7, {"traj": "run"}, False),
        (lambda k: k // 20, 0.7, {"ignore": "run"}, False),
        (lambda k: k // 20, 0.0, {}, False),  # a setting that is changed: q goes on
        (lambda k: k // 20 % 2, 0.7, {}, False),  # comes back: on and off
    ],
)
def test_trials_whose_times_go_on_are_not_joined_without_a_word(
    write, column, apart, options, warns
):
    runs = [column(k) for k in range(60)]
    stretch = np.cumsum([0, *(a != b for a, b in itertools.pairwise(runs))])
    q = np.sin(0.1 * np.arange(60)) + apart * stretch
    lines = [f"{run},{k},{q[k]:.6f}" for k, run in enumerate(runs)]
    path = write(rows("run,t,q", *lines))
    told = pytest.warns(errors.DataWarning, match=r'"run": times .* give --traj run')
    with told if warns else contextlib.nullcontext():
        read_csv(path, **options)


@pytest.mark.parametrize(("unit", "turn"), [("rad", 2 * np.pi), ("deg", 360.0)])
def test_an_angle_that_counts_from_0_again_warns(write, unit, turn):
    swing = 0.15 * turn * np.sin(0.5 * np.arange(50))
    spin = 0.15 * turn * np.arange(50)
    write_angle = lambda y: write(
        rows(f"t,theta [{unit}]", *(f"{k},{v:.6f}" for k, v in enumerate(y)))
    )
    for whole in (swing, spin):
        with pytest.warns(errors.DataWarning, match="unwrap it"):
            read_csv(write_angle(whole % turn))
        read_csv(write_angle(whole))


def test_a_column_that_somebody_sets_is_told(write):
    """A valve among the levels it drives; a coarse instrument jumps alike."""
    level = np.sin(0.1 * np.arange(60))
    valve = np.repeat([0.2, 0.9, 0.5, 0.6], 15)
    coarse = np.repeat([0.1, 0.2, 0.3, 0.2], 15)
    text = lambda u: rows("t,h,valve", *(f"{k},{h:.6f},{v}" for k, (h, v) in u))
    path = write(text(enumerate(zip(level, valve, strict=True))))
    with pytest.warns(errors.DataWarning, match="then jumps.*give --inputs valve"):
        read_csv(path)
    assert read_csv(path, inputs="valve").input_names == ("valve",)
    read_csv(write(text(enumerate(zip(level, coarse, strict=True)))))


def test_mostly_missing_channel_warns(write):
    text = rows("t,q", "0,1", "1,", "2,", "3,", "4,5")
    with pytest.warns(errors.DataWarning, match='"q": 3 of 5 samples are missing'):
        data = read_csv(write(text))
    assert data.mask.sum() == 2


BAD = {
    "empty file": ("", {}, ["pump.csv: the file is empty", "two rows"]),
    "blank lines only": ("\n \n", {}, ["the file is empty"]),
    "header only": ("t,q\n", {}, ["header but no row", "two rows"]),
    "one sample": (
        rows("t,q", "0,1"),
        {},
        ["row 2: only 1 sample", "At least two are needed"],
    ),
    "one sample of a trajectory": (
        rows("run,t,q", "a,0,1", "a,1,2", "b,0,3"),
        {"traj": "run"},
        ["row 4: only 1 sample of trajectory b"],
    ),
    "infinite": (
        rows("t,q", "0,1", "1,inf"),
        {},
        ['row 3, column "q": the value is infinite (inf)'],
    ),
    "overflow": (rows("t,q", "0,1e999", "1,2"), {}, ["row 2", "infinite (1e999)"]),
    "infinite time": (rows("t,q", "0,1", "inf,2"), {}, ['row 3, column "t"']),
    "text": (
        rows("t,q", "0,1", "", "1,high"),
        {},
        ['row 4, column "q": text "high" in a number column', "--ignore q"],
    ),
    "underscore": (rows("t,q", "0,1_0", "1,2"), {}, ['row 2, column "q": text "1_0"']),
    "decimal comma": (
        rows("t;q", "0;1,5", "1;2,5"),
        {},
        ['row 2, column "q": decimal comma in "1,5"', "by points"],
    ),
    "decimal comma in time": (
        rows("t;q", "0,5;1", "1,5;2"),
        {},
        ['row 2, column "t": decimal comma in "0,5"'],
    ),
    "decimal comma between commas": (
        rows("t,q", "0,1,5", "1,2,5"),
        {},
        ["row 2: 3 cells where the header has 2 (t, q)", "Decimal commas"],
    ),
    "ragged": (rows("t,q,p", "0,1,2", "1,2"), {}, ["row 3: 2 cells", "has 3"]),
    "repeated time": (
        rows("t,q", "0,1", "0.5,1", "0.50,2"),
        {},
        ['row 4, column "t": time 0.50 stands twice', "--traj"],
    ),
    "decreasing time": (
        rows("t,q", "0,1", "12.40,1", "12.31,2"),
        {},
        ['row 4, column "t": time goes backwards (12.31 after 12.40)', "--traj"],
    ),
    "decreasing time in a trajectory": (
        rows("run,t,q", "a,0,1", "b,5,2", "a,1,2", "b,4,3"),
        {"traj": "run"},
        ['row 5, column "t": time goes backwards (4 after 5) of trajectory b'],
    ),
    "decreasing stamps": (
        rows("t,q", "2024-01-02,1", "2024-01-01,2"),
        {},
        ["row 3", "time goes backwards (2024-01-01 after 2024-01-02)"],
    ),
    "missing time": (rows("t,q", "0,1", ",2"), {}, ['row 3, column "t": the time is']),
    "not a stamp": (
        rows("t,q", "2024-01-02,1", "yesterday,2"),
        {},
        ['row 3, column "t": "yesterday" is not a time', "ISO 8601"],
    ),
    "mixed zones": (
        rows("t,q", "2024-01-02T00:00Z,1", "2024-01-02T01:00,2"),
        {},
        ["row 3", "time zone"],
    ),
    "latin-1": (
        "t,q [°]\n0,1\n".encode("latin-1"),
        {},
        ["row 1: byte 0xb0 is not UTF-8", "Save the file as UTF-8"],
    ),
    "utf-16": ("t,q\n0,1\n".encode("utf-16"), {}, ["UTF-16", "Expected UTF-8"]),
    "binary": (b"t,q\0\0\n0,1\n", {}, ["zero bytes"]),
    "duplicate names": (
        rows("t,q [m],q", "0,1,2", "1,2,3"),
        {},
        ['the column name "q" stands twice (columns 2 and 3)'],
    ),
    "no names": (rows("0,1", "1,2"), {}, ["first line holds numbers (0, 1)", "t,q"]),
    "column without name": (rows("t,", "0,1", "1,2"), {}, ["column 2 has values but"]),
    "open quotation mark": (
        't,q\n0,1\n1,"2\n' + "3,4\n" * 40000,
        {},
        ["row 3", "quotation mark"],
    ),
    "blanks": (rows("t q", "0 1", "1 2"), {}, ["separated by blanks (t q)"]),
    "bars": (rows("t|q", "0|1", "1|2"), {}, ["separated by vertical bars (t|q)"]),
    "no time": (
        rows("x,q", "0,1", "1,2"),
        {},
        ["no time column (columns: x, q)", "--time", "--dt"],
    ),
    "round brackets": (
        rows("Time (ms),q (deg)", "0,1", "1,2"),
        {},
        ['write "Time (ms)" as "Time [ms]"'],
    ),
    "no channel": (rows("t,u_a", "0,1", "1,2"), {}, ["no column is left to learn"]),
    "channel without a value": (
        rows("t,q,p", "0,1,", "1,2,"),
        {},
        ['column "p": every cell is empty', "--ignore p"],
    ),
    "gap in an input": (
        rows("t,q,tau", "0,1,3", "1,2,"),
        {},
        ['row 3, column "tau": the input is missing', "Fill the cell"],
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_file(write, case):
    text, options, sentences = BAD[case]
    with pytest.raises(errors.DataError) as caught:
        read_csv(write(text), **options)
    message = str(caught.value)
    for sentence in sentences:
        assert sentence in message
    assert "pump.csv" in message


OPTIONS = {
    "unknown channel": (
        {"channels": ["thetta1"]},
        ['--channels thetta1: pump.csv has no column "thetta1"', 'mean "theta1"?'],
    ),
    "unknown trajectory column": (
        {"traj": "run"},
        ["--traj run", "Columns: t, theta1"],
    ),
    "unknown input": ({"inputs": "torq"}, ['Did you mean "torque"?']),
    "unknown ignored": ({"ignore": ["x"]}, ["--ignore x"]),
    "unknown time": ({"time": "tt"}, ["--time tt"]),
    "unknown unit": ({"units": {"q": "m"}}, ["--units q=m", 'no column "q"']),
    "unknown angle": ({"angles": ["q"]}, ['--angles q: "q" is not a channel']),
    "two roles": (
        {"channels": ["theta1"], "ignore": ["theta1"]},
        ['column "theta1" is given by --channels and by --ignore'],
    ),
    "step beside times": ({"dt": 0.1}, ['time column "t" already', "--ignore t"]),
    "negative step": ({"dt": -0.1}, ["--dt -0.1", "positive"]),
    "unknown kind": ({"input_kind": "splin"}, ['mean "spline"?', "held, linear"]),
}


@pytest.mark.parametrize("case", OPTIONS)
def test_bad_option(write, case):
    options, sentences = OPTIONS[case]
    with pytest.raises(errors.ConfigError) as caught:
        read_csv(write(rows("t,theta1,torque", "0,1,0", "1,2,1")), **options)
    for sentence in sentences:
        assert sentence in str(caught.value)


def test_missing_file_names_the_nearest(write, tmp_path):
    write("t,q\n")
    with pytest.raises(
        errors.DataError, match=r'no such file. Did you mean "pump.csv"'
    ):
        read_csv(tmp_path / "pumps.csv")
    with pytest.raises(errors.DataError, match="no such file"):
        read_csv(tmp_path / "nowhere" / "pump.csv")
    with pytest.raises(errors.DataError, match="cannot be read"):
        read_csv(tmp_path)


def test_files_read_together_must_agree(write):
    one = write(rows("t,q [m]", "0,1", "1,2"), "one.csv")
    other = write(rows("t,qq", "0,1", "1,2"), "two.csv")
    with pytest.raises(
        errors.DataError, match=r'two\.csv: column "q" of one\.csv is not here'
    ):
        read_csv([one, other])
    unit = write(rows("t,q [mm]", "0,1", "1,2"), "three.csv")
    with pytest.raises(errors.DataError, match=r"three\.csv.*\[mm\], but in \[m\]"):
        read_csv([one, unit])


def test_large_file_is_read_fast(write):
    import time

    n = 131_072
    y = np.sin(np.arange(n))
    path = write("u_V,y_V\n" + "".join(f"{v:.7g},{-v:.7g}\n" for v in y))
    start = time.perf_counter()
    data = read_csv(path, dt=1.0)
    seconds = time.perf_counter() - start
    assert data.lengths[0] == n
    np.testing.assert_allclose(data.ys[0, :, 0], -y, rtol=1e-6)
    assert seconds < 5.0  # measured 0.35 on one core; the check is for 10x slips

"""Records of bars, and the text layout in which others publish them."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from pendula import ConfigError, DataError
from pendula.cli import main
from pendula.data import read
from pendula.systems import bar_names, bar_record, bars_of, read_bars, slinky_case


@pytest.fixture
def bars():
    rng = np.random.default_rng(0)
    u = np.cumsum(rng.normal(0.0, 0.1, (7, 4, 3)), axis=0)
    return 0.01 * np.arange(7), u, rng.normal(size=u.shape)


def files(folder, u, v):
    out = []
    for name, values in (("u.txt", u), ("v.txt", v)):
        path = folder / name
        np.savetxt(path, values.reshape(len(values), -1), delimiter=",", fmt="%.17g")
        out.append(path)
    return out


def test_a_record_gives_its_bars_back(bars):
    ts, u, v = bars
    data = bar_record(ts, u, v)
    assert data.names[:4] == ("x0", "y0", "alpha0", "x1")
    assert data.names[12:14] == ("vx0", "vy0")
    assert data.units[2] == "rad"
    assert data.units[12] == "m/s"
    for made, given in zip(bars_of(data), bars, strict=True):
        np.testing.assert_array_equal(made, given)
    assert bar_names(1) == ("x0", "y0", "alpha0")


def test_other_units_are_refused(bars):
    """A record in mm, or in ms, is no record in m and s."""
    data = bar_record(*bars)
    other = ("mm", *data.units[1:])
    with pytest.raises(DataError, match=r'channel "x0" is in mm; expected m\. Convert'):
        bars_of(dataclasses.replace(data, units=other))
    with pytest.raises(DataError, match="times are in ms; expected s"):
        bars_of(dataclasses.replace(data, time_unit="ms"))
    with pytest.raises(DataError, match="there is no record 1"):
        bars_of(data, 1)
    bars_of(dataclasses.replace(data, units=("",) * 24))  # nobody said any


def test_published_text_files_are_read(bars, tmp_path):
    _, u, v = bars
    data = read_bars(*files(tmp_path, u, v), 0.01)
    for made, given in zip(bars_of(data), bars, strict=True):
        np.testing.assert_allclose(made, given, rtol=1e-15, atol=1e-15)


def test_bad_files_are_refused_with_their_fault(bars, tmp_path):
    _, u, v = bars
    wrong = u.reshape(7, -1)[:, :-1]
    with pytest.raises(DataError, match="7 rows of 11 columns; expected a row a time"):
        read_bars(*files(tmp_path, wrong, wrong), 0.01)
    with pytest.raises(DataError, match="they must be of the same record"):
        read_bars(*files(tmp_path, u, v[:, :3]), 0.01)
    ragged = tmp_path / "ragged.txt"
    ragged.write_text("1,2,3,4,5,6,7,8,9\n1,2,3\n")
    with pytest.raises(DataError, match=r"ragged.txt: .*Every row has as many numbers"):
        read_bars(ragged, ragged, 0.01)
    with pytest.raises(ConfigError, match="step is 0"):
        read_bars(*files(tmp_path, u, v), 0.0)
    holes = u.copy()
    holes[3, 2, 1] = np.nan
    with pytest.raises(DataError, match="positions of bar 2 at sample 3 are not fin"):
        read_bars(*files(tmp_path, holes, v), 0.01)
    apart = u.copy()
    apart[:, 2:, 2] += 2.0 * np.pi
    with pytest.raises(DataError, match="between bars 1 and 2 at sample 0"):
        read_bars(*files(tmp_path, apart, v), 0.01)
    with pytest.raises(DataError, match=r"none.txt cannot be read"):
        read_bars(tmp_path / "none.txt", tmp_path / "none.txt", 0.01)
    (tmp_path / "empty.txt").touch()
    with pytest.raises(DataError, match=r"empty\.txt has 0 rows"):
        read_bars(tmp_path / "empty.txt", tmp_path / "empty.txt", 0.01)
    turned = u.copy()
    turned[4:, 1, 2] += 2.0 * np.pi
    with pytest.raises(DataError, match=r"alpha of bar 1 jumps by .* after sample 3"):
        read_bars(*files(tmp_path, turned, v), 0.01)


@pytest.mark.slow
def test_a_case_gives_a_record_and_ends_that_move():
    case = dataclasses.replace(
        slinky_case("case7").smaller(3, 0.02), moving=True, drag=0.0
    )
    ts, u, _ = bars_of(case.record(0.01))
    assert ts.tolist() == pytest.approx([0.0, 0.01, 0.02])
    lifted = 0.5 * 0.03 * (1.0 - np.cos(4.0 * np.pi * 0.02))
    np.testing.assert_allclose(u[-1, -1, 1] - u[0, -1, 1], lifted, atol=1e-9)
    assert case.ends(ts).shape == (3, 6)


def test_cases_and_intervals_that_do_not_go_are_refused():
    case = slinky_case("case7").smaller(3, 0.02)
    assert slinky_case("case1").ends(np.zeros(1)) is None
    with pytest.raises(ConfigError, match=r"0.0015 s cannot be recorded"):
        case.record(0.0015)
    with pytest.raises(ConfigError, match=r"0.02 s has no second sample"):
        case.record(0.03)
    with pytest.raises(ConfigError, match='setup "hanging" is unknown'):
        dataclasses.replace(case, setup="hanging")
    with pytest.raises(ConfigError, match="drag is -1"):
        dataclasses.replace(case, drag=-1.0)
    with pytest.raises(ConfigError, match="says that it is let go"):
        dataclasses.replace(case, last=False)
    with pytest.raises(ConfigError, match='case "case9" is unknown'):
        slinky_case("case9")


def test_an_end_is_moved_where_the_slinky_hangs_too():
    case = dataclasses.replace(slinky_case("case7").smaller(3, 0.02), setup="vertical")
    held = case.start()[2]
    up = held.targets(0.25, jnp.zeros((4, 49)))[1]
    np.testing.assert_allclose(up[31:33], [0.0, 0.03], atol=1e-7)


@pytest.mark.slow
def test_the_program_writes_a_record_and_refuses_what_does_not_apply(tmp_path, capsys):
    out = tmp_path / "slinky.csv"
    words = ["simulate", "slinky", "--set", "cycles=3", "--duration", "0.02"]
    assert main([*words, "--case", "case2", "--out", str(out)]) == 0
    data = read(out)
    assert data.names == bar_names(3, rates=True)
    half = ["simulate", "slinky", "--set", "cycles=2.5"]
    assert main([*half, "--out", str(tmp_path / "x.csv")]) == 2
    assert "cycles is 2.5; it must be a whole number" in capsys.readouterr().err
    for more, told in (
        (["--num", "2"], "--num does not apply to the slinky"),
        (["--set", "length=2"], 'the slinky has no "length"'),
    ):
        capsys.readouterr()
        assert main([*words, *more, "--out", str(tmp_path / "x.csv")]) == 2
        assert told in capsys.readouterr().err

"""Records of bars, and the text layout in which others publish them."""

import numpy as np
import pytest

from pendula import DataError
from pendula.systems import bar_names, bar_record, bars_of, read_bars


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
    holes = u.copy()
    holes[3, 2, 1] = np.nan
    with pytest.raises(DataError, match="positions of bar 2 at sample 3 are not fin"):
        read_bars(*files(tmp_path, holes, v), 0.01)
    turned = u.copy()
    turned[4:, 1, 2] += 2.0 * np.pi
    with pytest.raises(DataError, match=r"alpha of bar 1 jumps by .* after sample 3"):
        read_bars(*files(tmp_path, turned, v), 0.01)

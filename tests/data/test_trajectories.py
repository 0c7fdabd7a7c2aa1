"""The container: what it accepts, what it cuts."""

import datetime

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from pendula import _errors as errors
from pendula.data import Batch, Trajectories, input_path


def make(lengths=(6, 4), ctrl=1, seed=0):
    rng = np.random.default_rng(seed)
    ts = [np.cumsum(rng.uniform(0.1, 1, n)) for n in lengths]
    ys = [rng.normal(size=(n, 2)) for n in lengths]
    us = [rng.normal(size=(n, ctrl)) for n in lengths] if ctrl else None
    return Trajectories.from_arrays(ts, ys, us, names=("q", "p"))


def test_shapes_and_defaults():
    data = make()
    assert (data.num, data.dim, data.ctrl) == (2, 2, 1)
    np.testing.assert_array_equal(data.lengths, [6, 4])
    assert data.input_names == ("u_0",)
    assert data.labels == ("0", "1")
    assert data.ts[1, 4] == data.ts[1, 3] == data.ts[1, 5]  # padding repeats time
    assert not data.mask[1, 4:].any()
    assert not data.ys[1, 4:].any()
    np.testing.assert_array_equal(data.us[1, 4:], data.us[1, 3:4].repeat(2, 0))


def test_nan_is_missing():
    data = Trajectories.from_arrays([0.0, 1, 2], [1.0, np.nan, 3])
    np.testing.assert_array_equal(data.mask[0, :, 0], [True, False, True])
    assert data.ys[0, 1, 0] == 0


BAD = {
    "no samples": (([], []), {}, "no data"),
    "one sample": (([[0.0]], [[1.0]]), {}, "trajectory 0 has 1 sample"),
    "repeated time": (([0.0, 1, 1, 2], [1.0, 2, 3, 4]), {}, "sample 2: time 1 stands"),
    "backwards": (([0.0, 2, 1], [1.0, 2, 3]), {}, "sample 2: time goes backwards"),
    "infinite": (([0.0, 1], [1.0, np.inf]), {}, "sample 1, channel 0: the value is"),
    "time not finite": (([0.0, np.nan], [1.0, 2]), {}, "the time is not finite"),
    "lengths": (([0.0, 1], [1.0, 2, 3]), {}, "do not fit"),
    "columns": (([[0, 1.0], [0, 1.0]], [[1, 2.0], np.ones((2, 2))]), {}, "columns"),
    "inputs short": (([0.0, 1], [1.0, 2], [1.0]), {}, r"us \(1, 1\) do not fit"),
    "input gap": (([0.0, 1], [1.0, 2], [1.0, np.nan]), {}, "sample 1, input 0"),
    "names": (([0.0, 1], [1.0, 2]), {"names": ("a", "b")}, "names has 2 entries"),
    "counts": (([[0.0, 1]], [[1.0, 2], [3.0, 4]]), {}, "same number"),
    "kind": (([0.0, 1], [1.0, 2]), {"input_kind": "hold"}, "interpolation"),
    "env": (([0.0, 1], [1.0, 2]), {"env": np.arange(2)}, "needs 1 rows"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_arrays(case):
    arrays, about, sentence = BAD[case]
    with pytest.raises(errors.PendulaError, match=sentence):
        Trajectories.from_arrays(*arrays, **about)


def test_dates_are_seconds_since_the_first_as_in_files():
    """Whatever the resolution and the kind of date; nothing says nanoseconds."""
    wanted = [0.0, 0.5, 86400.0]
    stamps = ["2024-03-01T12:00:00", "2024-03-01T12:00:00.5", "2024-03-02T12:00:00"]
    east = datetime.timezone(datetime.timedelta(hours=2))
    plain = [datetime.datetime.fromisoformat(text) for text in stamps]
    stated = [
        np.array(stamps, "datetime64[ns]"),
        np.array(stamps, "datetime64[ms]"),
        np.array(stamps, "datetime64[ns]") - np.datetime64(stamps[0]),
        plain,
        np.array([stamp.replace(tzinfo=east) for stamp in plain]),
    ]
    for ts in stated:
        data = Trajectories.from_arrays(ts, [1.0, 2.0, 3.0])
        assert data.ts[0].tolist() == wanted
    days = [datetime.date(2024, 2, 28), datetime.date(2024, 3, 1)]
    assert Trajectories.from_arrays(days, [1.0, 2.0]).ts[0, 1] == 2 * 86400.0
    with pytest.raises(errors.ConfigError, match="dates, which are taken in seconds"):
        Trajectories.from_arrays(stated[0], [1.0, 2.0, 3.0], time_unit="d")


def test_complex_values_are_not_cut_to_their_real_part():
    with pytest.raises(errors.DataError, match="two channels"):
        Trajectories.from_arrays([0.0, 1.0], [1.0, 1.0j])


def test_bad_padding_is_refused():
    ts, ys = np.array([[0.0, 1, 1, 2]]), np.ones((1, 4, 1))
    with pytest.raises(errors.DataError, match="stands twice"):
        Trajectories(ts, ys, np.zeros_like(ys, bool))
    ts = np.array([[0.0, 1, 1, 1]])
    with pytest.raises(errors.DataError, match="stands twice"):
        Trajectories(ts, ys, np.ones_like(ys, bool))
    with pytest.raises(errors.ShapeError, match="do not fit"):
        Trajectories(ts[0], ys, np.ones_like(ys, bool))
    with pytest.raises(errors.ShapeError, match="mask"):
        Trajectories(ts, ys, np.ones((1, 4), bool))


def test_select_channels_between_subsample():
    data = make()
    one = data.select([1])
    assert one.ts.shape == (1, 4)
    assert one.labels == ("1",)
    assert data.select(np.array([False, True])).labels == ("1",)
    with pytest.raises(errors.ConfigError, match="0 to 1"):
        data.select([2])
    with pytest.raises(errors.ConfigError, match="no trajectory"):
        data.select([])
    np.testing.assert_array_equal(data.channels(["p"]).ys[..., 0], data.ys[..., 1])
    with pytest.raises(errors.ConfigError, match='Did you mean "q"'):
        data.channels(["qq"])
    cut = data.between(data.ts[0, 1], data.ts[0, 4])
    np.testing.assert_array_equal(cut.ys[0, :4], data.ys[0, 1:5])
    with pytest.raises(errors.DataError, match="no trajectory has two samples"):
        data.between(100.0, 101.0)
    thin = data.subsample(2)
    np.testing.assert_array_equal(thin.lengths, [3, 2])
    np.testing.assert_array_equal(thin.us[0], data.us[0, ::2])
    assert thin.origin["history"] == ["every 2th sample"]
    with pytest.raises(errors.ConfigError, match="at least 1"):
        data.subsample(0)


def test_windows_share_their_ends_and_leave_nothing_out():
    ts = [np.linspace(0.0, 5.0, 51), np.linspace(1.0, 2.0, 11), np.array([0.0, 9.0])]
    ys = [np.stack([np.sin(t), np.cos(t)], 1) for t in ts]
    us = [t[:, None] for t in ts]
    data = Trajectories.from_arrays(ts, ys, us=us).replace(env=np.array([3, 4, 5]))
    cut = data.windows(1.2)
    assert cut.env.tolist() == [3, 3, 3, 3, 4, 5]
    assert cut.lengths.tolist() == [14, 13, 14, 13, 11, 2]
    for i in range(3):
        assert cut.ts[i, cut.lengths[i] - 1] == cut.ts[i + 1, 0]
    real = np.arange(cut.ts.shape[1])[None] < cut.lengths[:, None]
    np.testing.assert_allclose(cut.ys[..., 0][real], np.sin(cut.ts[real]))
    np.testing.assert_allclose(cut.us[..., 0][real], cut.ts[real])
    assert data.windows(100.0) is data
    with pytest.raises(errors.ConfigError, match="must be above 0"):
        data.windows(0.0)


@settings(max_examples=30, deadline=None)
@given(
    lengths=st.lists(st.integers(2, 12), min_size=1, max_size=4),
    length=st.integers(2, 8),
    stride=st.integers(1, 9),
    every=st.integers(1, 3),
)
def test_clips_cover_the_record(lengths, length, stride, every):
    data = make(tuple(lengths), ctrl=0)
    stride = min(stride, (length - 1) * every + 1)
    batch = data.clips(length, stride, every=every, dtype=np.float64)
    seen = [set() for _ in lengths]
    for (row, start), mask, ys, dts, t0 in zip(
        batch.origin, batch.mask, batch.ys, batch.dts, batch.t0, strict=True
    ):
        index = start + every * np.arange(length)
        inside = index < lengths[row]
        np.testing.assert_array_equal(mask[:, 0], inside)
        np.testing.assert_array_equal(ys[inside], data.ys[row, index[inside]])
        assert not ys[~inside].any()
        times = t0 + np.concatenate([[0], np.cumsum(dts)])
        np.testing.assert_allclose(times[inside], data.ts[row, index[inside]])
        seen[row] |= set(index[inside].tolist())
    if every == 1:
        assert [len(s) for s in seen] == lengths


@settings(max_examples=30, deadline=None)
@given(
    lengths=st.lists(st.integers(2, 9), min_size=1, max_size=3),
    extra=st.integers(1, 5),
    length=st.integers(2, 6),
    kind=st.sampled_from(["held", "linear", "spline"]),
)
def test_padding_never_changes_what_clips_yield(lengths, extra, length, kind):
    data = make(tuple(lengths)).replace(input_kind=kind)
    wide = [(0, 0), (0, extra)]
    padded = data.replace(
        ts=np.pad(data.ts, wide, mode="edge"),
        ys=np.pad(data.ys, [*wide, (0, 0)]),
        mask=np.pad(data.mask, [*wide, (0, 0)]),
        us=np.pad(data.us, [*wide, (0, 0)], mode="edge"),
    )
    np.testing.assert_array_equal(padded.lengths, data.lengths)
    for a, b in zip(
        vars(data.clips(length)).values(),
        vars(padded.clips(length)).values(),
        strict=True,
    ):
        assert (a is None and b is None) or np.array_equal(a, b)
    whole, longer = data.full(), padded.full()
    assert isinstance(whole, Batch)
    np.testing.assert_array_equal(longer.dts[:, : whole.dts.shape[1]], whole.dts)
    assert not longer.dts[:, whole.dts.shape[1] :].any()


def test_context_follows_the_trajectory():
    batch = make().clips(3, context=np.array([[5.0], [7.0]]))
    np.testing.assert_array_equal(batch.context[:, 0], 5 + 2 * batch.origin[:, 0])


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"length": 1}, "at least 2"),
        ({"length": 3, "stride": 0}, "at least 1"),
        ({"length": 3, "every": 2}, "every must be 1"),
    ],
)
def test_bad_clips(options, sentence):
    with pytest.raises(errors.ConfigError, match=sentence):
        make().clips(**options)


@settings(max_examples=30, deadline=None)
@given(
    steps=st.lists(st.floats(0.05, 2), min_size=3, max_size=12),
    c=st.lists(st.floats(-2, 2), min_size=4, max_size=4),
)
def test_spline_path_reproduces_cubics_exactly(steps, c):
    ts = np.concatenate([[0.3], 0.3 + np.cumsum(steps)])
    cubic = np.polynomial.Polynomial(c)
    path = input_path(ts, cubic(ts)[:, None], "spline")
    s = np.diff(ts)[:, None] * np.linspace(0, 1, 5)
    powers = s[..., None] ** np.arange(4)
    value = np.einsum("ksp,kp->ks", powers, path[..., 0])
    size = 1 + np.abs(cubic(ts)).max()
    np.testing.assert_allclose(value, cubic(ts[:-1, None] + s), atol=1e-9 * size)


def test_held_and_linear_paths():
    ts, us = np.array([0.0, 1, 3, 3]), np.array([[1.0], [3], [7], [7]])
    held = input_path(ts, us, "held")[..., 0]
    np.testing.assert_array_equal(held, [[1, 0, 0, 0], [3, 0, 0, 0], [7, 0, 0, 0]])
    line = input_path(ts, us, "linear")[..., 0]
    np.testing.assert_array_equal(line, [[1, 2, 0, 0], [3, 2, 0, 0], [7, 0, 0, 0]])
    with pytest.raises(errors.ConfigError, match='Did you mean "linear"'):
        input_path(ts, us, "linea")

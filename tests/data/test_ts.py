"""Series of the archives: what their files say, and which are refused."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from pendula import DataError
from pendula.data import read_ts


def written(folder, text):
    path = folder / "some.ts"
    path.write_text(text, encoding="utf-8")
    return path


def test_classes_channels_and_unequal_lengths(tmp_path):
    text = (
        "#note\n@problemName p\n@classLabel true a b\n@data\n1,2,3:4,5,6:b\n\n7:8:a\n"
    )
    data = read_ts(written(tmp_path, text))
    assert data.classes == ("a", "b")
    assert_array_equal(data.targets, [1, 0])
    assert_array_equal(data.lengths, [3, 1])
    assert_array_equal(data.us[0], [[1, 4], [2, 5], [3, 6]])
    assert_array_equal(data.us[1], [[7, 8], [0, 0], [0, 0]])
    assert data.name == "some"


def test_values(tmp_path):
    data = read_ts(written(tmp_path, "@targetlabel true\n@data\n1,2:0.5\n3,4:-1.5\n"))
    assert data.kind == "value"
    assert_array_equal(data.targets, np.array([[0.5], [-1.5]], np.float32))
    assert data.lengths is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1,2:a\n", "no line @data"),
        ("@data\n", "no series"),
        ("@timeStamps true\n@data\n", "time stamps"),
        ("@classLabel true a\n@data\n1,2:c\n", 'line 3: class "c"'),
        ("@data\n1,?:0\n", "line 2: .*Missing"),
        ("@data\n1,nan:0\n", "line 2: a value is not finite"),
        ("@data\n1,2:3:0\n", "line 2: channels of different lengths"),
        ("@data\n1,2:x\n", "no number"),
        ("@data\n12\n", "no target"),
        ("@data\n1,2:0\n1,2:3,4:0\n", "different numbers of channels"),
    ],
)
def test_other_files_are_refused(text, words, tmp_path):
    with pytest.raises(DataError, match=words):
        read_ts(written(tmp_path, text))


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        read_ts(tmp_path / "none.ts")

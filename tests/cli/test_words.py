"""Numbers on the terminal."""

from pendula.cli._words import error_words


def test_an_error_has_its_unit():
    assert error_words(("m",), 0.25, {"q": 0.25}) == "0.250 m"
    assert error_words(("m", "m"), 0.25, {"q": 0.2, "p": 0.3}) == "0.250 m"
    parted = error_words(("rad", "rad/s"), 9.9, {"theta": 0.2, "omega": 14})
    assert parted == "0.200 rad in theta, 14 rad/s in omega"

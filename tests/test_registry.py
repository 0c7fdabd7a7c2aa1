"""Names of classes and laws: one object each, and the nearest name for a wrong one."""

import pytest

from pendula import _registry as registry
from pendula._errors import ConfigError


@pytest.fixture
def tables(monkeypatch):
    """Empty tables for one test."""
    monkeypatch.setattr(registry, "_TABLES", {})


def test_enter_look_up_and_list(tables):
    @registry.register("thing")
    class Lamp:
        pass

    @registry.register("thing", "another")
    def make():
        return 3

    assert registry.lookup("thing", "Lamp") is Lamp
    assert registry.lookup("thing", "another") is make
    assert registry.names("thing") == ["Lamp", "another"]
    assert registry.name_of("thing", make) == "another"
    assert registry.name_of("thing", object()) is None
    assert registry.names("nothing") == []
    assert registry.name_of("nothing", Lamp) is None


def test_kinds_do_not_mix(tables):
    registry.register("a", "x")(1)
    registry.register("b", "x")(2)
    assert (registry.lookup("a", "x"), registry.lookup("b", "x")) == (1, 2)


def test_a_wrong_name_is_told_the_nearest_and_all(tables):
    registry.register("thing", "lamp")(1)
    registry.register("thing", "chair")(2)
    with pytest.raises(ConfigError) as found:
        registry.lookup("thing", "lmap")
    assert str(found.value) == (
        'unknown thing "lmap". Did you mean "lamp"? Known: chair, lamp.'
    )
    with pytest.raises(ConfigError, match=r'unknown other "x"\. Known: none\.'):
        registry.lookup("other", "x")
    registry.register("known", "spring")(1)
    with pytest.raises(ConfigError, match='unknown law "sprig"'):
        registry.lookup("known", "sprig")
    for other in (3, None, ["lamp"]):  # no names
        with pytest.raises(ConfigError, match=r"thing is .* chair, lamp"):
            registry.lookup("thing", other)


def test_a_name_belongs_to_the_module_that_took_it(tables):
    def made_in(module):
        return type("Lamp", (), {"__module__": module})

    first = registry.register("thing")(made_in("one"))
    with pytest.raises(ConfigError, match='thing "Lamp" is already registered by one'):
        registry.register("thing")(made_in("two"))
    assert registry.lookup("thing", "Lamp") is first
    again = registry.register("thing")(made_in("one"))  # a module that is run again
    assert registry.lookup("thing", "Lamp") is again

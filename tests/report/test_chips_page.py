"""The page of chips: curves, the table, the card of a device within another."""

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest

from pendula._errors import ConfigError
from pendula.hardware import CTT, monte_carlo, to_analog
from pendula.report import chips_page


def test_page_shows_curves_components_and_the_device(tmp_path):
    net = eqx.nn.Linear(2, 1, key=jax.random.key(0))
    twin = to_analog(net, CTT(), bias="digital")
    size = lambda chip, _: jnp.abs(chip.weight).mean()
    found = monte_carlo(twin, size, None, jax.random.key(1), 3, (0.0, 0.1))
    fewer = monte_carlo(twin, size, None, jax.random.key(1), 2, (0.0, 0.1))
    both = {"a <b>": found, "c": fewer}
    path = chips_page(tmp_path / "chips.html", twin, both, metric="size")
    text = path.read_text(encoding="utf-8")
    for part in (
        "<svg",
        "weight",
        "Relaxing",
        "RangeNoise",
        "a &lt;b&gt;",
        "Wang2023",
        "over 2 or 3 chips",
    ):
        assert part in text
    assert "<script" not in text
    with pytest.raises(ConfigError, match="at least one report"):
        chips_page(tmp_path / "none.html", twin, {})

"""Vowels that nobody spoke: formants by vowel, a scale by talker."""

from __future__ import annotations

import numpy as np

from .._checks import not_negative, whole
from ._vowels import FORMANT_TIMES, Vowels, formant_measures


# mean F1, F2, F3 of men [Hz]
_FORMANTS = {
    "ae": (660.0, 1720.0, 2410.0),
    "ah": (730.0, 1090.0, 2440.0),
    "aw": (570.0, 840.0, 2410.0),
    "eh": (530.0, 1840.0, 2480.0),
    "er": (490.0, 1350.0, 1690.0),
    "ih": (390.0, 1990.0, 2550.0),
    "iy": (270.0, 2290.0, 3010.0),
    "oo": (440.0, 1020.0, 2240.0),
    "uh": (640.0, 1190.0, 2390.0),
    "uw": (300.0, 870.0, 2240.0),
}
_SCALES = {"man": 1.0, "woman": 1.17, "boy": 1.32, "girl": 1.32}


def synthetic_vowels(
    talkers: int = 60,
    *,
    takes: int = 1,
    spread: float = 0.06,
    drift: float = 0.04,
    scale_spread: float = 0.05,
    seed: int = 0,
) -> Vowels:
    r"""Formant tracks of ten vowels by talkers of four groups, drawn.

    $$ \ln F_{k}(p) = \ln \bar F_{vk} + \ln s_t + a_{tvk} + p\, b_{tvk} $$

    at p = 0 (steady state), -0.3, 0 and 0.3 of the duration, with the mean formants
    $\bar F$ of men, the vocal tract's scale $s_t$ of the talker, and normal deviations
    a (`spread`) and slopes b (`drift` over the whole vowel).

    **Arguments:** `talkers`: number, the groups in turn; `takes`: times that each says
    each vowel; `scale_spread`: relative spread of s within a group.
    **Returns:** `Vowels` with the measures of `formant_measures()`.
    **Raises:** `ConfigError`.
    **Source:** mean formants of men of Peterson and Barney 1952, table II; scales,
    spreads and slopes are ours.

    ```python
    >>> from pendula.data import synthetic_vowels
    >>> made = synthetic_vowels(4, seed=0)
    >>> len(made), made.groups[::10], made.measures[:3]
    (40, ('man', 'woman', 'boy', 'girl'), ('F1 steady', 'F2 steady', 'F3 steady'))

    ```
    """
    whole(1, "synthetic_vowels", talkers=talkers, takes=takes)
    sizes = {"spread": spread, "drift": drift, "scale_spread": scale_spread}
    not_negative("synthetic_vowels", **sizes)
    rng = np.random.default_rng(seed)
    classes, groups = tuple(_FORMANTS), tuple(_SCALES)
    means = np.log(np.asarray(list(_FORMANTS.values())))  # vowel, formant
    group = np.arange(talkers) % len(groups)
    own = np.log(np.asarray(list(_SCALES.values())))[group]
    own = own + scale_spread * rng.normal(size=talkers)
    shape = (talkers, takes, *means.shape)
    middle = means + own[:, None, None, None] + spread * rng.normal(size=shape)
    slope = drift * rng.normal(size=shape)
    places = dict(zip(FORMANT_TIMES, (0.0, -0.3, 0.0, 0.3), strict=True))
    tracks = [middle + place * slope for place in places.values()]
    values = np.exp(np.stack(tracks, axis=-2)).reshape(-1, len(formant_measures()))
    count = takes * len(classes)
    return Vowels(
        values,
        formant_measures(),
        np.tile(np.arange(len(classes)), talkers * takes),
        classes,
        tuple(
            f"{groups[g][0]}{t:03d}" for t, g in enumerate(group) for _ in range(count)
        ),
        tuple(groups[g] for g in group for _ in range(count)),
        "synthetic vowels",
        {"seed": seed},
    )

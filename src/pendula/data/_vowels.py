"""Spoken vowels as numbers, and tasks whose tests are spoken by others."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from .._checks import positive
from .._errors import ConfigError, DataError, ShapeError, nearest


FORMANT_TIMES = ("steady", "20%", "50%", "80%")
"""Places in a vowel at which formants are measured."""
SEVEN_VOWELS = ("ae", "ah", "aw", "er", "ih", "iy", "uw")
"""Vowels of the task with seven classes."""


@dataclasses.dataclass(frozen=True)
class Vowels:
    """Spoken vowels: what was measured, which vowel it was and who spoke.

    **Shapes and units:** `values` `"token measure"` float64, NaN where nothing could be
    measured; `measures`: their names, such as `"F1 20%"` in Hz; `labels` `"token"`
    int32, an index into `classes`; `talkers`: one name a token, or empty where they are
    not known; `groups`: likewise (man, woman, boy, girl).
    `name`: of the set; `origin`: files and where they come from.
    **Raises:** `ShapeError` for arrays that do not fit together, `DataError` for no
    tokens, infinite values and labels without a class.

    ```python
    >>> import numpy as np
    >>> from pendula.data import Vowels
    >>> two = Vowels(np.ones((2, 1)), ("F1 steady",), np.array([0, 1]), ("ae", "ih"))
    >>> len(two), two.select(classes=["ih"]).labels.tolist()
    (2, [0])

    ```
    """

    values: np.ndarray
    measures: tuple[str, ...]
    labels: np.ndarray
    classes: tuple[str, ...]
    talkers: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    name: str = ""
    origin: dict[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        values = np.asarray(self.values, np.float64)
        labels = np.asarray(self.labels)
        if values.ndim != 2 or values.shape[1] != len(self.measures):
            raise ShapeError(
                f"values have shape {values.shape}; expected (token, measure) with the "
                f"{len(self.measures)} measures that are named."
            )
        if not len(values):
            raise DataError("there are no vowels: the table is empty.")
        if labels.shape != (len(values),):
            raise ShapeError(f"{labels.shape} labels for {len(values)} vowels.")
        if labels.dtype.kind not in "iu":
            raise DataError("labels must be whole numbers, indices of the classes.")
        if labels.min() < 0 or labels.max() >= len(self.classes):
            raise DataError(
                f"labels run from {labels.min()} to {labels.max()}; with "
                f"{len(self.classes)} classes they must lie in 0 to "
                f"{len(self.classes) - 1}."
            )
        for what, names in (("talkers", self.talkers), ("groups", self.groups)):
            if names and len(names) != len(values):
                raise ShapeError(f"{len(names)} {what} for {len(values)} vowels.")
        if np.isinf(values).any():
            row = int(np.argwhere(np.isinf(values))[0][0])
            raise DataError(f"vowel {row} holds infinity; what is missing is NaN.")
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "labels", labels.astype(np.int32))

    def __len__(self) -> int:
        """The number of tokens."""
        return len(self.labels)

    def __getitem__(self, which: Any) -> Vowels:
        """Some of the tokens, by a slice, a mask or indices."""
        index = np.arange(len(self))[which]
        pick = lambda names: tuple(names[i] for i in index) if names else ()
        return dataclasses.replace(
            self,
            values=self.values[index],
            labels=self.labels[index],
            talkers=pick(self.talkers),
            groups=pick(self.groups),
        )

    @property
    def complete(self) -> np.ndarray:
        """Which tokens have all their measures, `"token"`."""
        return np.asarray(np.isfinite(self.values).all(axis=1))

    def columns(self, measures: Sequence[str]) -> Vowels:
        """The same tokens with these measures alone.

        **Raises:** `DataError` for one that is not there.
        """
        for wanted in measures:
            if wanted not in self.measures:
                raise DataError(
                    f'there is no measure "{wanted}" in {self.name or "the table"}.'
                    f"{nearest(wanted, self.measures)} There are: "
                    f"{', '.join(self.measures)}."
                )
        index = [self.measures.index(m) for m in measures]
        return dataclasses.replace(
            self, values=self.values[:, index], measures=tuple(measures)
        )

    def select(
        self,
        *,
        classes: Sequence[str] | None = None,
        groups: Sequence[str] | None = None,
    ) -> Vowels:
        """The tokens of some vowels and groups; labels count the given classes.

        **Raises:** `DataError` for a name that is not there.
        """
        keep = np.ones(len(self), bool)
        for what, given, known in (
            ("vowel", classes, self.classes),
            ("group", groups, set(self.groups)),
        ):
            for wanted in given or ():
                if wanted not in known:
                    raise DataError(
                        f'there is no {what} "{wanted}".{nearest(wanted, known)} There '
                        f"are: {', '.join(sorted(known)) or 'none'}."
                    )
        if groups is not None:
            keep &= np.isin(self.groups, list(groups))
        named = self.classes if classes is None else tuple(classes)
        new = {self.classes.index(c): k for k, c in enumerate(named)}
        keep &= np.isin(self.labels, list(new))
        if not keep.any():
            raise DataError("no vowel is left: no talker of these groups spoke them.")
        some = self[keep]
        labels = np.asarray([new[int(k)] for k in some.labels], np.int32)
        return dataclasses.replace(some, labels=labels, classes=named)


class VowelTask(NamedTuple):
    """Inputs `"token input"` float64, standardised by the training talkers, and int32
    labels `"token"`, to train and to test with; talkers of the test are in no training.
    """

    train: np.ndarray
    train_labels: np.ndarray
    test: np.ndarray
    test_labels: np.ndarray
    classes: tuple[str, ...]
    measures: tuple[str, ...]


def formant_measures(formants: int = 3) -> tuple[str, ...]:
    """Names of the formants at steady state and at 20, 50 and 80 % of the vowel.

    ```python
    >>> from pendula.data import formant_measures
    >>> formant_measures(1)
    ('F1 steady', 'F1 20%', 'F1 50%', 'F1 80%')

    ```
    """
    return tuple(f"F{k + 1} {at}" for at in FORMANT_TIMES for k in range(formants))


def vowel_task(
    vowels: Vowels,
    *,
    classes: Sequence[str] | None = SEVEN_VOWELS,
    groups: Sequence[str] | None = None,
    test_share: float = 0.2,
    seed: int = 0,
) -> VowelTask:
    r"""Which vowel was spoken, from twelve numbers, by talkers that were never heard.

    $$ z_j = \frac{\ln f_j - \mu_j}{\sigma_j} $$

    with F1 to F3 at steady state and at 20, 50 and 80 % of the vowel, mean and standard
    deviation those of the training tokens. Tokens that lack one of the twelve are left
    out.

    **Arguments:** `classes`, `groups`: which tokens, all for None; `test_share`: of the
    talkers; `seed`: draws them.
    **Raises:** `ConfigError` for a share that leaves no talker on one side; `DataError`
    for talkers that are not known, a measure or a name that is not there, a class
    without tokens to train with.
    **Source:** Hillenbrand et al. 1995 (the measures).

    ```python
    >>> from pendula.data import synthetic_vowels, vowel_task
    >>> task = vowel_task(synthetic_vowels(10, seed=0))
    >>> task.train.shape, task.test.shape, len(task.classes)
    ((56, 12), (14, 12), 7)

    ```
    """
    if not vowels.talkers:
        raise DataError(
            "the vowels name no talkers, so that none can be kept for the test. Use a "
            "set with a split of its own."
        )
    some = vowels.select(classes=classes, groups=groups).columns(formant_measures())
    some = some[some.complete & (some.values > 0.0).all(axis=1)]
    names = sorted(set(some.talkers))
    positive("vowel_task", test_share=test_share)
    count = round(test_share * len(names))
    if not 0 < count < len(names):
        raise ConfigError(
            f"test_share is {test_share}: of {len(names)} talkers {count} are for the "
            "test; both sides need at least one."
        )
    order = np.random.default_rng(seed).permutation(len(names))
    heldout = {names[i] for i in order[:count]}
    is_test = np.isin(some.talkers, list(heldout))
    train, test = some[~is_test], some[is_test]
    lacking = set(range(len(some.classes))) - set(train.labels.tolist())
    if lacking:
        raise DataError(
            f'no training talker spoke the vowel "{some.classes[min(lacking)]}". Take '
            "more talkers, or fewer classes."
        )
    return standardised(train, test, log=True)


def standardised(train: Vowels, test: Vowels, *, log: bool = False) -> VowelTask:
    """A task of a set that has a split of its own, standardised by its training part.

    **Arguments:** `log`: logarithms first, for values above 0.
    **Raises:** `DataError` for parts with other measures or classes, and for tokens
    that lack a measure, or its logarithm.
    """
    if (train.measures, train.classes) != (test.measures, test.classes):
        raise DataError(
            "training and test vowels have other measures or classes: "
            f"{len(train.measures)} and {len(test.measures)} measures, "
            f"{len(train.classes)} and {len(test.classes)} classes."
        )
    for part in (train, test):
        if not part.complete.all():
            row = int(np.flatnonzero(~part.complete)[0])
            raise DataError(
                f"vowel {row} lacks a measure; drop those that are not whole."
            )
    for part in (train, test) if log else ():
        if not (part.values > 0.0).all():
            row = int(np.flatnonzero((part.values <= 0.0).any(axis=1))[0])
            raise DataError(f"vowel {row} holds a value without a logarithm.")
    turn = np.log if log else np.asarray
    x, other = turn(train.values), turn(test.values)
    spread = x.std(axis=0)
    spread = np.where(spread > 0.0, spread, 1.0)
    middle = x.mean(axis=0)
    scaled = (x - middle) / spread, (other - middle) / spread
    labels = train.labels, test.labels
    return VowelTask(
        scaled[0], labels[0], scaled[1], labels[1], train.classes, train.measures
    )

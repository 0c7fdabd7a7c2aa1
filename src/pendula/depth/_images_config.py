"""Settings of a training on images."""

from __future__ import annotations

import dataclasses

import optax

from .._checks import (
    choice,
    fields_positive,
    fields_whole,
    not_negative,
    positive,
    whole,
)
from .._errors import ConfigError


SCHEDULES = ("drops", "cosine")
PRECISIONS = ("float32", "bfloat16")


@dataclasses.dataclass(frozen=True)
class ImageFitConfig:
    """How a network is trained on images; the defaults are those of the published
    runs on CIFAR-10, epochs counted from 0.

    **Raises:** `ConfigError` for a setting that cannot be.

    ```python
    >>> from pendula.depth import ImageFitConfig
    >>> round(float(ImageFitConfig(drops=(2,), lr=0.1).rate(10)(20)), 4)
    0.01

    ```
    """

    epochs: int = 120
    """Passes over the training images."""
    batch: int = 128
    """Images a step; the rest of an epoch is dropped."""
    lr: float = 0.1
    """Learning rate of momentum descent."""
    schedule: str = "drops"
    """`"drops"`: times `drop` at the epochs `drops`; `"cosine"`: down to 1 %."""
    drops: tuple[int, ...] = (30, 60, 90)
    """Epochs at whose begin the rate falls."""
    drop: float = 0.1
    """The factor by which it falls."""
    warmup: float = 0.0
    """Epochs over which the rate rises from a tenth of `lr`."""
    momentum: float = 0.9
    """Share of the last update that stays."""
    nesterov: bool = False
    """Whether the gradient is taken ahead (Nesterov's form)."""
    weight_decay: float = 5e-4
    """Times the weights, added to their gradient."""
    clip: float | None = None
    """Largest norm of a gradient; None leaves it as it is."""
    padding: int = 4
    """Frame of the random crop in pixels, 0 for none."""
    flip: bool = True
    """Whether half of the images are mirrored."""
    refine_at: tuple[int, ...] = ()
    """Epochs at whose begin M and N_t double, epsilon staying as it is."""
    refine_on_plateau: int = 0
    """Refine also when the loss on the validation images has not fallen by 1 % for so
    many epochs; 0: never."""
    refinements: int = 3
    """Most refinements on a plateau."""
    keep_momenta: bool = False
    """At a refinement momenta are split between the halves; False: they start at 0."""
    noise: float = 0.0
    """Of a factor 1 + noise z on each coefficient that a refinement makes."""
    precision: str = "float32"
    """Of images and activations while training: `"float32"` or `"bfloat16"`, faster on
    a GPU. Weights, norms, logits and the loss are float32 in both."""
    seed: int = 0
    """Of the order of the images, of their augmentation and of the noise."""

    def __post_init__(self) -> None:
        fields_whole(self, epochs=0, batch=1, padding=0, seed=0)
        fields_whole(self, refine_on_plateau=0, refinements=0)
        fields_positive(self, "", "lr", "drop")
        not_negative(
            warmup=self.warmup, weight_decay=self.weight_decay, noise=self.noise
        )
        if self.clip is not None:
            positive(clip=self.clip)
        if not 0 <= self.momentum < 1:
            raise ConfigError(f"momentum is {self.momentum:g}; it must be in [0, 1).")
        choice("schedule", self.schedule, SCHEDULES)
        choice("precision", self.precision, PRECISIONS)
        for name in ("drops", "refine_at"):
            at = getattr(self, name)
            for epoch in at:
                whole(1, name, epoch=epoch)
            if list(at) != sorted(set(at)):
                raise ConfigError(f"{name} is {at}; epochs must rise. Sort them.")

    def rate(self, per_epoch: int) -> optax.Schedule:
        """The learning rate by the number of updates done."""
        rise = round(self.warmup * per_epoch)
        if self.schedule == "cosine":
            total = max(self.epochs * per_epoch, rise + 1)
            low = 0.1 * self.lr if rise else self.lr
            return optax.warmup_cosine_decay_schedule(
                low, self.lr, rise, total, 0.01 * self.lr
            )
        falls = {at * per_epoch: self.drop for at in self.drops}
        rate = optax.piecewise_constant_schedule(self.lr, falls)
        if not rise:
            return rate
        up = optax.linear_schedule(0.1 * self.lr, self.lr, rise)
        return optax.join_schedules([up, lambda k: rate(k + rise)], [rise])

    def transform(self, per_epoch: int) -> optax.GradientTransformation:
        """The optimiser."""
        parts = [optax.add_decayed_weights(self.weight_decay)]
        if self.clip is not None:
            parts.insert(0, optax.clip_by_global_norm(self.clip))
        rate = self.rate(per_epoch)
        descent = optax.sgd(rate, self.momentum, nesterov=self.nesterov)
        return optax.chain(*parts, descent)

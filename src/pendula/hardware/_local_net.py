"""Networks whose layers learn by themselves, with physical systems between them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from .._checks import choice, positive, whole
from .._errors import ConfigError
from .._registry import register
from .._source import Source
from ._physical_layer import AbstractPhysicalLayer, measure, name_of_layer


LocalLossName = Literal["goodness", "contrast"]
LocalLoss = Callable[[Array, Array, float], Array]
_FLOOR = 1e-6  # of a mean square, and of the norms of a cosine


def over_rms(h: Float[Array, " out"]) -> Float[Array, " out"]:
    """A vector over the root of its mean square: the next layer sees its direction."""
    return h / jnp.sqrt(jnp.mean(h * h) + _FLOOR)


def goodness(h: Float[Array, " out"]) -> Float[Array, ""]:
    """Mean square of the rectified outputs of a layer.

    ```python
    >>> import jax.numpy as jnp
    >>> from pendula.hardware import goodness
    >>> float(goodness(jnp.asarray([2.0, -5.0])))
    2.0

    ```
    """
    return jnp.mean(jax.nn.relu(h) ** 2)


def cosine(a: Float[Array, " out"], b: Float[Array, " out"]) -> Float[Array, ""]:
    """Cosine of the angle between two outputs."""
    norms = jnp.sqrt(jnp.sum(a * a) * jnp.sum(b * b) + _FLOOR)
    return jnp.sum(a * b) / norms


def goodness_loss(
    positive: Float[Array, " out"], negative: Float[Array, " out"], theta: float
) -> Float[Array, ""]:
    r"""The forward-forward loss of one layer.

    $$ \mathrm{softplus}(\theta - G^+) + \mathrm{softplus}(G^- - \theta), \qquad
       G = \mathrm{mean}\; \mathrm{relu}(h)^2 $$

    **Shapes**: outputs `"out"` of the right label and of a wrong one.
    **Source:** Hinton 2022, section 2, with the mean for the sum.

    ```python
    >>> import jax.numpy as jnp
    >>> from pendula.hardware import goodness_loss
    >>> round(float(goodness_loss(2 * jnp.ones(3), jnp.zeros(3), 2.0)), 4)
    0.2539

    ```
    """
    good, bad = goodness(positive), goodness(negative)
    return jax.nn.softplus(theta - good) + jax.nn.softplus(bad - theta)


def contrast_loss(
    positive: Float[Array, " out"], negative: Float[Array, " out"], theta: float
) -> Float[Array, ""]:
    r"""The loss of physical local learning of one layer.

    $$ \log\big(1 + e^{\theta \cos(h^+, h^-)}\big) $$

    **Shapes**: outputs `"out"` of the right label and of a wrong one.
    **Source:** Momeni et al. 2023.

    ```python
    >>> import jax.numpy as jnp
    >>> from pendula.hardware import contrast_loss
    >>> h = jnp.asarray([1.0, 2.0])
    >>> contrast_loss(h, -h, 4.0) < contrast_loss(h, h, 4.0)
    Array(True, dtype=bool)

    ```
    """
    return jax.nn.softplus(theta * cosine(positive, negative))


LOSSES: dict[str, LocalLoss] = {"goodness": goodness_loss, "contrast": contrast_loss}


def local_loss(name: str) -> LocalLoss:
    """The local loss of that name. **Raises:** `ConfigError`."""
    choice("local loss", name, LOSSES)
    return LOSSES[name]


@register("module")
class LocalLayer(eqx.Module):
    r"""A physical system and the trained linear map that follows it.

    $$ z = \mathrm{n}\big(f(\mathrm{n}(x))\big), \qquad h = W z + b, \qquad
       \mathrm{n}(x) = x / \mathrm{rms}(x) $$

    No gradient goes into z. Without a system z = n(x).

    **Shapes**: input `"in"`, z `"seen"`, h `"out"`.
    **Arguments:** `in_size`, `out_size`; `box`: the system f, its params at zero, or
    None; `key`: draws W from N(0, 2 / seen), b is zero.
    **Raises:** `ConfigError` for a system of another number of inputs.
    **Source:** Momeni et al. 2023, the layers of physical local learning.

    ```python
    >>> import jax, jax.numpy as jnp
    >>> from pendula.hardware import LocalLayer
    >>> layer = LocalLayer(2, 3, key=jax.random.key(0))
    >>> layer.features(jnp.asarray([3.0, 3.0]), jax.random.key(1)).round(3).tolist()
    [1.0, 1.0]

    ```
    """

    source: ClassVar[Source] = Source("Momeni2023", "physical local learning")

    weight: Float[Array, "out seen"]
    """W."""
    bias: Float[Array, " out"]
    """b."""
    box: AbstractPhysicalLayer | None
    """f."""

    def __init__(
        self,
        in_size: int,
        out_size: int,
        box: AbstractPhysicalLayer | None = None,
        *,
        key: PRNGKeyArray,
    ) -> None:
        if box is not None and box.in_size != in_size:
            raise ConfigError(
                f"physical layer {name_of_layer(box)} takes {box.in_size} numbers, "
                f"what comes before it gives {in_size}. Make one of {in_size}."
            )
        seen = in_size if box is None else box.out_size
        self.weight = math.sqrt(2.0 / seen) * jax.random.normal(key, (out_size, seen))
        self.bias = jnp.zeros(out_size)
        self.box = box

    def features(
        self, x: Float[Array, " in"], key: PRNGKeyArray
    ) -> Float[Array, " seen"]:
        """z, through which no gradient goes."""
        z = over_rms(jax.lax.stop_gradient(x))
        if self.box is not None:
            rest = jnp.zeros(self.box.n_params, x.dtype)
            z = over_rms(self.box.forward(rest, z, key))
        return jax.lax.stop_gradient(z)

    def read(self, z: Float[Array, " seen"]) -> Float[Array, " out"]:
        """h."""
        return self.weight @ z + self.bias


class Seen(NamedTuple):
    """What the layers of a network see (`features`) and give (`outputs`), one each."""

    features: tuple[Array, ...]
    outputs: tuple[Array, ...]


@register("module")
class LocalNet(eqx.Module):
    r"""A stack of layers that are trained apart; a label is part of its input.

    $$ x_1 = (s\, e_c, x_{C+1}, \ldots), \qquad x_{l+1} = \mathrm{relu}(h_l) $$

    **Shapes**: input `"in"`, label a number below `classes`; scores `"class"`.
    **Arguments:**
    - `sizes`: numbers of inputs, of outputs of layer 1, of layer 2, ...
    - `classes`: C; the label takes the place of the first C inputs (of a picture a
      corner that is blank; put C zeros before other data).
    - `boxes`: the physical system in front of each linear map, or None, one a layer.
    - `label_scale`: s.
    - `key`: draws the linear maps.

    **Raises:** `ConfigError`.
    **Source:** Hinton 2022, section 3; Momeni et al. 2023.

    ```python
    >>> import jax, jax.numpy as jnp
    >>> from pendula.hardware import LocalNet, UnknownGain
    >>> key = jax.random.key(0)
    >>> net = LocalNet((6, 8, 8), 3, (None, UnknownGain(8, key=key)), key=key)
    >>> net.scores(jnp.ones(6), key).shape
    (3,)

    ```
    """

    source: ClassVar[Source] = Source("Hinton2022", "section 3")

    layers: tuple[LocalLayer, ...]
    """From the input on."""
    classes: int = eqx.field(static=True)
    """C."""
    label_scale: float = eqx.field(static=True)
    """s."""

    def __init__(
        self,
        sizes: Sequence[int],
        classes: int,
        boxes: Sequence[AbstractPhysicalLayer | None] | None = None,
        *,
        label_scale: float = 2.0,
        key: PRNGKeyArray,
    ) -> None:
        count = len(sizes) - 1
        boxes = (None,) * count if boxes is None else tuple(boxes)
        if count < 1 or min(sizes) < 1:
            raise ConfigError(
                f"LocalNet: sizes is {tuple(sizes)}; at least two numbers above 0 are "
                "needed, inputs and outputs."
            )
        if len(boxes) != count:
            raise ConfigError(
                f"LocalNet: {len(boxes)} boxes for {count} layers. Give one a layer, "
                "None where there is none."
            )
        if not 2 <= classes <= sizes[0]:
            raise ConfigError(
                f"LocalNet: {classes} classes and {sizes[0]} inputs; the label takes "
                "the first inputs: at least 2 classes, and no more than inputs."
            )
        positive("LocalNet", label_scale=label_scale)
        keys = jax.random.split(key, count)
        self.layers = tuple(
            LocalLayer(n, m, box, key=k)
            for n, m, box, k in zip(sizes, sizes[1:], boxes, keys, strict=False)
        )
        self.classes, self.label_scale = classes, float(label_scale)

    @property
    def in_size(self) -> int:
        """Numbers of an input, the places of the label included."""
        box = self.layers[0].box
        return self.layers[0].weight.shape[1] if box is None else box.in_size

    def labelled(
        self, x: Float[Array, " in"], label: Int[Array, ""]
    ) -> Float[Array, " in"]:
        """The input with a label written into its first places."""
        mark = self.label_scale * jax.nn.one_hot(label, self.classes, dtype=x.dtype)
        return jnp.concatenate([mark, x[self.classes :]])

    def through(
        self, x: Float[Array, " in"], label: Int[Array, ""], key: PRNGKeyArray
    ) -> Seen:
        """What each layer sees and gives."""
        value = self.labelled(x, label)
        seen, given = [], []
        for index, layer in enumerate(self.layers):
            z = layer.features(value, jax.random.fold_in(key, index))
            h = layer.read(z)
            seen.append(z)
            given.append(h)
            value = jax.nn.relu(h)
        return Seen(tuple(seen), tuple(given))

    def scores(
        self, x: Float[Array, " in"], key: PRNGKeyArray, loss: str = "goodness"
    ) -> Float[Array, " class"]:
        """How well each label fits: the sum over layers 2, 3, ... (over all of two or
        less) of the goodness or, for `"contrast"`, of minus the cosines with the other
        labels' outputs."""
        local_loss(loss)
        labels = jnp.arange(self.classes)
        keys = jax.random.split(key, self.classes)
        outputs = jax.vmap(self.through, (None, 0, 0))(x, labels, keys).outputs
        counted = outputs[1:] if len(outputs) > 2 else outputs
        if loss == "goodness":
            return sum_of([jax.vmap(goodness)(h) for h in counted])
        against = jax.vmap(jax.vmap(cosine, (None, 0)), (0, None))
        return sum_of([1.0 - jnp.sum(against(h, h), axis=1) for h in counted])

    def drifted(self, t: float | Float[Array, ""]) -> LocalNet:
        """The network whose physical systems are `t` seconds older."""
        is_box = lambda node: isinstance(node, AbstractPhysicalLayer)
        older = lambda node: node.drift(t) if is_box(node) else node
        return jax.tree.map(older, self, is_leaf=is_box)


def sum_of(terms: Sequence[Array]) -> Array:
    """Their sum, of at least one."""
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total


class UpdateCost(NamedTuple):
    """What one update costs: `digital` multiplications, without those of the optimiser,
    and `physical` evaluations of the systems."""

    digital: int
    physical: int


def update_cost(
    net: LocalNet, batch: int, update: str = "gradient", directions: int = 1
) -> UpdateCost:
    """Multiplications of an update, counted.

    **Arguments:** `batch`: samples; `update`: `"gradient"` of the local losses,
    `"forward"` for `directions` directional derivatives of them, or
    `"backpropagation"`: what the gradient of the last outputs would take, if the
    systems had one.
    **Raises:** `ConfigError`.

    ```python
    >>> import jax
    >>> from pendula.hardware import LocalNet, update_cost
    >>> net = LocalNet((4, 3), 2, key=jax.random.key(0))
    >>> update_cost(net, 10).digital  # 20 passes of 4 + 4, 12, 3 + 3 and 12
    760

    ```
    """
    known = ("gradient", "forward", "backpropagation")
    choice("update", update, known)
    whole(1, "update_cost", batch=batch, directions=directions)
    digital = physical = 0
    both = 1 if update == "backpropagation" else 2  # right and wrong label
    for index, layer in enumerate(net.layers):
        out, seen = layer.weight.shape
        boxed = layer.box is not None
        norm = 2 * seen + (2 * layer.box.in_size if layer.box is not None else 0)
        per = norm + out * seen
        if update == "gradient":
            per += 2 * out + out * seen  # slope of the loss, and of W
        elif update == "backpropagation":
            per += out * seen * (2 if index else 1)
        else:
            per += 2 * directions * (out * seen + out)
            digital += directions * 3 * (out * seen + out)  # two steps, one sum
        digital += both * batch * per
        physical += both * batch * int(boxed)
    return UpdateCost(digital, physical)


def probe(net: LocalNet, xs: Any, labels: Any, key: PRNGKeyArray) -> None:
    """Refuse a system that returns another shape or what is not finite, layer by layer
    on one batch, outside of any compiled function.

    **Raises:** the errors of `measure`.
    """
    # NumPy: nothing is compiled but the simulated systems
    xs, count = np.asarray(xs), net.classes
    mark = net.label_scale * np.eye(count, dtype=xs.dtype)[np.asarray(labels)]
    values = np.concatenate([mark, xs[:, count:]], axis=1)
    for index, layer in enumerate(net.layers):
        z = _rows_over_rms(values)
        if layer.box is not None:
            z = measure(layer.box, z, key=jax.random.fold_in(key, index))
            z = _rows_over_rms(z)
        outputs = z @ np.asarray(layer.weight).T + np.asarray(layer.bias)
        values = np.maximum(outputs, 0.0)


def _rows_over_rms(rows: np.ndarray) -> np.ndarray:
    """`over_rms` of each row."""
    return rows / np.sqrt(np.mean(rows * rows, axis=1, keepdims=True) + _FLOOR)

"""Training on images: resumed to the same bits, refined in place, refused early."""

import dataclasses
import json
import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from safetensors.numpy import load_file

from pendula._errors import CheckpointError, ConfigError, DataError, FitWarning
from pendula.data import ImageBatches, Images, Scaling
from pendula.depth import (
    FittedImages,
    ImageFitConfig,
    ImageNet,
    ImageNetConfig,
    accuracy,
    depth_sweep,
    fit_images,
    manifestation,
    predict,
    recalibrate,
)
from pendula.depth._mixed import warn_if_mixed
from pendula.depth._sweep import paired_error
from pendula.train import save_tree


def images(count=48, seed=0):
    """Bright above, or bright below."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 60, (count, 8, 8, 1), np.uint8)
    labels = np.arange(count) % 2
    pixels[labels == 0, :4] += 150
    pixels[labels == 1, 4:] += 150
    return Images(pixels, labels, ("above", "below"), "halves")


def network(**settings):
    small = {"width": 2, "units": 1, "pool": 2, "classes": 2, **settings}
    return ImageNet(ImageNetConfig.mnist(**small), key=jax.random.key(0))


CONFIG = ImageFitConfig(
    epochs=4,
    batch=16,
    lr=0.05,
    drops=(3,),
    padding=1,
    flip=True,
    refine_at=(2,),
    keep_momenta=True,
)


def leaves(fitted):
    return jax.tree.leaves((fitted.net, fitted.state))


@pytest.fixture(scope="module")
def fitted():
    return fit_images(network(norm="batch"), images(), CONFIG, validation=images(20, 1))


def test_it_learns_refines_and_says_so(fitted):
    assert [row["units"] for row in fitted.history] == [1, 1, 2, 2]
    assert [row["epoch"] for row in fitted.history] == [1, 2, 3, 4]
    assert fitted.reason == "done"
    block = fitted.net.blocks[0]
    assert (block.basis.n_basis, block.n_steps, block.epsilon) == (2, 2, 1.0)
    assert fitted.accuracy(images(20, 1)) >= 0.9
    assert fitted.history[-1]["accuracy"] == fitted.accuracy(images(20, 1))
    # running statistics have moved
    assert float(jnp.abs(fitted.state["stem"].mean).sum()) > 0


class Stop(Exception):
    pass


@pytest.mark.parametrize(
    "after",
    [
        pytest.param(1, marks=pytest.mark.slow),
        2,
        pytest.param(3, marks=pytest.mark.slow),
    ],
)
def test_a_killed_training_goes_on_to_the_same_bits(fitted, tmp_path, after):
    """Killed before, at and after the refinement."""

    def kill(row):
        if row["epoch"] == after:
            raise Stop

    call = lambda tell: fit_images(
        network(norm="batch"),
        images(),
        CONFIG,
        validation=images(20, 1),
        folder=tmp_path,
        seconds=0.0,
        tell=tell,
    )
    with pytest.raises(Stop):
        call(kill)
    again = call(lambda row: None)
    for a, b in zip(leaves(again), leaves(fitted), strict=True):
        assert_array_equal(a, b)
    assert [r["loss"] for r in again.history] == [r["loss"] for r in fitted.history]
    with pytest.raises(CheckpointError, match="other settings"):
        fit_images(
            network(norm="batch"),
            images(),
            dataclasses.replace(CONFIG, lr=0.1),
            folder=tmp_path,
        )


def test_a_folder_belongs_to_its_images_and_first_weights(tmp_path):
    """As many others of the same name, or another start, are another training."""
    config = dataclasses.replace(CONFIG, epochs=1, refine_at=())
    begun = lambda net, data, **more: fit_images(
        net, data, config, folder=tmp_path, **more
    )
    done = begun(network(), images())
    again = begun(network(), images(), validation=images(20, 1))  # looked at alone
    for a, b in zip(leaves(again), leaves(done), strict=True):
        assert_array_equal(a, b)
    with pytest.raises(CheckpointError, match="other settings or data: images"):
        begun(network(), images(seed=7))
    other = ImageNet(
        ImageNetConfig.mnist(width=2, units=1, pool=2, classes=2),
        key=jax.random.key(1),
    )
    with pytest.raises(CheckpointError, match="other settings or data: weights"):
        begun(other, images())
    with pytest.raises(CheckpointError, match="other settings or data: scaling"):
        begun(network(), images(), scaling=Scaling((0.5,), (0.5,)))
    # a folder of a version that kept no such record
    (tmp_path / "begin" / "identity.json").unlink()
    begun(network(), images())


def test_a_network_that_broke_down_is_right_nowhere(fitted):
    """The largest of no numbers is the first one."""
    net = eqx.tree_at(lambda n: n.head.bias_out, fitted.net, jnp.full(2, jnp.nan))
    data = images(20, 1)
    assert accuracy(net, fitted.state, data, fitted.scaling) == 0.0


def test_classes_that_are_numbered_otherwise_are_refused(fitted):
    data = images(20, 1)
    swapped = Images(data.pixels, 1 - data.labels, ("below", "above"), "swapped")
    words = 'swapped: class "below" has the number 0, that of the training 1'
    with pytest.raises(DataError, match=words):
        fitted.accuracy(swapped)
    with pytest.raises(DataError, match=words):
        fit_images(network(), images(), CONFIG, validation=swapped)
    unnamed = Images(data.pixels, data.labels, ("0", "1"))
    assert fitted.accuracy(unnamed) == fitted.accuracy(data)


def test_saved_and_loaded(fitted, tmp_path):
    fitted.save(tmp_path / "net.safetensors")
    again = FittedImages.load(tmp_path / "net.safetensors")
    assert_array_equal(again.logits(images()), fitted.logits(images()))
    assert (again.config, again.history) == (fitted.config, fitted.history)
    assert again.scaling == fitted.scaling
    save_tree(tmp_path / "other.safetensors", fitted.net, {})
    with pytest.raises(CheckpointError, match=r"other.* holds no network fitted to"):
        FittedImages.load(tmp_path / "other.safetensors")


def test_refinement_keeps_the_function():
    """The basis alone exactly; pixels in [0, 1] give the same as scaled ones."""
    net, data = network(), images(10)
    scaling = Scaling.of(data)
    assert_allclose(
        predict(net.refine(), None, data, scaling),
        predict(net, None, data, scaling),
        rtol=1e-5,
        atol=1e-6,
    )
    done = fit_images(net, data, dataclasses.replace(CONFIG, epochs=0, batch=5))
    first = jnp.asarray(data.pixels[0] / np.float32(255))
    assert_allclose(done.on_pixels()(first), done.logits(data)[0], rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_a_plateau_refines_and_is_in_the_history(tmp_path):
    """Killed behind the plateau and resumed: the same records, the same bits; what is
    made again takes its time once."""
    config = dataclasses.replace(
        CONFIG,
        epochs=4,
        lr=1e-9,
        refine_at=(),
        keep_momenta=False,
        refine_on_plateau=1,
        refinements=2,
    )

    def kill(row):
        if row["epoch"] == 3:
            raise Stop

    inputs = {"config": config, "validation": images(20, 1)}
    found = fit_images(network(), images(), **inputs)
    assert [row["units"] for row in found.history] == [1, 1, 2, 2]
    assert found.reason == "done"  # no plateau once no epoch is left to refine for
    with pytest.raises(Stop):
        fit_images(network(), images(), **inputs, folder=tmp_path, tell=kill)
    # killed outright: nothing was saved since the plateau, and an epoch more was logged
    for saved in tmp_path.glob("state-001*"):
        saved.unlink()
    row = json.dumps({"phase": "stage-001", "step": 9, "seconds": 1e4})
    for name in ("metrics", "timing"):
        with (tmp_path / f"{name}.jsonl").open("a") as log:
            log.write(row + "\n")
    again = fit_images(network(), images(), **inputs, folder=tmp_path)
    assert again.history == found.history
    assert again.seconds < 1e4
    for a, b in zip(leaves(again), leaves(found), strict=True):
        assert_array_equal(a, b)
    # weights and momenta, no third copy
    (saved,) = tmp_path.glob("state-*-000000012.safetensors")
    size = sum(v.nbytes for v in load_file(saved).values())
    assert size < 2.2 * sum(v.nbytes for v in leaves(found))
    # once it has ended the time of the training is what it took; nothing is written
    stamps = [log.stat().st_mtime_ns for log in tmp_path.iterdir()]
    third = fit_images(network(), images(), **inputs, folder=tmp_path)
    assert [log.stat().st_mtime_ns for log in tmp_path.iterdir()] == stamps
    assert third.seconds == again.seconds


def test_sweep_and_manifestation(fitted):
    data, scaling = images(20, 1), fitted.scaling
    inputs = {"state": fitted.state}
    sweep = depth_sweep(
        fitted.net, data, scaling, **inputs, schemes=("euler",), steps=(2, 4)
    )
    assert sweep.trained == ("euler", 2)
    assert sweep.lost("euler", 2) == 0.0
    # twenty images that agree show no more than one of them
    assert sweep.lost_error("euler", 2) == pytest.approx(100.0 / 22.0)
    other = accuracy(fitted.net.manifest("euler", 4), fitted.state, data, scaling)
    assert sweep.accuracy[0, 1] == other
    given = [jnp.asarray(scaling.apply(images().pixels))]
    anew = lambda net: recalibrate(net, net.initial_state(), given, 1)
    own = depth_sweep(
        fitted.net, data, scaling, state=anew, schemes=("euler",), steps=(2, 4)
    )
    four = fitted.net.manifest("euler", 4)
    assert own.accuracy[0, 1] == accuracy(four, anew(four), data, scaling)
    assert own.reference == own.accuracy[0, 0]
    with pytest.raises(ConfigError, match="3 steps of rk4 were not tried"):
        sweep.lost("rk4", 3)
    for none in ({"steps": ()}, {"schemes": ()}):
        with pytest.raises(ConfigError, match="there is nothing to try"):
            depth_sweep(fitted.net, data, scaling, **inputs, **none)
    with pytest.raises(ConfigError, match="manifestation: count is 0"):
        manifestation(fitted.net, data, scaling, **inputs, count=0)
    found = manifestation(fitted.net, data, scaling, **inputs, repeats=3, count=7)
    assert (found.scheme, found.n_steps, found.count) == ("euler", 2, 7)
    assert len(found.seconds) == 3
    assert min(found.seconds) <= found.median_seconds <= max(found.seconds)
    arrays = jax.tree.leaves(eqx.filter(fitted.net, eqx.is_inexact_array))
    assert found.parameters == sum(x.size for x in arrays)


def test_losses_lie_within_their_errors_as_often_as_they_say():
    """Shares of 50 images of which each of two networks has 8 in 10 right, half of them
    for the same reasons."""
    rng, inside = np.random.default_rng(0), 0
    for _ in range(400):
        one = rng.random(50) < 0.8
        other = np.where(rng.random(50) < 0.5, rng.random(50) < 0.8, one)
        away = abs(one.mean() - other.mean())
        found = paired_error(one[None].astype(float), other.astype(float))
        inside += away <= 1.96 * found[0]
    assert 0.93 <= inside / 400 <= 0.99


def test_statistics_that_stages_share_are_warned_of_where_they_mislead(fitted):
    """Not where they are right, and not where each stage has its own."""
    given = ImageBatches(images(), fitted.scaling, 16)
    net = fitted.net.manifest("midpoint")
    xs = lambda k: jnp.asarray(given(k).x)
    right = recalibrate(net, fitted.state, xs, 3)
    warn_if_mixed(net, right, given)
    far = eqx.tree_at(lambda s: s["last"].mean, right, replace_fn=lambda m: m + 50.0)
    with pytest.warns(FitWarning, match=r"of 48 training images 100% .* the stages of"):
        warn_if_mixed(net, far, given)
    warn_if_mixed(fitted.net, far, given)  # one stage a node
    each = net.with_state_mode("stages")
    warn_if_mixed(each, each.carry_state(net, far), given)


def test_the_reference_is_the_network_as_it_is():
    """Not that of equal steps, nor that of its first block's: here it is worse."""
    data, net = images(20, 1), network(units=2)
    scaling, bias = Scaling.of(data), jnp.asarray([0.4, 0.0])
    net = eqx.tree_at(lambda n: n.head.bias_out, net, bias)
    odd, one = net.manifest(n_steps=[0.999, 0.001]), net.manifest(n_steps=1)
    mixed = eqx.tree_at(lambda n: n.blocks[1], net, one.blocks[1])
    for other in (odd, mixed):
        found = depth_sweep(
            other, data, scaling, schemes=("euler",), steps=np.arange(2, 3)
        )
        assert found.reference < float(found.accuracy[0, 0])
        assert found.reference == accuracy(other, None, data, scaling)
    told = manifestation(mixed, data, scaling, repeats=1)
    assert (told.scheme, told.n_steps) == ("euler", None)


def test_schedules():
    rate = ImageFitConfig(lr=1.0, drops=(2, 4), warmup=1.0).rate(10)
    found = [float(rate(k)) for k in (0, 10, 19, 20, 40)]
    assert_allclose(found, [0.1, 1.0, 1.0, 0.1, 0.01], rtol=1e-6)
    cosine = ImageFitConfig(lr=1.0, epochs=2, schedule="cosine").rate(10)
    assert_allclose([float(cosine(0)), float(cosine(20))], [1.0, 0.01], rtol=1e-5)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"epochs": -1}, "epochs is -1"),
        ({"lr": 0.0}, "lr is 0"),
        ({"lr": math.inf}, "lr is inf; it must be finite"),
        ({"momentum": 1.0}, "momentum is 1"),
        ({"drop": -1.0}, "drop is -1"),
        ({"weight_decay": -1.0}, "weight_decay is -1"),
        ({"clip": -1.0}, "clip is -1"),
        ({"noise": -1.0}, "noise is -1"),
        ({"warmup": -1.0}, "warmup is -1"),
        ({"seed": -1}, "seed is -1"),
        ({"schedule": "cosin"}, '"cosine"'),
        ({"precision": "float16"}, "float32, bfloat16"),
        ({"refine_at": (3, 2)}, "Sort them"),
        ({"drops": (0,)}, "drops: epoch is 0; it must be at least 1"),
        ({"drops": (5, 2)}, "epochs must rise"),
    ],
)
def test_settings_that_cannot_be(settings, text):
    with pytest.raises(ConfigError, match=text):
        ImageFitConfig(**settings)


@pytest.mark.parametrize(
    ("name", "value"), [("epochs", 1.5), ("batch", 2.5), ("refine_at", (1.5,))]
)
def test_numbers_that_must_be_whole(name, value):
    config = ImageFitConfig()
    object.__setattr__(config, name, value)  # the tests' type checks would come first
    with pytest.raises(ConfigError, match=r"is .\.5; it must be a whole number"):
        config.__post_init__()


@pytest.mark.slow
def test_short_activations_with_batches_made_ahead(monkeypatch):
    """As on a GPU: activations in bfloat16, weights and statistics in float32."""
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    config = ImageFitConfig(epochs=3, batch=16, schedule="cosine", precision="bfloat16")
    found = fit_images(network(norm="batch", scheme="midpoint"), images(), config)
    arrays = leaves(found)
    assert {str(v.dtype) for v in arrays if eqx.is_inexact_array(v)} == {"float32"}
    assert found.history[-1]["loss"] < found.history[0]["loss"]
    quiet = eqx.nn.inference_mode(found.net)
    x = jnp.ones((8, 8, 1), jnp.bfloat16)
    inside = quiet.blocks[0](quiet.stem(x), found.state["blocks"][0])[0]
    assert inside.dtype == jnp.bfloat16
    assert quiet(x, found.state)[0].dtype == jnp.float32


def test_networks_and_images_that_do_not_fit():
    data = images()
    with pytest.raises(DataError, match="the network was made for 3 and 2"):
        fit_images(network(channels=3), data, CONFIG)
    with pytest.raises(ConfigError, match="a residual network cannot be refined"):
        fit_images(network(kind="residual"), data, CONFIG)
    with pytest.raises(ConfigError, match="give validation images"):
        fit_images(network(), data, dataclasses.replace(CONFIG, refine_on_plateau=1))
    with pytest.raises(ConfigError, match="no batch is full"):
        fit_images(network(), data, dataclasses.replace(CONFIG, batch=100))
    with pytest.raises(ConfigError, match="piecewise constant bases only"):
        fit_images(network(basis="linear", units=2), data, CONFIG)
    evolved = network(basis="evolved", units=2)
    plain = dataclasses.replace(CONFIG, keep_momenta=False)
    with pytest.raises(ConfigError, match=r"cannot be refined.*leave refine_at"):
        fit_images(evolved, data, plain)
    with pytest.raises(ConfigError, match="refine_at has epoch 5, but the 4 epochs"):
        fit_images(network(), data, dataclasses.replace(CONFIG, refine_at=(2, 5)))

"""Images: readers of every layout, batches that a seed and a step determine."""

import gzip
import io
import itertools
import pickle

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image

from pendula._errors import ConfigError, DataError, DataWarning, ShapeError
from pendula.data import (
    ImageBatches,
    Images,
    Scaling,
    crop_and_flip,
    in_order,
    load,
    load_images,
    named,
    open_data,
    read_cifar,
    read_idx,
    read_idx_array,
    read_image_folder,
    read_mnist,
)
from pendula.data._decode import decode_pictures


RNG = np.random.default_rng(0)


def some(count=10, height=6, width=5, channels=3, classes=4):
    pixels = RNG.integers(0, 256, (count, height, width, channels), np.uint8)
    names = tuple("abcdefgh"[:classes])
    return Images(pixels, np.arange(count) % classes, names, "some")


def idx(array, code=8):
    head = bytes([0, 0, code, array.ndim])
    sizes = b"".join(n.to_bytes(4, "big") for n in array.shape)
    return head + sizes + array.tobytes()


def write_mnist(folder, *, packed, count=7):
    pixels = RNG.integers(0, 256, (count, 5, 4), np.uint8)
    labels = (np.arange(count) % 10).astype(np.uint8)
    pairs = {"images-idx3-ubyte": pixels, "labels-idx1-ubyte": labels}
    for head, (name, array) in itertools.product(("train", "t10k"), pairs.items()):
        raw = idx(array)
        ending = ".gz" if packed else ""
        raw = gzip.compress(raw) if packed else raw
        (folder / f"{head}-{name}{ending}").write_bytes(raw)
    return pixels, labels


def test_container_checks_what_it_is_given():
    images = some()
    assert images.counts.tolist() == [3, 3, 2, 2]
    assert images.labels.dtype == np.int32
    assert_array_equal(images.select([4, 2]).pixels, images.pixels[[4, 2]])
    assert len(images.first(3)) == 3
    mean, std = images.statistics()
    unit = images.pixels / 255
    assert_allclose(mean, unit.mean(axis=(0, 1, 2)), rtol=1e-12)
    assert_allclose(std, unit.std(axis=(0, 1, 2)), rtol=1e-12)
    with pytest.raises(DataError, match="there is no image 10"):
        images.select([10])
    for which, said in ([], "of float64"), ([True] * 10, "of bool.*flatnonzero"):
        with pytest.raises(DataError, match=said):
            images.select(which)
    with pytest.raises(DataError, match="11 images were asked for; some has 10"):
        images.first(11)
    with pytest.raises(ShapeError, match="Grey images have one channel"):
        Images(images.pixels[..., 0], images.labels, images.classes)
    with pytest.raises(DataError, match="pixels are float64"):
        Images(unit, images.labels, images.classes)
    with pytest.raises(DataError, match="image 3 has the label 3; with 3 classes"):
        Images(images.pixels, images.labels, ("a", "b", "c"))
    with pytest.raises(DataError, match="no images"):
        Images(images.pixels[:0], images.labels[:0], images.classes)
    with pytest.raises(DataError, match="labels are float64"):
        Images(images.pixels, images.labels.astype(float), images.classes)


@pytest.mark.parametrize("packed", [False, True])
def test_mnist_from_idx_files(tmp_path, packed):
    pixels, labels = write_mnist(tmp_path, packed=packed)
    for part in ("train", "test"):
        found = read_mnist(tmp_path, part)
        assert_array_equal(found.pixels[..., 0], pixels)
        assert_array_equal(found.labels, labels)
        assert found.classes == tuple("0123456789")
    with pytest.raises(DataError, match='no part "val"'):
        read_mnist(tmp_path, "val")
    with pytest.raises(DataError, match="there is no train-images-idx3-ubyte"):
        read_mnist(tmp_path / "none")


def test_idx_files_of_every_type_and_broken_ones(tmp_path):
    path = tmp_path / "a.idx"
    for code, kind in ((9, "i1"), (11, ">i2"), (12, ">i4"), (13, ">f4"), (14, ">f8")):
        array = np.arange(-3, 3).reshape(2, 3).astype(kind)
        path.write_bytes(idx(array, code))
        assert_array_equal(read_idx_array(path), array)
        assert read_idx_array(path).dtype.isnative
    whole = idx(np.zeros((2, 3, 3), np.uint8))
    for raw, why in (
        (whole[:-1], r"\(2, 3, 3\) values need 34 bytes, it has 33"),
        (whole[:9], "ends within its header"),
        (b"P5 28 28", "it begins with the bytes 50 35"),
        (b"", "it begins with the bytes none"),
        (gzip.compress(whole)[:-9], "gzip data are cut short"),
        (b"\0\0\x08\xc8" + b"\0\0\0\1" * 200 + b"7", "its 200 sizes make no array"),
    ):
        path.write_bytes(raw)
        with pytest.raises(DataError, match=why):
            read_idx_array(path)
    labels = tmp_path / "b.idx"
    path.write_bytes(whole)
    labels.write_bytes(idx(np.uint8([1, 11])))
    with pytest.raises(DataError, match=r"b.idx: image 1 has the label 11; with 10"):
        read_idx(path, labels, classes=tuple("0123456789"))
    labels.write_bytes(idx(np.zeros(3, np.uint8)))
    with pytest.raises(DataError, match="needs 2 whole-number labels"):
        read_idx(path, labels)
    with pytest.raises(DataError, match="Give the file of the images first"):
        read_idx(labels, path)
    with pytest.raises(DataError, match="no such file"):
        read_idx(tmp_path / "c.idx", labels)
    labels.write_bytes(idx(np.array([0, 3_000_000], ">i4"), 12))
    with pytest.raises(DataError, match=r"b.idx: a label is 3000000; no set has so"):
        read_idx(path, labels)


def write_cifar(folder, stems, heads, count=4):
    """Files of records; the channel, row and column of each pixel are in its value."""
    channel, row, column = np.indices((3, 32, 32))
    pixels = (channel * 64 + row * 2 + column // 16).astype(np.uint8)
    for k, stem in enumerate(stems):
        rows = [
            np.concatenate([[k] * (heads - 1), [(k + i) % 3], pixels.ravel()])
            for i in range(count)
        ]
        (folder / f"{stem}.bin").write_bytes(np.uint8(rows).tobytes())
    return pixels.transpose(1, 2, 0)


def test_cifar_10_and_100_binary(tmp_path):
    ten, hundred = tmp_path / "ten", tmp_path / "hundred"
    ten.mkdir()
    hundred.mkdir()
    stems = [f"data_batch_{k}" for k in range(1, 6)]
    pixels = write_cifar(ten, [*stems, "test_batch"], 1)
    (ten / "batches.meta.txt").write_text("plane\ncar\nbird\n\n")
    train, test = read_cifar(ten), read_cifar(ten, "test")
    assert (len(train), len(test)) == (20, 4)
    assert_array_equal(train.pixels[7], pixels)
    assert train.labels[:8].tolist() == [0, 1, 2, 0, 1, 2, 0, 1]
    assert train.classes == ("plane", "car", "bird")
    write_cifar(hundred, ["train", "test"], 2)
    fine = read_cifar(hundred, "test")
    assert fine.labels.tolist() == [1, 2, 0, 1]
    assert fine.classes == tuple(map(str, range(100)))
    coarse = read_cifar(hundred, "test", labels="coarse")
    assert coarse.labels.tolist() == [1, 1, 1, 1]
    assert len(coarse.classes) == 20
    with pytest.raises(ConfigError, match="CIFAR-10 has fine"):
        read_cifar(ten, labels="coarse")
    with pytest.raises(DataError, match='no part "val"'):
        read_cifar(ten, "val")
    (ten / "batches.meta.txt").write_text("plane\n")
    with pytest.raises(DataError, match="1 names for labels up to 2"):
        read_cifar(ten)
    (ten / "batches.meta.txt").write_bytes(b"caf\xe9\n")
    with pytest.raises(DataError, match=r"batches.meta.txt: it is no text in UTF-8"):
        read_cifar(ten)
    # a label that is none is the data file's fault, with and without names
    (ten / "data_batch_3.bin").write_bytes(b"\xc8" + b"\0" * 3072)
    for _ in range(2):
        with pytest.raises(DataError, match=r"_3.bin: a fine label is 200; .* 0 to 9"):
            read_cifar(ten)
        (ten / "batches.meta.txt").unlink(missing_ok=True)
    (ten / "data_batch_3.bin").write_bytes(b"\0" * 3072)
    with pytest.raises(DataError, match="no whole number of 3073-byte records"):
        read_cifar(ten)
    (ten / "data_batch_3.bin").unlink()
    with pytest.raises(DataError, match="no such file"):
        read_cifar(ten)
    with pytest.raises(DataError, match="neither data_batch_1"):
        read_cifar(tmp_path)


class Boom:
    """An object whose pickle, when read, would fail the test."""

    def __reduce__(self):
        return (pytest.fail, ("a pickle was read",))


@pytest.mark.parametrize("name", ["data_batch_1", "train", "data_batch_1.bin"])
def test_the_pickled_version_is_refused_unread(tmp_path, name):
    (tmp_path / name).write_bytes(pickle.dumps({b"data": Boom()}))
    with pytest.raises(DataError, match=r"pickled Python version.*binary version"):
        read_cifar(tmp_path)


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("data_batch_1", "data_batch_1"),
        ("cifar-10-batches-py/data_batch_1", ""),
        ("cifar-100-python/train", ""),
        ("batches.meta", ""),
        ("cifar-10-python.tar.gz", ""),
        ("cifar-10-python.tar.gz", "cifar-10-python.tar.gz"),
    ],
)
def test_the_pickled_version_is_known_by_what_is_given_of_it(tmp_path, name, given):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(b"\x80")
    with pytest.raises(DataError, match=r"pickled Python version.*binary version"):
        read_cifar(tmp_path / given)


def picture(array, kind="PNG", **options):
    out = io.BytesIO()
    Image.fromarray(array).save(out, kind, **options)
    return out.getvalue()


def test_colours_that_no_viewer_shows_are_told():
    colours = np.full((4, 4, 4), 255, np.uint8)
    assert decode_pictures([("whole", picture(colours))], 1).shape == (1, 4, 4, 3)
    colours[1, 2] = 9, 8, 7, 0
    with pytest.warns(DataWarning, match="clear: it is transparent in places"):
        found = decode_pictures([("clear", picture(colours))], 1)
    assert found[0, 1, 2].tolist() == [9, 8, 7]


def tiny(folder):
    """A set laid out like Tiny-ImageNet, one picture of it grey."""
    pixels = RNG.integers(0, 256, (4, 8, 8, 3), np.uint8)
    for k, name in enumerate(("n02", "n01")):
        inner = folder / "train" / name / "images"
        inner.mkdir(parents=True)
        (inner / f"{name}_0.png").write_bytes(picture(pixels[k]))
    val = folder / "val" / "images"
    val.mkdir(parents=True)
    (val / "val_0.png").write_bytes(picture(pixels[2]))
    (val / "val_1.png").write_bytes(picture(pixels[3, ..., 0]))
    notes = "val_0.png\tn01\t0\t0\t7\t7\nval_1.png\tn02\t0\t0\t7\t7\n"
    (folder / "val" / "val_annotations.txt").write_text(notes)
    return pixels


def test_folders_like_tiny_imagenet(tmp_path):
    pixels = tiny(tmp_path)
    train = read_image_folder(tmp_path)
    assert train.classes == ("n01", "n02")
    assert_array_equal(train.pixels, pixels[[1, 0]])
    # left there by a notebook and by a Mac
    (tmp_path / "train" / ".ipynb_checkpoints").mkdir()
    (tmp_path / "train" / "n01" / "images" / "._n01_0.png").write_bytes(b"\0\5\26\7")
    assert read_image_folder(tmp_path).classes == ("n01", "n02")
    (tmp_path / "wnids.txt").write_text("n02\nn01\n")
    (tmp_path / "words.txt").write_text("n01\tcat, tabby\nn02\tdog\nn03\tcow\n")
    again = read_image_folder(tmp_path)
    assert again.classes == ("dog", "cat")
    assert_array_equal(again.labels, [1, 0])
    held = read_image_folder(tmp_path, "validation")
    assert held.labels.tolist() == [1, 0]
    assert_array_equal(held.pixels[0], pixels[2])
    assert_array_equal(held.pixels[1, ..., 2], pixels[3, ..., 0])
    with pytest.raises(DataError, match='no part "test" with labels'):
        read_image_folder(tmp_path, "test")
    with pytest.raises(DataError, match="no folder train"):
        read_image_folder(tmp_path / "val")


def test_sixteen_bits_of_grey_become_eight():
    grey = np.array([[0, 1000, 40000, 65535]], np.uint16)
    found = decode_pictures([("a", picture(grey))], 1, "L")
    assert found.ravel().tolist() == [0, 4, 156, 255]


def test_pictures_that_are_too_large_or_miscounted(monkeypatch):
    two = [(name, picture(np.zeros((8, 9, 3), np.uint8))) for name in "ab"]
    for count in (1, 3):
        with pytest.raises(DataError, match=rf"2? pictures where {count} were"):
            decode_pictures(two, count)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with pytest.raises(DataError, match=r"a: it says .* so it is not decoded"):
        decode_pictures(two, 2)


def test_folders_that_are_not_whole(tmp_path):
    tiny(tmp_path)
    (tmp_path / "wnids.txt").write_bytes(b"n0\xe9\n")
    with pytest.raises(DataError, match=r"wnids.txt: it is no text in UTF-8"):
        read_image_folder(tmp_path)
    (tmp_path / "wnids.txt").write_text("n02\nn01\nn02\n")
    with pytest.raises(DataError, match=r"wnids.txt: the class n02 stands twice"):
        read_image_folder(tmp_path)
    (tmp_path / "wnids.txt").unlink()
    notes = tmp_path / "val" / "val_annotations.txt"
    notes.write_text("val_0.png n01\n")
    with pytest.raises(DataError, match=r"line 1.*parted by a tab"):
        read_image_folder(tmp_path, "validation")
    notes.write_text("val_9.png\tn01\n")
    with pytest.raises(DataError, match="no such file"):
        read_image_folder(tmp_path, "validation")
    notes.write_text("val_0.png\tn07\n")
    with pytest.raises(DataError, match="its class n07 is none of the 2 classes"):
        read_image_folder(tmp_path, "validation")
    one = tmp_path / "train" / "n01" / "images" / "n01_0.png"
    whole = one.read_bytes()
    one.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"n01_0.png: it cannot be decoded"):
        read_image_folder(tmp_path)
    one.write_bytes(picture(np.zeros((8, 9, 3), np.uint8)))
    with pytest.raises(DataError, match=r"8 x 8.*All of a set need one size"):
        read_image_folder(tmp_path)
    one.unlink()
    (tmp_path / "train" / "n02" / "images" / "n02_0.png").unlink()
    with pytest.raises(DataError, match="there is no picture in it"):
        read_image_folder(tmp_path)


def place_cifar(folder, pixels, labels):
    """A named set of JPEG bytes, as its table expects it."""
    raw = [picture(p, "JPEG", quality=75) for p in pixels]
    offset = np.cumsum([0, *map(len, raw)])
    (folder / "cifar10").mkdir(exist_ok=True)
    for part in ("train", "test"):
        np.savez(
            folder / "cifar10" / f"cifar10_{part}_jpeg.npz",
            jpeg=np.frombuffer(b"".join(raw), np.uint8),
            offset=offset,
            label=np.uint8(labels),
            class_names=np.array(["plane", "car"]),
        )
    return np.stack([np.asarray(Image.open(io.BytesIO(r))) for r in raw])


def test_named_images_are_decoded_once(tmp_path, monkeypatch):
    monkeypatch.setenv("PENDULA_DATA", str(tmp_path))
    monkeypatch.setenv("PENDULA_CACHE_DIR", str(tmp_path / "cache"))
    smooth = np.linspace(0, 255, 32 * 32 * 3).reshape(1, 32, 32, 3).astype(np.uint8)
    pixels = np.concatenate([smooth, 255 - smooth])
    decoded = place_cifar(tmp_path, pixels, [1, 0])
    found = load_images("cifar10")
    assert_array_equal(found.pixels, decoded)
    assert (found.name, found.licence) == ("CIFAR-10 (JPEG 75)", None)
    assert (found.classes, found.labels.tolist()) == (("plane", "car"), [1, 0])
    kept = list((tmp_path / "cache").rglob("*.npz"))
    assert len(kept) == 1
    monkeypatch.setattr(
        "pendula.data._load_images.decode_pictures",
        lambda *_: pytest.fail("decoded twice"),
    )
    assert_array_equal(load_images("cifar10").pixels, decoded)
    monkeypatch.undo()
    monkeypatch.setenv("PENDULA_DATA", str(tmp_path))
    monkeypatch.setenv("PENDULA_CACHE_DIR", str(tmp_path / "cache"))
    kept[0].write_bytes(b"half")  # a damaged copy is made anew
    assert_array_equal(load_images("cifar10").pixels, decoded)
    other = place_cifar(tmp_path, pixels[::-1], [0, 1])  # another file, another copy
    assert_array_equal(load_images("cifar10").pixels, other)


def test_named_images_that_cannot_be_read(tmp_path, monkeypatch):
    monkeypatch.setenv("PENDULA_DATA", str(tmp_path))
    monkeypatch.setenv("PENDULA_CACHE_DIR", str(tmp_path / "cache"))
    with pytest.raises(DataError, match=r'no set of images "mnst".*"mnist"'):
        load_images("mnst")
    with pytest.raises(DataError, match='MNIST has no part "val"'):
        load_images("mnist", "val")
    with pytest.raises(DataError, match=r'"mnist" is not here.*set PENDULA_DATA'):
        load_images("mnist")
    for way in (load, open_data):
        with pytest.raises(DataError, match=r"holds images, not motions.*load_images"):
            way("mnist")
    assert {r["name"] for r in named()} >= {"mnist", "cifar10"}
    (tmp_path / "mnist").mkdir()
    path = tmp_path / "mnist" / "mnist.npz"
    np.savez(path, x_train=np.zeros((2, 3, 3), np.uint8), y_train=np.uint8([0, 1]))
    assert load_images("mnist").shape == (3, 3, 1)
    with pytest.raises(DataError, match='no array "x_test" in it, only x_train'):
        load_images("mnist", "test")
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DataError, match="not a whole NPZ file"):
        load_images("mnist")
    for labels, why in (([], "float64"), (["a", "b"], "<U1"), ([0, np.nan], "float64")):
        np.savez(path, x_train=np.zeros((2, 3, 3), np.uint8), y_train=labels)
        with pytest.raises(DataError, match=f"of {why}; expected whole numbers"):
            load_images("mnist")
    np.savez(path, x_train=np.zeros((2, 3, 3), np.uint8), y_train=[0, -4])
    with pytest.raises(DataError, match=r"mnist.npz: image 1 has the label -4"):
        load_images("mnist")
    with pytest.raises(DataError, match=r'"CIFAR-100" is no .*read_cifar\(folder\)'):
        load_images("CIFAR-100")


@pytest.mark.parametrize("at", [6, 8, 10, "size"])
def test_archives_that_are_damaged(tmp_path, monkeypatch, at):
    """One byte of the version, the flags or the method; a size that no array has."""
    monkeypatch.setenv("PENDULA_DATA", str(tmp_path))
    (tmp_path / "mnist").mkdir()
    path = tmp_path / "mnist" / "mnist.npz"
    np.savez(path, x_train=np.zeros((2, 3, 3), np.uint8), y_train=np.uint8([0, 1]))
    raw = bytearray(path.read_bytes())
    if at == "size":
        raw = raw.replace(b"(2, 3, 3), }" + 20 * b" ", b"(" + 25 * b"9" + b",), }")
    else:
        raw[raw.index(b"PK\x01\x02") + at] ^= 0x49
    path.write_bytes(raw)
    with pytest.raises(DataError, match="not a whole NPZ file"):
        load_images("mnist")


@pytest.mark.parametrize(
    "changed",
    [
        {"offset": np.array([0.0, 1.0])},
        {"offset": np.array([], int)},
        {"offset": np.array([1, 0])},
        {"offset": np.array([0, 9999])},
        {"label": np.array(0)},
        {"class_names": np.array("plane")},
    ],
)
def test_named_pictures_whose_arrays_do_not_fit(tmp_path, monkeypatch, changed):
    monkeypatch.setenv("PENDULA_DATA", str(tmp_path))
    monkeypatch.setenv("PENDULA_CACHE_DIR", str(tmp_path / "cache"))
    place_cifar(tmp_path, np.zeros((1, 32, 32, 3), np.uint8), [0])
    path = tmp_path / "cifar10" / "cifar10_train_jpeg.npz"
    with np.load(path) as stored:
        arrays = {**stored, **changed}
    np.savez(path, **arrays)
    with pytest.raises(DataError, match=r"offset \(.*these do not fit.*Copy the file"):
        load_images("cifar10")


def test_the_measured_sets(data_dir):
    """Counts and statistics that are known of the two sets."""
    mnist = load_images("mnist")
    assert (len(mnist), mnist.shape) == (60000, (28, 28, 1))
    assert mnist.labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    mean, std = mnist.statistics()
    assert_allclose([mean[0], std[0]], [0.1307, 0.3081], atol=1e-4)
    assert mnist.counts[0] == 5923


@pytest.mark.slow
def test_the_measured_colours(data_dir):
    test = load_images("cifar10", "test")
    assert test.counts.tolist() == [1000] * 10
    assert_allclose(test.statistics()[0], [0.494, 0.485, 0.450], atol=3e-3)


def test_scaling():
    images = some(20)
    scaling = Scaling.of(images)
    x = scaling.apply(images.pixels)
    assert x.shape == (20, 6, 5, 3)
    assert x.dtype == np.float32
    assert_allclose(x.mean(axis=(0, 1, 2)), 0, atol=1e-6)
    assert_allclose(x.std(axis=(0, 1, 2)), 1, atol=1e-6)
    with pytest.raises(ConfigError, match="images of 3 channels and a scaling for 1"):
        Scaling((0.0,), (1.0,)).apply(images.pixels)
    for mean, std in ((0.0, 0.0), (np.nan, 1.0), (0.0, np.inf)):
        with pytest.raises(ConfigError, match="finite, and std must be positive"):
            Scaling((mean,), (std,))


@settings(max_examples=25, deadline=None)
@given(
    count=st.integers(5, 23),
    size=st.integers(1, 5),
    seed=st.integers(0, 99),
    last=st.sampled_from(["drop", "pad"]),
)
def test_an_epoch_goes_once_through_the_images(count, size, seed, last):
    """Every image at most once (drop), exactly once (pad); one shape throughout."""
    pixels = np.arange(count, dtype=np.uint8)[:, None, None, None]
    images = Images(pixels, np.arange(count), tuple(map(str, range(count))))
    batches = ImageBatches(images, Scaling((0.0,), (1.0,)), size, seed, last)
    seen = []
    for step in range(batches.per_epoch):
        batch = batches(step)
        assert batch.x.shape == (size, 1, 1, 1)
        assert_array_equal(np.round(batch.x[:, 0, 0, 0] * 255), batch.y)
        seen += batch.y[batch.weight > 0].tolist()
    whole = count if last == "pad" else count // size * size
    assert len(seen) == len(set(seen)) == whole
    # the same for the same seed and step, another order in the next epoch
    again = ImageBatches(images, Scaling((0.0,), (1.0,)), size, seed, last)
    step = batches.per_epoch
    assert_array_equal(batches(step).y, again(step).y)


def test_batches_are_augmented_by_seed_and_step():
    images = some(64, 8, 8)
    scaling = Scaling.of(images)
    make = lambda seed: ImageBatches(images, scaling, 16, seed, padding=2, flip=True)
    assert_array_equal(make(0)(9).x, make(0)(9).x)
    assert not np.array_equal(make(0)(9).x, make(1)(9).x)
    assert not np.array_equal(make(0)(0).y, make(0)(4).y)
    with pytest.raises(ConfigError, match="no batch is full"):
        ImageBatches(images, scaling, 65)
    with pytest.raises(ConfigError, match="Allowed: drop, pad"):
        ImageBatches(images, scaling, 16, last="keep")
    with pytest.raises(ConfigError, match="padding is -1"):
        ImageBatches(images, scaling, 16, padding=-1)
    with pytest.raises(ConfigError, match="seed is -1"):
        ImageBatches(images, scaling, 16, -1)


def test_crop_and_flip_are_what_they_say():
    """Against plain slices, one image at a time; all places occur, half are
    mirrored."""
    image = RNG.integers(1, 256, (1, 4, 5, 2), np.uint8)
    out = crop_and_flip(
        np.repeat(image, 400, axis=0), np.random.default_rng(0), padding=1
    )
    wide = np.pad(image[0], ((1, 1), (1, 1), (0, 0)))
    plain = [wide[i : i + 4, j : j + 5] for i in range(3) for j in range(3)]
    known = {cut.tobytes(): k for k, cut in enumerate(plain)}
    known |= {cut[:, ::-1].tobytes(): k + 9 for k, cut in enumerate(plain)}
    kinds = np.array([known[one.tobytes()] for one in out])
    assert set(kinds) == set(range(18))
    assert 150 < np.sum(kinds >= 9) < 250
    with pytest.raises(ConfigError, match="padding is -1"):
        crop_and_flip(image, np.random.default_rng(0), padding=-1)
    with pytest.raises(ShapeError, match=r"expected \(image, height"):
        crop_and_flip(image[0], np.random.default_rng(0))


def test_in_order_fills_the_last_batch():
    images = some(7)
    batches = list(in_order(images, Scaling.of(images), 3))
    assert [b.x.shape[0] for b in batches] == [3, 3, 3]
    assert_array_equal(np.concatenate([b.weight for b in batches]), [1] * 7 + [0] * 2)
    assert_array_equal(np.concatenate([b.y for b in batches])[:7], images.labels)
    with pytest.raises(ConfigError, match="size is 0; it must be at least 1"):
        in_order(images, Scaling.of(images), 0)

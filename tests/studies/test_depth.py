"""Images and rows of study `depth`."""

import io

import numpy as np
import pytest
from PIL import Image

from pendula.studies import _depth_nets as nets
from pendula.studies._study import NotHere


def test_sets_of_folders_and_records_are_read_where_they_lie(tmp_path, monkeypatch):
    """Tiny-ImageNet and CIFAR-100 laid out as they are distributed."""
    monkeypatch.setenv("PENDULA_DATA", str(tmp_path))
    for name in ("tiny-imagenet-200", "cifar100"):
        with pytest.raises(NotHere):
            nets.images(name, "train", 1)
    folder = tmp_path / "tiny-imagenet-200"
    for below in ("train/n01/images", "val/images"):
        (folder / below).mkdir(parents=True)
    out = io.BytesIO()
    Image.fromarray(np.full((8, 8, 3), 7, np.uint8)).save(out, "PNG")
    (folder / "train/n01/images/n01_0.png").write_bytes(out.getvalue())
    (folder / "val/images/val_0.png").write_bytes(out.getvalue())
    (folder / "val/val_annotations.txt").write_text("val_0.png\tn01\t0\t0\t7\t7\n")
    (folder / "wnids.txt").write_text("n01\n")
    (tmp_path / "cifar100").mkdir()
    for part in ("train", "test"):
        record = bytes([3, 7]) + bytes(3 * 32 * 32)
        (tmp_path / "cifar100" / f"{part}.bin").write_bytes(record)
        assert nets.images("cifar100", part, 1).labels.tolist() == [7]
        assert nets.images("tiny-imagenet-200", part, 1).pixels.max() == 7

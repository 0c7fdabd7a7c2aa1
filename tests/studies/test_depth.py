"""Images and rows of study `depth`."""

import io

import jax
import numpy as np
import pytest
from PIL import Image

from pendula.studies import (
    _depth_cifar as cifar,
    _depth_exact as exact,
    _depth_nets as nets,
)
from pendula.studies._catalogue import select
from pendula.studies._study import NotHere
from pendula.train import Checkpoint, TrainState


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


def test_a_projection_on_the_same_functions_is_solved_for(monkeypatch):
    """The row counts what a solve gives: a wrong one is not equal."""
    assert all(exact._is_projected(basis, 2) for basis in exact._BASES)
    solve = np.linalg.solve
    monkeypatch.setattr(np.linalg, "solve", lambda a, b: 1.01 * solve(a, b))
    assert not any(exact._is_projected(basis, 2) for basis in exact._BASES)


def test_rows_say_what_is_smaller_and_each_network_is_solved_in_all_schemes():
    rows = {row.id: row for row in select("depth")[0][0].rows}
    small = [f"depth.{part}.euler_accuracy" for part in ("cifar", "cifar_8")]
    assert all(rows[key].scaled_down for key in small)
    assert rows["depth.cifar_2.euler_accuracy"].scaled_down is None
    lost = ["mnist.euler_as_rk4_in_4", "mnist.midpoint_as_euler_in_1"]
    lost += ["cifar_2.refined_stages_lost", "cifar_8.refined_stages_lost"]
    assert all(f"depth.{key}" in rows for key in lost)
    # the reason of a row that is measured and missed: it was run by then
    tried = [row.tried for row in rows.values() if row.target is not None]
    assert all(tried)
    assert not any("Never run" in one for one in tried)


def test_a_training_of_a_gpu_is_there_when_it_has_ended(tmp_path):
    """Not before its last epoch, nor without its last weights; a line that a kill left
    half written is none."""
    log = tmp_path / "metrics.jsonl"
    with pytest.raises(NotHere):
        cifar._wait_for(tmp_path, 2)
    state = TrainState.start({}, None, jax.random.key(0))  # of step 0
    for epoch in (1, 2):
        text = f'{{"phase": "stage-000", "step": 0, "epoch": {epoch}}}\n{{"phase'
        log.write_text(text)
        with pytest.raises(NotHere):
            cifar._wait_for(tmp_path, 2)
    Checkpoint(tmp_path, 0).write(state)
    cifar._wait_for(tmp_path, 2)

"""Trajectories and images in and out: files, clips, batches, scaling."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._cache import cache_folder as cache_folder
from ._candidates import candidates as candidates
from ._cifar import read_cifar as read_cifar
from ._csv import read_csv as read_csv
from ._decisions import Decision as Decision
from ._fetch import fetch as fetch
from ._hdf5 import read_hdf5 as read_hdf5, write_hdf5 as write_hdf5
from ._idx import (
    read_idx as read_idx,
    read_idx_array as read_idx_array,
    read_mnist as read_mnist,
)
from ._image_batches import (
    ImageBatch as ImageBatch,
    ImageBatches as ImageBatches,
    Scaling as Scaling,
    crop_and_flip as crop_and_flip,
    in_order as in_order,
)
from ._image_folder import read_image_folder as read_image_folder
from ._images import Images as Images
from ._inputs import (
    InputKind as InputKind,
    check_input_kind as check_input_kind,
    input_path as input_path,
)
from ._join import join as join
from ._load_images import load_images as load_images
from ._local import (
    LocalState as LocalState,
    Window as Window,
    choose_windows as choose_windows,
    local_state as local_state,
    local_states as local_states,
)
from ._mat import read_mat as read_mat, write_mat as write_mat
from ._named import (
    load as load,
    named as named,
    open_data as open_data,
)
from ._netcdf import read_netcdf as read_netcdf, write_netcdf as write_netcdf
from ._noise import noise_estimate as noise_estimate
from ._npz import read_npz as read_npz, write_npz as write_npz
from ._order import ChannelKind as ChannelKind, decide_order as decide_order
from ._parquet import read_parquet as read_parquet, write_parquet as write_parquet
from ._period import dominant_period as dominant_period
from ._perturb import (
    add_noise as add_noise,
    check_uniform as check_uniform,
    drop_samples as drop_samples,
    resample as resample,
)
from ._read import data_files as data_files, read as read
from ._sampling import sampling as sampling
from ._scales import Scales as Scales, time_scale as time_scale
from ._sequences import (
    SequenceBatch as SequenceBatch,
    SequenceBatches as SequenceBatches,
    Sequences as Sequences,
    sequences_in_order as sequences_in_order,
)
from ._shuffled import ShuffledBatches as ShuffledBatches
from ._snapshot_files import (
    check_snapshots_file as check_snapshots_file,
    read_snapshots as read_snapshots,
    write_snapshots as write_snapshots,
)
from ._snapshots import Snapshots as Snapshots, even_step as even_step
from ._split import part as part, split as split
from ._summary import summary as summary
from ._synthetic_vowels import synthetic_vowels as synthetic_vowels
from ._trajectories import Trajectories as Trajectories
from ._ts import read_ts as read_ts
from ._vowel_files import (
    read_deterding as read_deterding,
    read_vowels as read_vowels,
)
from ._vowels import (
    SEVEN_VOWELS as SEVEN_VOWELS,
    Vowels as Vowels,
    VowelTask as VowelTask,
    formant_measures as formant_measures,
    standardised as standardised,
    vowel_task as vowel_task,
)
from ._write import check_writable as check_writable, write as write
from ._write_csv import write_csv as write_csv
from ._zarr import read_zarr as read_zarr, write_zarr as write_zarr


if TYPE_CHECKING:
    from ._batch import Batch as Batch


def __getattr__(name: str) -> Any:
    """`Batch` on first use: it is a JAX pytree, and reading a file needs no JAX."""
    if name == "Batch":
        from ._batch import Batch

        return Batch
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

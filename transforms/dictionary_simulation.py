"""MONAI dictionary transforms from files to noisy k-space, each in the place of what it works on.

`LoadLabelMapd` makes a head of a path, `MakePhantomd` a phantom of the head, `ScanKSpaced` k-space of the
phantom, `AddNoised` noisy k-space; `LoadKSpaced` starts from stored k-space. What belongs to k-space and is
no tensor lies beside it under MONAI's name, `{key}_meta_dict`.
"""

import math
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any

from monai.config import KeysCollection
from monai.transforms import MapTransform
from monai.utils import PostFix

from kseg.transforms.coil_maps import coil_maps
from kseg.transforms.coils import root_sum_of_squares
from kseg.transforms.dictionary import Item, kspace_entry, one_for_each, require_fully_sampled
from kseg.transforms.fourier import ifft2c
from kseg.transforms.grid import AcquisitionGrid
from kseg.transforms.head import head_from_labels
from kseg.transforms.item_random import ItemRandomTransform
from kseg.transforms.kspace_file import read_kspace
from kseg.transforms.label_codes import load_label_codes
from kseg.transforms.nifti import read_label_map
from kseg.transforms.noise import NoiseReference, add_noise, noise_sigma
from kseg.transforms.phantom import make_phantom
from kseg.transforms.scan import Readout, scan_kspace
from kseg.transforms.sequences import GradientEcho, InversionRecovery, SpinEcho, require_time_jitter
from kseg.transforms.tissues import load_tissue_table, tissue_list


@dataclass(frozen=True)
class ScanProtocol:
    """How phantoms are scanned.

    Attributes:
        sequence: pulse sequence, before its times are varied.
        tissues: name or path of the tissue table.
        n_coils: number of receive coils, see `coil_maps`.
        bandwidth: full receiver bandwidth, hertz; none for a readout without decay.
        jitter: largest relative change of TE and of TR, drawn anew for each scan.

    Raises:
        ValueError: a change of 1 and more, or one with which the times may not fit into each other.
    """

    sequence: SpinEcho | GradientEcho | InversionRecovery = field(default_factory=SpinEcho)
    tissues: str = "1.5T"
    n_coils: int = 1
    bandwidth: float | None = 80e3
    jitter: float = 0.0

    def __post_init__(self) -> None:
        require_time_jitter(self.sequence, self.jitter)


class LoadLabelMapd(MapTransform):
    """Read label maps as heads: the path of a NIfTI file becomes a `CrispHead`.

    Args:
        keys: paths of label maps.
        codes: code table of the labels, see `load_label_codes`.
        allow_missing_keys: let items without a key pass.

    Raises:
        ValueError: no such table; in a call, codes that the table does not know.
        InputError: in a call, a file that cannot be used.
    """

    def __init__(
        self, keys: KeysCollection, codes: str = "freesurfer", allow_missing_keys: bool = False
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.codes = load_label_codes(codes)

    def __call__(self, data: Item) -> dict[Hashable, Any]:
        """Return a copy of the item with heads."""
        item = dict(data)
        for key in self.key_iterator(item):
            volume = read_label_map(item[key])
            try:
                item[key] = head_from_labels(volume, self.codes)
            except ValueError as error:
                raise ValueError(f"{data[key]}: {error}") from error
        return item


class MakePhantomd(MapTransform):
    """Put heads on the acquisition grid: a head becomes a `Phantom`.

    Args:
        keys: heads.
        subject_key: name of the subject.
        grid: acquired voxels; 57 slices of 3 mm with 216 x 180 voxels of 1 mm if not given.
        oracle: how thick voxels get their label, `majority` or `centre_slice`.
        allow_missing_keys: let items without a key pass.
    """

    def __init__(
        self,
        keys: KeysCollection,
        subject_key: str = "subject",
        grid: AcquisitionGrid | None = None,
        oracle: str = "majority",
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.subject_key = subject_key
        self.grid = grid
        self.oracle = oracle

    def __call__(self, data: Item) -> dict[Hashable, Any]:
        """Return a copy of the item with phantoms."""
        item = dict(data)
        for key in self.key_iterator(item):
            item[key] = make_phantom(item[key], item[self.subject_key], grid=self.grid, oracle=self.oracle)
        return item


class ScanKSpaced(ItemRandomTransform):
    """Scan phantoms: a `Phantom` becomes fully sampled, noise-free k-space `(slice, coil, y, x)`.

    Beside it are stored the labels, the sensitivities, and in `{key}_meta_dict` the affine, the subject and
    the sequence with the times that were drawn.

    Args:
        keys: phantoms.
        protocol: how they are scanned.
        label_keys: where the labels `(slice, y, x)` go, one for each key.
        maps_keys: where the sensitivities `(coil, 1, y, x)` go, one for each key.
        seed: seed of the run, see `ItemRandomTransform`.
        item_key: names the item, see `ItemRandomTransform`.
        allow_missing_keys: let items without a key pass.

    Raises:
        ValueError: not one label key and one maps key for each key.
    """

    def __init__(
        self,
        keys: KeysCollection,
        protocol: ScanProtocol | None = None,
        label_keys: KeysCollection = "label",
        maps_keys: KeysCollection = "maps",
        seed: int = 0,
        item_key: KeysCollection | None = None,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, seed, item_key, allow_missing_keys)
        self.protocol = protocol or ScanProtocol()
        self.tissues = load_tissue_table(self.protocol.tissues)
        self.label_keys = one_for_each("label keys", self.keys, label_keys)
        self.maps_keys = one_for_each("maps keys", self.keys, maps_keys)

    def __call__(self, data: Item) -> dict[Hashable, Any]:
        """Return a copy of the item with k-space, labels and sensitivities."""
        item = dict(data)
        protocol = self.protocol
        readout = None if protocol.bandwidth is None else Readout(protocol.bandwidth)
        generator_of = self.item_generators(item, "scan")
        for key, label_key, maps_key in self.key_iterator(item, self.label_keys, self.maps_keys):
            phantom = item[key]
            generator = generator_of(self.keys.index(key))
            sequence = protocol.sequence.jittered(generator, protocol.jitter)
            _, _, n_y, n_x = phantom.fractions.shape
            maps = coil_maps(protocol.n_coils, (n_y, n_x), generator)
            tissues = tissue_list(self.tissues, phantom.tissues)
            item[key] = scan_kspace(phantom.fractions, tissues, sequence, maps=maps, readout=readout)
            item[label_key] = phantom.labels
            item[maps_key] = maps
            meta = {"affine": phantom.affine, "subject": phantom.subject, "sequence": str(sequence)}
            item[PostFix.meta(key)] = meta
        return item


class AddNoised(ItemRandomTransform):
    """Add white noise to fully sampled k-space, in place: `noise_sigma` and `add_noise`.

    Sigma is stored in `{key}_meta_dict`, with the noise that was there before. Keys get independent noise.

    Args:
        keys: k-space, `(slice, coil, y, x)` or `(coil, y, x)`.
        level: relative noise, 0.1 for 10 %; with the reference `absolute` sigma itself.
        reference: `csf`, `gm` or `wm`: the signal of that tissue under the protocol; `image_max` or `rms`:
            of the root sum of squares of the coil images of this k-space; `absolute`.
        protocol: nominal sequence and tissue table of a tissue reference.
        seed: seed of the run, see `ItemRandomTransform`.
        item_key: names the item, see `ItemRandomTransform`.
        mask_key: mask of the k-space; without one it is taken as fully sampled.
        allow_missing_keys: let items without a key pass.

    Raises:
        ValueError: in a call, an item that is under-sampled already, or what `noise_sigma` refuses.

    Example:
        >>> import torch
        >>> item = {"kspace": torch.zeros(1, 2, 200, 200, dtype=torch.complex64), "subject": "head_01"}
        >>> noisy = AddNoised("kspace", 2.0, "absolute", item_key="subject")(item)
        >>> round(noisy["kspace"].real.std().item(), 1), noisy["kspace_meta_dict"]
        (2.0, {'sigma': 2.0})
    """

    def __init__(
        self,
        keys: KeysCollection,
        level: float = 0.1,
        reference: NoiseReference = "csf",
        protocol: ScanProtocol | None = None,
        seed: int = 0,
        item_key: KeysCollection | None = None,
        mask_key: str = "mask",
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, seed, item_key, allow_missing_keys)
        self.mask_key = mask_key
        self.level = level
        self.reference = reference
        self.protocol = protocol or ScanProtocol()
        self.tissues = load_tissue_table(self.protocol.tissues)

    def __call__(self, data: Item) -> dict[Hashable, Any]:
        """Return a copy of the item with noisy k-space."""
        item = dict(data)
        generator_of = self.item_generators(item, "noise")
        for key in self.key_iterator(item):
            kspace = kspace_entry(item, key)
            require_fully_sampled(item, self.mask_key)
            sigma = noise_sigma(
                self.level,
                self.reference,
                sequence=self.protocol.sequence,
                tissues=self.tissues,
                image=root_sum_of_squares(ifft2c(kspace)) if self.reference in ("image_max", "rms") else None,
            )
            item[key] = add_noise(kspace, sigma, generator_of(self.keys.index(key)))
            meta = item.get(PostFix.meta(key), {})
            item[PostFix.meta(key)] = {**meta, "sigma": math.hypot(meta.get("sigma", 0.0), sigma)}
        return item


class LoadKSpaced(MapTransform):
    """Read k-space files: the path becomes k-space `(slice, coil, y, x)`.

    Beside it are stored the mask, sensitivities `(coil, slice or 1, y, x)` where the file has them, and in
    `{key}_meta_dict` the path, the affine, the subject, `mask_inferred`, the `notes` of the reader, one on each
    line, and sigma and the seed where the file knows them.

    Args:
        keys: paths of files that `read_kspace` takes.
        mask_keys: where the masks go, one for each key.
        maps_keys: where the sensitivities go, one for each key.
        subject_key: where the name of the subject goes, unless the item has one.
        allow_missing_keys: let items without a key pass.

    Raises:
        ValueError: not one mask key and one maps key for each key.
        InputError: in a call, a file that cannot be used.
    """

    def __init__(
        self,
        keys: KeysCollection,
        mask_keys: KeysCollection = "mask",
        maps_keys: KeysCollection = "maps",
        subject_key: str = "subject",
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.mask_keys = one_for_each("mask keys", self.keys, mask_keys)
        self.maps_keys = one_for_each("maps keys", self.keys, maps_keys)
        self.subject_key = subject_key

    def __call__(self, data: Item) -> dict[Hashable, Any]:
        """Return a copy of the item with k-space, its mask and its sensitivities."""
        item = dict(data)
        for key, mask_key, maps_key in self.key_iterator(item, self.mask_keys, self.maps_keys):
            volume = read_kspace(item[key])
            known = {"sigma": volume.sigma, "seed": volume.seed}
            item[PostFix.meta(key)] = {
                "filename_or_obj": str(item[key]),
                "affine": volume.affine,
                "subject": volume.subject,
                "mask_inferred": volume.mask_inferred,
                # Lists of different lengths make no batch.
                "notes": "\n".join(volume.notes),
                # Batches cannot be made of None.
                **{name: value for name, value in known.items() if value is not None},
            }
            item[key] = volume.kspace
            item[mask_key] = volume.mask
            if volume.maps is not None:
                item[maps_key] = volume.maps
            item.setdefault(self.subject_key, volume.subject)
        return item

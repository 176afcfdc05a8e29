"""MONAI dictionary transforms of images, k-space and coils: one per function on tensors.

An item is a dictionary. K-space in it is complex, `(slice, coil, y, x)` for a volume or `(coil, y, x)` for a
slice; sensitivities are `(coil, slice or 1, y, x)` for a volume or `(coil, y, x)` for a slice. MetaTensors
stay MetaTensors.
"""

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform
from monai.utils import PostFix, ensure_tuple
from torch import Tensor

from kseg.transforms.channels import complex_to_channels, network_input
from kseg.transforms.coil_preparation import prepare_coils
from kseg.transforms.coils import combine, expand, root_sum_of_squares
from kseg.transforms.fourier import fft2c, ifft2c

Item = Mapping[Hashable, Any]


def complex_entry(item: Item, key: Hashable) -> Tensor:
    """Look up complex data; refuse real data, which lost their imaginary part in an earlier transform.

    Args:
        item: the item.
        key: name of a tensor or NumPy array.

    Raises:
        ValueError: real numbers.

    Example:
        >>> complex_entry({"kspace": torch.zeros(2, 3)}, "kspace")
        Traceback (most recent call last):
        ValueError: kspace: expected complex numbers, received torch.float32
    """
    value = item[key]
    tensor = value if isinstance(value, Tensor) else torch.as_tensor(value)
    if not tensor.is_complex():
        raise ValueError(f"{key}: expected complex numbers, received {tensor.dtype}")
    return tensor


def kspace_entry(item: Item, key: Hashable) -> Tensor:
    """Look up the k-space of a volume or a slice.

    Args:
        item: the item.
        key: name of a tensor or NumPy array.

    Raises:
        ValueError: real numbers, or neither three nor four axes.
    """
    kspace = complex_entry(item, key)
    if kspace.ndim not in (3, 4):
        raise ValueError(
            f"{key}: expected k-space (slice, coil, y, x) or (coil, y, x), "
            f"received shape {tuple(kspace.shape)}"
        )
    return kspace


def require_fully_sampled(item: Item, mask_key: str) -> None:
    """Refuse an item whose mask says that it is under-sampled; one without a mask is taken as fully sampled.

    Args:
        item: the item.
        mask_key: name of the mask.

    Raises:
        ValueError: a mask that is somewhere False.
    """
    if mask_key in item and not bool(torch.as_tensor(item[mask_key]).all()):
        mask = torch.as_tensor(item[mask_key])
        raise ValueError(
            f"{mask_key}: expected fully sampled k-space, received a mask that is True "
            f"for {int(mask.sum())} of {mask.numel()}"
        )


def one_for_each(name: str, keys: tuple[Hashable, ...], others: KeysCollection) -> tuple[Hashable, ...]:
    """Bring the keys of what belongs to other keys into a tuple.

    Args:
        name: what the keys are of, for the message.
        keys: what they belong to.
        others: one for each of them.

    Raises:
        ValueError: more or fewer.
    """
    received: tuple[Hashable, ...] = ensure_tuple(others)
    if len(received) != len(keys):
        raise ValueError(f"{name}: expected one for each of {list(keys)}, received {list(received)}")
    return received


class FFT2cd(MapTransform):
    """Transform images to k-space, in place: `fft2c`.

    Args:
        keys: complex images `(... y x)`.
        allow_missing_keys: let items without a key pass.

    Example:
        >>> FFT2cd("image")({"image": torch.ones(2, 2, dtype=torch.complex64)})["image"].real
        tensor([[0., 0.],
                [0., 2.]])
    """

    def __call__(self, data: Item) -> dict[Hashable, Any]:
        """Return a copy of the item with the k-space of its images."""
        item = dict(data)
        for key in self.key_iterator(item):
            item[key] = fft2c(complex_entry(item, key))
        return item


class IFFT2cd(MapTransform):
    """Transform k-space to images, in place: `ifft2c`.

    Args:
        keys: k-space `(... y x)`.
        allow_missing_keys: let items without a key pass.

    Example:
        >>> IFFT2cd("kspace")({"kspace": torch.tensor([[0, 0], [0, 2 + 0j]])})["kspace"].real
        tensor([[1., 1.],
                [1., 1.]])
    """

    def __call__(self, data: Item) -> dict[Hashable, Any]:
        """Return a copy of the item with the images of its k-space."""
        item = dict(data)
        for key in self.key_iterator(item):
            item[key] = ifft2c(complex_entry(item, key))
        return item


class ExpandCoilsd(MapTransform):
    """Weight images by the sensitivity of every coil, in place: `expand`.

    Args:
        keys: complex images, `(slice, y, x)` or `(y, x)`.
        maps_key: sensitivities, `(coil, slice or 1, y, x)` or `(coil, y, x)`.
        allow_missing_keys: let items without a key pass.
    """

    def __init__(
        self, keys: KeysCollection, maps_key: str = "maps", allow_missing_keys: bool = False
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.maps_key = maps_key

    def __call__(self, data: Item) -> dict[Hashable, Any]:
        """Return a copy of the item with coil images."""
        item = dict(data)
        for key in self.key_iterator(item):
            image = complex_entry(item, key)
            item[key] = expand(image, _maps_of(item, self.maps_key, image.ndim + 1))
        return item


class CombineCoilsd(MapTransform):
    """Combine coil images to images, in place: `combine`.

    Args:
        keys: complex coil images, `(slice, coil, y, x)` or `(coil, y, x)`.
        maps_key: sensitivities, `(coil, slice or 1, y, x)` or `(coil, y, x)`.
        allow_missing_keys: let items without a key pass.
    """

    def __init__(
        self, keys: KeysCollection, maps_key: str = "maps", allow_missing_keys: bool = False
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.maps_key = maps_key

    def __call__(self, data: Item) -> dict[Hashable, Any]:
        """Return a copy of the item with one image in the place of those of the coils."""
        item = dict(data)
        for key in self.key_iterator(item):
            coil_images = complex_entry(item, key)
            item[key] = combine(coil_images, _maps_of(item, self.maps_key, coil_images.ndim))
        return item


class PrepareCoilsd(MapTransform):
    """Bring the scans of any number of coils to what a network takes, in place: `prepare_coils`.

    Sensitivities come from the item, or are estimated and added to it; a scan of one coil needs none. What was done
    is added to the `notes` in `{key}_meta_dict`, one on each line.

    Args:
        keys: k-space of volumes, `(slice, coil, y, x)`.
        mask_keys: bool masks, `(x,)`, `(slice, x)` or `(slice, y, x)`, one for each key.
        maps_keys: sensitivities, `(coil, slice or 1, y, x)`, one for each key.
        allow_missing_keys: let items without a key pass.

    Raises:
        ValueError: not one mask key and one maps key for each key; in a call, k-space of a slice, or what
            `prepare_coils` refuses.
    """

    def __init__(
        self,
        keys: KeysCollection,
        mask_keys: KeysCollection = "mask",
        maps_keys: KeysCollection = "maps",
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.mask_keys = one_for_each("mask keys", self.keys, mask_keys)
        self.maps_keys = one_for_each("maps keys", self.keys, maps_keys)

    def __call__(self, data: Item) -> dict[Hashable, Any]:
        """Return a copy of the item with few coils and their sensitivities."""
        item = dict(data)
        for key, mask_key, maps_key in self.key_iterator(item, self.mask_keys, self.maps_keys):
            kspace, mask = kspace_entry(item, key), torch.as_tensor(item[mask_key])
            if kspace.ndim != 4:
                received = f"shape {tuple(kspace.shape)}"
                raise ValueError(
                    f"{key}: expected k-space of a volume (slice, coil, y, x), received {received}"
                )
            if mask.ndim < 3:
                mask = mask.expand(len(kspace), kspace.shape[-1])[:, None]
            known = complex_entry(item, maps_key) if maps_key in item else None
            scan = prepare_coils(kspace, mask, known)
            item[key] = scan.kspace
            if scan.maps is not None:
                item[maps_key] = scan.maps
            meta = item.get(PostFix.meta(key), {})
            notes = [*meta.get("notes", "").splitlines(), *scan.notes]
            item[PostFix.meta(key)] = {**meta, "notes": "\n".join(notes)}
        return item


class RootSumOfSquaresd(MapTransform):
    """Combine coil images to magnitude images, in place: `root_sum_of_squares`.

    Args:
        keys: complex coil images `(... coil y x)`.
        allow_missing_keys: let items without a key pass.

    Example:
        >>> RootSumOfSquaresd("coils")({"coils": torch.tensor([3, 4j])[:, None, None]})["coils"]
        tensor([[5.]])
    """

    def __call__(self, data: Item) -> dict[Hashable, Any]:
        """Return a copy of the item with magnitude images."""
        item = dict(data)
        for key in self.key_iterator(item):
            item[key] = root_sum_of_squares(complex_entry(item, key))
        return item


class NetworkInputd(MapTransform):
    """Make the real tensors that enter a network, in place: `network_input`.

    K-space becomes float32 `(2 coil + 1, y, x)`, the mask last; a volume keeps its slices in front, as batch.

    Args:
        keys: k-space, `(slice, coil, y, x)` or `(coil, y, x)`.
        mask_key: bool mask, `(x,)`, `(slice, x)` or `(slice, y, x)` for a volume, `(x,)` or `(y, x)` for a
            slice.
        maps_key: sensitivities, `(coil, slice or 1, y, x)` or `(coil, y, x)`, that become `(2 coil, y, x)` in
            place, with as many slices as the k-space; none for a network without that input.
        allow_missing_keys: let items without a key pass.

    Example:
        >>> item = {"kspace": torch.tensor([[[1 + 2j, 3 + 4j]]]), "mask": torch.tensor([True, False])}
        >>> NetworkInputd("kspace")(item)["kspace"][:, 0]
        tensor([[1., 0.],
                [2., 0.],
                [1., 0.]])
    """

    def __init__(
        self,
        keys: KeysCollection,
        mask_key: str = "mask",
        maps_key: str | None = None,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.mask_key = mask_key
        self.maps_key = maps_key

    def __call__(self, data: Item) -> dict[Hashable, Any]:
        """Return a copy of the item with network input."""
        item = dict(data)
        for key in self.key_iterator(item):
            kspace = kspace_entry(item, key)
            mask = torch.as_tensor(data[self.mask_key])
            if kspace.ndim == 4:
                item[key] = network_input(kspace, mask[:, None] if mask.ndim == 2 else mask)
            else:
                item[key] = network_input(kspace[None], mask[None])[0]
            if self.maps_key is not None:
                item[self.maps_key] = self._maps_input(data, self.maps_key, kspace)
        return item

    def _maps_input(self, data: Item, maps_key: str, kspace: Tensor) -> Tensor:
        maps = _maps_of(data, maps_key, kspace.ndim).expand_as(kspace)
        return complex_to_channels(maps) if maps.ndim == 4 else complex_to_channels(maps[None])[0]


def _maps_of(item: Item, key: str, n_axes: int) -> Tensor:
    """Sensitivities in the order of axes of coil images that have n_axes."""
    maps = complex_entry(item, key)
    if maps.ndim != n_axes or n_axes not in (3, 4):
        raise ValueError(
            f"{key}: expected sensitivities (coil, slice or 1, y, x) for a volume, (coil, y, x) for a slice, "
            f"received shape {tuple(maps.shape)} for data of {n_axes} axes with coils"
        )
    return maps.movedim(0, 1) if n_axes == 4 else maps

"""A trained network in the form that computes fastest."""

import copy
from typing import TypeVar

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.nn.utils.memory_format import (
    convert_conv2d_weight_memory_format,
    convert_conv3d_weight_memory_format,
)

Network = TypeVar("Network", bound=nn.Module)

_CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d, nn.Conv3d, nn.ConvTranspose3d)


def for_inference(network: Network, dtype: torch.dtype = torch.float32) -> Network:
    """Copy a network into the form that computes fastest; its results differ by rounding alone.

    Batch normalisations become part of the convolutions before them, of slices or volumes, and the weights of
    convolutions are stored as they are multiplied, with channels last in memory.

    Args:
        network: in evaluation mode; stays as it is.
        dtype: of the convolutions; another one than float32 needs `torch.autocast` of the same dtype around calls.

    Returns:
        The copy. Its state dictionary is not that of the network.

    Raises:
        ValueError: a network in training mode, whose normalisations still change.

    Example:
        >>> layers = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2), nn.ReLU()).eval()
        >>> [type(layer).__name__ for layer in for_inference(layers)]
        ['Conv2d', 'Identity', 'ReLU']
    """
    if network.training:
        raise ValueError("inference: expected a network in evaluation mode, received one in training mode")
    fast = copy.deepcopy(network)
    for sequence in list(fast.modules()):
        if isinstance(sequence, nn.Sequential):
            _fold_normalizations(sequence)
    for module in fast.modules():
        if isinstance(module, _CONVOLUTIONS):
            module.to(dtype)
    convert_conv2d_weight_memory_format(fast, torch.channels_last)
    convert_conv3d_weight_memory_format(fast, torch.channels_last_3d)
    return fast


def inference_dtype(device: torch.device) -> torch.dtype:
    """Choose bfloat16 where the device has units for it, else float32.

    Args:
        device: `cpu` or `cuda`; any other computes in float32.
    """
    if device.type == "cuda":
        fast = torch.cuda.get_device_capability(device) >= (8, 0)
    else:
        # Older releases of PyTorch do not tell.
        capabilities = getattr(torch.cpu, "get_capabilities", dict[str, bool])()
        fast = device.type == "cpu" and bool(capabilities.get("amx_bf16", False))
    return torch.bfloat16 if fast else torch.float32


def _fold_normalizations(sequence: nn.Sequential) -> None:
    for index in range(len(sequence) - 1):
        convolution, normalization = sequence[index], sequence[index + 1]
        if isinstance(convolution, nn.Conv2d | nn.Conv3d) and isinstance(
            normalization, nn.BatchNorm2d | nn.BatchNorm3d
        ):
            sequence[index] = fuse_conv_bn_eval(convolution, normalization)
            sequence[index + 1] = nn.Identity()

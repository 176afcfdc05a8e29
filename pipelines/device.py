"""Where networks compute: this machine's processor, or a GPU."""

import torch


def choose_device(name: str) -> torch.device:
    """Find a device of this machine.

    Args:
        name: `cpu`, `cuda`, `cuda:1` and so on, or `auto`: the first GPU, or the processor where there is none.

    Raises:
        ValueError: a device that this machine does not have.

    Example:
        >>> choose_device("cpu")
        device(type='cpu')
    """
    n_gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "auto":
        return torch.device("cuda:0" if n_gpus else "cpu")
    names = ["cpu", *(f"cuda:{number}" for number in range(n_gpus))]
    found = "cuda:0" if name == "cuda" else name
    if found not in names:
        raise ValueError(f"device: expected one of auto, {', '.join(names)}, received {name}")
    return torch.device(found)

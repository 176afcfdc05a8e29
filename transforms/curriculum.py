"""Easy scans first: how the share of sampled lines falls with the epochs of a training."""


def curriculum_fraction(epoch: int, fraction: float, patience: int, epsilon: float = 0.01) -> float:
    """Share of lines of an epoch: nearly all in the first, then less by the same factor with each.

    r_i = (1 - epsilon) (r / (1 - epsilon))^((i - 1) / P) up to epoch i = P, r after it, epochs counted from 1. A
    network whose segmenter learns from a reconstruction that has learnt nothing yet is so given images worth learning
    from.

    Args:
        epoch: epochs done, 0 in the first.
        fraction: share r that is reached after the patience and kept, in (0, 1].
        patience: number of epochs P until then; 0 for that share from the beginning.
        epsilon: what the first epoch leaves out, in [0, 1).

    Raises:
        ValueError: values outside these ranges.

    Reference:
        Acar, Cukur and Oksuz, Segmentation-aware MRI reconstruction, 2022, Eq. 1.

    Example:
        >>> [round(curriculum_fraction(epoch, 0.25, 2, epsilon=0.0), 3) for epoch in range(4)]
        [1.0, 0.5, 0.25, 0.25]
    """
    if epoch < 0 or patience < 0 or not 0 < fraction <= 1 or not 0 <= epsilon < 1:
        raise ValueError(
            "curriculum: expected epoch >= 0, patience >= 0, 0 < fraction <= 1 and 0 <= epsilon < 1, "
            f"received {epoch}, {patience}, {fraction} and {epsilon}"
        )
    if epoch >= patience:
        return fraction
    easiest = 1 - epsilon
    return float(easiest * (fraction / easiest) ** (epoch / patience))

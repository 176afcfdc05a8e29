"""One colour per class, the same in every picture of the report."""

from collections.abc import Iterable

# Okabe and Ito 2008, Color Universal Design: told apart with every common colour vision. Their black and
# their dark blue are left out: a contour must be bright on a dark image.
_COLOURS = ("#56b4e9", "#e69f00", "#009e73", "#cc79a7", "#f0e442", "#d55e00")


def class_colours(class_ids: Iterable[int]) -> dict[int, str]:
    """Assign a colour to each class, by its place among the classes; after six the colours repeat.

    Args:
        class_ids: label values.

    Example:
        >>> class_colours([1, 3])
        {1: '#56b4e9', 3: '#e69f00'}
    """
    return {class_id: _COLOURS[place % len(_COLOURS)] for place, class_id in enumerate(sorted(class_ids))}

"""Name the file on which a MONAI workflow fails."""

from typing import Any

from ignite.engine import Engine, Events
from monai.utils import PostFix

from kseg.transforms.errors import InputError


class NameFailedFile:
    """End a failed run with the one line that says which file it was, and why.

    MONAI says which transform failed, or nothing; the file has to be guessed.

    Args:
        key: input of the network, loaded from the files that its metadata, or else `{key}_meta_dict`, name.
    """

    def __init__(self, key: str = "image") -> None:
        self.key = key
        self.meta_key = PostFix.meta(key)
        self.path: str | None = None

    def attach(self, engine: Engine) -> None:
        """Listen to each batch and to errors."""
        engine.add_event_handler(Events.GET_BATCH_STARTED, self._forget)
        engine.add_event_handler(Events.GET_BATCH_COMPLETED, self._remember)
        engine.add_event_handler(Events.EXCEPTION_RAISED, self._name)

    def _forget(self) -> None:
        self.path = None

    def _remember(self, engine: Engine) -> None:
        batch: Any = engine.state.batch
        meta = batch[self.meta_key] if self.meta_key in batch else batch[self.key].meta
        self.path = ", ".join(meta["filename_or_obj"])

    def _name(self, error: BaseException) -> None:
        reason = input_error(error)
        if reason is None and self.path is not None and isinstance(error, Exception):
            message = str(error) or type(error).__name__
            reason = InputError(self.path, "segment", "a volume that the network takes", message)
            reason.__cause__ = error
        if reason is None:
            raise error
        raise reason


def input_error(error: BaseException | None) -> InputError | None:
    """Find the error of an input among the causes of another.

    Args:
        error: what was raised, by MONAI for example, which wraps what a transform raises.

    Returns:
        The error, or None where there is none.
    """
    while error is not None and not isinstance(error, InputError):
        error = error.__cause__
    return error

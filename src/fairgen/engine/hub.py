"""Weights of the model hub: looked for on this machine first, then asked for once, quietly."""

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from huggingface_hub import (
    constants,
    get_hf_file_metadata,
    hf_hub_url,
    try_to_load_from_cache,
)
from huggingface_hub.errors import HfHubHTTPError
from safetensors import SafetensorError

from fairgen.errors import CheckpointError

logger = logging.getLogger(__name__)
T = TypeVar("T")
PATIENCE = 10.0
"""Seconds to wait for the hub's answer."""
HTTP_ERRORS: tuple[type[Exception], ...] = (
    *(b for b in HfHubHTTPError.__bases__ if issubclass(b, Exception)),
    ValueError,
)
"""What the hub's client raises: the errors of whichever HTTP library it rests on, and OSError."""
UNREADABLE = (OSError, ValueError, RuntimeError, KeyError, SafetensorError)
"""What the libraries raise where weights are missing or damaged."""
LIBRARIES = ("huggingface_hub", "diffusers", "transformers")


def fetched(repo: str, file: str, load: Callable[[bool], T]) -> T:
    """Return what is loaded from a repository: from the cache if it is there whole.

    Args:
        repo: Name of the repository, such as ``CompVis/stable-diffusion-v1-4``.
        file: A file that it must have.
        load: Loads it; told whether to keep to the cache.

    Raises:
        CheckpointError: If it is neither in the cache nor to be fetched.
    """
    with quiet():
        if cached(repo, file):
            try:
                return load(True)
            except UNREADABLE as error:
                logger.info("%s: not whole in the cache (%s)", repo, error)
        check_reachable(repo, file)
        return load(False)


def cached(repo: str, file: str) -> bool:
    """Return whether a file of a repository lies in this machine's cache."""
    return isinstance(try_to_load_from_cache(repo, file), str)


def check_reachable(repo: str, file: str) -> None:
    """Raise unless the hub offers a file; asks once, where the libraries would ask many times.

    Args:
        repo: Name of the repository, such as ``CompVis/stable-diffusion-v1-4``.
        file: A file that it must have.

    Raises:
        CheckpointError: If it does not, or cannot be reached; the message says what to do.
    """
    if constants.is_offline_mode():
        raise absent(repo, "HF_HUB_OFFLINE is set")
    try:
        get_hf_file_metadata(hf_hub_url(repo, file), timeout=PATIENCE)
    except HTTP_ERRORS as error:
        text = " ".join(str(error).split()) or type(error).__name__
        raise absent(repo, text[:120]) from error


def absent(repo: str, reason: str) -> CheckpointError:
    """Return the error that says how to come by weights that are not here."""
    return CheckpointError(
        f"weights of '{repo}': neither found in the cache ({constants.HF_HUB_CACHE}) nor fetched "
        f"({reason}); download them on a machine with access, then give the folder's path, or copy "
        "the cache here and set HF_HUB_OFFLINE=1"
    )


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the libraries' warnings from the terminal; what matters is raised."""
    loggers = [logging.getLogger(name) for name in LIBRARIES]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)

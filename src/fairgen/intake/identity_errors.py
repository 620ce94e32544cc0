"""What goes wrong in a decoder, in one line that quotes nothing from a patient's file."""

import logging
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fairgen.errors import CohortError, MissingExtra

BROKEN = (
    AttributeError, AssertionError, EOFError, LookupError, MemoryError, OSError, OverflowError,
    RuntimeError, TypeError, ValueError, struct.error, zlib.error,
)  # fmt: skip
LOGGERS = ("pydicom", "nibabel.global", "pylibjpeg", "openjpeg", "libjpeg")


@contextmanager
def quiet(path: Path, what: str, *also: type[Exception]) -> Iterator[None]:
    """Turn what a decoder raises into one line, and keep back its warnings, which quote headers.

    Args:
        path: File that is decoded.
        what: What must be wrong with it if the block raises.
        also: Errors of the decoder's own, beside those of the language.

    Raises:
        CohortError: If the block raises.
    """
    caught: tuple[type[Exception], ...] = (*BROKEN, *also)
    try:
        with warnings.catch_warnings(), silent_loggers():
            warnings.simplefilter("ignore")
            yield
    except caught as error:
        raise CohortError(f"{path}: {what} ({type(error).__name__})") from error


@contextmanager
def silent_loggers() -> Iterator[None]:
    """Keep the decoders' loggers silent: they quote the values that they complain of."""
    loggers = [logging.getLogger(name) for name in LOGGERS]
    before = [logger.disabled for logger in loggers]
    for logger in loggers:
        logger.disabled = True
    try:
        yield
    finally:
        for logger, was in zip(loggers, before, strict=True):
            logger.disabled = was


@contextmanager
def medical(what: str) -> Iterator[None]:
    """Turn a failed import into one line that says what to install.

    Args:
        what: Files that cannot be read without it, such as ``DICOM``.

    Raises:
        MissingExtra: If the block raises ``ImportError``.
    """
    try:
        yield
    except ImportError as error:
        raise MissingExtra(
            f"{what} files need {error.name}, which is not installed; "
            "expected `pip install 'fairgen[medical]'`"
        ) from error

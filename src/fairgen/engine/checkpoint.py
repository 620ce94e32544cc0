"""Checkpoints: whole or absent, checked on reading, without pickle.

A checkpoint is a folder ``step-000500`` of safetensors files and a ``state.json`` that names the
digest of each. It is written beside its place and renamed, and older ones are removed only then: a
kill or a full disk leaves the previous one.
"""

import json
import logging
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from fairgen.errors import CheckpointError, StudyError
from fairgen.files.atomic import fresh_folder, write_errors, write_json
from fairgen.files.digest import file_digest

logger = logging.getLogger(__name__)
FORMAT = 1
Tensors = Mapping[str, Tensor]


@dataclass(frozen=True)
class Checkpoint:
    """Holds what a training needs to go on.

    Attributes:
        step: Optimisation steps done.
        key: Digest of the settings that must not change between start and resume.
        tensors: Named sets of tensors, one file each.
        values: What is not a tensor, in JSON's types.
    """

    step: int
    key: str
    tensors: Mapping[str, Tensors]
    values: Mapping[str, Any]


def save_checkpoint(folder: Path, checkpoint: Checkpoint, *, keep: int) -> Path:
    """Write a checkpoint into ``folder``, then remove all but the newest ``keep``.

    Those of later steps go too: this training passed them over. So does what a killed process left.

    Raises:
        StudyError: If it cannot be written; those before it stay.
    """
    target = folder / f"step-{checkpoint.step:06d}"
    with tensor_errors(target):
        for part in (target, *folder.glob(".step-*.partial")):
            if part.exists():
                shutil.rmtree(part)
        with fresh_folder(target) as part:
            _write(part, checkpoint)
        found = _steps(folder)
        place = found.index(target)
        for other in (*found[:place], *found[place + keep :]):
            shutil.rmtree(other)
    return target


def _write(part: Path, checkpoint: Checkpoint) -> None:
    with ThreadPoolExecutor() as pool:  # one file's digest is taken while the next is written
        digests = {}
        for name, tensors in checkpoint.tensors.items():
            whole = {k: v.detach().contiguous().cpu() for k, v in tensors.items()}
            path = part / f"{name}.safetensors"
            save_file(whole, path)
            digests[path.name] = pool.submit(file_digest, path)
        state = {
            "format": FORMAT,
            "step": checkpoint.step,
            "key": checkpoint.key,
            "values": dict(checkpoint.values),
            "files": {name: found.result() for name, found in digests.items()},
        }
    write_json(part / "state.json", state)


@contextmanager
def tensor_errors(path: Path) -> Iterator[None]:
    """Turn what stops safetensors or the system from writing into one line that names the path.

    Raises:
        StudyError: If the block raises ``SafetensorError`` or ``OSError``.
    """
    try:
        with write_errors(path):
            yield
    except SafetensorError as error:
        raise StudyError(f"{path}: cannot be written ({error})") from error


def load_checkpoint(
    folder: Path, *, key: str, misfit: Callable[[Checkpoint], str] = lambda _: ""
) -> Checkpoint | None:
    """Return the newest whole checkpoint, or nothing if there is none.

    A torn or foreign one is passed over with a warning that says why.

    Args:
        folder: Folder of checkpoints.
        key: Digest of the settings that it must belong to.
        misfit: What says why a checkpoint does not suit the training; empty if it does.

    Raises:
        CheckpointError: If the newest whole checkpoint belongs to other settings.
    """
    found = _steps(folder)
    for path in found:
        try:
            checkpoint = _read(path, key)
            if reason := misfit(checkpoint):
                raise _TornError(reason)
        except _TornError as error:
            logger.warning("%s: %s; trying the one before", path, error)
        else:
            return checkpoint
    if found:
        logger.warning("%s: no checkpoint can be used", folder)
    return None


class _TornError(Exception):
    """Signals a checkpoint that is not whole."""


def _read(path: Path, key: str) -> Checkpoint:
    try:
        state = json.loads((path / "state.json").read_text())
    except (OSError, ValueError) as error:
        raise _TornError(f"state.json cannot be read ({error})") from error
    _check_state(state, path)
    try:
        for name, digest in state["files"].items():
            if not (path / name).is_file() or file_digest(path / name) != digest:
                raise _TornError(f"{name} is missing or damaged")
        if state["key"] != key:
            raise CheckpointError(
                f"{path}: belongs to a training with other settings, data or base; "
                "give another --out, or remove the folder to start anew"
            )
        tensors = {Path(n).stem: load_file(path / n) for n in state["files"]}
    except (StudyError, SafetensorError) as error:
        raise _TornError(f"its tensors cannot be read ({error})") from error
    return Checkpoint(state["step"], key, tensors, state["values"])


def _check_state(state: object, path: Path) -> None:
    """Raise unless ``state.json`` holds what a checkpoint must say about itself.

    Raises:
        _TornError: If not.
    """
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise _TornError(f"state.json: format is not {FORMAT}")
    kinds = {"step": int, "key": str, "values": dict, "files": dict}
    for name, kind in kinds.items():
        if not isinstance(state.get(name), kind):
            raise _TornError(f"state.json: '{name}' is missing or wrong")
    if state["step"] != _step(path):
        raise _TornError(f"state.json: step is {state['step']}; expected that of the folder's name")


def _steps(folder: Path) -> list[Path]:
    """Return the checkpoint folders, newest first."""
    found = folder.glob("step-*") if folder.is_dir() else ()
    whole = (p for p in found if re.fullmatch(r"step-\d{6,}", p.name) and p.is_dir())
    return sorted(whole, key=_step, reverse=True)


def _step(path: Path) -> int:
    return int(path.name.removeprefix("step-"))


def shape_misfit(name: str, found: Tensors | None, wanted: Tensors) -> str:
    """Return how a set of tensors differs in names or shapes from what is wanted; empty if not."""
    if found is None:
        return f"lacks '{name}'"
    if odd := sorted(found.keys() ^ wanted.keys()):
        return f"'{name}': {'unknown' if odd[0] in found else 'lacks'} {odd[0]}"
    for key, value in found.items():
        if value.shape != wanted[key].shape:
            shapes = f"{tuple(value.shape)}; expected {tuple(wanted[key].shape)}"
            return f"'{name}': {key} has shape {shapes}"
    return ""

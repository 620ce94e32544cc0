"""Checkpoints: whole or absent, checked on reading, without pickle.

A checkpoint is a folder ``step-000500`` of safetensors files and a ``state.json`` that names the
digest of each. It is written beside its place and renamed, so a kill leaves the previous one.
"""

import json
import logging
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

from fairgen.errors import CheckpointError
from fairgen.files.atomic import fresh_folder, write_json
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
    """Write a checkpoint into ``folder`` and remove all but the newest ``keep``."""
    target = folder / f"step-{checkpoint.step:06d}"
    if target.exists():
        shutil.rmtree(target)
    with fresh_folder(target) as part:
        for name, tensors in checkpoint.tensors.items():
            whole = {k: v.detach().contiguous().cpu() for k, v in tensors.items()}
            save_file(whole, part / f"{name}.safetensors")
        state = {
            "format": FORMAT,
            "step": checkpoint.step,
            "key": checkpoint.key,
            "values": dict(checkpoint.values),
            "files": {p.name: file_digest(p) for p in sorted(part.glob("*.safetensors"))},
        }
        write_json(part / "state.json", state)
    for old in _steps(folder)[keep:]:
        shutil.rmtree(old)
    return target


def load_checkpoint(folder: Path, *, key: str) -> Checkpoint | None:
    """Return the newest whole checkpoint, or nothing if there is none.

    A torn or foreign one is passed over with a warning that says why.

    Raises:
        CheckpointError: If the newest whole checkpoint belongs to other settings.
    """
    for path in _steps(folder):
        try:
            return _read(path, key)
        except _TornError as error:
            logger.warning("%s: %s; trying the one before", path, error)
    return None


class _TornError(Exception):
    """Signals a checkpoint that is not whole."""


def _read(path: Path, key: str) -> Checkpoint:
    try:
        state = json.loads((path / "state.json").read_text())
    except (OSError, ValueError) as error:
        raise _TornError(f"state.json cannot be read ({error})") from error
    _check_state(state)
    for name, digest in state["files"].items():
        if not (path / name).is_file() or file_digest(path / name) != digest:
            raise _TornError(f"{name} is missing or damaged")
    if state["key"] != key:
        raise CheckpointError(
            f"{path}: belongs to a training with other settings, data or base; "
            "give another --out, or remove the folder to start anew"
        )
    tensors = {Path(n).stem: load_file(path / n) for n in state["files"]}
    return Checkpoint(state["step"], key, tensors, state["values"])


def _check_state(state: object) -> None:
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


def _steps(folder: Path) -> list[Path]:
    """Return the checkpoint folders, newest first."""
    found = folder.glob("step-*") if folder.is_dir() else ()
    whole = (p for p in found if re.fullmatch(r"step-\d{6,}", p.name))
    return sorted(whole, key=lambda p: int(p.name.removeprefix("step-")), reverse=True)


def optimizer_tensors(state: Mapping[int, Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Return an optimizer's state as flat, named tensors."""
    return {f"{i}.{name}": v for i, part in state.items() for name, v in part.items()}


def optimizer_state(tensors: Tensors) -> dict[int, dict[str, Tensor]]:
    """Return flat, named tensors as an optimizer's state."""
    state: dict[int, dict[str, Tensor]] = {}
    for index, name, value in _split_names(tensors):
        state.setdefault(index, {})[name] = value
    return state


def _split_names(tensors: Tensors) -> Iterator[tuple[int, str, Tensor]]:
    for key, value in tensors.items():
        index, name = key.split(".", 1)
        yield int(index), name, value

"""Stages of a run: done once, remade when what they depend on has changed."""

import logging
import platform
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fairgen import __version__
from fairgen.errors import StudyError
from fairgen.files.atomic import write_json
from fairgen.files.digest import value_digest
from fairgen.files.folder import inner_path
from fairgen.files.mapping import read_mapping

logger = logging.getLogger(__name__)
MANIFEST, STUDY = "manifest.json", "study.json"
LIBRARIES = ("torch", "diffusers", "transformers", "accelerate", "numpy", "scipy", "scikit-learn")


@dataclass
class Stages:
    """Keeps the record of what a run folder holds, in its ``manifest.json``.

    Attributes:
        root: The run folder.
        done: Key and seconds of each stage that has finished.
        notes: What else the manifest says.
    """

    root: Path
    done: dict[str, dict[str, Any]] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)

    def make(
        self,
        name: str,
        inputs: Any,  # noqa: ANN401 - whatever JSON can hold
        make: Callable[[Path], object],
    ) -> str:
        """Run a stage unless it has finished with the same inputs, and return its key.

        What an earlier run left under the stage's name with other inputs is removed first. A stage
        that was interrupted is run again over what it left, which it resumes.

        Args:
            name: Path in the run folder that the stage makes.
            inputs: Settings, and the keys of the stages that it reads; anything that JSON holds.
            make: Makes the path.
        """
        key = stage_key(name, inputs)
        target = self.root / name
        found = self.done.get(name, {})
        if found.get("key") == key and found.get("finished") and target.exists():
            logger.info("%s: finished already", name)
            return key
        if found.get("key") != key:
            remove(target)
        self._note(name, {"key": key, "finished": False, "seconds": found.get("seconds", 0.0)})
        began = time.monotonic()
        logger.info("%s", name)
        try:
            make(target)
        finally:
            seconds = self.done[name]["seconds"] + time.monotonic() - began
            self._note(name, {"key": key, "finished": False, "seconds": round(seconds, 1)})
        self._note(name, {**self.done[name], "finished": True})
        return key

    def clear(self) -> None:
        """Remove everything that the stages made, and forget them."""
        for name in self.done:
            remove(self.root / inner_path(name))
        self.done.clear()
        self.write()

    def _note(self, name: str, value: dict[str, Any]) -> None:
        self.done[name] = value
        self.write()

    def write(self) -> None:
        """Write the manifest."""
        content = {
            "fairgen": __version__,
            "python": platform.python_version(),
            "platform": platform.platform(),
            "libraries": {name: version(name) for name in LIBRARIES},
            **self.notes,
            "stages": self.done,
        }
        write_json(self.root / MANIFEST, content)


def stage_key(name: str, inputs: Any) -> str:  # noqa: ANN401 - whatever JSON can hold
    """Return the key of a stage with these inputs."""
    return value_digest([name, inputs])


def open_stages(root: Path, notes: Mapping[str, Any]) -> Stages:
    """Return the record of a run folder, new or from an earlier run.

    Raises:
        StudyError: If the folder holds something else than a run, or cannot be written.
    """
    path = root / MANIFEST
    if path.is_file():
        done = read_mapping(path, StudyError, "that of a run, or another --out").get("stages")
        if not isinstance(done, dict) or not all(isinstance(s, dict) for s in done.values()):
            raise StudyError(f"{path}: is no manifest of a run; give another --out")
        return Stages(root, done, dict(notes))
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise StudyError(f"{root}: exists and is no run; give another --out")
    stages = Stages(root, {}, dict(notes))
    stages.write()
    return stages


def check_run(root: Path) -> None:
    """Raise unless a folder holds a run, finished or not.

    Raises:
        StudyError: If not.
    """
    if not root.is_dir():
        raise StudyError(f"{root}: no such folder; expected the folder of a run")
    if (root / STUDY).is_file() or (root / "scores.jsonl").is_file():
        return
    path = root / MANIFEST
    if not path.is_file() or "stages" not in read_mapping(path, StudyError, "that of a run"):
        raise StudyError(
            f"{root}: is no run ({STUDY}, scores.jsonl and a run's {MANIFEST} are missing); "
            "expected a folder that `fairgen run` made"
        )


def remove(target: Path) -> None:
    """Remove a file or a folder, if there is one."""
    if target.is_dir() and not target.is_symlink():
        shutil.rmtree(target)
    else:
        target.unlink(missing_ok=True)

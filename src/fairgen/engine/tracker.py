"""The experiment tracker: each training is one run of it, which a resumed training goes on with."""

import json
import logging
import os
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from accelerate import Accelerator

from fairgen.engine.training import Training
from fairgen.errors import CheckpointError, Stopped, StudyError
from fairgen.files.atomic import write_errors, write_json
from fairgen.files.mapping import read_mapping

logger = logging.getLogger(__name__)
PROJECT = "fairgen"
RUN = "tracker.json"
"""File of a training's folder that names the tracker's run."""
TOLD = ("method", "settings", "base", "seed", "key")
"""What of a training's recipe the tracker gets; the rest speaks of the cohort."""


@contextmanager
def tracking(training: Training, out: Path, recipe: Mapping[str, Any]) -> Iterator[bool]:
    """Start the tracker's run, or go on with the one that an earlier start of the training began.

    A block that fails closes it as failed; one that ends well has called ``end_training``.

    Args:
        training: The training.
        out: Its folder.
        recipe: What ``describe_training`` returns.

    Yields:
        Whether the run was there before.

    Raises:
        StudyError: If the tracker cannot start, or its run cannot be noted.
    """
    accelerator, name = training.accelerator, training.settings.tracker
    if name == "none":
        yield False
        return
    run = _known(out / RUN, str(recipe["key"]))
    with _quiet_writer():
        if accelerator.is_main_process:
            with write_errors(out):
                _start(accelerator, name, out, run, recipe)
        try:
            yield run is not None
        except Stopped:
            raise
        except BaseException:
            if accelerator.is_main_process:
                _close_failed(accelerator, name)
            raise


def tell(accelerator: Accelerator, line: Mapping[str, Any]) -> None:
    """Tell the tracker all numbers of a line of the log; a service that fails costs a warning.

    Raises:
        OSError: If they cannot be written.
    """
    numbers = {k: v for k, v in flat(line).items() if isinstance(v, int | float) and k != "step"}
    try:
        accelerator.log(numbers, step=line["step"])
    except OSError:
        raise
    except Exception as error:  # noqa: BLE001 - each tracker has errors of its own
        logger.warning("tracker: step %d is not reported (%s)", line["step"], error)


def flat(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return nested values under one name each, such as ``parts/denoising``.

    Letters, digits, ``_``, ``-`` and ``.`` stay, as every tracker takes them; the rest becomes
    ``_``, and one ``_`` more where two names would be the same.
    """
    found: dict[str, Any] = {}
    taken: set[str] = set()
    for key, value in values.items():
        name = re.sub(r"[^-\w.]", "_", key)
        while name in taken:
            name += "_"
        taken.add(name)
        if isinstance(value, Mapping):
            found |= {f"{name}/{below}": v for below, v in flat(value).items()}
        else:
            found[name] = value
    return found


def _start(
    accelerator: Accelerator, name: str, out: Path, run: str | None, recipe: Mapping[str, Any]
) -> None:
    """Start the tracker, and note its run if that is new."""
    own: dict[str, dict[str, Any]] = {
        "wandb": {
            "id": run,
            "resume": "allow",
            "name": out.name,
            "dir": os.environ.get("WANDB_DIR", str(out)),
        },
        "mlflow": {"run_id": run, "run_name": out.name},
    }
    told = {k: _plain(v) for k, v in flat({k: recipe[k] for k in TOLD}).items()}
    try:
        accelerator.init_trackers(PROJECT, told if run is None else None, own)
    except OSError:
        raise
    except Exception as error:
        raise StudyError(
            f"tracker: {name} cannot start its run in {out} ({error}); expected one that can, or "
            f"tracker=none"
        ) from error
    if run is None:
        began = RUNS[name](accelerator.get_tracker(name, unwrap=True))
        write_json(out / RUN, {"key": recipe["key"], "run": began})


RUNS: Mapping[str, Callable[[Any], str]] = {
    "tensorboard": lambda writer: Path(writer.log_dir).name,
    "wandb": lambda run: run.id,
    "mlflow": lambda run: run.info.run_id,
}
"""What each tracker calls a run."""


def _plain(value: Any) -> bool | int | float | str:  # noqa: ANN401 - whatever a recipe holds
    """Return a value as trackers take it."""
    return value if isinstance(value, bool | int | float | str) else json.dumps(value)


def _known(path: Path, key: str) -> str | None:
    """Return the run that a start of the same training noted, if there was one."""
    if not path.is_file():
        return None
    found = read_mapping(path, CheckpointError, "what a training wrote, or none")
    return found["run"] if found.get("key") == key and isinstance(found.get("run"), str) else None


def _close_failed(accelerator: Accelerator, name: str) -> None:
    """Close the tracker's run as one that failed; the failure itself is being told."""
    run = accelerator.get_tracker(name, unwrap=True)
    try:
        if name == "wandb":
            run.finish(exit_code=1)
        elif name == "mlflow":
            run.__exit__(RuntimeError, None, None)  # a run's own way to end as failed
        else:
            run.close()
    except Exception as error:  # noqa: BLE001 - each tracker has errors of its own
        logger.warning("tracker: %s cannot be closed (%s)", name, error)


@contextmanager
def _quiet_writer() -> Iterator[None]:
    """Keep TensorBoard's thread from printing a traceback; its next call raises the same error."""
    usual = threading.excepthook

    def hook(seen: threading.ExceptHookArgs) -> None:
        if type(seen.thread).__name__ != "_AsyncWriterThread":
            usual(seen)

    threading.excepthook = hook
    try:
        yield
    finally:
        threading.excepthook = usual

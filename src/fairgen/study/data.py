"""The first stage of a run: a split cohort folder from whatever the study names."""

import json
import shutil
from pathlib import Path
from typing import Any

from fairgen.errors import StudyError
from fairgen.files.atomic import fresh_folder
from fairgen.files.digest import file_digest
from fairgen.files.folder import read_cohort
from fairgen.files.layout import split_folder
from fairgen.intake.phantom import write_phantom
from fairgen.intake.table import import_table
from fairgen.study.config import Study


def data_inputs(study: Study) -> Any:  # noqa: ANN401 - JSON
    """Return what the cohort depends on: the settings, and the table's or cohort's content."""
    data = study.data
    settings = json.loads(data.model_dump_json())
    root = data.root
    if root is None:
        return [settings, study.split.model_dump()]
    if not root.is_dir():
        raise StudyError(f"data.root: {root}: no such folder")
    table = root / data.file if data.table else root / "cohort.json"
    if not table.is_file():
        raise StudyError(f"data: {table}: no such file")
    return [settings, study.split.model_dump(), file_digest(table)]


def make_cohort(study: Study, out: Path) -> None:
    """Make and split the study's cohort."""
    data = study.data
    if data.phantom is not None:
        p = data.phantom
        write_phantom(p.name, out, count=p.count, size=p.size, seed=p.seed)
    elif data.root is not None and data.table is not None:
        named = {k: getattr(data.table, k) for k in ("images", "terms", "salt")}
        inside = {k: None if path is None else data.root / path for k, path in named.items()}
        spec = data.table.model_copy(update=inside)
        import_table(data.root / data.file, out=out, spec=spec)
    elif data.root is not None and not out.exists():
        read_cohort(data.root)
        with fresh_folder(out) as partial:
            shutil.copytree(data.root, partial, dirs_exist_ok=True)
    split_folder(out, study.split)

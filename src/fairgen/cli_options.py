"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

Out = Annotated[Path, typer.Option("--out", help="Folder to make.")]
CohortPath = Annotated[Path, typer.Option("--cohort", help="Cohort folder.")]
Seed = Annotated[int, typer.Option("--seed", help="Seed of every draw.", min=0)]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Assignments = Annotated[
    list[str] | None, typer.Option("--set", help="A setting, as KEY=VALUE; repeatable.")
]

"""Where the files of a plan lie: found by name before the first of them is opened."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from os import scandir
from pathlib import Path
from typing import Literal

from fairgen.errors import CohortError
from fairgen.intake.sources.plan import Item, Where

Names = Mapping[str, tuple[Path, ...]]


def locate(
    items: Iterable[Item], absent: Literal["drop", "error"]
) -> tuple[list[tuple[Item, Path]], int]:
    """Return each item with its file, and how many have none.

    Args:
        items: The images of a plan.
        absent: What to do if a file is missing.

    Raises:
        CohortError: If a file is missing and ``absent`` says to stop, several files fit, or one is
            a link out of the release's folder; the message names the row.
    """
    found: list[tuple[Item, Path]] = []
    folders: dict[Where, tuple[Path, ...]] = {}
    names: dict[Where, Names] = {}
    missing = 0
    for item in items:
        where = item.where
        if where not in folders:
            folders[where] = expanded(where)
            names[where] = listing(folders[where])
        path = one_of(item, candidates(item.file, folders[where], names[where]))
        if path is None:
            missing += 1
            refuse_absence(item, absent)
        else:
            found.append((item, path))
    return found, missing


def expanded(where: Where) -> tuple[Path, ...]:
    """Return the folders in which a release's images may lie, each once."""
    found = [
        path
        for pattern in where.folders
        for path in (sorted(where.root.glob(pattern)) if pattern else [where.root])
        if path.is_dir()
    ]
    return tuple(dict.fromkeys(found))


def listing(folders: Iterable[Path]) -> Names:
    """Return the files in the folders themselves by name."""
    found: dict[str, list[Path]] = defaultdict(list)
    for folder in folders:
        with scandir(folder) as entries:
            for entry in entries:
                if entry.is_file():
                    found[entry.name].append(Path(entry.path))
    return {name: tuple(paths) for name, paths in found.items()}


def candidates(file: str, folders: Iterable[Path], names: Names) -> list[Path]:
    """Return the files that a name or pattern fits."""
    if "/" in file:
        if "*" in file:
            return [path for folder in folders for path in sorted(folder.glob(file))]
        return [folder / file for folder in folders if (folder / file).is_file()]
    if "*" in file:
        fitting = sorted(name for name in names if fnmatchcase(name, file))
        return [path for name in fitting for path in names[name]]
    return list(names.get(file, ()))


def one_of(item: Item, found: list[Path]) -> Path | None:
    """Return the one file that fits, or ``None`` if none does.

    Raises:
        CohortError: If several do, or it is a link out of the release's folder.
    """
    place = f"{item.where.table}: row {item.number}"
    if len(found) > 1:
        listed = ", ".join(str(path.relative_to(item.where.root)) for path in found)
        raise CohortError(f"{place}: '{item.file}' fits {listed}; expected one file")
    if found and not found[0].resolve().is_relative_to(item.where.root.resolve()):
        raise CohortError(f"{place}: '{found[0]}' is a link out of the folder")
    return found[0] if found else None


def refuse_absence(item: Item, absent: Literal["drop", "error"]) -> None:
    """Raise if a missing file is a mistake.

    Raises:
        CohortError: If so.
    """
    if absent == "error":
        where = item.where
        looked = ", ".join(str(where.root / folder) for folder in where.folders)
        raise CohortError(
            f"{where.table}: row {item.number}: no file '{item.file}' in {looked}; expected it "
            "there, or absent = drop"
        )

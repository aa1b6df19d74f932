"""Files that are written all together or not at all, and over nothing that is there."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from loadcheck.errors import DraftError, Problem


def write_all(folder: Path, files: Mapping[str, bytes], examine: Callable[[Path], None]) -> None:
    """Write files into a folder, which is made if it is not there.

    Args:
        folder: The folder.
        files: Name → content.
        examine: Is called with a folder beside it that holds the files; what it raises ends it all.

    Raises:
        DraftError: One of the files is there already, or cannot be written; nothing was changed.
    """
    place = folder.resolve()  # beside "." and ".." as well
    made = _with_parents(folder, place)
    try:
        _refuse_present(folder, files)
        stage = Path(tempfile.mkdtemp(prefix=f".{place.name}-", dir=place.parent))
        try:
            for name, content in files.items():
                (stage / name).write_bytes(content)
            examine(stage)
            _move(stage, folder, files)
        finally:
            shutil.rmtree(stage, ignore_errors=True)
    except OSError as error:
        _remove(made)
        raise _unwritable(folder, error) from error
    except BaseException:
        _remove(made)
        raise


def _with_parents(folder: Path, place: Path) -> list[Path]:
    """Make the folders above one, and return those that were not there, the deepest first."""
    missing = [each for each in place.parents if not each.exists()]
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        _remove(missing)
        raise _unwritable(folder, error) from error
    return missing


def _remove(folders: list[Path]) -> None:
    for each in folders:
        try:
            each.rmdir()
        except OSError:
            return  # somebody else has put something into it


def _refuse_present(folder: Path, files: Mapping[str, bytes]) -> None:
    if folder.exists() and not folder.is_dir():
        message, remedy = "is there and is no folder", "name another one: --into FOLDER"
        raise DraftError(Problem(message=message, file=str(folder), remedy=remedy))
    present = [name for name in files if os.path.lexists(folder / name)]
    if present:
        remedy = "nothing is written over: move it away, or write elsewhere: --into FOLDER"
        raise DraftError(
            Problem(message="is there already", file=str(folder / name), remedy=remedy)
            for name in present
        )


def _move(stage: Path, folder: Path, files: Mapping[str, bytes]) -> None:
    """Give the files their names; a link does not replace what has appeared meanwhile."""
    new = not folder.exists()
    folder.mkdir(exist_ok=True)
    done: list[Path] = []
    try:
        for name in files:
            (folder / name).hardlink_to(stage / name)
            done.append(folder / name)
    except OSError:
        for path in done:
            path.unlink(missing_ok=True)
        if new:
            _remove([folder])
        raise


def _unwritable(folder: Path, error: OSError) -> DraftError:
    file = str(error.filename2 or folder) if isinstance(error, FileExistsError) else str(folder)
    reason = str(error.strerror or error).lower()
    remedy = "write elsewhere: --into FOLDER"
    return DraftError(Problem(message=f"cannot be written: {reason}", file=file, remedy=remedy))

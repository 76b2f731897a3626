"""Files that are written whole or not at all, with errors that say what to do."""

from __future__ import annotations

import errno
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from rnnpose_ros.errors import OutputError

_REMEDIES = {
    errno.ENOSPC: "the disk is full: make room, then run the same command again",
    errno.EDQUOT: "the disk quota is used up: make room, then run the same command again",
    errno.EFBIG: "the file would be larger than this shell allows (ulimit -f)",
    errno.EROFS: "the file system is read-only: choose another folder",
    errno.EACCES: "no permission: choose a folder that you may write to",
    errno.EPERM: "no permission: choose a folder that you may write to",
    errno.EEXIST: "a file stands where a folder is needed",
    errno.ENOTDIR: "a file stands where a folder is needed",
}


def make_folder(folder: Path) -> None:
    """Makes a folder and those above it, where they are missing.

    Raises:
        OutputError: It cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(folder, error) from None


def write_whole(path: Path, content: bytes | str) -> None:
    """Writes a file beside its place and then moves it there, so that nobody ever sees half of it.

    Raises:
        OutputError: It cannot be written; a file that was there before is left as it was.
    """
    partial = path.with_name(f"{path.name}.partial")
    try:
        with partial.open("wb") as file:
            file.write(content.encode("utf-8") if isinstance(content, str) else content)
            file.flush()
            # Without this a power cut may leave the new name with nothing behind it.
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        _forget(partial)
        raise cannot_write(path, error) from None


def keep_newest(folder: Path, pattern: str, *, count: int) -> None:
    """Drops the files of a cache that were unused for longest, where there are more than so many."""
    with suppress(OSError):
        for path in sorted(folder.glob(pattern), key=_last_use)[:-count]:
            _forget(path)


def write_json(path: Path, content: Any) -> None:
    """Writes JSON, entry by line at the first level, whole or not at all.

    Raises:
        OutputError: See :func:`write_whole`.
    """
    write_whole(path, json_text(content))


def json_text(content: Any) -> str:
    """JSON with each entry of the outermost object or list on a line of its own."""
    if isinstance(content, dict) and content:
        lines = [f"  {json.dumps(str(key))}: {json.dumps(value)}" for key, value in content.items()]
        return "{\n" + ",\n".join(lines) + "\n}\n"
    if isinstance(content, list) and content:
        return "[\n" + ",\n".join(f"  {json.dumps(value)}" for value in content) + "\n]\n"
    return json.dumps(content) + "\n"


def cannot_write(path: Path, error: OSError) -> OutputError:
    """What to raise when the system refuses to write."""
    remedy = _REMEDIES.get(error.errno or 0, error.strerror or str(error))
    return OutputError(f"cannot write {path}: {remedy}")


def _last_use(path: Path) -> float:
    try:
        return path.stat().st_atime
    except OSError:
        return 0.0


def _forget(path: Path) -> None:
    with suppress(OSError):
        path.unlink(missing_ok=True)

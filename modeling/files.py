"""Files that are either whole or not there: a temp file beside the target, fsync, rename."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from modeling.errors import ModelingError


def disk_error(target: Path, error: OSError) -> ModelingError:
    """What the system said about writing `target`, in one line."""
    return ModelingError(
        f"{target} could not be written: {error.strerror or error}; free some space or check the rights"
    )


def sync(path: Path) -> None:
    """Bring a file, or the names in a folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def temporary_beside(target: Path, suffix: str = ".tmp") -> Iterator[Path]:
    """A path for a temp file beside `target` that becomes `target` when the block ends well, and is removed if not.

    The suffix is for libraries that tell a format by its ending. An OSError inside comes out as a ModelingError.
    """
    temporary: Path | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}-", suffix=suffix)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        temporary.chmod(0o644)  # mkstemp gives 0600; these files are for others to read too
        sync(temporary)
        temporary.replace(target)
        sync(target.parent)
    except OSError as error:
        raise disk_error(target, error) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_file(target: Path) -> Iterator[IO[bytes]]:
    """A binary file to write that becomes `target` when the block ends well."""
    with temporary_beside(target) as temporary, temporary.open("wb") as stream:
        yield stream


@contextlib.contextmanager
def atomic_folder(target: Path) -> Iterator[Path]:
    """A new folder that takes the place of `target` (an earlier one is removed) when the block ends well."""
    temporary: Path | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}-"))
        temporary.chmod(0o755)
        yield temporary
        for file in temporary.iterdir():
            sync(file)
        if target.is_dir():
            shutil.rmtree(target)
        temporary.replace(target)
        sync(target.parent)
    except OSError as error:
        raise disk_error(target, error) from error
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)


def write_text(target: Path, text: str) -> None:
    """Write `text` to `target` as UTF-8, whole or not at all."""
    with atomic_file(target) as stream:
        stream.write(text.encode())


def write_json(target: Path, value: Any) -> None:
    """Write `value` to `target` as indented JSON, whole or not at all."""
    write_text(target, json.dumps(value, indent=2, allow_nan=False) + "\n")


def read_json(path: Path, what: str) -> dict[str, Any]:
    """The JSON object in `path`; a ModelingError that calls it `what` where it is missing or damaged."""
    try:
        value = json.loads(path.read_text())
    except FileNotFoundError:
        raise ModelingError(f"{path} is missing: {what}") from None
    except (OSError, ValueError) as error:
        raise ModelingError(f"{path} cannot be read ({error}): {what}") from None
    if not isinstance(value, dict):
        raise ModelingError(f"{path} holds no JSON object: {what}")
    return value

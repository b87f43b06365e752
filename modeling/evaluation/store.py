"""Arrays of a set of clips on the disk, a row a clip, so that memory does not grow with the clips.

Each is NAME.npy with NAME.json beside it (its SHA-256 and size); it is whole or not there, and one that is damaged is
remade with a remark.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modeling.errors import ModelingError
from modeling.files import disk_error, sync, write_json

Array = NDArray[Any]
PART = "part-"  #            folders of arrays that are being made
FORGOTTEN = 24 * 3600.0  #   seconds after which such a folder was left by a kill


@dataclass(frozen=True)
class Spec:
    """What one row of an array is."""

    shape: tuple[int, ...]
    dtype: str

    def bytes(self, rows: int) -> int:
        return rows * int(np.prod(self.shape, dtype=np.int64)) * np.dtype(self.dtype).itemsize


def key_of(about: Mapping[str, Any]) -> str:
    """A short name for what `about` says, in plain values."""
    return hashlib.sha256(json.dumps(about, sort_keys=True, allow_nan=False).encode()).hexdigest()[:20]


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


class FeatureStore:
    """The arrays of the clips that `about` describes, in a folder of `home` that is named by it."""

    def __init__(self, home: Path, about: Mapping[str, Any], say: Callable[[str], None]) -> None:
        self.folder, self._about, self._say = home / key_of(about), about, say

    def read(self, name: str, rows: int, spec: Spec) -> Array | None:
        """The array `name`, mapped into memory; None where it is not there, or was damaged (which is said)."""
        path = self.folder / f"{name}.npy"
        if not path.exists():
            return None
        reason = self._damage(path)
        if reason is None:
            try:
                array: Array = np.load(path, mmap_mode="c", allow_pickle=False)
            except (OSError, ValueError) as error:
                reason = str(error).splitlines()[0]
            else:
                if array.shape == (rows, *spec.shape) and array.dtype == np.dtype(spec.dtype):
                    return array
                reason = f"it holds {array.dtype} {array.shape}"
        self._say(f"{path} is damaged ({reason}): it is made anew")
        return None

    @staticmethod
    def _damage(path: Path) -> str | None:
        try:
            recorded = json.loads(path.with_suffix(".json").read_text())
            wanted = str(recorded["sha256"]), int(recorded["bytes"])
        except (OSError, ValueError, KeyError, TypeError):
            return "its checksum is missing"
        if path.stat().st_size != wanted[1]:
            return f"it has {path.stat().st_size} bytes of {wanted[1]}"
        return None if sha256_of(path) == wanted[0] else "its checksum differs"

    @contextlib.contextmanager
    def writing(self, specs: Mapping[str, Spec], rows: int) -> Iterator[dict[str, Array]]:
        """Arrays of `rows` rows to fill; they become part of the store when the block ends well."""
        part: Path | None = None
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._tidy()
            needed = sum(spec.bytes(rows) for spec in specs.values())
            free = shutil.disk_usage(self.folder).free
            if needed > free:
                raise ModelingError(
                    f"{self.folder} needs {needed / 2**30:.1f} GiB for the features of {rows} clips and the disk has "
                    f"{free / 2**30:.1f}: free some space, or take fewer clips with --limit"
                )
            part = Path(tempfile.mkdtemp(dir=self.folder, prefix=PART))
            arrays: dict[str, Array] = {
                name: np.lib.format.open_memmap(
                    part / f"{name}.npy", mode="w+", dtype=np.dtype(spec.dtype), shape=(rows, *spec.shape)
                )
                for name, spec in specs.items()
            }
            yield arrays
            for array in arrays.values():
                assert isinstance(array, np.memmap)
                array.flush()
            arrays.clear()
            write_json(self.folder / "about.json", dict(self._about))
            for name in specs:
                self._keep(part / f"{name}.npy", self.folder / f"{name}.npy")
        except OSError as error:
            raise disk_error(self.folder, error) from error
        finally:
            if part is not None:
                shutil.rmtree(part, ignore_errors=True)

    @staticmethod
    def _keep(made: Path, target: Path) -> None:
        made.chmod(0o644)
        sync(made)
        record = {"sha256": sha256_of(made), "bytes": made.stat().st_size}
        target.with_suffix(".json").unlink(missing_ok=True)  # between the two renames it is damaged, not wrong
        made.replace(target)
        write_json(target.with_suffix(".json"), record)

    def _tidy(self) -> None:
        """Remove what a kill left long ago; another process may be filling a newer one."""
        for left in self.folder.glob(f"{PART}*"):
            with contextlib.suppress(FileNotFoundError):
                if time.time() - left.stat().st_mtime > FORGOTTEN:
                    shutil.rmtree(left, ignore_errors=True)


def writable_home(*wanted: Path) -> Path:
    """The first of these folders that can be made and written to; ModelingError where none can."""
    for folder in wanted:
        with contextlib.suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            if os.access(folder, os.W_OK | os.X_OK):
                return folder
    raise ModelingError(f"features can be kept in none of {', '.join(map(str, wanted))}: give a writable --out")

"""Exports that are killed or meet a full disk: nothing half-written has a real name; the next one does the rest."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from curation.commands import main
from db.shards import ShardReader
from tests.curation.export_cases import make_dataset

ROOT = Path(__file__).parents[2]
# The export, in a process that kills itself before or after the n-th call of a function.
KILLED = """
import importlib, itertools, os, sys
sys.path.insert(0, {root!r})
owner, name, when, number = {target!r}
module, _, kind = owner.partition(":")
place = importlib.import_module(module)
place = getattr(place, kind) if kind else place
real, calls = getattr(place, name), itertools.count(1)

def wrapper(*arguments, **options):
    call = next(calls)  # threads call it too
    if call == number and when == "before":
        os.kill(os.getpid(), 9)
    result = real(*arguments, **options)
    if call == number and when == "after":
        os.kill(os.getpid(), 9)
    return result

setattr(place, name, wrapper)
from curation.commands import main
main({arguments!r})
"""
POINTS = {
    "the first decode": ("curation.export_shards", "read_clip", "before", 1),
    "a decode in a later shard": ("curation.export_shards", "read_clip", "after", 5),
    "a clip half in": ("db.shard_part:Part", "write", "after", 2),
    "all written, no name": ("db.shard_part:Part", "finish", "after", 2),
    "named, not recorded": ("curation.export_shards", "record", "before", 2),
    "in the recording": ("curation.export_shards", "record", "after", 2),
    "recorded, next begins": ("curation.export", "make_shard", "after", 1),
    "all recorded": ("curation.export", "_publish", "before", 1),
    "before the manifest": ("curation.export", "write_manifest", "before", 1),
    "one manifest of two": ("db.manifest", "replacing", "before", 2),
    "after the manifest": ("curation.export", "write_manifest", "after", 1),
    "all but giving back": ("curation.export", "_publish", "after", 1),
}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("prepared") / "set"
    make_dataset(folder, {"a": "train", "b": "train", "c": "val"}).close()
    return folder


@pytest.fixture(scope="module")
def undisturbed(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The shards that an export gives which nothing happens to."""
    folder = Path(shutil.copytree(prepared, tmp_path_factory.mktemp("undisturbed") / "set"))
    assert curate(folder, "export")["clips"] == 6
    return shards(folder)


def options(dataset: Path, command: str) -> list[str]:
    return [command, "--dataset", str(dataset), "--json", *(["--size", "16"] if command == "export" else [])]


def curate(dataset: Path, command: str, status: int = 0) -> dict[str, Any]:
    result = CliRunner().invoke(main, options(dataset, command))
    assert result.exit_code == status, result.output
    return json.loads(result.stdout) if result.stdout else {"error": result.stderr.strip()}


def shards(dataset: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (dataset / "shards").glob("*.h5")}


@pytest.mark.parametrize("point", POINTS)
def test_a_killed_export_leaves_nothing_half_and_the_next_one_completes(
    prepared: Path, tmp_path: Path, undisturbed: dict[str, bytes], point: str
) -> None:
    dataset = Path(shutil.copytree(prepared, tmp_path / "set"))
    script = KILLED.format(root=str(ROOT), target=POINTS[point], arguments=options(dataset, "export"))
    killed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=120)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    for path in (dataset / "shards").glob("*.h5"):
        with ShardReader(path) as reader:
            assert reader.damaged_clips() == []
    told = curate(dataset, "export")
    assert told["clips"] == 6
    assert shards(dataset) == undisturbed
    assert list((dataset / "shards").glob(".*.part")) == []
    assert curate(dataset, "verify")["faults"] == 0
    assert curate(dataset, "export")["shards_written"] == 0


@pytest.fixture
def small_shards(prepared: Path, tmp_path: Path) -> Iterator[Path]:
    """A dataset whose shards folder has room for 100 kB: one of its two shards."""
    dataset = Path(shutil.copytree(prepared, tmp_path / "set"))
    folder = dataset / "shards"
    mount = ["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("a small file system needs root")
    yield dataset
    subprocess.run(["umount", folder], check=True)


def test_a_full_disk_is_one_line_and_freeing_it_is_enough(small_shards: Path, undisturbed: dict[str, bytes]) -> None:
    taken = small_shards / "shards" / "other"
    taken.write_bytes(bytes(64 * 1024))
    error = curate(small_shards, "export", status=1)["error"]
    assert len(error.splitlines()) == 1
    assert "train-00000.h5" in error
    assert "the disk is full" in error
    assert sorted(path.name for path in (small_shards / "shards").iterdir()) == [".lock", "other"]
    taken.unlink()
    # Room for the larger shard alone: it stays and counts.
    assert "val-00000.h5" in curate(small_shards, "export", status=1)["error"]
    assert shards(small_shards) == {"train-00000.h5": undisturbed["train-00000.h5"]}
    subprocess.run(["mount", "-o", "remount,size=1m", small_shards / "shards"], check=True)
    told = curate(small_shards, "export")
    assert (told["shards_kept"], told["shards_written"]) == (1, 1)
    assert shards(small_shards) == undisturbed
    assert curate(small_shards, "verify")["faults"] == 0


def test_ctrl_c_leaves_no_part_and_the_next_one_completes(
    prepared: Path, tmp_path: Path, undisturbed: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    import curation.export_shards

    dataset = Path(shutil.copytree(prepared, tmp_path / "set"))
    real, calls = curation.export_shards.read_clip, []

    def interrupted(*arguments: Any, **named: Any) -> Any:
        calls.append(arguments)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(*arguments, **named)

    monkeypatch.setattr(curation.export_shards, "read_clip", interrupted)
    result = CliRunner().invoke(main, options(dataset, "export"))
    assert result.exit_code == 1
    assert "Aborted" in result.output
    assert sorted(path.name for path in (dataset / "shards").iterdir()) == [".lock"]
    curate(dataset, "export")
    assert shards(dataset) == undisturbed


def test_two_exports_at_once_one_works_and_one_says_so(prepared: Path, tmp_path: Path) -> None:
    dataset = Path(shutil.copytree(prepared, tmp_path / "set"))
    slow = """
import sys, time
sys.path.insert(0, {root!r})
import curation.export_shards as place
real = place.read_clip
def slowly(*arguments, **options):
    sys.stdout.write("begun\\n")
    sys.stdout.flush()
    time.sleep(0.5)
    return real(*arguments, **options)
place.read_clip = slowly
from curation.commands import main
main({arguments!r})
"""
    script = slow.format(root=str(ROOT), arguments=options(dataset, "export"))
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "begun\n"
        error = curate(dataset, "export", status=1)["error"]
        assert error.endswith("is running; run this one again when it has ended")
        rest = first.stdout.read()
    assert first.returncode == 0
    assert json.loads(rest.splitlines()[-1])["clips"] == 6
    assert curate(dataset, "export")["new_version"] is False
    assert curate(dataset, "verify")["faults"] == 0

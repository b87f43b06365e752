"""Exports that are killed or meet a full disk: nothing half-written has a real name; the next one does the rest."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from curation.commands import main
from curation.exporting.webdataset_reader import open_shard
from tests.curation.export_cases import make_dataset
from tests.faults.killing import run_killed

ROOT = Path(__file__).parents[2]
POINTS = {
    "the first decode": ("curation.exporting.shards", "read_clip", "before", 1),
    "a decode in a later shard": ("curation.exporting.shards", "read_clip", "after", 5),
    "a clip half in": ("db.shard_part:Part", "write", "after", 2),
    "all written, no name": ("db.shard_part:Part", "finish", "after", 2),
    "named, not recorded": ("curation.exporting.shards", "record", "before", 2),
    "in the recording": ("curation.exporting.shards", "record", "after", 2),
    "recorded, next begins": ("curation.exporting.export", "make_shard", "after", 1),
    "all recorded": ("curation.exporting.export", "_publish", "before", 1),
    "before the manifest": ("curation.exporting.export", "write_manifest", "before", 1),
    "one manifest of two": ("db.manifest", "replacing", "before", 2),
    "after the manifest": ("curation.exporting.export", "write_manifest", "after", 1),
    "all but giving back": ("curation.exporting.export", "_publish", "after", 1),
}
# What is another in other codecs and formats.
OTHER_POINTS = {
    "jpeg": {
        "a clip half in": ("db.shard_part:Part", "_append", "after", 2),
        "all written, no name": ("db.shard_part:Part", "finish", "after", 2),
        "named, not recorded": ("curation.exporting.shards", "record", "before", 2),
    },
    "webdataset": {
        "a clip half in": ("curation.exporting.webdataset:TarWriter", "_add", "after", 30),
        "all written, no name": ("curation.exporting.webdataset", "sha256_of", "after", 2),
        "named, not recorded": ("curation.exporting.shards", "record", "before", 2),
        "one manifest of two": ("db.manifest", "replacing", "before", 2),
    },
}
WAYS = {"raw": [], "jpeg": ["--codec", "jpeg"], "webdataset": ["--format", "webdataset"]}
KILLS = [("raw", point, POINTS[point]) for point in POINTS] + [
    (way, point, target) for way, points in OTHER_POINTS.items() for point, target in points.items()
]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("prepared") / "set"
    make_dataset(folder, {"a": "train", "b": "train", "c": "val"}).close()
    return folder


@pytest.fixture(scope="module")
def undisturbed(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, bytes]]:
    """The shards that an export of each way gives which nothing happens to."""
    found = {}
    for way in WAYS:
        folder = Path(shutil.copytree(prepared, tmp_path_factory.mktemp("undisturbed") / "set"))
        assert curate(folder, "export", way=way)["clips"] == 6
        found[way] = shards(folder, way)
    return found


def options(dataset: Path, command: str, way: str = "raw") -> list[str]:
    extra = ["--size", "16", "--workers", "1", *WAYS[way]] if command == "export" else []
    return [command, "--dataset", str(dataset), "--json", *extra]


def curate(dataset: Path, command: str, status: int = 0, way: str = "raw") -> dict[str, Any]:
    result = CliRunner().invoke(main, options(dataset, command, way))
    assert result.exit_code == status, result.output
    return json.loads(result.stdout) if result.stdout else {"error": result.stderr.strip()}


def folder_of(dataset: Path, way: str) -> Path:
    return dataset / ("webdataset" if way == "webdataset" else "shards")


def shards(dataset: Path, way: str = "raw") -> dict[str, bytes]:
    files = (path for path in folder_of(dataset, way).iterdir() if path.suffix in (".h5", ".tar"))
    return {path.name: path.read_bytes() for path in files}


@pytest.mark.parametrize(("way", "point", "target"), KILLS, ids=lambda value: value if isinstance(value, str) else "")
def test_a_killed_export_leaves_nothing_half_and_the_next_one_completes(
    prepared: Path,
    tmp_path: Path,
    undisturbed: dict[str, dict[str, bytes]],
    way: str,
    point: str,
    target: tuple[str, str, str, int],
) -> None:
    dataset = Path(shutil.copytree(prepared, tmp_path / "set"))
    run_killed(target, options(dataset, "export", way))
    for name in shards(dataset, way):
        with open_shard(folder_of(dataset, way) / name) as reader:
            assert reader.damaged_clips() == []
    told = curate(dataset, "export", way=way)
    assert told["clips"] == 6
    assert shards(dataset, way) == undisturbed[way]
    assert list(folder_of(dataset, way).glob(".*.part")) == []
    result = CliRunner().invoke(main, ["verify", str(folder_of(dataset, way))])
    assert result.exit_code == 0, result.output
    if way != "webdataset":
        assert curate(dataset, "verify")["faults"] == 0
    assert curate(dataset, "export", way=way)["shards_written"] == 0


@pytest.fixture
def small_disk(prepared: Path, tmp_path: Path) -> Iterator[Path]:
    """A dataset whose shards and webdataset folders are file systems of their own, which `resize` sizes."""
    dataset = Path(shutil.copytree(prepared, tmp_path / "set"))
    (dataset / "webdataset").mkdir()
    mounted = []
    try:
        for name in ("shards", "webdataset"):
            mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(dataset / name)]
            if os.geteuid() or subprocess.run(mount, check=False, capture_output=True).returncode:
                pytest.skip("a small file system needs root")
            mounted.append(dataset / name)
        yield dataset
    finally:
        for folder in mounted:
            subprocess.run(["umount", folder], check=True)


def resize(folder: Path, pages: int) -> None:
    subprocess.run(["mount", "-o", f"remount,size={pages * 4}k", folder], check=True)


@pytest.mark.parametrize("way", WAYS)
def test_a_full_disk_is_one_line_and_freeing_it_is_enough(
    small_disk: Path, undisturbed: dict[str, dict[str, bytes]], way: str
) -> None:
    folder = folder_of(small_disk, way)
    train, val = (
        next((name, -(-len(content) // 4096)) for name, content in undisturbed[way].items() if name.startswith(split))
        for split in ("train", "val")
    )
    resize(folder, train[1] // 2)
    error = curate(small_disk, "export", status=1, way=way)["error"]
    assert len(error.splitlines()) == 1
    assert "train-00000" in error
    assert "the disk is full" in error
    assert {path.name for path in folder.iterdir()} <= {".lock"}
    # Room for the larger shard alone: it stays and counts.
    resize(folder, train[1] + val[1] - 1)
    assert "val-00000" in curate(small_disk, "export", status=1, way=way)["error"]
    assert shards(small_disk, way) == {train[0]: undisturbed[way][train[0]]}
    assert {path.name for path in folder.iterdir()} <= {".lock", train[0]}
    resize(folder, 250)
    told = curate(small_disk, "export", way=way)
    assert (told["shards_kept"], told["shards_written"]) == (1, 1)
    assert shards(small_disk, way) == undisturbed[way]
    assert CliRunner().invoke(main, ["verify", str(folder)]).exit_code == 0


def test_ctrl_c_leaves_no_part_and_the_next_one_completes(
    prepared: Path, tmp_path: Path, undisturbed: dict[str, dict[str, bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    import curation.exporting.shards

    dataset = Path(shutil.copytree(prepared, tmp_path / "set"))
    real, calls = curation.exporting.shards.read_clip, []

    def interrupted(*arguments: Any, **named: Any) -> Any:
        calls.append(arguments)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(*arguments, **named)

    monkeypatch.setattr(curation.exporting.shards, "read_clip", interrupted)
    result = CliRunner().invoke(main, options(dataset, "export"))
    assert result.exit_code == 1
    assert "Aborted" in result.output
    assert sorted(path.name for path in (dataset / "shards").iterdir()) == [".lock"]
    curate(dataset, "export")
    assert shards(dataset) == undisturbed["raw"]


def test_two_exports_at_once_one_works_and_one_says_so(prepared: Path, tmp_path: Path) -> None:
    dataset = Path(shutil.copytree(prepared, tmp_path / "set"))
    slow = """
import sys, time
sys.path.insert(0, {root!r})
import curation.exporting.shards as place
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

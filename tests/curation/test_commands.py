"""The `curate` command as a user meets it: a whole run, exit statuses, one-line errors, JSON."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from click.testing import CliRunner, Result

from curation.commands import COMMANDS, main
from db.engine import CATALOGUE
from db.shards import ShardReader, read_manifest

CURATE = Path(sys.executable).parent / "curate"


def curate(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """The installed command, in a process of its own."""
    environment = {name: value for name, value in os.environ.items() if name != "STILLFLOW_DATASET"}
    return subprocess.run(
        [CURATE, *map(str, arguments)], capture_output=True, text=True, cwd=cwd, env=environment, check=False
    )


def invoke(*arguments: object) -> Result:
    """The command in this process: quicker, but for worker processes and exit paths."""
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def one_line(result: subprocess.CompletedProcess[str] | Result) -> str:
    assert "Traceback" not in result.stderr
    lines = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert len(lines) == 1
    return lines[0]


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    assert invoke("init", tmp_path / "data").exit_code == 0
    return tmp_path / "data"


def test_every_command_helps_itself() -> None:
    for name in COMMANDS:
        result = invoke(name, "--help")
        assert result.exit_code == 0, result.output
        assert "--json" in result.output or name == "import", name
    assert invoke("nonsense").exit_code == 2
    assert "stillflow" in invoke("--version").output


def test_a_run_over_real_footage(dataset: Path, footage: Path) -> None:
    """Short real videos, one of them corrupt: it ends as corrupt, the status is 1, the others are in the shards."""
    names = ("ocean.mp4", "stream-of-water.mp4", "corrupted.mp4")
    assert invoke("add", "--dataset", dataset, *[footage / name for name in names]).exit_code == 0
    done = curate("run", "--dataset", dataset, "--accept-unreviewed", "--size", 64)
    assert done.returncode == 1, done.stderr
    assert "corrupted.mp4" in done.stderr
    assert "corrupt: " in done.stderr

    listed = json.loads(invoke("status", "--dataset", dataset, "--json").stdout)
    videos = {Path(video["source"]).name: video for video in listed["videos"]}
    assert videos["corrupted.mp4"]["state"] == "failed"
    assert videos["corrupted.mp4"]["error"].startswith("corrupt: ")
    clips = {Path(clip["source"]).name: clip for clip in listed["clips"]}
    assert {name: (clip["state"], clip["short"]) for name, clip in clips.items()} == {
        "ocean.mp4": ("accepted", False),
        "stream-of-water.mp4": ("accepted", True),
    }
    for name, clip in clips.items():
        with av.open(str(footage / name)) as container:
            stream = container.streams.video[0]
            frames = [
                frame.to_ndarray(format="rgb24")
                for frame in container.decode(stream)
                if clip["start"] <= (frame.pts - (stream.start_time or 0)) * stream.time_base < clip["end"]
            ]
        mean = sum(frame / 255.0 for frame in frames) / len(frames)
        variance = float(np.mean(sum((frame / 255.0 - mean) ** 2 for frame in frames) / len(frames)))
        assert clip["scores"]["variance"] == pytest.approx(variance, abs=1e-9)

    manifest = read_manifest(dataset / "shards")
    (entry,) = manifest.shards
    with ShardReader(dataset / "shards" / entry.file) as shard:
        assert {row.id for row in shard.rows} == {clip["id"] for clip in clips.values()}
        assert (shard.height, shard.width) == (64, 64)
    assert invoke("verify", "--dataset", dataset).exit_code == 0

    again = curate("run", "--dataset", dataset, "--accept-unreviewed", "--size", 64, "--json")
    assert again.returncode == 1  # the corrupt video still stands failed
    stages = {stage["command"]: stage for stage in json.loads(again.stdout)["stages"]}
    assert stages["download"]["downloaded"] == stages["cut"]["videos"] == stages["score"]["clips"] == 0
    assert stages["export"]["shards_written"] == 0


def test_a_run_without_failures_ends_well_and_names_the_review(
    dataset: Path, make_video: Callable[..., Path], tmp_path: Path
) -> None:
    path = make_video(tmp_path / "a.mp4", frames=100)
    assert invoke("add", "--dataset", dataset, path).exit_code == 0
    done = curate("run", "--length", 1, "--margin", 0, "--spacing", 0.5, cwd=dataset)
    assert done.returncode == 0, done.stderr
    assert "3 clips await your review" in done.stdout
    assert "next: curate annotate" in done.stdout


def test_what_is_no_dataset(tmp_path: Path) -> None:
    for command in ("status", "download", "cut", "score", "filter", "preview", "export", "verify", "split", "run"):
        result = invoke(command, "--dataset", tmp_path / "none")
        assert result.exit_code == 2, (command, result.output)
        assert "curate init" in one_line(result)
    (tmp_path / CATALOGUE).write_bytes(os.urandom(5000))
    assert CATALOGUE in one_line(invoke("status", "--dataset", tmp_path))


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    result = invoke("init", tmp_path / "file" / "data")
    assert result.exit_code == 2
    assert "file" in one_line(result)


@pytest.mark.parametrize(
    "arguments",
    [["cut", "--length", "0"], ["cut", "--margin", "-1"], ["filter", "--min-variance", "2"], ["cut", "--workers", "0"]],
)
def test_settings_that_cannot_be(dataset: Path, arguments: list[str]) -> None:
    result = invoke(*arguments, "--dataset", dataset)
    assert result.exit_code == 2
    assert "Traceback" not in result.output


def test_the_dataset_can_come_from_the_environment(dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STILLFLOW_DATASET", str(dataset))
    assert json.loads(invoke("status", "--json").stdout) == {"videos": [], "clips": []}


def test_filter_answers_without_decoding(dataset: Path, make_video: Callable[..., Path], tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", frames=60)
    invoke("add", "--dataset", dataset, path)
    for command in ("download", "cut", "score"):
        assert invoke(command, "--dataset", dataset, "--workers", 1).exit_code == 0
    path.unlink()
    dry = invoke("filter", "--dataset", dataset, "--dry-run")
    assert dry.exit_code == 0
    assert "nothing was changed" in dry.output
    assert "<- threshold" in dry.output or "#" in dry.output
    told = json.loads(invoke("filter", "--dataset", dataset, "--min-variance", "0.9", "--json").stdout)
    assert (told["kept"], told["newly_filtered"]) == (0, 1)
    assert json.loads(invoke("filter", "--dataset", dataset, "--json").stdout)["kept"] == 0  # the rule is saved
    told = json.loads(invoke("filter", "--dataset", dataset, "--min-variance", "0.001", "--json").stdout)
    assert (told["kept"], told["newly_kept"]) == (1, 1)


def test_init_while_another_command_works(dataset: Path) -> None:
    from db.engine import open_catalogue

    with open_catalogue(dataset):
        result = invoke("init", dataset)
    assert result.exit_code == 2
    assert "in use by another command" in one_line(result)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_a_full_disk_is_one_line_and_nothing_is_lost(make_video: Callable[..., Path], tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", small], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"no tmpfs can be mounted here: {mounted.stderr.decode().strip()}")
    try:
        assert invoke("init", small / "data").exit_code == 0
        video = make_video(tmp_path / "a.mp4", frames=120, height=360, width=640)
        assert invoke("add", "--dataset", small / "data", video).exit_code == 0
        for command in ("download", "cut", "score", "filter"):
            arguments = ["--keep-free", 0] if command == "download" else []
            assert invoke(command, "--dataset", small / "data", *arguments).exit_code == 0, command
        filler = small / "filler"
        with pytest.raises(OSError, match="No space left"), filler.open("wb", buffering=0) as stream:
            while True:
                stream.write(bytes(4096))
        full = curate("preview", "--dataset", small / "data")
        # Full to the last byte, even SQLite's own files cannot be written: then the command cannot begin at all.
        assert full.returncode in (1, 2)
        assert "disk" in one_line(full)
        assert "full" in one_line(full)
        assert list((small / "data" / "previews").iterdir()) == []
        filler.unlink()
        assert curate("preview", "--dataset", small / "data").returncode == 0
        assert len(list((small / "data" / "previews").iterdir())) == 1
    finally:
        subprocess.run(["umount", small], check=True)

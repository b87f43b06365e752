"""Take-downs, prunes and clip files that are killed for good: the same command again finishes them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import CliRunner

from curation.commands import main
from curation.probe import probe
from db.engine import open_catalogue
from db.models import Clip, Recipe, Video
from db.shards import ShardReader
from tests.curation.export_cases import make_dataset
from tests.faults.killing import run_killed

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("prepared") / "set"
    with make_dataset(folder, {"a": "train", "b": "train", "c": "val"}) as catalogue, catalogue.writing() as session:
        session.execute(sa.update(Video).values(cut_recipe=sa.select(Recipe.hash).scalar_subquery()))
    curate(folder, "export", "--size", "16")
    return folder


@pytest.fixture
def dataset(prepared: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(prepared, tmp_path / "set"))


def curate(folder: Path, *arguments: str, status: int = 0) -> dict[str, Any]:
    result = CliRunner().invoke(main, [arguments[0], "--dataset", str(folder), "--json", *arguments[1:]])
    assert result.exit_code == status, result.output
    return json.loads(result.stdout) if result.stdout else {"error": result.stderr.strip()}


def kill(folder: Path, target: tuple[str, str, str, int], *arguments: str) -> None:
    command = [arguments[0], "--dataset", str(folder), *arguments[1:]]
    run_killed(target, command)


TAKEDOWN = {
    "buried": ("curation.upkeep.takedown", "_purge", "before", 1),
    "some media deleted": ("pathlib:Path", "unlink", "after", 2),
    "a shard half copied": ("db.shard_part:Part", "write", "after", 1),
    "copied, not recorded": ("curation.exporting.rewrite", "record", "before", 1),
    "one manifest of two": ("db.manifest", "replacing", "before", 2),
    "published": ("curation.upkeep.takedown", "_delete_shards", "before", 1),
    "deleted": ("curation.upkeep.takedown", "_delete_shards", "after", 1),
}


@pytest.mark.parametrize("point", TAKEDOWN)
def test_a_killed_take_down_is_finished(prepared: Path, dataset: Path, tmp_path: Path, point: str) -> None:
    undisturbed = Path(shutil.copytree(prepared, tmp_path / "undisturbed"))
    curate(undisturbed, "takedown", "file-a")
    kill(dataset, TAKEDOWN[point], "takedown", "file-a")
    for path in (dataset / "shards").glob("*.h5"):
        with ShardReader(path) as reader:
            assert reader.damaged_clips() == []
    curate(dataset, "takedown")
    kept = [
        {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.[hm][5p]*") if path.is_file()}
        for folder in (dataset, undisturbed)
    ]
    assert kept[0] == kept[1] != {}
    assert curate(dataset, "verify")["faults"] == 0
    assert curate(dataset, "export", "--size", "16")["new_version"] is False


def test_killed_clip_files_and_prunes_leave_nothing_half(dataset: Path) -> None:
    files = ["cut", "--materialise", "--workers", "1"]
    kill(dataset, ("curation.cutting.materialise", "_encode", "after", 2), *files)
    kill(dataset, ("curation.cutting.materialise", "_store", "before", 2), *files)
    assert curate(dataset, *files)["failed"] == 0
    with open_catalogue(dataset) as catalogue, catalogue.reading() as session:
        clips = session.scalars(sa.select(Clip)).all()
    assert len(clips) == 6
    for clip in clips:
        assert probe(dataset / str(clip.path)).frames == clip.frame_count
    kill(dataset, ("curation.upkeep.prune", "remove", "before", 1), "prune")
    kill(dataset, ("curation.upkeep.prune", "_say_so", "after", 1), "prune")
    curate(dataset, "prune")
    assert curate(dataset, "export", "--size", "24")["clips"] == 6
    assert curate(dataset, "verify")["faults"] == 0

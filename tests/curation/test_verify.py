"""`curate verify`: whatever is planted is found, named, and nothing else is."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import sqlalchemy as sa
from click.testing import CliRunner

from curation.commands import main
from db.engine import CATALOGUE
from db.recipes import recipe_hash
from db.shards import ClipRow, ShardEntry, ShardReader, read_manifest, write_manifest, write_shard
from tests.curation.export_cases import make_dataset


def curate(*arguments: str) -> tuple[int, dict[str, Any], str]:
    result = CliRunner().invoke(main, [arguments[0], "--json", *arguments[1:]])
    return result.exit_code, json.loads(result.stdout) if result.stdout else {}, result.stderr


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export of four shards."""
    folder = tmp_path_factory.mktemp("prepared") / "set"
    make_dataset(folder, {"a": "train", "b": "train", "c": "val", "d": "test"}).close()
    clip = 25 * 16 * 16 * 3
    status, _, _ = curate("export", "--dataset", str(folder), "--size", "16", "--shard-size", str(2 * clip))
    assert status == 0
    return folder


@pytest.fixture
def dataset(prepared: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(prepared, tmp_path / "set"))


def faults(dataset: Path) -> list[tuple[str, str, str]]:
    """(file, against, message) of each fault; the exit status agrees."""
    status, told, _ = curate("verify", "--dataset", str(dataset))
    assert status == (1 if told["failures"] else 0)
    assert told["faults"] == len(told["failures"])
    return [(failure["item"], failure["source"], failure["error"]) for failure in told["failures"]]


def change(dataset: Path, statement: str) -> None:
    """Change the catalogue behind everybody's back."""
    engine = sa.create_engine(f"sqlite:///{dataset / CATALOGUE}")
    with engine.begin() as connection:
        assert connection.execute(sa.text(statement)).rowcount >= 1
    engine.dispose()


def test_a_good_export_has_no_faults(dataset: Path) -> None:
    status, told, _ = curate("verify", "--dataset", str(dataset))
    assert status == 0
    assert (told["shards"], told["clips"], told["frames"], told["version"]) == (4, 8, 200, 1)
    assert told["remarks"] == ["all as it should be"]


@pytest.mark.parametrize("position", [0, 3, 100, 0.1, 0.3, 0.5, 0.9, -1])
def test_any_flipped_byte_is_found(dataset: Path, position: float) -> None:
    path = dataset / "shards" / "train-00001.h5"
    data = bytearray(path.read_bytes())
    data[int(position * len(data)) if isinstance(position, float) else position] ^= 0x10
    path.write_bytes(data)
    found = faults(dataset)
    assert found
    assert {file for file, _, _ in found} == {"train-00001.h5"}


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.999])
def test_a_truncated_shard_is_one_clear_fault(dataset: Path, share: float) -> None:
    path = dataset / "shards" / "val-00000.h5"
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    [(file, against, message)] = faults(dataset)
    assert (file, against) == ("val-00000.h5", "file")
    assert "truncated" in message or "not a readable shard" in message


def test_a_flipped_byte_in_a_clip_names_the_clip(dataset: Path) -> None:
    path = dataset / "shards" / "test-00000.h5"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    last = ShardReader(path).rows[-1].id
    messages = [message for _, _, message in faults(dataset)]
    assert f"the frames of clip {last} are not those that were written" in messages
    assert any("the file was changed" in message for message in messages)


def test_a_missing_shard_and_a_missing_manifest(dataset: Path) -> None:
    (dataset / "shards" / "val-00000.h5").unlink()
    assert faults(dataset) == [("val-00000.h5", "file", "no such shard; export again, or check --data")]
    (dataset / "shards" / "manifest.json").unlink()
    found = faults(dataset)
    assert [file for file, _, _ in found] == ["manifest.json", "val-00000.h5"]
    assert "make one with: curate export" in found[0][2]


def test_a_shard_of_another_schema_version(dataset: Path) -> None:
    with h5py.File(dataset / "shards" / "val-00000.h5", "r+") as file:
        file.attrs["schema_version"] = 99
    [(file, _, message)] = faults(dataset)
    assert file == "val-00000.h5"
    assert "schema version 99, this version of stillflow reads 1" in message


def test_a_manifest_of_another_version_or_broken(dataset: Path) -> None:
    path = dataset / "shards" / "manifest.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "schema_version": 7}))
    assert [message for _, _, message in faults(dataset) if "schema version 7" in message]
    path.write_text("{")
    assert [message for _, _, message in faults(dataset) if "cannot be read" in message]
    path.write_text(json.dumps({**content, "version": 7}))
    assert [message for _, _, message in faults(dataset) if "is of version 7, the newest export is 1" in message]


SQL: list[tuple[str, str, str]] = [
    ("state", "UPDATE clips SET state = 'rejected' WHERE id LIKE 'file-a-%-00'", "is rejected, not accepted"),
    (
        "verdict",
        "INSERT INTO decisions (clip_id, annotator, verdict, review, created_at) "
        "SELECT id, 'x', 'reject', 'first', '2026-01-01' FROM clips WHERE id LIKE 'file-a-%-00'",
        "its decisions come to 'reject'",
    ),
    ("moved", "UPDATE splits SET name = 'test' WHERE video_id = 'file-a'", "video file-a is now in test"),
    ("no split", "DELETE FROM splits WHERE video_id = 'file-a'", "video file-a is now in no split"),
    (
        "component",
        "UPDATE splits SET component = 'file-a' WHERE video_id = 'file-d'",
        "a leak: the videos of component",
    ),
    ("hash", "UPDATE shards SET sha256 = 'f' WHERE split = 'val'", "say different things"),
    (
        "clip hash",
        "UPDATE shard_clips SET sha256 = 'f' WHERE clip_id LIKE 'file-c-%-00'",
        "not as the catalogue has them",
    ),
    ("order", "UPDATE shard_clips SET position = position + 10 WHERE clip_id LIKE 'file-c-%-00'", "order of its clips"),
    (
        "recipe",
        "UPDATE exports SET recipe_hash = (SELECT hash FROM recipes WHERE kind = 'cut')",
        "names another recipe",
    ),
    (
        "shard gone",
        "DELETE FROM export_shards WHERE shard_id IN (SELECT id FROM shards WHERE split = 'val')",
        "in the manifest and not in the export",
    ),
]


@pytest.mark.parametrize(("statement", "said"), [case[1:] for case in SQL], ids=[case[0] for case in SQL])
def test_a_catalogue_that_says_otherwise(dataset: Path, statement: str, said: str) -> None:
    change(dataset, statement)
    found = faults(dataset)
    assert any(said in message and against == "catalogue" for _, against, message in found), found


def test_a_missing_decision_is_found(dataset: Path) -> None:
    engine = sa.create_engine(f"sqlite:///{dataset / CATALOGUE}")
    with engine.begin() as connection:
        connection.execute(sa.text("DROP TRIGGER decisions_no_delete"))
        connection.execute(sa.text("DELETE FROM decisions WHERE clip_id LIKE 'file-c-%-01'"))
    engine.dispose()
    first, second = faults(dataset)
    assert first[0] == "val-00000.h5"
    assert "no decision that stands says so" in first[2]
    assert second == (CATALOGUE, "catalogue", "decision 6 was removed")


@pytest.mark.parametrize(
    "edit",
    [
        "verdict = 'reject'",
        "annotator = 'somebody else'",
        "reason = 'waves'",
        "seconds = 9.5",
        "created_at = '2020-01-01'",
        "created_at = 'never'",
        "clip_id = (SELECT max(id) FROM clips)",
        "digest = NULL",
    ],
)
def test_an_edited_decision_is_named(dataset: Path, edit: str) -> None:
    engine = sa.create_engine(f"sqlite:///{dataset / CATALOGUE}")
    with engine.begin() as connection:
        connection.execute(sa.text("DROP TRIGGER decisions_no_update"))
        connection.execute(sa.text(f"UPDATE decisions SET {edit} WHERE id = 3"))
    engine.dispose()
    found = [message for file, _, message in faults(dataset) if file == CATALOGUE]
    assert len(found) == 1
    assert found[0].startswith("decision 3 on clip file-")


def test_planted_leaks_are_found_in_the_rows_as_they_are_now(dataset: Path) -> None:
    """The split recorded every video as a component of its own; what ties them came later."""
    change(dataset, "UPDATE videos SET group_key = 'g1' WHERE id IN ('file-a', 'file-d')")
    [(file, against, message)] = faults(dataset)
    assert (file, against) == ("manifest.json", "catalogue")
    assert message == "a leak: videos file-a (train) and file-d (test) were cut from one recording (group file:g1)"
    change(dataset, "UPDATE clips SET scene = 's' WHERE id LIKE 'file-b-%-00' OR id LIKE 'file-c-%-01'")
    assert [message for _, _, message in faults(dataset)][1:] == [
        "a leak: videos file-b (train) and file-c (val) hold near-duplicate clips (scene s)"
    ]
    # A duplicate that a person rejects leaks nothing once it is out of the shards.
    status, _, _ = curate("split", "--dataset", str(dataset))
    assert status == 0
    assert any("is now in test; export again" in message for _, _, message in faults(dataset))
    status, _, _ = curate("export", "--dataset", str(dataset), "--size", "16")
    assert status == 0
    assert faults(dataset) == []


def test_a_leak_in_the_shards_is_found_where_the_split_was_mended(dataset: Path) -> None:
    change(dataset, "UPDATE videos SET group_key = 'g1' WHERE id IN ('file-a', 'file-d')")
    change(dataset, "UPDATE splits SET name = 'test' WHERE video_id = 'file-a'")
    assert any(
        "a leak: in the shards, videos file-a (train) and file-d (test)" in said for _, _, said in faults(dataset)
    )


def test_official_leaks_are_told_and_are_faults_when_asked(dataset: Path) -> None:
    change(dataset, "UPDATE videos SET group_key = 'g1', official_split = 'train' WHERE id = 'file-a'")
    change(dataset, "UPDATE videos SET group_key = 'g1', official_split = 'test' WHERE id = 'file-d'")
    assert curate("split", "--dataset", str(dataset))[1]["official_leaks"] == [
        {"train": ["file-a"], "test": ["file-d"]}
    ]
    status, told, _ = curate("verify", "--dataset", str(dataset))
    assert (status, told["faults"], len(told["official_leaks"])) == (0, 0, 1)
    assert "--strict counts them" in told["remarks"][-1]
    status, told, _ = curate("verify", "--dataset", str(dataset), "--strict")
    assert (status, told["faults"]) == (1, 1)
    # A stranger's leak beside it is ours all the same.
    change(dataset, "UPDATE videos SET group_key = 'g1' WHERE id = 'file-c'")
    status, told, _ = curate("verify", "--dataset", str(dataset))
    assert (status, told["faults"]) == (1, 1)


def shard(folder: Path, name: str, split: str, rows: list[ClipRow]) -> None:
    info = write_shard(
        folder / name,
        split=split,
        height=4,
        width=4,
        fps=25,
        recipe={"size": 4},
        rows=rows,
        clips=[np.zeros((row.length, 4, 4, 3), np.uint8) for row in rows],
    )
    assert info.frames == sum(row.length for row in rows)


def clip_row(name: str, video: str, **changes: Any) -> ClipRow:
    fields = {"id": name, "video_id": video, "source_url": "", "start": 0.0, "end": 0.2, "fps": 25.0, "length": 5}
    return ClipRow(**{**fields, **changes})


def test_leaks_are_found_in_the_files_alone(tmp_path: Path) -> None:
    shard(tmp_path, "train-00000.h5", "train", [clip_row("v-0", "v"), clip_row("w-0", "w")])
    shard(tmp_path, "test-00000.h5", "test", [clip_row("v-1", "v"), clip_row("w-0", "w")])
    entries = []
    for name in ("train-00000.h5", "test-00000.h5"):
        with ShardReader(tmp_path / name) as reader:
            entries.append(
                ShardEntry(
                    file=name,
                    split=reader.split,
                    sha256=hashlib.sha256((tmp_path / name).read_bytes()).hexdigest(),
                    bytes=(tmp_path / name).stat().st_size,
                    clips=2,
                    frames=10,
                    clip_ids=tuple(row.id for row in reader.rows),
                )
            )
    write_manifest(tmp_path, version=1, recipe={"size": 4}, tools={}, shards=entries)
    status, told, _ = curate("verify", str(tmp_path))
    assert status == 1
    assert sorted(failure["error"] for failure in told["failures"]) == [
        "a leak: video v is in train and test",
        "a leak: video w is in train and test",
        "clip w-0 is in test-00000.h5 and train-00000.h5",
    ]
    assert read_manifest(tmp_path).recipe_hash == recipe_hash({"size": 4})


EDITS: list[tuple[str, Callable[[h5py.File], None], str]] = [
    ("recipe", lambda f: f.attrs.__setitem__("recipe", "{}"), "does not have the hash"),
    ("split", lambda f: f.attrs.__setitem__("split", "dev"), "is none of train, val, test"),
    ("name", lambda f: f.attrs.__setitem__("split", "val"), "named after train and holds clips for val"),
    ("size", lambda f: f.attrs.__setitem__("height", 9), "its attributes say 9 x 4"),
    ("fps", lambda f: f.attrs.__setitem__("fps", 30.0), "25.0 frames a second in a shard of 30.0"),
    ("offset", lambda f: f["clips/offset"].__setitem__(1, 4), "begins at frame 4, not at 5"),
    ("length", lambda f: f["clips/length"].__setitem__(1, 4), "its clips have 9 frames, the file 10"),
    ("beyond", lambda f: f["clips/length"].__setitem__(1, 40), "reach beyond its frames"),
    ("empty", lambda f: f["clips/length"].__setitem__(1, 0), "not a readable shard"),
    ("times", lambda f: f["clips/end"].__setitem__(0, -1.0), "ends (-1.0 s) before it begins (0.0 s)"),
    ("twice", lambda f: f["clips/id"].__setitem__(1, b"v-0"), "clip v-0 stands 2 times"),
]


@pytest.mark.parametrize(("edit", "said"), [case[1:] for case in EDITS], ids=[case[0] for case in EDITS])
def test_a_file_by_itself(tmp_path: Path, edit: Callable[[h5py.File], None], said: str) -> None:
    path = tmp_path / "train-00000.h5"
    shard(tmp_path, path.name, "train", [clip_row("v-0", "v"), clip_row("v-1", "v")])
    assert curate("verify", str(path))[0] == 0
    with h5py.File(path, "r+") as file:
        edit(file)
    status, told, _ = curate("verify", str(path))
    assert status == 1
    assert any(said in failure["error"] for failure in told["failures"]), told


def test_what_is_no_shard_and_no_dataset(tmp_path: Path) -> None:
    (tmp_path / "a.h5").write_text("hello")
    status, told, _ = curate("verify", str(tmp_path / "a.h5"), str(tmp_path / "b.h5"), str(tmp_path))
    assert status == 1
    assert [failure["item"] for failure in told["failures"]] == ["a.h5", "b.h5", "manifest.json"]
    status, _, error = curate("verify", "--dataset", str(tmp_path))
    assert status == 2
    assert "is not a dataset folder" in error
    make_dataset(tmp_path / "empty", {}).close()
    status, _, error = curate("verify", "--dataset", str(tmp_path / "empty"))
    assert status == 2
    assert "nothing has been exported yet; run: curate export" in error


def test_both_formats_are_checked(dataset: Path) -> None:
    status, _, _ = curate("export", "--dataset", str(dataset), "--size", "16", "--format", "webdataset")
    assert status == 0
    status, told, _ = curate("verify", "--dataset", str(dataset))
    assert (status, told["clips"], told["version"]) == (0, 16, 1)
    path = dataset / "webdataset" / "val-00000.tar"
    data = bytearray(path.read_bytes())
    data[700] ^= 1
    path.write_bytes(data)
    (dataset / "webdataset" / "manifest.json").unlink()
    assert {file for file, _, _ in faults(dataset)} == {"val-00000.tar", "webdataset/manifest.json"}

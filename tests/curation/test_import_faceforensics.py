"""`curate import faceforensics`: real and manipulated videos, pairs, compressions."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from db.engine import Catalogue
from tests.curation.import_cases import run, run_import, videos


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    """6 real videos in 3 pairs, a pair a split, and 2 methods; the import itself does not decode."""
    root = tmp_path / "faces"
    ids = ["000", "003", "071", "054", "900", "901"]
    folder = root / "original_sequences" / "youtube" / "c23" / "videos"
    for method in ("Deepfakes", "Face2Face"):
        for target, source in [("000", "003"), ("003", "000"), ("071", "054"), ("054", "071"), ("900", "901")]:
            path = root / "manipulated_sequences" / method / "c23" / "videos" / f"{target}_{source}.mp4"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"video")
    folder.mkdir(parents=True)
    for name in ids:
        (folder / f"{name}.mp4").write_bytes(b"video")
    (root / "splits").mkdir()
    for split, pairs in {"train": [["071", "054"]], "val": [["000", "003"]], "test": [["900", "901"]]}.items():
        (root / "splits" / f"{split}.json").write_text(json.dumps(pairs))
    return root


def test_pairs_share_a_group_and_a_split(catalogue: Catalogue, faces: Path) -> None:
    outcome = run_import(catalogue, "faceforensics", faces)
    assert (outcome["added"], outcome["failures"]) == (16, [])
    assert outcome["splits"] == {"test": 4, "train": 6, "val": 6}
    assert outcome["labels"] == {"Deepfakes": 5, "Face2Face": 5, "original": 6}
    assert (outcome["groups"], outcome["leaks"]) == (3, {})
    found = videos(catalogue)
    real, fake = found["youtube-c23-071"], found["Deepfakes-c23-054_071"]
    assert real.id == "faceforensics-youtube-c23-071" and real.provider == "faceforensics"
    assert real.group_key == fake.group_key == "054"
    assert (real.label, fake.label, fake.official_split) == ("original", "Deepfakes", "train")


def test_split_files_may_come_later_and_from_elsewhere(catalogue: Catalogue, faces: Path, tmp_path: Path) -> None:
    splits = (faces / "splits").rename(tmp_path / "splits")
    outcome = run_import(catalogue, "faceforensics", faces)
    assert outcome["splits"] == {"none": 16} and any("no official split" in remark for remark in outcome["remarks"])
    # Without the lists, the manipulated videos say who belongs together.
    assert videos(catalogue)["youtube-c23-901"].group_key == "900"
    assert run_import(catalogue, "faceforensics", faces, "--splits", splits)["already_known"] == 16
    assert videos(catalogue)["youtube-c23-901"].official_split == "test"


def test_a_pair_across_the_split_belongs_to_no_side(catalogue: Catalogue, faces: Path) -> None:
    stray = faces / "manipulated_sequences" / "FaceShifter" / "c23" / "videos" / "071_900.mp4"
    stray.parent.mkdir(parents=True)
    stray.write_bytes(b"video")
    outcome = run_import(catalogue, "faceforensics", faces)
    assert videos(catalogue)["FaceShifter-c23-071_900"].official_split is None
    assert outcome["leaks"] == {"054": {"test": 4, "train": 6}}


def test_compression_and_methods_are_chosen(catalogue: Catalogue, faces: Path) -> None:
    other = faces / "original_sequences" / "youtube" / "c40" / "videos" / "000.mp4"
    other.parent.mkdir(parents=True)
    other.write_bytes(b"video")
    result = run(catalogue, "import", "faceforensics", faces)
    assert result.exit_code == 2 and "choose one: --compression c23|c40" in result.output
    assert run_import(catalogue, "faceforensics", faces, "--compression", "c40")["added"] == 1
    outcome = run_import(catalogue, "faceforensics", faces, "--compression", "c23", "--method", "Face2Face")
    assert outcome["labels"] == {"Face2Face": 5}
    for arguments, words in [
        (["--compression", "raw"], "nothing in raw; there is c23, c40"),
        (["--compression", "c23", "--method", "Magic"], "no videos of Magic in c23; there are Deepfakes, Face2Face"),
    ]:
        result = run(catalogue, "import", "faceforensics", faces, *arguments)
        assert (result.exit_code, words in result.output) == (2, True), result.output


def test_actors_are_another_series(catalogue: Catalogue, faces: Path) -> None:
    for part, name in [
        ("original_sequences/actors", "01__talking_outside.mp4"),
        ("original_sequences/actors", "02__talking_outside.mp4"),
        ("manipulated_sequences/DeepFakeDetection", "01_02__talking_outside__YVGY8LOK.mp4"),
    ]:
        path = faces / part / "c23" / "videos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"video")
    outcome = run_import(catalogue, "faceforensics", faces)
    assert outcome["splits"]["none"] == 3 and outcome["failures"] == []
    found = videos(catalogue)
    keys = {video.group_key for name, video in found.items() if "__" in name}
    assert keys == {"actor-01"}


def test_bad_names_and_bad_lists(catalogue: Catalogue, faces: Path, tmp_path: Path) -> None:
    (faces / "original_sequences" / "youtube" / "c23" / "videos" / "holiday.mp4").write_bytes(b"x")
    (faces / "manipulated_sequences" / "Deepfakes" / "c23" / "videos" / "007.mp4").write_bytes(b"x")
    outcome = run_import(catalogue, "faceforensics", faces, "--dry-run", status=1)
    assert outcome["found"] == 16
    assert [failure["item"] for failure in outcome["failures"]] == ["youtube/holiday.mp4", "Deepfakes/007.mp4"]
    (faces / "splits" / "val.json").write_text('[["000", "003", "071"]]')
    result = run(catalogue, "import", "faceforensics", faces)
    assert result.exit_code == 2 and "val.json: no list of pairs" in result.output
    (faces / "splits" / "val.json").write_text('[["000", "071"]]')
    result = run(catalogue, "import", "faceforensics", faces)
    assert result.exit_code == 2 and "071 is in train.json too" in result.output
    result = run(catalogue, "import", "faceforensics", tmp_path / "faces" / "splits")
    assert result.exit_code == 2 and "expected original_sequences/youtube/c23/videos/*.mp4" in result.output

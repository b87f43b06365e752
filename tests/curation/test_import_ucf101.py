"""`curate import ucf101`: classes, groups and official splits of a miniature of the true layout."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from db.engine import Catalogue
from db.states import VideoState
from tests.curation.download_cases import fetch
from tests.curation.import_cases import run, run_import, videos

CLASSES = ("ApplyEyeMakeup", "HandstandPushups")
STEMS = {"ApplyEyeMakeup": "v_ApplyEyeMakeup", "HandstandPushups": "v_HandStandPushups"}  # as the makers spell them


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory, make_video: Callable[..., Path]) -> Path:
    """2 classes x 3 groups x 2 clips; group 1 is for testing in split 1, group 2 in split 2."""
    root = tmp_path_factory.mktemp("ucf")
    clip = make_video(root / "clip.avi", frames=5)
    lists = root / "ucfTrainTestlist"
    lists.mkdir()
    (lists / "classInd.txt").write_text("1 ApplyEyeMakeup\r\n2 HandstandPushups\r\n")
    lines: dict[str, list[str]] = {}
    for number, label in enumerate(CLASSES, 1):
        for group in (1, 2, 3):
            for cut in (1, 2):
                name = f"{label}/{STEMS[label]}_g{group:02d}_c{cut:02d}.avi"
                (root / "UCF-101" / label).mkdir(parents=True, exist_ok=True)
                shutil.copy(clip, root / "UCF-101" / name)
                for split_list in (1, 2):
                    side = "test" if group == split_list else "train"
                    lines.setdefault(f"{side}list0{split_list}.txt", []).append(
                        name if side == "test" else f"{name} {number}"
                    )
    for name, content in lines.items():
        (lists / name).write_text("".join(f"{line}\r\n" for line in content))
    clip.unlink()
    return root


@pytest.fixture
def ucf(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "ucf"))


def test_labels_groups_and_the_split(catalogue: Catalogue, ucf: Path) -> None:
    outcome = run_import(catalogue, "ucf101", ucf / "UCF-101")
    assert (outcome["added"], outcome["failures"]) == (12, [])
    assert outcome["splits"] == {"test": 4, "train": 8}
    assert outcome["labels"] == {"ApplyEyeMakeup": 6, "HandstandPushups": 6}
    assert (outcome["groups"], outcome["leaks"]) == (6, {})
    found = videos(catalogue)
    video = found["v_HandStandPushups_g01_c02"]
    assert (video.id, video.provider) == ("ucf101-v_HandStandPushups_g01_c02", "ucf101")
    assert (video.label, video.official_split) == ("HandstandPushups", "test")
    assert video.group_key == "v_HandStandPushups_g01" and video.licence
    assert found["v_ApplyEyeMakeup_g02_c01"].official_split == "train"
    assert video.source == str(ucf / "UCF-101" / "HandstandPushups" / "v_HandStandPushups_g01_c02.avi")


def test_download_checks_them_where_they_are(catalogue: Catalogue, ucf: Path) -> None:
    run_import(catalogue, "ucf101", ucf)
    broken = ucf / "UCF-101" / "ApplyEyeMakeup" / "v_ApplyEyeMakeup_g03_c01.avi"
    broken.write_bytes(b"RIFF no video")
    report = fetch(catalogue)
    assert len(report.done) == 11
    assert [failed.id for failed in report.failed] == ["ucf101-v_ApplyEyeMakeup_g03_c01"]
    video = videos(catalogue)["v_ApplyEyeMakeup_g01_c01"]
    assert (video.state, video.path, video.frames) == (VideoState.DOWNLOADED, video.source, 5)
    assert (video.title, video.official_split) == ("v_ApplyEyeMakeup_g01_c01", "test")


def test_another_split_list_and_what_is_known(catalogue: Catalogue, ucf: Path) -> None:
    assert run_import(catalogue, "ucf101", ucf, "--split-list", "none")["splits"] == {"none": 12}
    outcome = run_import(catalogue, "ucf101", ucf, "--split-list", "2")
    assert (outcome["added"], outcome["already_known"]) == (0, 12)
    assert "known videos that got what they lacked (split, group, label or terms): 12" in outcome["remarks"]
    assert videos(catalogue)["v_ApplyEyeMakeup_g02_c01"].official_split == "test"
    again = run_import(catalogue, "ucf101", ucf)
    assert any("keep the official split they were imported with: 8" in remark for remark in again["remarks"])
    assert videos(catalogue)["v_ApplyEyeMakeup_g02_c01"].official_split == "test"


def test_a_group_on_both_sides_is_a_leak(catalogue: Catalogue, ucf: Path) -> None:
    lists = ucf / "ucfTrainTestlist"
    moved = "ApplyEyeMakeup/v_ApplyEyeMakeup_g02_c01.avi"
    train = (lists / "trainlist01.txt").read_text().replace(f"{moved} 1\n", "")
    (lists / "trainlist01.txt").write_text(train)
    with (lists / "testlist01.txt").open("a") as stream:
        stream.write(f"{moved}\n")
    outcome = run_import(catalogue, "ucf101", ucf)
    assert outcome["leaks"] == {"v_ApplyEyeMakeup_g02": {"test": 1, "train": 1}}
    assert "leaks: 1 of 6 recordings are on two sides: v_ApplyEyeMakeup_g02 (test 1, train 1)" in outcome["remarks"]


def test_bad_lines_and_files_are_named(catalogue: Catalogue, ucf: Path) -> None:
    lists = ucf / "ucfTrainTestlist"
    with (lists / "testlist01.txt").open("a") as stream:
        stream.write("v_NoClass.avi\n\nApplyEyeMakeup/v_ApplyEyeMakeup_g09_c01.avi\n")
        stream.write("Archery/v_Archery_g01_c01.avi\nApplyEyeMakeup/v_ApplyEyeMakeup_g02_c01.avi\n")
    (ucf / "UCF-101" / "ApplyEyeMakeup" / "holiday.avi").write_bytes(b"x")
    (ucf / "UCF-101" / "ApplyEyeMakeup" / "v_ApplyEyeMakeup_g03_c02.avi").write_bytes(b"")
    outcome = run_import(catalogue, "ucf101", ucf, status=1)
    assert {failure["item"]: failure["error"] for failure in outcome["failures"]} == {
        "holiday.avi": "unsupported: not named as UCF101 names its videos: v_<Class>_gNN_cNN.avi",
        "v_ApplyEyeMakeup_g03_c02.avi": "corrupt: the file is empty",
        "testlist01.txt, line 5": "corrupt: no <Class>/<file>.avi: 'v_NoClass.avi'",
        "ApplyEyeMakeup/v_ApplyEyeMakeup_g09_c01.avi": "missing: listed, but no such file",
        "v_ApplyEyeMakeup_g02_c01": "corrupt: listed in trainlist01.txt too; it gets no official split",
    }
    assert "classes of the lists that are not there: 1 (Archery)" in outcome["remarks"]
    assert outcome["added"] == 11
    assert videos(catalogue)["v_ApplyEyeMakeup_g02_c01"].official_split is None


def test_a_data_set_that_moved_is_followed(catalogue: Catalogue, ucf: Path, tmp_path: Path) -> None:
    run_import(catalogue, "ucf101", ucf)
    fetch(catalogue)
    (tmp_path / "elsewhere").mkdir()
    moved = Path(shutil.move(ucf, tmp_path / "elsewhere"))
    outcome = run_import(catalogue, "ucf101", moved)
    assert outcome["added"] == 0 and "queued again from where they lie now: 12 videos" in outcome["remarks"]
    assert len(fetch(catalogue).done) == 12
    assert all(str(moved) in str(video.path) for video in videos(catalogue).values())


def test_bad_usage(catalogue: Catalogue, ucf: Path, tmp_path: Path) -> None:
    shutil.move(ucf / "ucfTrainTestlist", tmp_path / "lists")
    (tmp_path / "empty").mkdir()
    for arguments, words in [
        ([ucf], "expected trainlist01.txt and testlist01.txt in ucfTrainTestlist/ there or beside it"),
        ([ucf, "--split-list", "3", "--lists", tmp_path / "lists"], "trainlist03.txt and testlist03.txt in it"),
        ([tmp_path / "empty"], "expected folders of classes with .avi files"),
        ([ucf, "--split-list", "4"], "'4' is not one of"),
    ]:
        result = run(catalogue, "import", "ucf101", *arguments)
        assert (result.exit_code, words in result.output) == (2, True), result.output
    assert videos(catalogue) == {}
    assert run_import(catalogue, "ucf101", ucf, "--lists", tmp_path / "lists", "--dry-run")["found"] == 12
    assert videos(catalogue) == {}

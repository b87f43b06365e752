"""`curate import kinetics`: the published lists and plain ones become queued videos with sections."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from curation.commands import main
from curation.finding.adding import add_found
from curation.importers.kinetics import bring_in, gather, leaks
from curation.importers.ranges_csv import read_ranges
from curation.providers.urls import identify_url
from curation.providers.youtube import CREATIVE_COMMONS
from db.engine import Catalogue
from db.models import Clip, Query, Section, Video
from db.states import VideoState, move_video
from tests.curation.fault_server import FaultServer, Page
from tests.fresh_dataset import fresh_dataset

K400 = "label,youtube_id,time_start,time_end,split,is_cc\n"


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def curate(catalogue: Catalogue, *arguments: object) -> Result:
    result = CliRunner().invoke(main, ["import", "kinetics", *map(str, arguments), "--dataset", str(catalogue.folder)])
    assert "Traceback" not in result.output
    return result


def told(catalogue: Catalogue, *arguments: object, status: int = 0) -> dict[str, Any]:
    result = curate(catalogue, *arguments, "--json")
    assert result.exit_code == status, result.output
    said: dict[str, Any] = json.loads(result.stdout)
    return said


def videos(catalogue: Catalogue) -> dict[str, Video]:
    with catalogue.reading() as session:
        return {video.provider_id: video for video in session.scalars(select(Video).order_by(Video.query_rank))}


def sections(catalogue: Catalogue) -> dict[str, list[tuple[int, float, float]]]:
    found: dict[str, list[tuple[int, float, float]]] = {}
    with catalogue.reading() as session:
        for row in session.scalars(select(Section).order_by(Section.video_id, Section.index)):
            found.setdefault(row.video_id.removeprefix("youtube-"), []).append((row.index, row.start, row.end))
    return found


def test_the_published_layouts(catalogue: Catalogue, tmp_path: Path) -> None:
    train = write(
        tmp_path, "kinetics_400_train.csv",
        K400 + '"surfing water",-3B32lodo2M,59,69,train,0\nskiing slalom,_dbcJuKJQNs,40.5,50.5,train,1\n',
    )  # fmt: skip
    val = write(
        tmp_path, "validate.csv",
        "label,youtube_id,time_start,time_end,split\ntestifying,---QUuC4vJs,84,94,validate\n",
    )  # fmt: skip
    test = write(tmp_path, "test.csv", "youtube_id,time_start,time_end,split\n--6bJUbfpnQ,17,27,test\n")
    said = told(catalogue, train, val, test)
    assert (said["added"], said["sections"], said["leaks"]) == (4, 4, 0)
    assert said["splits"] == {"test": 1, "train": 2, "val": 1}
    assert said["labels"] == {"skiing slalom": 1, "surfing water": 1, "testifying": 1}
    known = videos(catalogue)
    assert {id_: (v.label, v.official_split, v.licence) for id_, v in known.items()} == {
        "-3B32lodo2M": ("surfing water", "train", None),
        "_dbcJuKJQNs": ("skiing slalom", "train", CREATIVE_COMMONS),
        "---QUuC4vJs": ("testifying", "val", None),
        "--6bJUbfpnQ": (None, "test", None),
    }
    one = known["-3B32lodo2M"]
    same = identify_url("https://www.youtube.com/watch?v=-3B32lodo2M")
    assert (one.id, one.provider, one.source, one.state) == (same.id, same.provider, same.source, VideoState.QUEUED)
    assert sections(catalogue)["_dbcJuKJQNs"] == [(0, 40.5, 50.5)]
    with catalogue.reading() as session:
        (query,) = session.scalars(select(Query))
    assert query.provider == "import kinetics" and str(train) in query.phrase
    assert said["next"].startswith("curate download")


def test_again_changes_nothing(catalogue: Catalogue, tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", K400 + "x,aaaaaaaaaaa,0,10,train,0\n")
    assert told(catalogue, path)["added"] == 1
    said = told(catalogue, path)
    assert (said["added"], said["already_known"], said["sections"], said["kept"]) == (0, 1, 0, {})
    with catalogue.reading() as session:
        assert len(session.scalars(select(Query)).all()) == 1


def test_several_ranges_of_a_video(catalogue: Catalogue, tmp_path: Path) -> None:
    rows = ["x,aaaaaaaaaaa,50,60,train,0", "x,bbbbbbbbbbb,0,10,train,0", "y,aaaaaaaaaaa,5,15,train,0"]
    path = write(tmp_path, "a.csv", K400 + "\n".join([*rows, rows[0]]) + "\n")
    result = curate(catalogue, path)
    assert "2 added, 0 already known, 3 sections, 0 leaks" in result.output
    assert "of several classes, the first stands: 1 videos (youtube-aaaaaaaaaaa)" in result.output
    assert sections(catalogue) == {"aaaaaaaaaaa": [(0, 50.0, 60.0), (1, 5.0, 15.0)], "bbbbbbbbbbb": [(0, 0.0, 10.0)]}
    more = write(tmp_path, "b.csv", K400 + "x,aaaaaaaaaaa,5,15,train,0\nx,aaaaaaaaaaa,80,90,train,0\n")
    assert told(catalogue, more)["sections"] == 1
    assert sections(catalogue)["aaaaaaaaaaa"] == [(0, 50.0, 60.0), (1, 5.0, 15.0), (2, 80.0, 90.0)]


def test_malformed_rows_are_named_and_the_rest_goes_on(catalogue: Catalogue, tmp_path: Path) -> None:
    path = tmp_path / "bad.csv"
    path.write_bytes(
        K400.encode() + b"ok,aaaaaaaaaaa,0,10,train,0\n"  # 2
        b"short,bbbbbbbbbbb,0\n"  # 3
        b"id,not-an-id,0,10,train,0\n"  # 4
        b"times,ccccccccccc,zero,10,train,0\n"  # 5
        b"order,ddddddddddd,10,10,train,0\n"  # 6
        b"negative,eeeeeeeeeee,-1,10,train,0\n"  # 7
        b"endless,fffffffffff,0,inf,train,0\n"  # 8
        b"split,ggggggggggg,0,10,holdout,0\n"  # 9
        b"\xff\xfe,hhhhhhhhhhh,0,10,train,0\n"  # 10
        b"\n"
        b"cc,iiiiiiiiiii,0,10,train,maybe\n"  # 12
        b"long,jjjjjjjjjjj,0,10,train,0,more\n"  # 13
        b"last,kkkkkkkkkkk,0,10,train,0\n"
    )
    said = told(catalogue, path, status=1)
    assert said["added"] == 2
    assert set(videos(catalogue)) == {"aaaaaaaaaaa", "kkkkkkkkkkk"}
    assert [failure["item"] for failure in said["failures"]] == [
        f"bad.csv, line {number}" for number in (3, 4, 5, 6, 7, 8, 9, 10, 12, 13)
    ]
    assert "'holdout' is none of train, val" in said["failures"][6]["error"]


def test_a_video_in_two_splits_is_a_leak(catalogue: Catalogue, tmp_path: Path) -> None:
    train = write(tmp_path, "train.csv", K400 + "x,aaaaaaaaaaa,0,10,train,0\nx,bbbbbbbbbbb,0,10,train,0\n")
    test = write(tmp_path, "test.csv", "youtube_id,time_start,time_end,split\naaaaaaaaaaa,20,30,test\n")
    result = curate(catalogue, train, test)
    assert result.exit_code == 0
    assert "1 leak" in result.output
    assert "leaks: 1 videos are in two splits and get the first one: youtube-aaaaaaaaaaa (train, test)" in result.output
    assert videos(catalogue)["aaaaaaaaaaa"].official_split == "train"
    assert len(sections(catalogue)["aaaaaaaaaaa"]) == 2
    later = write(tmp_path, "val.csv", K400 + "x,bbbbbbbbbbb,0,10,validate,0\n")
    said = told(catalogue, later)
    assert said["leaks"] == 1
    assert any("keep the official split they were imported with: 1" in remark for remark in said["remarks"])


def test_known_videos_stay_as_they_are(catalogue: Catalogue, tmp_path: Path) -> None:
    added = [identify_url(f"https://youtu.be/{letter * 11}") for letter in "ab"]
    add_found(catalogue, added, provider="add", phrase="", settings={})
    path = write(tmp_path, "a.csv", K400 + "".join(f"x,{letter * 11},0,10,train,0\n" for letter in "abc"))
    with catalogue.writing() as session:
        move_video(session.get_one(Video, "youtube-bbbbbbbbbbb"), VideoState.TAKEN_DOWN)
    said = told(catalogue, path)
    assert (said["added"], said["already_known"], said["sections"]) == (1, 2, 1)
    assert said["kept"] == {"youtube-aaaaaaaaaaa": 1, "youtube-bbbbbbbbbbb": 1}
    assert list(sections(catalogue)) == ["ccccccccccc"]
    assert videos(catalogue)["bbbbbbbbbbb"].state == VideoState.TAKEN_DOWN
    assert videos(catalogue)["aaaaaaaaaaa"].label == "x"  # it had none
    with catalogue.writing() as session:
        move_video(session.get_one(Video, "youtube-ccccccccccc"), VideoState.DOWNLOADED)
    more = write(tmp_path, "b.csv", K400 + "x,ccccccccccc,30,40,train,0\n")
    assert told(catalogue, more)["kept"] == {"youtube-ccccccccccc": 1}


def test_splits_and_classes_are_chosen(catalogue: Catalogue, tmp_path: Path) -> None:
    rows = ["x,aaaaaaaaaaa,0,10,train,0", "y,bbbbbbbbbbb,0,10,train,0", "x,ccccccccccc,0,10,val,0"]
    path = write(tmp_path, "a.csv", K400 + "\n".join(rows))
    assert told(catalogue, path, "--dry-run")["found"] == 3
    assert videos(catalogue) == {}
    assert told(catalogue, path, "--labels", "x", "--split", "train")["videos"] == ["youtube-aaaaaaaaaaa"]
    nothing = curate(catalogue, path, "--labels", "z")
    assert nothing.exit_code == 2 and "classes there: x, y" in nothing.output
    plain = write(tmp_path, "plain.csv", "https://youtu.be/ddddddddddd,0,10\n")
    told(catalogue, plain, "--split", "test")
    assert videos(catalogue)["ddddddddddd"].official_split == "test"


@pytest.mark.parametrize("header", ["", "url,start,end,label,split\n", "split,label,end,start,url\n"])
def test_plain_lists_of_any_site(catalogue: Catalogue, tmp_path: Path, header: str) -> None:
    rows = [
        {"url": "https://vimeo.com/56015672", "start": "1.5", "end": "4", "label": "sea, calm", "split": "val"},
        {"url": "https://www.youtube.com/watch?v=aaaaaaaaaaa", "start": "", "end": "", "label": "", "split": ""},
        {"url": "ftp://example.org/a.mp4", "start": "0", "end": "1", "label": "", "split": ""},
    ]
    text = io.StringIO()
    names = (header or "url,start,end,label,split").strip().split(",")
    writer = csv.DictWriter(text, names)
    if header:
        writer.writeheader()
    writer.writerows(rows)
    said = told(catalogue, write(tmp_path, "a.csv", "\ufeff" + text.getvalue()), status=1)
    assert said["failures"][0]["item"] == f"a.csv, line {4 if header else 3}"
    known = videos(catalogue)
    assert (known["56015672"].label, known["56015672"].official_split) == ("sea, calm", "val")
    assert sections(catalogue) == {"vimeo-56015672": [(0, 1.5, 4.0)]}  # the other is wanted whole


@pytest.mark.parametrize(
    "text", ["", "river,1,2\n", "label,youtube_id,split\n", "youtube_id,url,start,end\n", "url,url,start,end\n"]
)
def test_what_is_no_such_list(catalogue: Catalogue, tmp_path: Path, text: str) -> None:
    result = curate(catalogue, write(tmp_path, "a.csv", text))
    assert result.exit_code == 2
    assert str(tmp_path / "a.csv") in result.output
    assert curate(catalogue, tmp_path / "none.csv").exit_code == 2


def test_thousands(catalogue: Catalogue, tmp_path: Path) -> None:
    rows = "".join(f"x,{n:011d},{n % 7},{n % 7 + 10},train,0\n" for n in range(5000))
    said = told(catalogue, write(tmp_path, "a.csv", K400 + rows))
    assert (said["added"], said["sections"]) == (5000, 5000)
    assert [v.query_rank for v in videos(catalogue).values()] == list(range(5000))
    assert told(catalogue, tmp_path / "a.csv")["already_known"] == 5000


ROWS = st.lists(
    st.tuples(st.sampled_from("abcd"), st.integers(0, 5), st.integers(1, 3), st.sampled_from(["train", "test", ""])),
    max_size=25,
)


@settings(max_examples=10, deadline=None)
@given(ROWS, st.integers(0, 25))
def test_however_it_is_parted_all_ranges_are_there_once(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, int, int, str]], first: int
) -> None:
    """Against an obvious twin; imported in two parts, and then all of it once more."""
    folder = tmp_path_factory.mktemp("kinetics")
    expected: dict[str, set[tuple[float, float]]] = {}
    sides: dict[str, set[str]] = {}
    for letter, start, length, split in rows:
        expected.setdefault(letter * 11, set()).add((float(start), float(start + length)))
        sides.setdefault(f"youtube-{letter * 11}", set()).update({split} - {""})
    lines = [f"x,{letter * 11},{start},{start + length},{split},0\n" for letter, start, length, split in rows]
    with fresh_dataset(folder / "data") as catalogue:
        for part in (lines[:first], lines[first:], lines):
            sources = gather(read_ranges(write(folder, "a.csv", K400 + "".join(part))).rows)
            bring_in(catalogue, sources, phrase="", settings={})
        assert set(leaks(sources)) == {id_ for id_, named in sides.items() if len(named) > 1}
        found = sections(catalogue)
        assert {id_: {(start, end) for _, start, end in rows} for id_, rows in found.items()} == expected
        assert all([index for index, _, _ in rows] == list(range(len(rows))) for rows in found.values())


def test_add_takes_plain_lists_too(catalogue: Catalogue, tmp_path: Path) -> None:
    path = write(tmp_path, "list.csv", "https://youtu.be/aaaaaaaaaaa,3,4.5,river\nhttps://youtu.be/bbbbbbbbbbb,5,4\n")
    arguments = ["add", "http://127.0.0.1:9/a.mp4", "--from", str(path), "--dataset", str(catalogue.folder)]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 1
    assert "add: 2 added, 0 already known, 1 section" in result.output
    assert "failed: list.csv, line 2" in result.output
    assert sections(catalogue) == {"aaaaaaaaaaa": [(0, 3.0, 4.5)]}
    assert {v.provider for v in videos(catalogue).values()} == {"youtube", "web"}
    wrong = ["add", "--from", str(write(tmp_path, "no.csv", "river\n")), "--dataset", str(catalogue.folder)]
    assert CliRunner().invoke(main, wrong).exit_code == 2


def test_the_named_ranges_are_fetched_and_each_becomes_a_clip(
    catalogue: Catalogue, make_video: Callable[..., Path], tmp_path: Path, server: FaultServer
) -> None:
    body = make_video(tmp_path / "long.mp4", frames=1050, height=144, width=192, gop=25).read_bytes()
    url = server.put("long.mp4", Page(body=body))
    path = write(tmp_path, "list.csv", f"{url},10,12,river,train\n{url},40.2,41,river,train\n")
    assert told(catalogue, path)["sections"] == 2
    folder = ["--dataset", str(catalogue.folder)]
    for command in (["download"], ["cut", "--workers", "1"]):
        result = CliRunner().invoke(main, [*command, *folder])
        assert result.exit_code == 0, result.output
    with catalogue.reading() as session:
        assert all(section.path is not None for section in session.scalars(select(Section)))
        clips = [
            (clip.start, clip.end, clip.frame_count) for clip in session.scalars(select(Clip).order_by(Clip.start))
        ]
    assert clips == [(10.0, 12.0, 50), (pytest.approx(40.2), pytest.approx(41.0), 20)]

"""`curate retry`: what failed is tried again, by video or by class of error, and nothing else is touched."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import select

from curation.commands import main
from curation.errors import ErrorClass
from curation.finding.adding import add_found
from curation.providers.youtube import video
from db.engine import Catalogue
from db.models import Clip, Pause, Preview, Recipe, Video, now
from db.states import ClipState, VideoState, move_video

MakeVideo = Callable[..., Path]


def curate(catalogue: Catalogue, *arguments: object) -> Result:
    result = CliRunner().invoke(main, [*map(str, arguments), "--dataset", str(catalogue.folder)])
    assert "Traceback" not in result.output
    return result


def told(catalogue: Catalogue, *arguments: object) -> dict[str, Any]:
    result = curate(catalogue, "retry", *arguments, "--json")
    assert result.exit_code == 0, result.output
    said: dict[str, Any] = json.loads(result.stdout)
    return said


def states(catalogue: Catalogue) -> dict[str, tuple[str, str | None]]:
    with catalogue.reading() as session:
        rows = session.execute(select(Video.id, Video.state, Video.error_class))
        return {id_.removeprefix("youtube-v")[-1]: (state, error) for id_, state, error in rows}


def clip_errors(catalogue: Catalogue) -> dict[str, str | None]:
    with catalogue.reading() as session:
        return {id_: error for id_, error in session.execute(select(Clip.id, Clip.error))}


@pytest.fixture
def failed(catalogue: Catalogue) -> Catalogue:
    """Videos 0 to 5: two failed by network, one by a bot check, one gone, one taken down, one downloaded with clips."""
    found = [video(f"v{n:010d}") for n in range(6)]
    add_found(catalogue, found, provider="add", phrase="", settings={})
    errors = [ErrorClass.NETWORK, ErrorClass.NETWORK, ErrorClass.BOT_CHECK, ErrorClass.GONE]
    with catalogue.writing() as session:
        for named, error in zip(found, errors, strict=False):
            row = session.get_one(Video, named.id)
            move_video(row, VideoState.FAILED)
            row.error_class, row.error, row.tries = error, f"{error}: why", 3
            row.retry_at = now() + timedelta(hours=1)
        move_video(session.get_one(Video, found[4].id), VideoState.TAKEN_DOWN)
        move_video(session.get_one(Video, found[5].id), VideoState.DOWNLOADED)
        session.add(Recipe(hash="r", kind="cut", settings={}))
        session.add(Pause(provider="youtube", error_class="bot-check", message="?", until=now() + timedelta(hours=1)))
        session.add(Pause(provider="vimeo", error_class="rate-limited", message="?", until=now() + timedelta(hours=1)))
        session.flush()
        for index, error in enumerate(("corrupt: no frames", "network: share is away", None, None)):
            session.add(
                Clip(
                    id=f"c{index}", video_id=found[5].id, recipe_hash="r", index=index, start_pts=0, end_pts=10,
                    time_base_num=1, time_base_den=25, start=0.0, end=0.4, frame_count=10, state=ClipState.PENDING,
                    error=error,
                )
            )  # fmt: skip
        session.flush()
        sizes = {"width": 160, "height": 90, "fps": 10.0}
        session.add(Preview(clip_id="c2", error="corrupt: no frames", frames=0, **sizes))
        session.add(Preview(clip_id="c3", path="previews/c3.mp4", frames=4, **sizes))
    return catalogue


def paused(catalogue: Catalogue) -> set[str]:
    with catalogue.reading() as session:
        return set(session.scalars(select(Pause.provider)))


def previews(catalogue: Catalogue) -> set[str]:
    with catalogue.reading() as session:
        return set(session.scalars(select(Preview.clip_id)))


def test_by_class(failed: Catalogue) -> None:
    said = told(failed, "--error", "network")
    assert (said["videos"], said["clips"], said["previews"]) == (2, 1, 0)
    assert said["by_class"] == {"network": 3}
    assert said["next"].startswith("curate download")
    assert states(failed) == {
        "0": ("queued", None),
        "1": ("queued", None),
        "2": ("failed", "bot-check"),
        "3": ("failed", "gone"),
        "4": ("taken-down", None),
        "5": ("downloaded", None),
    }
    with failed.reading() as session:
        row = session.get_one(Video, "youtube-v0000000000")
        assert (row.error, row.tries, row.retry_at) == (None, 0, None)
    assert clip_errors(failed) == {"c0": "corrupt: no frames", "c1": None, "c2": None, "c3": None}
    assert paused(failed) == {"youtube", "vimeo"}
    assert told(failed, "--error", "network")["videos"] == 0


def test_several_classes_and_words(failed: Catalogue) -> None:
    result = curate(failed, "retry", "--error", "network", "--error", "gone")
    assert "retry: 3 videos, 1 clip, 0 previews" in result.output
    assert "videos: 2 network, 1 gone" in result.output
    assert "next: curate download" in result.output


def test_a_bot_check_lifts_the_pause(failed: Catalogue) -> None:
    result = curate(failed, "retry", "--error", "bot-check")
    assert "no longer paused: youtube" in result.output
    assert paused(failed) == {"vimeo"}
    assert states(failed)["2"] == ("queued", None)


def test_everything(failed: Catalogue) -> None:
    result = curate(failed, "retry", "--all")
    assert "retry: 4 videos, 2 clips, 1 preview" in result.output
    assert "curate annotate --skipped" in result.output
    assert paused(failed) == set()
    assert set(clip_errors(failed).values()) == {None}
    assert previews(failed) == {"c3"}
    assert [state for state, _ in states(failed).values()].count("queued") == 4
    assert states(failed)["4"] == ("taken-down", None)


def test_by_video(failed: Catalogue) -> None:
    result = curate(failed, "retry", "youtube-v0000000000", "https://www.youtube.com/watch?v=v0000000005")
    assert "retry: 1 video, 2 clips, 1 preview" in result.output
    assert paused(failed) == {"youtube", "vimeo"}
    assert states(failed)["1"] == ("failed", "network")
    only = curate(failed, "retry", "youtube-v0000000001", "youtube-v0000000003", "--error", "gone")
    assert "retry: 1 video" in only.output
    assert "nothing failed: youtube-v0000000001" in only.output


def test_what_cannot_be_tried_again_is_named(failed: Catalogue) -> None:
    result = curate(failed, "retry", "youtube-v0000000004", "nonsense", "youtube-v0000000003")
    assert result.exit_code == 1
    assert "failed: youtube-v0000000004 (argument): was taken down, and stays so" in result.output
    assert "failed: nonsense (argument): no such video" in result.output
    assert states(failed)["3"] == ("queued", None) and states(failed)["4"] == ("taken-down", None)
    assert curate(failed, "retry", "youtube-v0000000004").exit_code == 2
    assert curate(failed, "retry", "nonsense").exit_code == 2


@pytest.mark.parametrize("arguments", [[], ["--error", "nonsense"], ["--all", "--error", "gone"], ["--all", "x"]])
def test_bad_usage(failed: Catalogue, arguments: list[str]) -> None:
    before = states(failed)
    result = curate(failed, "retry", *arguments)
    assert result.exit_code == 2
    assert states(failed) == before
    if "nonsense" in arguments:
        assert "the classes are gone, private," in result.output


def test_thousands(catalogue: Catalogue) -> None:
    found = [video(f"v{n:010d}") for n in range(3000)]
    add_found(catalogue, found, provider="add", phrase="", settings={})
    with catalogue.writing() as session:
        for row in session.scalars(select(Video)):
            move_video(row, VideoState.FAILED)
            row.error_class, row.error = ErrorClass.NETWORK, "network: why"
    assert told(catalogue, *[named.id for named in found[:1200]])["videos"] == 1200
    assert told(catalogue, "--all")["videos"] == 1800


def test_clips_that_failed_are_scored_again(catalogue: Catalogue, make_video: MakeVideo, tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", frames=30)
    assert curate(catalogue, "add", path).exit_code == 0
    assert curate(catalogue, "download").exit_code == 0
    assert curate(catalogue, "cut", "--workers", 1).exit_code == 0
    with catalogue.writing() as session:
        for clip in session.scalars(select(Clip)):
            clip.error = "unknown: a hiccup"
    assert "0 clips" in curate(catalogue, "score", "--workers", 1).output
    result = curate(catalogue, "retry", "--all")
    assert "clips: 1 unknown" in result.output and "next: curate run" in result.output
    assert "1 clip" in curate(catalogue, "score", "--workers", 1).output

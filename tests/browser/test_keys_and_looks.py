"""Reasons, the larger look, pausing and speed, in a real Chromium over real clips."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlalchemy import select

from curation.commands import main
from db.engine import open_catalogue
from db.models import BatchClip, Clip, Decision
from tests.browser.conftest import GridPage
from tests.browser.review_dataset import make_dataset
from tests.browser.review_process import annotating

pytestmark = pytest.mark.browser
NewPage = Callable[..., GridPage]
ADA = ("--annotator", "ada")


def _shown_reason(page: GridPage, cell: int) -> str:
    return str(page.ask(f"getComputedStyle(document.querySelector('[data-cell=\"{cell}\"]'), '::before').content"))


def _hover(page: GridPage, cell: int) -> None:
    page.tab.locator(f'.sf-cell[data-cell="{cell}"]').hover(force=True)


def test_reasons_by_digit_for_the_hovered_or_last_marked_cell(tmp_path: Path, new_page: NewPage) -> None:
    make_dataset(tmp_path, 25).close()
    with annotating(tmp_path, *ADA) as running:
        page = new_page(running.address)
        _hover(page, 12)
        page.press("1")  # marks it as well
        page.wait_confirmed({12})
        assert _shown_reason(page, 12) == '"cut"'
        page.press("5")
        page.wait("() => document.querySelector('.sf-status').dataset.marked === '12:5'")
        page.wait_confirmed({12})
        assert _shown_reason(page, 12) == '"camera"'
        page.press("5")  # again: the reason goes, the mark stays
        page.wait("() => document.querySelector('.sf-status').dataset.marked === '12:0'")
        page.wait_confirmed({12})
        assert _shown_reason(page, 12) == "none"
        page.tab.mouse.move(5, 5)  # off the grid: the one marked last is meant
        page.press("d")
        page.press("4")
        page.wait("() => document.querySelector('.sf-status').dataset.marked === '3:4,12:0'")
        page.press("9")  # no such reason
        # A reload brings marks and reasons back.
        page.tab.reload()
        page.wait_playing()
        page.wait_confirmed({3, 12})
        assert _shown_reason(page, 3) == '"watermark or text"'
        # A second tab is in step.
        other = new_page(running.address)
        other.wait_confirmed({3, 12})
        other.click(20)
        other.press("6")
        for each in (page, other):
            each.wait("() => document.querySelector('.sf-status').dataset.marked === '3:4,12:0,20:6'")
            each.wait_confirmed({3, 12, 20})
            assert _shown_reason(each, 20) == '"duplicate"'
        page.wait("() => stillflow.seenMs() > 1050")
        page.press("Enter")
        page.wait_ended()
        running.rest()
        assert not page.errors and not other.errors
    with open_catalogue(tmp_path) as catalogue, catalogue.reading() as session:
        reasons = dict(
            session.execute(
                select(BatchClip.position, Decision.reason)
                .join(Decision, Decision.clip_id == BatchClip.clip_id)
                .where(Decision.verdict == "reject")
            ).all()
        )
        assert reasons == {3: "watermark or text", 12: None, 20: "duplicate"}
        states = dict(session.execute(select(Clip.reason, Clip.state).where(Clip.reason.is_not(None))).all())
        assert states["rejected by ada: duplicate"] == "rejected"


def test_space_pauses_and_the_speed_keys_hold_from_batch_to_batch(tmp_path: Path, new_page: NewPage) -> None:
    make_dataset(tmp_path, 50).close()
    with annotating(tmp_path, *ADA) as running:
        page = new_page(running.address)
        video = "document.querySelector('.sf-grid video')"
        page.press("Space")
        page.wait(f"() => {video}.paused")
        before = page.ask("stillflow.seenMs()")
        page.tab.wait_for_timeout(300)
        assert page.ask("stillflow.seenMs()") == before, "what stands still is not watched"
        page.press("Space")
        page.wait(f"() => !{video}.paused && stillflow.seenMs() > {before}")
        for key in (">", "."):
            page.press(key)
        assert page.ask(f"{video}.playbackRate") == 2
        page.enter_and_wait()
        assert page.ask(f"{video}.playbackRate") == 2
        for _ in range(10):
            page.press("<")
        assert page.ask(f"{video}.playbackRate") == 0.25
        assert not page.errors


def test_a_rested_mouse_enlarges_the_clip_and_then_plays_all_its_frames(
    tmp_path: Path, new_page: NewPage, make_video: Callable[..., Path]
) -> None:
    path = make_video(tmp_path / "sea.mp4", frames=300, height=180, width=320)
    folder = str(tmp_path / "data")
    run = CliRunner()
    assert run.invoke(main, ["init", folder]).exit_code == 0
    assert run.invoke(main, ["add", "--dataset", folder, str(path)]).exit_code == 0
    cut = ["cut", "--length", "2", "--margin", "0", "--spacing", "0"]
    for stage in (["download"], cut, ["score", "--workers", "1"], ["filter"], ["preview"]):
        assert run.invoke(main, [*stage, "--dataset", folder]).exit_code == 0, stage
    with annotating(Path(folder), *ADA) as running:
        page = new_page(running.address)
        _hover(page, 2)
        page.wait("() => document.querySelector('.sf-look .sf-part')")
        grid, look = (page.tab.locator(name).bounding_box() for name in (".sf-grid", ".sf-look"))
        cell = page.tab.locator('.sf-cell[data-cell="2"]').bounding_box()
        assert look["width"] > 2 * cell["width"]
        assert look["x"] >= grid["x"] - 1 and look["y"] >= grid["y"] - 1
        assert look["x"] + look["width"] <= grid["x"] + grid["width"] + 1
        # The enlarged part is the cell's own, corner on corner.
        part = page.tab.locator(".sf-look .sf-part").bounding_box()
        scale = part["width"] / grid["width"]
        assert part["x"] + (cell["x"] - grid["x"]) * scale == pytest.approx(look["x"] + 2, abs=2)
        assert part["y"] + (cell["y"] - grid["y"]) * scale == pytest.approx(look["y"] + 2, abs=2)
        # Then the clip itself, with the source's 25 frames a second.
        page.wait("() => document.querySelector('.sf-look video:not(.sf-part)')?.currentTime > 0")
        page.wait("() => !document.querySelector('.sf-look .sf-part')")
        assert page.ask("document.querySelector('.sf-look video').videoWidth") == 480
        frames = page.ask(
            """() => new Promise(done => { const v = document.querySelector('.sf-look video');
                setTimeout(() => done(v.getVideoPlaybackQuality().totalVideoFrames), 1500) })"""
        )
        assert frames > 20, "more than the preview's 10 frames a second"
        # It takes no clicks away from the cells, and goes with the mouse.
        page.click(2)
        page.wait_confirmed({2})
        page.tab.mouse.move(5, 5)
        page.wait("() => !document.querySelector('.sf-look')")
        token = page.token
        assert page.ask("async (t) => (await fetch(`/closeups/${t}-2.mp4`)).status", token) == 200
        for wrong in (f"{token}-24", "0" * 32 + "-2", f"{token}-2.mp4/../x", f"{token}-closeup-2"):
            assert page.ask("async (t) => (await fetch(`/closeups/${t}.mp4`)).status", wrong) == 404
        assert not page.errors


@pytest.mark.parametrize(("width", "height"), [(1100, 700), (1920, 1080), (2560, 1440)])
def test_all_that_the_status_says_is_in_view(tmp_path: Path, new_page: NewPage, width: int, height: int) -> None:
    make_dataset(tmp_path, 30).close()
    with annotating(tmp_path, *ADA) as running:
        page = new_page(running.address)
        page.tab.set_viewport_size({"width": width, "height": height})
        page.tab.wait_for_timeout(400)
        for selector in (".sf-counts", ".sf-reasons", ".sf-keys"):
            box = page.tab.locator(selector).bounding_box()
            assert box["y"] + box["height"] <= height and box["x"] + box["width"] <= width, selector


def test_undo_over_three_batches_and_forward_again(tmp_path: Path, new_page: NewPage) -> None:
    make_dataset(tmp_path, 100).close()
    with annotating(tmp_path, *ADA, "--min-view", "0") as running:
        page = new_page(running.address)
        tokens = []
        for cell in (1, 2, 3):
            tokens.append(page.token)
            page.click(cell)
            page.wait_confirmed({cell})
            page.press("Enter")
            page.wait_playing(tokens[-1])
        last = page.token
        before = last
        for cell, token in zip((3, 2, 1), reversed(tokens), strict=True):
            page.press("u")
            page.wait_playing(before)
            assert page.token == token
            page.wait_confirmed({cell})
            before = token
        page.press("u")
        page.wait_message("no earlier batch")
        page.click(20)
        page.wait_confirmed({1, 20})
        for cell, token in zip(({2}, {3}, set()), (*tokens[1:], last), strict=True):
            page.press("Enter")
            page.wait_playing(before)
            assert page.token == token
            page.wait_confirmed(set(cell))
            before = token
        page.press("Escape")
        page.wait_ended()
        assert "71 kept, 4 rejected, 25 left" in running.rest()
        assert not page.errors


def test_keys_work_after_the_focus_was_lost(tmp_path: Path, new_page: NewPage) -> None:
    make_dataset(tmp_path, 30).close()
    with annotating(tmp_path, *ADA, "--min-view", "0") as running:
        page = new_page(running.address)
        # To one of Visdom's own fields, where letters are letters, and back by a click on nothing in particular.
        page.ask(
            "() => { const i = document.createElement('input'); i.id = 'own'; document.body.prepend(i); i.focus() }"
        )
        page.press("b")
        assert page.ask("document.querySelector('#own').value") == "b"
        page.ask("() => { document.querySelector('#own').blur(); document.querySelector('#own').remove() }")
        page.press("c")
        page.wait_confirmed({2})
        # Away to another tab and back, and with no pane in focus at all.
        other = page.tab.context.new_page()
        other.goto("about:blank")
        other.bring_to_front()
        page.tab.wait_for_timeout(300)
        page.tab.bring_to_front()
        page.ask("() => { document.activeElement?.blur(); document.body.click() }")
        page.press("d")
        page.wait_confirmed({2, 3})
        first = page.token
        page.press("Enter")
        page.wait_playing(first)
        assert not page.errors

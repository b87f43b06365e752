"""The grid in a real Chromium, as a curator uses it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import func, select

from db.engine import Catalogue, open_catalogue
from db.models import Batch, Clip, Decision, Preview
from tests.browser.conftest import GridPage
from tests.browser.review_dataset import make_dataset
from tests.browser.review_process import annotating

pytestmark = pytest.mark.browser
NewPage = Callable[..., GridPage]
ADA = ("--annotator", "ada")


def _decisions(catalogue: Catalogue) -> dict[str, str]:
    with catalogue.reading() as session:
        return {d.clip_id: d.verdict for d in session.scalars(select(Decision).order_by(Decision.id))}


def _clip_ids(catalogue: Catalogue, token: str) -> list[str]:
    with catalogue.reading() as session:
        batch = session.scalars(select(Batch).where(Batch.token == token)).one()
        return [row.clip_id for row in batch.clips]


def test_a_review_from_the_first_click_to_the_tail(tmp_path: Path, new_page: NewPage) -> None:
    catalogue = make_dataset(tmp_path, 32)
    with annotating(tmp_path, *ADA) as running:
        page = new_page(running.address)
        # The first click ever, before anything else had the focus.
        page.click(3)
        page.wait_confirmed({3})
        # The page marks a cell itself, within a frame: Python's answer takes far longer.
        shown = page.ask(
            """async () => {
                const cell = document.querySelector('.sf-cell[data-cell="14"]');
                cell.click();
                await new Promise(requestAnimationFrame);
                return getComputedStyle(cell, '::after').opacity;
            }"""
        )
        assert shown == "1"
        page.wait_confirmed({3, 14})
        page.click(14)
        page.wait_confirmed({3})
        # Letters toggle; u is not one of them; a click takes a mark back.
        for key in ("a", "v", "z"):
            page.press(key)
        page.wait_confirmed({0, 3, 20, 24})
        page.click(3)
        page.wait_confirmed({0, 20, 24})
        page.press("Backspace")
        page.wait_confirmed(set())
        # 25 clicks within a second, each counted.
        boxes = [page.tab.locator(f'.sf-cell[data-cell="{cell}"]').bounding_box() for cell in range(25)]
        began = time.monotonic()
        for box in boxes:
            page.tab.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        took = time.monotonic() - began
        page.wait_confirmed(set(range(25)))
        assert took < 5, "the clicks came too slowly to test anything"
        page.press("Backspace")
        page.wait_confirmed(set())
        page.click(7)
        page.wait_confirmed({7})
        first = page.token
        tail = page.enter_and_wait()
        assert tail != first
        assert page.ask("document.querySelectorAll('.sf-cell').length") == 7
        page.click(6)
        page.wait_confirmed({6})
        page.wait("() => stillflow.seenMs() > 1050")
        page.press("Enter")
        page.wait_ended()
        printed = running.rest()
    assert running.process.returncode == 0
    assert "30 kept, 2 rejected, 0 left" in printed
    assert "curate split" in printed
    decisions = _decisions(catalogue)
    rejected = {_clip_ids(catalogue, first)[7], _clip_ids(catalogue, tail)[6]}
    assert {clip for clip, verdict in decisions.items() if verdict == "reject"} == rejected
    assert len(decisions) == 32
    with catalogue.reading() as session:
        assert session.scalar(select(func.count()).where(Clip.state == "accepted")) == 30
        shares = list(session.scalars(select(Decision.share_seen).where(Decision.clip_id.in_(decisions))))
        assert all(0.4 < share <= 1 for share in shares), "each clip of 2 s was seen for more than 1 s"
    catalogue.close()


def test_enter_is_refused_at_first_and_a_held_down_enter_confirms_one_batch_only(
    tmp_path: Path, new_page: NewPage
) -> None:
    catalogue = make_dataset(tmp_path, 60)
    with annotating(tmp_path, *ADA, "--min-view", "1.5") as running:
        page = new_page(running.address)
        first = page.token
        page.press("Enter")
        page.wait_message("Not yet")
        assert page.token == first
        assert _decisions(catalogue) == {}
        page.wait("() => stillflow.seenMs() > 1600")
        # As a keyboard repeats: the first keydown, then more of them, for far longer than the next batch needs.
        for _ in range(70):
            page.tab.keyboard.down("Enter")
            page.tab.wait_for_timeout(50)
        page.wait_playing(first)
        second = page.token
        assert page.ask("() => stillflow.seenMs() > 1600"), "the held key had time to do harm"
        assert len(_decisions(catalogue)) == 25
        page.tab.keyboard.up("Enter")
        page.tab.wait_for_timeout(300)
        assert page.token == second
        assert len(_decisions(catalogue)) == 25
        # A fresh press does confirm.
        page.press("Enter")
        page.wait_playing(second)
        assert len(_decisions(catalogue)) == 50
    catalogue.close()


def test_stale_clicks_reload_and_closed_panes(tmp_path: Path, new_page: NewPage) -> None:
    catalogue = make_dataset(tmp_path, 60)
    with annotating(tmp_path, *ADA, "--min-view", "0") as running:
        page = new_page(running.address)
        first = page.token
        # Clicks right behind Enter still mean the old batch; they must not reach the new one.
        page.press("Enter")
        for cell in (2, 12):
            page.tab.evaluate(f"document.querySelector('.sf-cell[data-cell=\"{cell}\"]').click()")
        page.wait_playing(first)
        page.tab.wait_for_timeout(300)
        page.wait_confirmed(set())
        assert "reject" not in _decisions(catalogue).values()
        # Reload: the same batch, the same marks, no click needed for the keys to work.
        page.click(9)
        page.wait_confirmed({9})
        second = page.token
        page.tab.reload()
        page.wait_playing()
        assert page.token == second
        page.wait_confirmed({9})
        page.press("b")
        page.wait_confirmed({1, 9})
        # Closed panes come back, with the marks.
        for _ in range(2):
            page.tab.locator(".window:has(.sf-grid) button[title=close]").click()
            page.wait("() => document.querySelector('.sf-grid video')")
            page.wait_playing()
            page.tab.locator(".window:has(.sf-status) button[title=close]").click()
            page.wait("() => document.querySelector('.sf-status')")
            page.wait_confirmed({1, 9})
        page.click(4)
        page.wait_confirmed({1, 4, 9})
        # A second tab shows the same, and either one's marks reach the other.
        other = new_page(running.address)
        other.wait_confirmed({1, 4, 9})
        other.click(9)
        other.wait_confirmed({1, 4})
        page.wait_confirmed({1, 4})
    catalogue.close()


def test_the_whole_grid_is_in_view_at_any_size(tmp_path: Path, new_page: NewPage) -> None:
    make_dataset(tmp_path, 25).close()
    with annotating(tmp_path, *ADA) as running:
        page = new_page(running.address)
        for count, (width, height) in enumerate([(1100, 700), (1920, 970), (2560, 1440), (1200, 1600)]):
            page.tab.set_viewport_size({"width": width, "height": height})
            page.tab.wait_for_timeout(400)
            boxes = [page.tab.locator(f'.sf-cell[data-cell="{cell}"]').bounding_box() for cell in range(25)]
            status = page.tab.locator(".sf-status").bounding_box()
            for box in boxes:
                assert box["x"] >= 0 and box["x"] + box["width"] <= status["x"]
                assert box["y"] + box["height"] <= height
                assert box["width"] / box["height"] == pytest.approx(160 / 90, rel=0.02)
            assert status["x"] + status["width"] <= width
            assert boxes[24]["width"] * 5 > 0.55 * width, "the grid uses the room"
            page.click(24 - count)
            page.wait_confirmed({24 - number for number in range(count + 1)})


def test_a_restarted_server_brings_the_open_page_back_by_itself(tmp_path: Path, new_page: NewPage) -> None:
    make_dataset(tmp_path, 40).close()
    with annotating(tmp_path, *ADA) as running:
        port = str(running.port)
        page = new_page(running.address)
        token = page.token
        page.click(11)
        page.wait_confirmed({11})
        running.kill()
        page.wait("() => document.documentElement.classList.contains('sf-offline')")
        assert page.tab.locator(".sf-lost").is_visible()
        # A mark that nobody confirms does not stay.
        page.click(5)
        assert page.crossed == {5, 11}
        page.wait_confirmed({11})
    with annotating(tmp_path, *ADA, "--port", port):
        page.wait("() => !document.documentElement.classList.contains('sf-offline')")
        page.wait_playing()
        assert page.token == token
        page.wait_confirmed({11})
        page.press("c")
        page.wait_confirmed({2, 11})


def test_previews_that_do_not_play_say_so_and_are_never_silently_kept(tmp_path: Path, new_page: NewPage) -> None:
    catalogue = make_dataset(tmp_path, 6, title="<b onclick=alert(1)>Sea & sky</b>")
    with catalogue.writing() as session:
        ids = list(session.scalars(select(Clip.id).order_by(Clip.id)))
        gone = session.get_one(Preview, ids[0])
        gone.path = str(tmp_path / "previews" / "gone.mp4")
        broken = session.get_one(Preview, ids[1])
        (tmp_path / "previews" / "noise.mp4").write_bytes(b"no video at all")
        broken.path = "previews/noise.mp4"
        failed = session.get_one(Preview, ids[2])
        failed.path, failed.error = None, "corrupt: <i>no frame</i> decodes"
        session.delete(session.get_one(Preview, ids[3]))
    with annotating(tmp_path, *ADA) as running:
        page = new_page(running.address)
        texts = page.tab.locator(".sf-broken").all_text_contents()
        assert len(texts) == 4
        assert all("<b onclick=alert(1)>Sea & sky</b>" in text for text in texts), "names are shown as text"
        for part in ("file is gone", "does not play", "corrupt: <i>no frame</i> decodes", "curate preview"):
            assert any(part in text for text in texts), part
        # One of them is judged; the others stay undecided.
        page.click(1)
        page.wait_confirmed({1})
        assert "3 without a video" in page.tab.locator(".sf-batch").text_content()
        page.wait("() => stillflow.seenMs() > 1050")
        page.press("Enter")
        page.wait_ended()
        printed = running.rest()
    assert "2 kept, 1 rejected, 3 left" in printed
    assert "3 clips are undecided" in printed
    assert sorted(_decisions(catalogue).values()) == ["accept", "accept", "reject"]
    catalogue.close()


def test_a_batch_of_nothing_but_errors_can_be_passed(tmp_path: Path, new_page: NewPage) -> None:
    catalogue = make_dataset(tmp_path, 3, previews=[tmp_path / "missing.mp4"])
    with annotating(tmp_path, *ADA) as running:
        page = new_page(running.address)
        page.press("Enter")
        page.wait_message("Not yet")
        page.wait("() => stillflow.seenMs() > 1050")
        page.press("Enter")
        page.wait_ended()
        assert "3 left" in running.rest()
    assert _decisions(catalogue) == {}
    catalogue.close()


def test_back_escape_and_resume(tmp_path: Path, new_page: NewPage) -> None:
    make_dataset(tmp_path, 60).close()
    with annotating(tmp_path, *ADA, "--min-view", "0") as running:
        page = new_page(running.address)
        page.press("u")
        page.wait_message("no earlier batch")
        first = page.token
        page.click(5)
        page.wait_confirmed({5})
        page.press("Enter")
        page.wait_playing(first)
        second = page.token
        page.click(8)
        page.wait_confirmed({8})
        page.press("u")
        page.wait_playing(second)
        assert page.token == first
        page.wait_confirmed({5})
        page.press("f")
        page.wait_confirmed(set())
        page.press("Enter")
        page.wait_playing(first)
        assert page.token == second
        page.wait_confirmed({8})
        page.press("?")
        assert page.tab.locator(".sf-more").is_visible()
        page.press("Escape")
        page.wait_ended()
        printed = running.rest()
    assert running.process.returncode == 0
    assert "25 kept, 0 rejected, 35 left" in printed
    assert "next: curate annotate" in printed
    with annotating(tmp_path, *ADA) as running:
        page = new_page(running.address)
        assert page.token == second
        page.wait_confirmed({8})
    catalogue = open_catalogue(tmp_path)
    with catalogue.reading() as session:
        verdicts = list(session.scalars(select(Decision.verdict).order_by(Decision.id)))
    assert verdicts.count("undo") == 25, "going back is a row a clip, not an erased one"
    assert len(verdicts) == 75
    catalogue.close()


def test_on_an_open_host_the_page_stands_behind_a_login(tmp_path: Path, new_page: NewPage) -> None:
    make_dataset(tmp_path, 6).close()
    env = {"VISDOM_USERNAME": "ada", "VISDOM_PASSWORD": "correct horse"}
    with annotating(tmp_path, *ADA, "--host", "0.0.0.0", env=env) as running:
        page = new_page(None)
        page.tab.goto(running.address)
        page.tab.locator("#inputUsername").fill("ada")
        page.tab.locator("#inputPassword").fill("wrong")
        page.tab.locator("#submitButton").click()
        page.wait("() => document.querySelector('#errorMessage').textContent !== ''")
        page.tab.locator("#inputPassword").fill("correct horse")
        page.tab.locator("#submitButton").click()
        page.wait_playing()
        page.press("d")
        page.wait_confirmed({3})


def test_a_video_that_the_browser_cannot_play_says_so_and_enter_still_works(tmp_path: Path, new_page: NewPage) -> None:
    catalogue = make_dataset(tmp_path, 6)
    with annotating(tmp_path, *ADA) as running:
        page = new_page(None)
        page.tab.route("**/mosaics/**", lambda route: route.fulfill(status=200, content_type="video/mp4", body=b"junk"))
        page.tab.goto(running.address)
        page.wait("() => document.querySelector('.sf-failed')")
        assert page.tab.locator(".sf-unplayed").is_visible()
        page.press("Enter")
        page.wait_message("Not yet")
        page.wait("() => stillflow.seenMs() > 1050")
        page.press("Enter")
        page.wait_ended()
        printed = running.rest()
    assert "0 kept, 0 rejected, 6 left" in printed and "6 clips are undecided" in printed
    assert _decisions(catalogue) == {}, "nobody has seen them"
    catalogue.close()

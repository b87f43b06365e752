"""Two annotators on one dataset: what both see, what a dispute does, who rules on it, and the way back."""

from __future__ import annotations

import threading
from collections import Counter
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import select

from annotation_server.batches import BatchStore
from annotation_server.offers import shared
from annotation_server.records import OpenBatch, Pass, Reason, Verdict
from curation.ranking.agreement import agreements
from db.engine import Catalogue
from db.models import Batch, BatchClip, Clip, Decision
from db.verdicts import disputed
from tests.browser.review_dataset import make_dataset
from tests.browser.review_process import SocketCurator, annotating

CLIPS = 120


@pytest.fixture
def catalogue(tmp_path: Path) -> Catalogue:
    return make_dataset(tmp_path, CLIPS, seconds=0.2)


def _number(clip: str) -> int:
    return int(clip.removeprefix("clip-"))


def _rejects(annotator: str, clip: str) -> bool:
    """Ada rejects every fifth clip; bob the same and every seventh."""
    return _number(clip) % 5 == 0 or (annotator == "bob" and _number(clip) % 7 == 0)


def _judge(store: BatchStore, batch: OpenBatch, annotator: str) -> None:
    verdicts = {
        cell.position: Verdict(
            accepted=not _rejects(annotator, cell.clip_id),
            share_seen=1.0,
            reason=Reason.CUT if _rejects(annotator, cell.clip_id) else None,
        )
        for cell in batch.cells
    }
    store.confirm(batch.id, verdicts, 1.0)


def _store(catalogue: Catalogue, annotator: str, **options: object) -> BatchStore:
    return BatchStore(catalogue, annotator=annotator, **{"size": 10, "overlap": 0.2, **options})  # type: ignore[arg-type]


def _work_in_turns(catalogue: Catalogue) -> None:
    stores = {name: _store(catalogue, name) for name in ("ada", "bob")}
    idle = 0
    while idle < 2:
        idle = 0
        for name, store in stores.items():
            batch = store.take()
            if batch is None:
                idle += 1
            else:
                _judge(store, batch, name)


def _hand_computed_kappa(catalogue: Catalogue) -> float:
    table: Counter[tuple[bool, bool]] = Counter()
    with catalogue.reading() as session:
        for clip in session.scalars(select(Decision.clip_id).where(Decision.review == "second")):
            table[_rejects("ada", clip), _rejects("bob", clip)] += 1
    n = sum(table.values())
    agree = (table[True, True] + table[False, False]) / n
    ada = (table[True, True] + table[True, False]) / n
    bob = (table[True, True] + table[False, True]) / n
    chance = ada * bob + (1 - ada) * (1 - bob)
    return (agree - chance) / (1 - chance)


def test_both_see_the_shared_part_and_nothing_else(catalogue: Catalogue) -> None:
    _work_in_turns(catalogue)
    with catalogue.reading() as session:
        seen: dict[str, set[str]] = {}
        for clip, annotator in session.execute(select(Decision.clip_id, Decision.annotator)):
            seen.setdefault(clip, set()).add(annotator)
        twice = {clip for clip, names in seen.items() if len(names) == 2}
        assert len(seen) == CLIPS
        assert twice == {clip for clip in seen if shared(clip, 0.2)}
        assert 0.1 * CLIPS < len(twice) < 0.3 * CLIPS
        assert session.query(Decision).count() == CLIPS + len(twice), "nobody judged a clip twice"
        (pair,) = agreements(session)
        assert (pair.first, pair.second, pair.clips) == ("ada", "bob", len(twice))
        assert pair.kappa == pytest.approx(_hand_computed_kappa(catalogue))
        at_odds = {clip for clip in twice if _rejects("ada", clip) != _rejects("bob", clip)}
        assert at_odds and set(disputed(session)) == at_odds
        for clip in at_odds:  # until somebody rules, what one of them rejects is not exported
            assert session.get_one(Clip, clip).state == "rejected"
            assert session.get_one(Clip, clip).reason.startswith("disputed: ")


def test_a_dispute_is_ruled_on_once_and_can_be_taken_back(catalogue: Catalogue) -> None:
    _work_in_turns(catalogue)
    with catalogue.reading() as session:
        at_odds = set(disputed(session))
    eve = _store(catalogue, "eve", review=Pass.ADJUDICATION, size=64)
    assert eve.totals().left == len(at_odds)
    batch = eve.take()
    assert batch is not None and {cell.clip_id for cell in batch.cells} == at_odds
    hints = {cell.hint for cell in batch.cells}
    assert hints <= {"ada keeps, bob rejects (cut)", "bob rejects (cut), ada keeps"}
    eve.confirm(batch.id, {cell.position: Verdict(accepted=True, share_seen=1) for cell in batch.cells}, 2.0)
    with catalogue.reading() as session:
        assert disputed(session) == {}
        assert {session.get_one(Clip, clip).state for clip in at_odds} == {"accepted"}
    assert eve.take() is None and eve.totals().left == 0 and eve.totals().kept == len(at_odds)
    assert eve.reopen(batch.id + 1) == batch.id
    with catalogue.reading() as session:
        assert set(disputed(session)) == at_odds
        assert {session.get_one(Clip, clip).state for clip in at_odds} == {"rejected"}


def test_a_second_look_taken_back_leaves_the_first_one_standing(catalogue: Catalogue) -> None:
    ada = _store(catalogue, "ada", size=CLIPS, overlap=1.0)
    first = ada.take()
    assert first is not None and first.review is Pass.FIRST
    ada.confirm(first.id, {cell.position: Verdict(accepted=True, share_seen=1) for cell in first.cells}, 1.0)
    assert ada.take() is None, "nobody looks twice at the same clip"
    bob = _store(catalogue, "bob", size=CLIPS, overlap=1.0)
    second = bob.take()
    assert second is not None and second.review is Pass.SECOND and len(second.cells) == CLIPS
    assert all(cell.mark is None and cell.hint is None for cell in second.cells), "a second look is blind"
    bob.confirm(second.id, {cell.position: Verdict(accepted=False, share_seen=1) for cell in second.cells}, 1.0)
    with catalogue.reading() as session:
        assert set(session.scalars(select(Clip.state))) == {"rejected"}
    assert bob.reopen(second.id + 1) == second.id
    with catalogue.reading() as session:
        assert set(session.scalars(select(Clip.state))) == {"accepted"}
    # The first one's decisions cannot be taken back while a second look stands on them.
    again = bob.take()
    assert again is not None and again.id == second.id
    bob.confirm(again.id, {cell.position: Verdict(accepted=True, share_seen=1) for cell in again.cells}, 1.0)
    ada.reopen(first.id + 1)
    with catalogue.reading() as session:
        assert set(session.scalars(select(Clip.state))) == {"accepted"}


def test_clips_by_name_are_judged_anew_whatever_was_decided(catalogue: Catalogue) -> None:
    _work_in_turns(catalogue)
    wanted = ("clip-00005", "clip-00006")
    eve = _store(catalogue, "eve", review=Pass.AGAIN, only=wanted)
    batch = eve.take()
    assert batch is not None and [cell.clip_id for cell in batch.cells] == list(wanted)
    eve.confirm(batch.id, {0: Verdict(accepted=True, share_seen=1), 1: Verdict(accepted=False, share_seen=1)}, 1.0)
    with catalogue.reading() as session:
        assert [session.get_one(Clip, clip).state for clip in wanted] == ["accepted", "rejected"]
    assert eve.take() is None
    assert _store(catalogue, "eve", review=Pass.AGAIN, only=wanted).take() is not None, "asked again, shown again"


def test_two_real_commands_at_once(tmp_path: Path) -> None:
    """Two processes over the websocket, at the same time, 20% overlap."""
    catalogue = make_dataset(tmp_path, CLIPS, seconds=0.2)

    def work(name: str) -> None:
        # A review ends when nothing is left; what the other one judges later may bring more second looks.
        for _ in range(20):
            options = ("--annotator", name, "--min-view", "0", "--batch-size", "12", "--overlap", "0.2")
            try:
                with annotating(tmp_path, *options) as running:
                    curator = SocketCurator(running.address)
                    token = ""
                    while True:
                        curator.until(partial(_ended_or_next, curator, token), "the next batch")
                        if curator.ended:
                            break
                        token = curator.panes["grid"].token
                        with catalogue.reading() as session:
                            rows = session.execute(
                                select(BatchClip.position, BatchClip.clip_id).join(Batch).where(Batch.token == token)
                            ).all()
                        curator.mark({position for position, clip in rows if _rejects(name, clip)})
                        curator.enter()
                    running.rest()
            except AssertionError as error:
                if "nothing to review" not in str(error):
                    raise
            if done.is_set():
                return
            with catalogue.reading() as session:
                if session.query(Decision).count() >= total:
                    done.set()
                    return

    total = CLIPS + sum(shared(f"clip-{number:05}", 0.2) for number in range(CLIPS))
    done = threading.Event()
    threads = [threading.Thread(target=work, args=(name,)) for name in ("ada", "bob")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with catalogue.reading() as session:
        held: dict[str, list[str]] = {}
        for clip, annotator in session.execute(
            select(BatchClip.clip_id, Batch.annotator).join(Batch).where(Batch.state == "confirmed")
        ):
            held.setdefault(clip, []).append(annotator)
        for clip, names in held.items():
            assert sorted(names) == (["ada", "bob"] if shared(clip, 0.2) else names[:1]), clip
        assert session.query(Decision).count() == total
        (pair,) = agreements(session)
        assert pair.kappa == pytest.approx(_hand_computed_kappa(catalogue))
    catalogue.close()


def _ended_or_next(curator: SocketCurator, token: str) -> bool:
    return curator.ended or _batch_after(curator, token)


def _batch_after(curator: SocketCurator, token: str) -> bool:
    grid, status = curator.panes.get("grid"), curator.panes.get("status")
    return bool(grid and status and grid.token not in ("", token) and grid.token == status.token)

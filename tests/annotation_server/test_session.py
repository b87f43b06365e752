"""The review's state against a slow, obvious twin, and the rules one by one."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from annotation_server.batches import BatchStore
from annotation_server.events import Back, Bye, Clear, Confirm, Event, Failed, Playing, SetMark, Stop
from annotation_server.records import Cell, Confirmed, Mark, OpenBatch, Pass, Reason, Verdict
from annotation_server.session import Outcome, Review, Shown
from db.models import Clip, Decision
from tests.browser.review_dataset import make_dataset

TOKEN, OTHER = "a" * 32, "b" * 32


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Store:
    """Remembers what it was told."""

    marks: dict[int, Mark | None] = field(default_factory=dict)
    confirmed: list[tuple[int, dict[int, Verdict], float]] = field(default_factory=list)
    earlier: int | None = None
    error: Exception | None = None

    def save_marks(self, batch_id: int, marks: dict[int, Mark | None]) -> None:
        if self.error:
            raise self.error
        self.marks.update(marks)

    def confirm(self, batch_id: int, verdicts: dict[int, Verdict], seconds: float) -> Confirmed:
        if self.error:
            raise self.error
        self.confirmed.append((batch_id, verdicts, seconds))
        return Confirmed(kept=len(verdicts), rejected=0, skipped=0, withdrawn=0)

    def reopen(self, before: int) -> int | None:
        return self.earlier


def _shown(cells: int = 4, unplayable: dict[int, str] | None = None, marked: frozenset[int] = frozenset()) -> Shown:
    batch = OpenBatch(
        review=Pass.FIRST,
        id=7,
        token=TOKEN,
        cells=tuple(
            Cell(
                position=i,
                clip_id=f"c{i}",
                name=f"clip {i}",
                preview=None,
                error=None,
                mark=Mark() if i in marked else None,
            )
            for i in range(cells)
        ),
    )
    return Shown(batch=batch, unplayable=unplayable or {}, loop_seconds={i: 4.0 for i in range(cells)})


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def review(store: Store, clock: Clock) -> Review:
    made = Review(store, min_view=1.0, clock=clock)
    made.show(_shown())
    return made


def test_marks_are_saved_before_they_are_shown(review: Review, store: Store) -> None:
    assert review.handle(SetMark(token=TOKEN, position=2, mark=Mark())) is Outcome.CHANGED
    assert store.marks == {2: Mark()} and review.marks == {2: Mark()}
    assert review.handle(SetMark(token=TOKEN, position=2, mark=None)) is Outcome.CHANGED
    assert store.marks == {2: None} and review.marks == {}


def test_a_reason_can_be_given_changed_and_taken_back(review: Review, store: Store, clock: Clock) -> None:
    for reason in (Reason.CUT, Reason.TEXT, None):
        mark = Mark(reason=reason)
        assert review.handle(SetMark(token=TOKEN, position=1, mark=mark)) is Outcome.CHANGED
        assert store.marks == {1: mark} and review.marks == {1: mark}
    review.handle(SetMark(token=TOKEN, position=2, mark=Mark(reason=Reason.CAMERA)))
    review.handle(Playing(token=TOKEN))
    clock.now += 2
    assert review.handle(Confirm(token=TOKEN, seen=2)) is Outcome.LEFT
    ((_, verdicts, _),) = store.confirmed
    assert {position: verdict.reason for position, verdict in verdicts.items()} == {
        0: None,
        1: None,
        2: Reason.CAMERA,
        3: None,
    }


def test_the_pace_is_clips_a_minute_and_a_long_break_hardly_counts(review: Review, clock: Clock) -> None:
    assert review.pace is None
    for seconds in (10, 10, 10, 3600, 10):
        review.show(replace(_shown(), batch=replace(_shown().batch, id=int(clock.now))))
        review.handle(Playing(token=TOKEN))
        clock.now += seconds
        assert review.handle(Confirm(token=TOKEN, seen=seconds)) is Outcome.LEFT
    assert review.pace == pytest.approx(60 * 5 * 4 / (4 * 10 + 30))


@pytest.mark.parametrize(
    "event",
    [
        SetMark(token=OTHER, position=1, mark=Mark()),
        SetMark(token=TOKEN, position=4, mark=Mark()),
        Confirm(token=OTHER, seen=9),
        Stop(token=OTHER),
        Back(token=OTHER),
        Clear(token=OTHER),
        Event(token=TOKEN),
    ],
)
def test_events_that_mean_nothing_here_change_nothing_and_are_counted(
    review: Review, store: Store, event: Event
) -> None:
    assert review.handle(event) is Outcome.IGNORED
    assert review.ignored == 1
    assert (store.marks, store.confirmed, review.marks) == ({}, [], {})


def test_enter_waits_for_the_batch_to_have_been_watched(review: Review, store: Store, clock: Clock) -> None:
    clock.now += 60
    assert review.handle(Confirm(token=TOKEN, seen=50)) is Outcome.CHANGED
    assert "not begun" in review.message
    review.handle(Playing(token=TOKEN))
    clock.now += 0.5
    # A page cannot have seen more than the time that has passed.
    assert review.handle(Confirm(token=TOKEN, seen=50)) is Outcome.CHANGED
    assert "0.6 s of 1 s" in review.message
    clock.now += 5
    # Nor does time count that the page spent in the background.
    assert review.handle(Confirm(token=TOKEN, seen=0.3)) is Outcome.CHANGED
    assert "0.3 s of 1 s" in review.message
    assert store.confirmed == []
    assert review.handle(Confirm(token=TOKEN, seen=3)) is Outcome.LEFT
    [(batch, verdicts, seconds)] = store.confirmed
    assert (batch, seconds) == (7, pytest.approx(65.5))
    assert [verdict.share_seen for verdict in verdicts.values()] == [0.75] * 4


def test_an_error_that_has_stood_for_long_enough_counts_as_watched(review: Review, store: Store, clock: Clock) -> None:
    review.handle(Failed(token=TOKEN))
    clock.now += 0.5
    assert review.handle(Confirm(token=TOKEN, seen=0.5)) is Outcome.CHANGED
    review.handle(SetMark(token=TOKEN, position=1, mark=Mark()))
    clock.now += 0.6
    assert review.handle(Confirm(token=TOKEN, seen=1.1)) is Outcome.LEFT
    [(_, verdicts, _)] = store.confirmed
    assert [verdict.accepted for verdict in verdicts.values()] == [None, False, None, None], "nobody has seen them"
    assert {verdict.share_seen for verdict in verdicts.values()} == {0}


def test_unplayable_cells_are_rejected_or_left_undecided_but_never_kept(
    review: Review, store: Store, clock: Clock
) -> None:
    review.show(_shown(unplayable={1: "broken", 3: "broken"}, marked=frozenset({3})))
    assert (review.marks.keys(), review.skipped) == ({3}, {1})
    review.handle(Playing(token=TOKEN))
    clock.now += 8
    review.handle(Confirm(token=TOKEN, seen=8))
    [(_, verdicts, _)] = store.confirmed
    assert {position: verdict.accepted for position, verdict in verdicts.items()} == {
        0: True,
        1: None,
        2: True,
        3: False,
    }
    assert {position: verdict.share_seen for position, verdict in verdicts.items()} == {0: 1, 1: 0, 2: 1, 3: 0}


def test_a_catalogue_that_cannot_be_written_leaves_everything_as_it_was(
    review: Review, store: Store, clock: Clock
) -> None:
    review.handle(SetMark(token=TOKEN, position=0, mark=Mark()))
    review.handle(Playing(token=TOKEN))
    clock.now += 5
    store.error = OperationalError("INSERT", {}, Exception("database or disk is full"))
    for event in (SetMark(token=TOKEN, position=1, mark=Mark()), Clear(token=TOKEN), Confirm(token=TOKEN, seen=5)):
        assert review.handle(event) is Outcome.CHANGED
        assert "Not saved: database or disk is full" in review.message
        assert review.marks.keys() == {0}
    store.error = None
    assert review.handle(Confirm(token=TOKEN, seen=5)) is Outcome.LEFT


def test_a_batch_that_went_to_somebody_else_is_left_with_a_word(review: Review, store: Store, clock: Clock) -> None:
    review.handle(Playing(token=TOKEN))
    clock.now += 5
    store.error = LookupError("batch 7 is released, not open")
    assert review.handle(Confirm(token=TOKEN, seen=5)) is Outcome.LEFT
    assert "somebody else" in review.message
    assert review.batches == 0


def test_stop_back_and_bye(review: Review, store: Store) -> None:
    assert review.handle(Back(token=TOKEN)) is Outcome.CHANGED
    assert "no earlier batch" in review.message
    assert review.handle(Bye(token=TOKEN)) is Outcome.UNCHANGED
    assert review.handle(Stop(token=TOKEN)) is Outcome.STOPPED
    store.earlier = 3
    assert review.handle(Back(token=TOKEN)) is Outcome.LEFT
    assert review.handle(Stop(token=TOKEN)) is Outcome.IGNORED, "no batch is on screen in between"


# --- random reviews, against a twin that is a few dictionaries ------------------------------------------------------

STEPS = st.one_of(
    st.tuples(
        st.just("mark"), st.integers(0, 4), st.booleans(), st.sampled_from(["now", "now", "now", "stale", "junk"])
    ),
    st.tuples(st.just("clear")),
    st.tuples(st.just("enter"), st.sampled_from(["now", "now", "stale", "early"])),
    st.tuples(st.just("back")),
    st.tuples(st.just("restart")),
)
SIZE, CLIPS = 4, 10


@settings(max_examples=15, deadline=None)
@given(steps=st.lists(STEPS, min_size=5, max_size=30))
def test_a_random_review_leaves_the_catalogue_as_its_twin_says(steps: list[tuple[object, ...]]) -> None:
    names = [f"clip-{number:05}" for number in range(CLIPS)]
    batches = [names[start : start + SIZE] for start in range(0, CLIPS, SIZE)]
    marks: dict[int, set[int]] = {number: set() for number in range(len(batches))}  # the twin: batch -> marked cells
    decided: dict[str, str] = {}
    log: list[str] = []
    at = 0
    with tempfile.TemporaryDirectory() as folder, make_dataset(Path(folder), CLIPS, previews=[Path("x")]) as catalogue:
        clock, token, stale = Clock(), "", OTHER

        def start() -> Review:
            return Review(BatchStore(catalogue, annotator="ada", size=SIZE), min_view=1.0, clock=clock)

        review = start()
        left = True
        for step in steps:
            if left:
                batch = BatchStore(catalogue, annotator="ada", size=SIZE).take()
                if batch is None:
                    assert at == len(batches)
                    break
                assert [cell.clip_id for cell in batch.cells] == batches[at]
                review.show(Shown(batch=batch, unplayable={}, loop_seconds=dict.fromkeys(range(SIZE), 2.0)))
                assert review.marks.keys() == marks[at]
                token, stale, left = batch.token, token or OTHER, False
            match step:
                case ("mark", int(position), bool(marked), which):
                    sent = {"now": token, "stale": stale, "junk": "c" * 32}[str(which)]
                    review.handle(SetMark(token=sent, position=position, mark=Mark() if marked else None))
                    if sent == token and position < len(batches[at]):
                        (marks[at].add if marked else marks[at].discard)(position)
                case ("clear",):
                    review.handle(Clear(token=token))
                    marks[at] = set()
                case ("enter", which):
                    review.handle(Playing(token=token))
                    clock.now += 0.2 if which == "early" else 3.0
                    sent = stale if which == "stale" else token
                    seen = 0.2 if which == "early" else 3.0
                    outcome = review.handle(Confirm(token=sent, seen=seen))
                    if which == "now" or (sent == token and which != "early"):
                        assert outcome is Outcome.LEFT
                        for cell, clip in enumerate(batches[at]):
                            decided[clip] = "reject" if cell in marks[at] else "accept"
                            log.append(decided[clip])
                        at, left = at + 1, True
                    else:
                        assert outcome in (Outcome.CHANGED, Outcome.IGNORED)
                case ("back",):
                    outcome = review.handle(Back(token=token))
                    assert (outcome is Outcome.LEFT) == (at > 0)
                    if at > 0:
                        at, left = at - 1, True
                        for clip in batches[at]:
                            del decided[clip]
                            log.append("undo")
                case ("restart",):
                    review, left = start(), True
            if not left:
                assert review.marks.keys() == marks[at]
        with catalogue.reading() as session:
            states = {clip.id: clip.state for clip in session.scalars(select(Clip))}
            verdicts = list(session.scalars(select(Decision.verdict).order_by(Decision.id)))
        wanted = {"accept": "accepted", "reject": "rejected"}
        assert states == {clip: wanted[decided[clip]] if clip in decided else "pending" for clip in names}
        assert sorted(verdicts) == sorted(log)

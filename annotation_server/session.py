"""A review's state, with no server and no browser in it: what each event does to the batch on screen.

The marks are in the catalogue before the page hears of them; a batch's decisions are in the catalogue before the next
batch is shown. Events that carry another batch's token change nothing and are counted.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Protocol

from sqlalchemy.exc import SQLAlchemyError

from annotation_server.events import Back, Bye, Clear, Confirm, Event, Failed, Playing, SetMark, Stop
from annotation_server.records import Confirmed, Mark, OpenBatch, Verdict

# The page's clock starts when the video does, Python's when it hears of it: as much later as one message takes.
MESSAGE_SECONDS = 0.1
PACE_BATCHES = 20


class Store(Protocol):
    """Where marks and decisions are kept; `batches.BatchStore` is the one."""

    def save_marks(self, batch_id: int, marks: Mapping[int, Mark | None]) -> None: ...

    def confirm(self, batch_id: int, verdicts: Mapping[int, Verdict], seconds: float) -> Confirmed: ...

    def reopen(self, before: int) -> int | None: ...


class Outcome(Enum):
    """What an event led to."""

    IGNORED = auto()  # not for this batch, or out of range: nothing changed
    UNCHANGED = auto()  # legal, but it changes nothing that is shown
    CHANGED = auto()  # marks or message: show the status again
    LEFT = auto()  # confirmed, or gone back: show the annotator's first open batch
    STOPPED = auto()


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A batch as it is on screen."""

    batch: OpenBatch
    unplayable: Mapping[int, str]  # position -> why nothing plays in that cell
    loop_seconds: Mapping[int, float]  # position -> length of the clip's loop


class Review:
    """One annotator's review. `show` a batch, then `handle` events until one leads to `LEFT` or `STOPPED`."""

    def __init__(self, store: Store, *, min_view: float = 1.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._min_view = min_view
        self._clock = clock
        self._shown: Shown | None = None
        self._marks: dict[int, Mark] = {}
        self._shown_at = 0.0
        self._viewable_at: float | None = None
        self._played = False
        self.message = ""
        self.ignored = 0
        self._confirmed: dict[int, Confirmed] = {}
        self._seconds: dict[int, float] = {}  # each confirmed batch was on screen

    @property
    def shown(self) -> Shown:
        """The batch on screen."""
        if self._shown is None:
            raise RuntimeError("no batch is shown")
        return self._shown

    @property
    def marks(self) -> Mapping[int, Mark]:
        """The positions under a red X, with their reasons."""
        return dict(self._marks)

    @property
    def skipped(self) -> frozenset[int]:
        """The positions that stay undecided, because nobody can see what they are."""
        return frozenset(self.shown.unplayable) - self._marks.keys()

    @property
    def confirmed(self) -> Confirmed:
        """What was confirmed since the review began, without what was taken back."""
        done = self._confirmed.values()
        return Confirmed(
            kept=sum(each.kept for each in done),
            rejected=sum(each.rejected for each in done),
            skipped=sum(each.skipped for each in done),
            withdrawn=sum(each.withdrawn for each in done),
        )

    @property
    def batches(self) -> int:
        """How many batches that were."""
        return len(self._confirmed)

    @property
    def pace(self) -> float | None:
        """Clips judged a minute: over the newest batches, each pause cut at three times their median; None at first."""
        newest = list(self._seconds)[-PACE_BATCHES:]
        if not newest:
            return None
        longest = 3 * statistics.median(self._seconds[batch] for batch in newest)
        seconds = sum(min(self._seconds[batch], longest) for batch in newest)
        clips = sum(self._confirmed[batch].kept + self._confirmed[batch].rejected for batch in newest)
        return 60 * clips / seconds if seconds > 0 and clips else None

    def show(self, shown: Shown) -> None:
        """Put a batch on screen, with the marks it was saved with."""
        self._shown = shown
        self._marks = {cell.position: cell.mark for cell in shown.batch.cells if cell.mark is not None}
        self._shown_at = self._clock()
        self._viewable_at = None
        self._played = False

    def handle(self, event: Event) -> Outcome:
        """Apply an event. A catalogue that cannot be written leaves everything as it was, and says so."""
        if self._shown is None or event.token != self._shown.batch.token:
            return self._ignore()
        try:
            match event:
                case SetMark():
                    return self._mark(event)
                case Clear():
                    return self._clear()
                case Confirm():
                    return self._confirm(event)
                case Back():
                    return self._back()
                case Playing() | Failed():
                    self._viewable_at = self._clock() if self._viewable_at is None else self._viewable_at
                    self._played = self._played or isinstance(event, Playing)
                    return Outcome.UNCHANGED
                case Stop():
                    return Outcome.STOPPED
                case Bye():
                    return Outcome.UNCHANGED
                case _:
                    return self._ignore()
        except SQLAlchemyError as error:
            cause = str(getattr(error, "orig", None) or error).splitlines()[0]
            return self._say(f"Not saved: {cause}. Nothing was changed; mend it and try again.")

    def _mark(self, event: SetMark) -> Outcome:
        if event.position not in {cell.position for cell in self.shown.batch.cells}:
            return self._ignore()
        if self._marks.get(event.position) != event.mark:
            self._store.save_marks(self.shown.batch.id, {event.position: event.mark})
            if event.mark is None:
                del self._marks[event.position]
            else:
                self._marks[event.position] = event.mark
        # Also without a change the page is told: it may show something else.
        return self._say("")

    def _clear(self) -> Outcome:
        if self._marks:
            self._store.save_marks(self.shown.batch.id, dict.fromkeys(self._marks))
            self._marks.clear()
        return self._say("")

    def _confirm(self, event: Confirm) -> Outcome:
        if self._viewable_at is None:
            return self._say("Not yet: this batch has not begun to play.")
        played = self._clock() - self._viewable_at
        # The page counts only what was in view; it cannot have seen more than the time that has passed.
        seen = min(event.seen, played + MESSAGE_SECONDS)
        if seen < self._min_view:
            return self._say(f"Not yet: watched for {seen:.1f} s of {self._min_view:g} s. Press Enter again.")
        verdicts = {cell.position: self._verdict(cell.position, seen) for cell in self.shown.batch.cells}
        batch_id = self.shown.batch.id
        seconds = self._clock() - self._shown_at
        try:
            self._confirmed[batch_id] = self._store.confirm(batch_id, verdicts, seconds)
            self._seconds[batch_id] = seconds
            self.message = ""
        except LookupError:
            self.message = "That batch had been given to somebody else; your marks on it were not counted."
        self._shown = None
        return Outcome.LEFT

    def _verdict(self, position: int, seen: float) -> Verdict:
        mark = self._marks.get(position)
        reason = None if mark is None else mark.reason
        if position in self.shown.unplayable or not self._played:
            # Nobody has seen it, so it is not accepted.
            return Verdict(accepted=None if mark is None else False, share_seen=0.0, reason=reason)
        loop = self.shown.loop_seconds.get(position, 0.0)
        share = min(1.0, seen / loop) if loop > 0 else 0.0
        return Verdict(accepted=mark is None, share_seen=share, reason=reason)

    def _back(self) -> Outcome:
        reopened = self._store.reopen(self.shown.batch.id)
        if reopened is None:
            return self._say("There is no earlier batch of yours to go back to.")
        self._confirmed.pop(reopened, None)
        self._seconds.pop(reopened, None)
        self.message = "Back at an earlier batch: its decisions are taken back until you press Enter."
        self._shown = None
        return Outcome.LEFT

    def _say(self, message: str) -> Outcome:
        self.message = message
        return Outcome.CHANGED

    def _ignore(self) -> Outcome:
        self.ignored += 1
        return Outcome.IGNORED

"""The values that pass between the catalogue, the review and the page."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from db.states import ClipState


class Pass(StrEnum):
    """Which pass over the clips, as batches and decisions record it (`db.verdicts` says what they come to)."""

    FIRST = "first"  # judges pending clips
    SECOND = "second"  # another annotator's look at a share of them, blind; part of the first pass
    ADJUDICATION = "adjudication"  # rules on clips whose two looks differ
    FINAL = "final"  # looks at the accepted ones once more
    AGAIN = "again"  # clips that were asked for by name

    @property
    def states(self) -> frozenset[ClipState]:
        """The states of the clips that this pass may show."""
        return _STATES[self]


_STATES = {
    Pass.FIRST: frozenset({ClipState.PENDING}),
    Pass.SECOND: frozenset({ClipState.ACCEPTED, ClipState.REJECTED}),
    Pass.ADJUDICATION: frozenset({ClipState.ACCEPTED, ClipState.REJECTED}),
    Pass.FINAL: frozenset({ClipState.ACCEPTED}),
    Pass.AGAIN: frozenset({ClipState.PENDING, ClipState.ACCEPTED, ClipState.REJECTED}),
}


class Order(StrEnum):
    """In what order clips come up."""

    TIME = "time"  # videos as they were added, clips as they follow in the video
    RANDOM = "random"  # shuffled, the same way each time for one annotator
    RANKED = "ranked"  # by a ranker: the likeliest rejects first


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A clip for the next batch. `suggestion`: how likely it is a reject, 0 to 1; `hint`: why, in a few words."""

    clip_id: str
    suggestion: float | None = None
    hint: str | None = None


class Reason(StrEnum):
    """Why a clip is rejected, where the curator says so. The page's digits 1 to 6 are these, in this order."""

    CUT = "cut"  # a cut, a dissolve or a fade
    STATIC = "static"  # hardly anything moves
    CONTENT = "wrong content"
    TEXT = "watermark or text"
    CAMERA = "camera"  # it moves
    DUPLICATE = "duplicate"


REASONS = tuple(Reason)


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A red X, with its reason where one was given."""

    reason: Reason | None = None


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One clip's place in a batch. `error` says why there is nothing to play; then `preview` is None."""

    position: int
    clip_id: str
    name: str
    preview: Path | None
    error: str | None
    mark: Mark | None
    suggestion: float | None = None  # probability that it is rejected, as an order that learns proposes
    hint: str | None = None  # what makes it suspicious


@dataclass(frozen=True, kw_only=True)
class OpenBatch:
    """A batch to be judged. Positions may have gaps, where a clip has left the review since."""

    id: int
    token: str
    review: Pass
    cells: tuple[Cell, ...]

    @property
    def contents(self) -> tuple[int, tuple[tuple[int, str], ...]]:
        """What its mosaic depends on."""
        return self.id, tuple((cell.position, cell.clip_id) for cell in self.cells)


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What is recorded for one cell. `accepted` None leaves the clip undecided (skipped)."""

    accepted: bool | None
    share_seen: float  # of the clip's loop, 0 to 1
    reason: Reason | None = None


@dataclass(frozen=True, kw_only=True)
class Confirmed:
    """What confirming a batch did; `withdrawn` clips had left the review meanwhile and got no decision."""

    kept: int
    rejected: int
    skipped: int
    withdrawn: int


@dataclass(frozen=True, kw_only=True)
class Totals:
    """Where the whole data set stands in this pass."""

    kept: int
    rejected: int
    left: int
    skipped: int  # of those left: skipped because their preview does not play
    elsewhere: int  # of those left: in other annotators' open batches

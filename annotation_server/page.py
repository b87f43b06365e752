"""What the browser gets: the grid pane, the status pane and the pane that ends a review, as HTML.

All three are Visdom text panes. The grid pane carries the script and the styles (`static/`), so that they reach any
Visdom server's page; the status pane carries a style sheet that greys and crosses the rejected cells, so that a mark
costs about a kilobyte and never restarts the video.
"""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources

from annotation_server.batches import PROPOSED
from annotation_server.mosaic import CELL_HEIGHT, CELL_WIDTH, Geometry
from annotation_server.records import REASONS, Cell, Mark, Pass, Totals
from annotation_server.session import Shown

LETTERS = "abcdefghijklmnopqrstvwxyz"  # u goes back to the previous batch
KEYS = (
    ("click, letter", "reject, or keep"),
    (f"1-{len(REASONS)}", "give a reason"),
    ("Enter", "confirm, next batch"),
    ("Backspace", "clear the marks"),
    ("u", "previous batch"),
    ("Space", "pause, play"),
    ("< >", "slower, faster"),
    ("Escape", "stop"),
    ("?", "more help"),
)
PASSES = {
    Pass.FIRST: "first pass",
    Pass.SECOND: "second look: judge on your own",
    Pass.ADJUDICATION: "clips in dispute: you rule",
    Pass.FINAL: "final pass over the kept clips",
    Pass.AGAIN: "clips asked for by name",
}
HELP = (
    "Reject clips with cuts, fades, camera movement, captions, or that show something else. "
    "Rest the mouse on a clip to see it larger. A digit rejects the clip under the mouse, or the one marked last, for "
    "that reason; reasons are optional and help to mend the filter. Escape keeps all that was confirmed. "
    "Each cell has its letter in the corner (u is left out: it goes back). "
    "Marks are saved as you make them; a batch counts once you press Enter, "
    "and Enter works once the batch has been playing for a moment. "
    "A cell without a video is left undecided unless you reject it. "
    "You may reload or close this page at any time: the same batch comes back."
)
UNPLAYED = "This browser cannot play the video (H.264): clips are left undecided unless you reject them."
# A script that comes with a pane's HTML does not run; an image that fails to load runs its handler.
_START = (
    '<img hidden alt="" src="data:," onerror="const s=document.createElement(\'script\');'
    's.textContent=this.previousElementSibling.textContent;document.head.append(s);s.remove()">'
)


@dataclass(frozen=True, kw_only=True)
class Status:
    """What the status pane shows."""

    annotator: str
    review: Pass
    token: str
    clips: int  # in this batch; 0 once the review has ended
    marks: Mapping[int, Mark]
    skipped: frozenset[int]
    totals: Totals
    pace: float | None  # clips a minute
    message: str
    told: str = ""  # what the ranker says of itself


@cache
def _static(name: str) -> str:
    return (resources.files(__package__) / "static" / name).read_text()


def _script() -> str:
    return f'<script type="text/plain">{_static("look.js")}{_static("grid.js")}</script>{_START}'


def grid(shown: Shown, geometry: Geometry, full: Geometry, video: str | None, closeups: str | None = None) -> str:
    """The grid pane: the mosaic at the address `video`, and a transparent cell over each clip.

    `geometry` is the mosaic's, `full` that of a batch of full size, which the pane keeps. Where close-ups are served,
    their addresses begin with `closeups`.
    """
    larger = f'data-closeups="{closeups}" ' if closeups else ""
    cells = "".join(_cell(cell, shown.unplayable.get(cell.position), geometry) for cell in shown.batch.cells)
    media = "" if video is None else f'<video src="{html.escape(video)}" autoplay loop muted playsinline></video>'
    unplayed = "" if video is None else f'<p class="sf-unplayed">{html.escape(UNPLAYED)}</p>'
    return (
        f"<style>:root{{--sf-aspect:{full.width / full.height:.4f}}}{_static('grid.css')}</style>"
        f'<div class="sf-grid" data-token="{shown.batch.token}" {larger}'
        f'style="aspect-ratio:{geometry.width}/{geometry.height}">{media}{cells}{unplayed}</div>'
        f"{_script()}"
    )


def _cell(cell: Cell, error: str | None, geometry: Geometry) -> str:
    left, top = geometry.corner(cell.position)
    place = (
        f"left:{100 * left / geometry.width:.4f}%;top:{100 * top / geometry.height:.4f}%;"
        f"width:{100 * CELL_WIDTH / geometry.width:.4f}%;height:{100 * CELL_HEIGHT / geometry.height:.4f}%"
    )
    inside = ""
    if error is not None:
        inside = (
            f'<div class="sf-broken"><b>{html.escape(cell.name)}</b>{html.escape(error)}'
            "<i>left undecided unless you reject it</i></div>"
        )
    if cell.position < len(LETTERS):
        inside += f'<span class="sf-letter">{LETTERS[cell.position]}</span>'
    title, suggested = cell.name, ""
    if cell.suggestion is not None and cell.suggestion >= PROPOSED:
        suggested = " sf-suggested"
        title += f" - likely a reject ({cell.suggestion:.0%})"
    if cell.hint:
        inside += f'<span class="sf-hint">{html.escape(cell.hint)}</span>'
    return (
        f'<div class="sf-cell{suggested}" data-cell="{cell.position}" title="{html.escape(title)}" style="{place}">'
        f"{inside}</div>"
    )


def status(state: Status) -> str:
    """The status pane: Python's marks as a style sheet, counts, the keys."""
    totals = state.totals
    everything = max(1, totals.kept + totals.rejected + totals.left)
    rejected, skipped = len(state.marks), len(state.skipped)
    parts = [f"<b>{rejected}</b> of {state.clips} rejected in this batch"] if state.clips else []
    if skipped:
        parts.append(f"{skipped} without a video: left undecided")
    if totals.elsewhere:
        parts.append(f"{totals.elsewhere:,} clips are with other annotators")
    keys = "".join(f"<tr><td>{_kbd(key)}</td><td>{html.escape(text)}</td></tr>" for key, text in KEYS)
    marked = ",".join(
        f"{position}:{0 if mark.reason is None else REASONS.index(mark.reason) + 1}"
        for position, mark in sorted(state.marks.items())
    )
    reasons = "".join(f"<li><kbd>{number}</kbd> {html.escape(reason)}</li>" for number, reason in enumerate(REASONS, 1))
    return (
        f"{_marks(state)}"
        f'<div class="sf-status" data-token="{state.token}" data-marked="{marked}">'
        f'<h1>Review</h1><p class="sf-who">{html.escape(state.annotator)} · {PASSES[state.review]}</p>'
        f'<div class="sf-bar"><i class="sf-kept" style="width:{100 * totals.kept / everything:.2f}%"></i>'
        f'<i class="sf-rejected" style="width:{100 * totals.rejected / everything:.2f}%"></i></div>'
        f'<div class="sf-counts"><div><b>{totals.kept:,}</b>kept</div><div><b>{totals.rejected:,}</b>rejected</div>'
        f"<div><b>{totals.left:,}</b>left</div></div>"
        f'<p class="sf-pace">{_pace(state)}</p>'
        f'<p class="sf-told">{html.escape(state.told)}</p>'
        f'<p class="sf-batch">{"<br>".join(parts)}</p>'
        f'<p class="sf-message">{html.escape(state.message)}</p>'
        f'<p class="sf-lost">The review does not answer. Nothing that was confirmed is lost; start '
        f"<kbd>curate annotate</kbd> again. At the same address this page comes back by itself.</p>"
        f'<ol class="sf-reasons">{reasons}</ol>'
        f'<table class="sf-keys">{keys}</table><p class="sf-more">{html.escape(HELP)}</p></div>'
    )


def _kbd(keys: str) -> str:
    return ", ".join(key if key == "click" else f"<kbd>{html.escape(key)}</kbd>" for key in keys.split(", "))


def _pace(state: Status) -> str:
    if state.pace is None or state.totals.left == 0:
        return ""
    minutes = state.totals.left / state.pace
    if minutes < 1:
        left = "less than a minute"
    elif minutes < 90:
        left = f"about {minutes:.0f} min"
    else:
        left = f"about {minutes / 60:.1f} h"
    return f"{state.pace:.0f} clips a minute, {left} to the end"


def _marks(state: Status) -> str:
    """A style sheet that crosses the rejected cells, and writes their reasons into them."""
    if not state.marks:
        return "<style></style>"
    grid = f'.sf-grid[data-token="{state.token}"]'
    cells = ",".join(f'[data-cell="{position}"]' for position in sorted(state.marks))
    rules = [f"{grid} .sf-cell:is({cells}){{--sf-filter:grayscale(1) brightness(0.5);--sf-cross:1}}"]
    rules += [
        f'{grid} [data-cell="{position}"]{{--sf-reason:"{mark.reason}"}}'
        for position, mark in sorted(state.marks.items())
        if mark.reason is not None
    ]
    return f"<style>{''.join(rules)}</style>"


def ended(lines: list[str], token: str) -> str:
    """The grid pane's last content: how the review ended."""
    text = "<br>".join(html.escape(line) for line in lines)
    return f'<style>{_static("grid.css")}</style><div class="sf-ended" data-token="{token}">{text}</div>{_script()}'

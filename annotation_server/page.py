"""What the browser gets: the grid pane, the status pane and the pane that ends a review, as HTML.

All three are Visdom text panes. The grid pane carries the script and the styles (`static/`), so that they reach any
Visdom server's page; the status pane carries a style sheet that greys and crosses the rejected cells, so that a mark
costs about a kilobyte and never restarts the video.
"""

from __future__ import annotations

import html
from dataclasses import dataclass
from functools import cache
from importlib import resources

from annotation_server.mosaic import CELL_HEIGHT, CELL_WIDTH, Geometry
from annotation_server.records import Pass, Totals
from annotation_server.session import Shown

LETTERS = "abcdefghijklmnopqrstvwxyz"  # u goes back to the previous batch
KEYS = (
    ("click, letter", "reject, or keep after all"),
    ("Enter", "confirm, next batch"),
    ("Backspace", "clear the marks"),
    ("u", "previous batch"),
    ("Escape", "stop, keep all confirmed"),
    ("?", "more help"),
)
HELP = (
    "Reject clips with cuts, fades, camera movement, captions, or that show something else. "
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
    rejected: frozenset[int]
    skipped: frozenset[int]
    totals: Totals
    message: str


@cache
def _static(name: str) -> str:
    return (resources.files(__package__) / "static" / name).read_text()


def grid(shown: Shown, geometry: Geometry, full: Geometry, video: str | None) -> str:
    """The grid pane: the mosaic at the address `video`, and a transparent cell over each clip.

    `geometry` is the mosaic's, `full` that of a batch of full size, which the pane keeps.
    """
    cells = "".join(
        _cell(position, name, shown.unplayable.get(position), geometry)
        for position, name in ((cell.position, cell.name) for cell in shown.batch.cells)
    )
    media = "" if video is None else f'<video src="{html.escape(video)}" autoplay loop muted playsinline></video>'
    unplayed = "" if video is None else f'<p class="sf-unplayed">{html.escape(UNPLAYED)}</p>'
    return (
        f"<style>:root{{--sf-aspect:{full.width / full.height:.4f}}}{_static('grid.css')}</style>"
        f'<div class="sf-grid" data-token="{shown.batch.token}" '
        f'style="aspect-ratio:{geometry.width}/{geometry.height}">{media}{cells}{unplayed}</div>'
        f'<script type="text/plain">{_static("grid.js")}</script>{_START}'
    )


def _cell(position: int, name: str, error: str | None, geometry: Geometry) -> str:
    left, top = geometry.corner(position)
    place = (
        f"left:{100 * left / geometry.width:.4f}%;top:{100 * top / geometry.height:.4f}%;"
        f"width:{100 * CELL_WIDTH / geometry.width:.4f}%;height:{100 * CELL_HEIGHT / geometry.height:.4f}%"
    )
    broken = ""
    if error is not None:
        broken = (
            f'<div class="sf-broken"><b>{html.escape(name)}</b>{html.escape(error)}'
            "<i>left undecided unless you reject it</i></div>"
        )
    letter = f'<span class="sf-letter">{LETTERS[position]}</span>' if position < len(LETTERS) else ""
    title = html.escape(name)
    return f'<div class="sf-cell" data-cell="{position}" title="{title}" style="{place}">{broken}{letter}</div>'


def status(state: Status) -> str:
    """The status pane: Python's marks as a style sheet, counts, the keys."""
    totals = state.totals
    everything = max(1, totals.kept + totals.rejected + totals.left)
    rejected, skipped = len(state.rejected), len(state.skipped)
    parts = [f"<b>{rejected}</b> of {state.clips} rejected in this batch"] if state.clips else []
    if skipped:
        parts.append(f"{skipped} without a video: left undecided")
    if totals.elsewhere:
        parts.append(f"{totals.elsewhere:,} clips are with other annotators")
    which = "final pass over the kept clips" if state.review is Pass.FINAL else "first pass"
    keys = "".join(f"<tr><td>{_kbd(key)}</td><td>{html.escape(text)}</td></tr>" for key, text in KEYS)
    marked = ",".join(str(position) for position in sorted(state.rejected))
    return (
        f"{_marks(state)}"
        f'<div class="sf-status" data-token="{state.token}" data-marked="{marked}">'
        f'<h1>Review</h1><p class="sf-who">{html.escape(state.annotator)} · {which}</p>'
        f'<div class="sf-bar"><i class="sf-kept" style="width:{100 * totals.kept / everything:.2f}%"></i>'
        f'<i class="sf-rejected" style="width:{100 * totals.rejected / everything:.2f}%"></i></div>'
        f'<div class="sf-counts"><div><b>{totals.kept:,}</b>kept</div><div><b>{totals.rejected:,}</b>rejected</div>'
        f"<div><b>{totals.left:,}</b>left</div></div>"
        f'<p class="sf-batch">{"<br>".join(parts)}</p>'
        f'<p class="sf-message">{html.escape(state.message)}</p>'
        f'<p class="sf-lost">The review does not answer. Nothing that was confirmed is lost; start '
        f"<kbd>curate annotate</kbd> again. At the same address this page comes back by itself.</p>"
        f'<table class="sf-keys">{keys}</table><p class="sf-more">{html.escape(HELP)}</p></div>'
    )


def _kbd(keys: str) -> str:
    return ", ".join(key if key == "click" else f"<kbd>{html.escape(key)}</kbd>" for key in keys.split(", "))


def _marks(state: Status) -> str:
    if not state.rejected:
        return "<style></style>"
    cells = ",".join(f'[data-cell="{position}"]' for position in sorted(state.rejected))
    return (
        f'<style>.sf-grid[data-token="{state.token}"] .sf-cell:is({cells})'
        "{--sf-filter:grayscale(1) brightness(0.5);--sf-cross:1}</style>"
    )


def ended(lines: list[str], token: str) -> str:
    """The grid pane's last content: how the review ended."""
    text = "<br>".join(html.escape(line) for line in lines)
    return (
        f'<style>{_static("grid.css")}</style><div class="sf-ended" data-token="{token}">{text}</div>'
        f'<script type="text/plain">{_static("grid.js")}</script>{_START}'
    )

"""The panes' HTML."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotation_server import page
from annotation_server.mosaic import Geometry
from annotation_server.records import REASONS, Cell, Mark, OpenBatch, Pass, Reason, Totals
from annotation_server.session import Shown

TOKEN = "f" * 32
FULL = Geometry.of(25, 25)


class Tags(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def _shown(name: str, error: str | None = None, cells: int = 1) -> Shown:
    batch = OpenBatch(
        review=Pass.FIRST,
        id=1,
        token=TOKEN,
        cells=tuple(
            Cell(position=i, clip_id=f"c{i}", name=name, preview=None, error=error, mark=None) for i in range(cells)
        ),
    )
    return Shown(batch=batch, unplayable={0: error} if error else {}, loop_seconds={})


def _status(
    marks: dict[int, Mark] | None = None, annotator: str = "ada", message: str = "", pace: float | None = None
) -> str:
    totals = Totals(kept=120, rejected=30, left=1050, skipped=2, elsewhere=25)
    return page.status(
        page.Status(
            annotator=annotator,
            review=Pass.FIRST,
            token=TOKEN,
            clips=25,
            marks=marks or {},
            skipped=frozenset({4}),
            totals=totals,
            pace=pace,
            message=message,
        )
    )


@given(name=st.text(max_size=60), error=st.text(min_size=1, max_size=60))
def test_names_and_errors_are_never_markup(name: str, error: str) -> None:
    plain = [tag for tag, _ in Tags(page.grid(_shown("x", "y"), FULL, FULL, None)).tags]
    seen = Tags(page.grid(_shown(name, error), FULL, FULL, None))
    assert [tag for tag, _ in seen.tags] == plain
    [cell] = [attrs for _, attrs in seen.tags if attrs.get("class") == "sf-cell"]
    assert set(cell) == {"class", "data-cell", "title", "style"}


@given(annotator=st.text(max_size=60), message=st.text(max_size=60))
def test_the_status_escapes_what_it_is_given(annotator: str, message: str) -> None:
    plain = [tag for tag, _ in Tags(_status()).tags]
    assert [tag for tag, _ in Tags(_status(annotator=annotator, message=message)).tags] == plain


def test_each_cell_lies_over_its_clip_and_has_its_letter() -> None:
    geometry = Geometry.of(25, 25)
    seen = Tags(page.grid(_shown("sea", cells=25), geometry, FULL, "/mosaics/x.mp4"))
    cells = [attrs for _, attrs in seen.tags if attrs.get("class") == "sf-cell"]
    assert [cell["data-cell"] for cell in cells] == [str(number) for number in range(25)]
    place = {key: float(value) for key, value in re.findall(r"(\w+):([\d.]+)%", cells[7]["style"] or "")}
    assert place["left"] * geometry.width / 100 == pytest.approx(geometry.corner(7)[0], abs=0.01)
    assert place["top"] * geometry.height / 100 == pytest.approx(geometry.corner(7)[1], abs=0.01)
    assert place["width"] * geometry.width / 100 == pytest.approx(160, abs=0.01)
    assert place["height"] * geometry.height / 100 == pytest.approx(90, abs=0.01)
    [video] = [attrs for tag, attrs in seen.tags if tag == "video"]
    assert video["src"] == "/mosaics/x.mp4" and {"autoplay", "loop", "muted", "playsinline"} <= set(video)
    assert len(page.LETTERS) == 25 and "u" not in page.LETTERS


def test_the_status_says_where_things_stand_and_stays_small() -> None:
    text = _status({3: Mark(), 17: Mark(reason=Reason.TEXT)}, pace=150.0, message="Not yet: watched for 0.4 s of 1 s.")
    seen = Tags(text)
    expected = (
        *("120", "30", "1,050", "2 of 25 rejected", "1 without a video", "25 clips are with other"),
        *("150 clips a minute", "about 7 min", "Not yet"),
    )
    for part in expected:
        assert part in seen.text, part
    for key in ("Enter", "Backspace", "Escape", "?"):
        assert f"<kbd>{key}</kbd>" in text
    assert '[data-cell="3"],[data-cell="17"]' in text and 'data-marked="3:0,17:4"' in text
    assert '[data-cell="17"]{--sf-reason:"watermark or text"}' in text
    for reason in REASONS:
        assert reason in seen.text
    assert TOKEN in text.split("</style>")[0], "the marks hold for this batch alone"
    assert len(text) < 4000


@given(hint=st.text(min_size=1, max_size=60))
def test_a_suggestion_outlines_its_cell_and_a_hint_is_never_markup(hint: str) -> None:
    cell = Cell(
        position=0, clip_id="c", name="sea", preview=None, error=None, mark=None, suggestion=0.87, hint=hint
    )  # fmt: skip
    shown = Shown(batch=OpenBatch(id=1, token=TOKEN, review=Pass.FIRST, cells=(cell,)), unplayable={}, loop_seconds={})
    seen = Tags(page.grid(shown, FULL, FULL, None))
    assert [attrs["title"] for _, attrs in seen.tags if "sf-suggested" in (attrs.get("class") or "")] == [
        "sea - likely a reject (87%)"
    ]
    assert hint in seen.text


def test_the_script_cannot_end_early_in_its_pane() -> None:
    text = page.grid(_shown("sea"), FULL, FULL, None)
    assert text.count("</script>") == 1 and text.count("</style>") == 1

"""The report: its numbers, in any state of the catalogue; nothing from outside gets out of its cell."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import insert, select, update

from curation.commands import main
from curation.filtering.histograms import Bin, Histogram
from curation.filtering.rules import Rule, SavedRule
from curation.report.charts import HEIGHT, WIDTH, histogram_chart
from curation.report.pace import Confirmed, sessions
from curation.report.page import Report, gather, render
from curation.report.tables import MOST_VIDEOS
from curation.report.text import clean, link
from db.engine import Catalogue
from db.models import Clip, Decision, Video
from db.states import ClipState
from tests.browser.review_dataset import write_preview
from tests.curation.report_dataset import HOSTILE, fill

NOW = datetime(2026, 3, 4, 5, 6, tzinfo=UTC)


@pytest.fixture
def full(catalogue: Catalogue, make_video: Callable[..., Path], tmp_path: Path) -> Catalogue:
    """A catalogue in which everything has happened."""
    write_preview(catalogue.path("previews/wave.mp4"))
    fill(catalogue, make_video(tmp_path / "a.mp4", frames=50), "previews/wave.mp4")
    return catalogue


def invoke(catalogue: Catalogue, *arguments: object) -> Result:
    return CliRunner().invoke(main, ["report", "--dataset", str(catalogue.folder), *map(str, arguments)])


class Tags(HTMLParser):
    """Every tag with its attributes, and the text outside scripts and styles."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self._raw = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._raw = tag in ("script", "style")

    def handle_endtag(self, tag: str) -> None:
        self._raw = False

    def handle_data(self, data: str) -> None:
        if not self._raw:
            self.text.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def losses(report: Report) -> dict[str, dict[str, int]]:
    steps = (*report.funnel.videos, *report.funnel.clips)
    return {step.name: {loss.reason: loss.number for loss in step.losses} for step in steps}


def texts(rows: Iterable[Iterable[object]]) -> list[list[str]]:
    return [[cell.text for cell in row] for row in rows]  # type: ignore[attr-defined]


def test_every_number_is_the_catalogues(full: Catalogue) -> None:
    report = gather(full, pictures=24, now=NOW)
    assert report.made == "2026-03-04 05:06 UTC"
    assert [(step.name, step.number) for step in (*report.funnel.videos, *report.funnel.clips)] == [
        ("found", 5), ("downloaded", 2), ("cut", 16), ("scored", 14), ("passed the filter", 10), ("accepted", 4),
        ("in a split", 4), ("exported", 1),
    ]  # fmt: skip
    lost = losses(report)
    assert lost["found"] == {"failed: gone": 1, "taken down": 1, "not downloaded yet": 1}
    assert lost["cut"] == {"not scored yet": 2}
    assert lost["scored"] == {
        "not variance >= 0.001 (rule default v1)": 2,
        "not filtered yet, or short of a score": 2,
    }
    assert lost["passed the filter"] == {
        f"rejected: {clean(HOSTILE, 60)}": 2,
        "rejected, other reasons": 2,
        "awaiting review": 2,
    }
    assert lost["in a split"] == {"not exported yet": 3}
    assert [(sheet.title, sheet.total, len(sheet.pictures)) for sheet in report.sheets] == [
        ("accepted", 4, 4), ("awaiting review", 2, 2), ("rejected by a person", 4, 4), ("filtered by rules", 2, 2),
    ]  # fmt: skip
    # Filtered clips have no preview: their frame comes from the source.
    assert all(picture.image for sheet in report.sheets for picture in sheet.pictures)
    assert [row[3:] for row in texts(report.sessions.rows)] == [["3", "1", "30 s", "6"]] * 2
    assert report.without_batches == (("script", 1),)
    assert texts(report.splits.rows) == [
        ["train", "1", "2", "50.0%", "20 s"],
        ["val", "1", "2", "50.0%", "20 s"],
        ["test", "0", "0", "0.0%", "0 s"],
    ]
    assert texts(report.licences.rows)[0][1:5] == ["2", "4 min", "8", "2"] or report.licences.total == 3
    assert texts(report.shards.rows)[0][:5] == ["shards/train-00000.h5", "train", "1", "50", "120.6 KiB"]
    assert report.takedowns.total == 1
    assert report.unmeasured == ("never",)
    assert [chart.name for chart in report.histograms] == ["fade", "variance"]


def test_nothing_from_outside_leaves_its_cell(full: Catalogue) -> None:
    page = render(gather(full, pictures=24), "curate <next>")
    found = Tags(page)
    assert len(found.all("script")) == 1
    assert {image["src"].partition(",")[0] for image in found.all("img") if image["src"]} == {"data:image/jpeg;base64"}
    assert not any(name.startswith("on") for _, attributes in found.tags for name in attributes)
    for anchor in found.all("a"):
        assert (anchor["href"] or "").startswith("https://example.org/")
    text = "".join(found.text)
    assert '<script>document.title = "owned"</script>' in text
    assert "\x07" not in page
    assert "\u202e" not in page
    assert "x" * 200 not in page
    assert "curate <next>" in text


def test_the_page_asks_for_nothing(full: Catalogue) -> None:
    found = Tags(render(gather(full, pictures=2)))
    for _, attributes in found.tags:
        for name in ("src", "srcset", "data", "poster", "action", "background"):
            assert (attributes.get(name) or "data:").startswith("data:")
    assert all((tag["href"] or "").startswith("data:") for tag in found.all("link"))


def test_an_empty_catalogue_says_what_to_do(catalogue: Catalogue) -> None:
    told = invoke(catalogue)
    assert told.exit_code == 0, told.output
    page = (catalogue.folder / "report.html").read_text(encoding="utf-8")
    assert "Nothing is here yet. Begin with" in page
    assert f"curate add URL_OR_FILE... --dataset {catalogue.folder}" in page
    assert list(catalogue.folder.glob(".*.part")) == []


def test_a_catalogue_in_any_one_state_has_a_report(full: Catalogue) -> None:
    for state in ClipState:
        with full.writing() as session:
            session.execute(update(Clip).values(state=state))
        report = gather(full, pictures=1)
        assert "From found to exported" in render(report)
        assert sum(sheet.total for sheet in report.sheets) in (0, 16)


def test_the_command_names_the_file_and_what_comes_next(full: Catalogue, tmp_path: Path) -> None:
    out = tmp_path / "elsewhere" / "page.html"
    told = json.loads(invoke(full, "--out", out, "--pictures", 1, "--json").stdout)
    assert (told["videos"], told["clips"], told["pictures"]) == (5, 16, 4)
    assert Path(told["file"]) == out
    assert told["next"].startswith("curate run")
    assert out.stat().st_size < 100_000
    assert json.loads(invoke(full, "--pictures", 0, "--json").stdout)["pictures"] == 0


def test_pictures_that_cannot_be_made_are_told(full: Catalogue) -> None:
    full.path("previews/wave.mp4").write_bytes(b"no video")
    with full.reading() as session:
        Path(session.scalars(select(Video.path)).first() or "").unlink()
    told = json.loads(invoke(full, "--json").stdout)
    assert "12 of the pictures could not be made; the page says why" in told["remarks"]
    assert "missing: " in (full.folder / "report.html").read_text(encoding="utf-8")


def test_many_videos_are_cut_short_and_the_page_says_so(catalogue: Catalogue) -> None:
    rows = [
        {"id": f"v{n}", "provider": "web", "provider_id": str(n), "source": f"https://example.org/{n}"}
        for n in range(MOST_VIDEOS + 7)
    ]
    with catalogue.writing() as session:
        session.execute(insert(Video), rows)
    report = gather(catalogue, pictures=1)
    assert (len(report.videos.rows), report.videos.total) == (MOST_VIDEOS, MOST_VIDEOS + 7)
    assert f"the first {MOST_VIDEOS} of {MOST_VIDEOS + 7}" in render(report)


def test_sessions_end_with_a_long_pause_and_with_the_annotator() -> None:
    def batch(name: str, minute: float, clips: int = 25) -> Confirmed:
        return Confirmed(annotator=name, at=NOW + timedelta(minutes=minute), seconds=30.0, clips=clips, rejected=5)

    found = sessions([batch("ada", 0), batch("ada", 1), batch("ada", 31.4), batch("ada", 70), batch("bob", 70.1, 10)])
    assert [(one.annotator, one.batches, one.clips, one.seconds) for one in found] == [
        ("ada", 3, 75, 90.0), ("ada", 1, 25, 30.0), ("bob", 1, 10, 30.0),
    ]  # fmt: skip
    assert found[0].pace == 50.0
    assert found[2].rejected == 5


@given(
    edges=st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=9, unique=True).map(sorted),
    counts=st.lists(st.integers(0, 10**6), min_size=8, max_size=8),
    lower=st.floats(-2e3, 0),
    upper=st.floats(0, 2e3),
)
def test_charts_stay_in_their_frame(edges: list[float], counts: list[int], lower: float, upper: float) -> None:
    bins = tuple(Bin(low=a, high=b, clips=n) for a, b, n in zip(edges, edges[1:], counts, strict=False))
    drawn = Histogram(score="fade", bins=bins)
    if not drawn.clips:
        return
    rule = SavedRule(name="r", version=1, rule=Rule(minimum={"fade": lower}, maximum={"fade": upper}))
    chart = histogram_chart(drawn, [rule])
    assert len(chart.bars) == sum(one.clips > 0 for one in bins)
    for bar in chart.bars:
        assert 0 <= bar.x <= bar.x + bar.width <= WIDTH + 1e-6
        assert 0 < bar.height <= HEIGHT
    for mark in (*chart.bounds, *chart.ticks):
        assert 0 <= mark.x <= WIDTH
    assert len({mark.row for mark in chart.bounds}) == (2 if abs(chart.bounds[0].x - chart.bounds[1].x) < 52 else 1)


@given(st.text())
def test_cleaned_text_is_short_whole_and_harmless(text: str) -> None:
    done = clean(text, 20)
    assert len(done) <= 20
    assert done == clean(done, 20)
    done.encode("utf-8")
    assert not any(ord(character) < 32 or 0x7F <= ord(character) < 0xA0 for character in done)


def test_links_lead_to_the_web_alone() -> None:
    assert link("https://example.org/?a=1&b=2") == "https://example.org/?a=1&b=2"
    assert link("HTTP://example.org") == "HTTP://example.org"
    for wrong in (
        "javascript:alert(1)",
        "data:text/html,x",
        "/home/me/sea.mp4",
        "file:///etc/passwd",
        "https://a\nb",
        "",
    ):
        assert link(wrong) is None


def test_agreement_disputes_and_what_is_learned(full: Catalogue) -> None:
    with full.writing() as session:
        clips = list(session.scalars(select(Clip.id).order_by(Clip.id)))
        for number, clip in enumerate(clips[:20]):
            verdict = "reject" if number % 4 == 0 else "accept"
            session.add(Decision(clip_id=clip, annotator="<b>ada</b>", verdict=verdict))
        session.flush()
        for clip in clips[:4]:
            session.add(Decision(clip_id=clip, annotator="bob", verdict="accept", review="second"))
    report = gather(full, pictures=2)
    (row,) = texts(report.agreement.rows)
    assert row[:6] == ["<b>ada</b>", "bob", "4", "3", "0", "1"] and row[6] == "75%" and row[7] == "0.00"
    assert report.disputes == 1
    assert "decisions" in report.learned
    page = render(report)
    assert "&lt;b&gt;ada&lt;/b&gt;" in page and "<b>ada" not in page
    assert "curate annotate --state disputed" in page

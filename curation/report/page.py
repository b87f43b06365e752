"""The page: everything gathered in one reading of the catalogue, and rendered by the template."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import jinja2
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from curation.filtering.histograms import histogram, score_names
from curation.filtering.judging import judge
from curation.filtering.rules import active_rules, bounds, saved_rules
from curation.report.agreement import agreement_table, learned, open_disputes
from curation.report.charts import HEIGHT, WIDTH, Chart, histogram_chart, pace_chart
from curation.report.funnel import Funnel, funnel
from curation.report.pace import confirmed, sessions, sessions_table, without_batches
from curation.report.sheets import Sheet, sheets
from curation.report.tables import (
    Table,
    exports_table,
    licences_table,
    rules_table,
    shards_table,
    splits_table,
    takedowns_table,
    videos_table,
)
from curation.report.text import clean, length
from db.engine import Catalogue
from db.files import replacing
from db.models import Clip, Video
from db.states import ClipState

HERE = Path(__file__).parent


@dataclass(frozen=True, kw_only=True)
class Report:
    """All that the page shows."""

    dataset: str
    made: str
    version: str
    figures: tuple[tuple[str, str], ...]  # (number, what of)
    funnel: Funnel
    histograms: tuple[Chart, ...]
    unmeasured: tuple[str, ...]  # scores that a rule asks for and no clip has
    rules: Table
    sheets: tuple[Sheet, ...]
    pace: Chart | None
    sessions: Table
    without_batches: tuple[tuple[str, int], ...]
    agreement: Table
    disputes: int
    learned: str
    licences: Table
    splits: Table
    exports: Table
    shards: Table
    takedowns: Table
    videos: Table

    @property
    def empty(self) -> bool:
        return self.videos.total == 0


def gather(catalogue: Catalogue, *, pictures: int, now: datetime | None = None) -> Report:
    """Read what the report shows. `pictures`: at most so many a contact sheet."""
    with catalogue.reading() as session:
        rules = saved_rules(session)
        active = active_rules(rules)
        verdicts = judge(session, active)
        measured = score_names(session)
        asked = {score for rule in active for score in rule.rule.scores}
        found = sessions(confirmed(session))
        steps = funnel(session, verdicts)
        return Report(
            dataset=clean(catalogue.folder.name or catalogue.folder),
            made=f"{(now or datetime.now(UTC)).astimezone(UTC):%Y-%m-%d %H:%M} UTC",
            version=version("stillflow"),
            figures=_figures(session, steps),
            funnel=steps,
            histograms=tuple(
                histogram_chart(histogram(session, name, [*itertools.chain(*bounds(active, name))]), active)
                for name in measured
            ),
            unmeasured=tuple(sorted(asked - set(measured))),
            rules=rules_table(rules, [verdicts.filtered_by(rule) for rule in rules]),
            sheets=tuple(sheets(catalogue, session, pictures)),
            pace=pace_chart(found),
            sessions=sessions_table(found),
            without_batches=tuple(without_batches(session)),
            agreement=agreement_table(session),
            disputes=open_disputes(session),
            learned=learned(session),
            licences=licences_table(session),
            splits=splits_table(session),
            exports=exports_table(session),
            shards=shards_table(session),
            takedowns=takedowns_table(session),
            videos=videos_table(session),
        )


def render(report: Report, following: str = "") -> str:
    """The page's HTML; `following`: the command to go on with. Everything is escaped by the template."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style, script = ((HERE / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    return environment.get_template("page.html").render(
        report=report, following=following, style=style, script=script, chart_width=WIDTH, chart_height=HEIGHT
    )


def write(path: Path, text: str) -> None:
    """Write the page, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")


def _figures(session: Session, steps: Funnel) -> tuple[tuple[str, str], ...]:
    """The numbers at the head of the page."""
    footage = session.scalar(select(func.sum(Video.duration))) or 0.0
    kept = session.scalar(select(func.sum(Clip.end - Clip.start)).where(Clip.state == ClipState.ACCEPTED)) or 0.0
    numbers = {step.name: step.number for step in (*steps.videos, *steps.clips)}
    return (
        (f"{numbers['found']:,}", "videos found"),
        (length(footage), "of footage"),
        (f"{numbers['cut']:,}", "clips"),
        (f"{numbers['accepted']:,}", "accepted"),
        (length(kept), "accepted footage"),
        (f"{numbers['exported']:,}", "exported"),
    )

"""How far annotators agree, and what an order of review could learn from them, for the page."""

from __future__ import annotations

import importlib.util

from sqlalchemy.orm import Session

from curation.filtering.recommended import recommended
from curation.ranking.agreement import agreements
from curation.ranking.ranker import LearningRanker, People
from curation.ranking.suspicion import Bounds
from curation.report.tables import Cell, Table
from curation.report.text import clean
from db.verdicts import disputed

LEAST_DECISIONS = 10


def agreement_table(session: Session) -> Table:
    """Each pair of annotators who looked at the same clips."""
    rows = []
    for pair in agreements(session):
        kappa = (
            Cell(text="undefined", key=-2.0) if pair.kappa is None else Cell(text=f"{pair.kappa:.2f}", key=pair.kappa)
        )
        rows.append(
            (
                Cell(text=clean(pair.first)),
                Cell(text=clean(pair.second)),
                *(
                    Cell(text=f"{number:,}", key=float(number))
                    for number in (pair.clips, pair.both_accept, pair.both_reject)
                ),
                Cell(text=f"{pair.first_alone_rejects + pair.second_alone_rejects:,}"),
                Cell(text=f"{pair.observed:.0%}", key=pair.observed),
                kappa,
            )
        )
    columns = ("annotator", "annotator", "clips", "both keep", "both reject", "differ", "agree", "Cohen's kappa")
    return Table(columns=columns, rows=tuple(rows), total=len(rows), numeric=frozenset(range(2, 8)))


def open_disputes(session: Session) -> int:
    """Clips that two annotators judged differently and nobody has ruled on."""
    return len(disputed(session))


def learned(session: Session) -> str:
    """What `curate annotate --order learned` says of itself; empty where there is too little, or no scikit-learn."""
    people = People()
    if importlib.util.find_spec("sklearn") is None or len(people(session)) < LEAST_DECISIONS:
        return ""
    rule = recommended()
    ranker = LearningRanker(Bounds(minimum=rule.minimum, maximum=rule.maximum), decided=people)
    ranker.rank(session, [], 0)
    return ranker.told

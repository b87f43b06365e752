"""Cohen's kappa against hand-computed tables and another formula."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.ranking.agreement import Agreement, agreements
from db.models import Decision
from db.verdicts import disputed
from tests.browser.review_dataset import make_dataset


def _table(a: int, b: int, c: int, d: int) -> Agreement:
    return Agreement(
        first="ada", second="bob", both_accept=a, first_alone_rejects=b, second_alone_rejects=c, both_reject=d
    )


def test_a_textbook_table() -> None:
    """20 yes-yes, 5 and 10 split, 15 no-no: p_o 0.7, p_e 0.5, kappa 0.4."""
    table = _table(20, 5, 10, 15)
    assert table.observed == pytest.approx(0.7)
    assert table.kappa == pytest.approx(0.4)
    assert _table(9, 0, 0, 0).kappa is None, "both accept everything: chance agrees as well"
    assert _table(5, 0, 0, 5).kappa == 1
    assert _table(0, 5, 5, 0).kappa == pytest.approx(-1)


@given(st.tuples(*[st.integers(0, 300)] * 4).filter(any))
def test_kappa_is_one_less_the_weighted_disagreement(counts: tuple[int, int, int, int]) -> None:
    """The same number by the weights formula: 1 - sum(w O) / sum(w E), w = 1 off the diagonal."""
    a, b, c, d = counts
    observed = np.array([[a, c], [b, d]], float)
    expected = np.outer(observed.sum(1), observed.sum(0)) / observed.sum()
    off = 1 - np.eye(2)
    kappa = _table(*counts).kappa
    if (expected * off).sum() == 0:
        assert kappa is None
    else:
        assert kappa == pytest.approx(1 - (observed * off).sum() / (expected * off).sum(), abs=1e-9)


def test_pairs_and_disputes_from_the_catalogue(tmp_path: Path) -> None:
    rows = [
        ("clip-00000", "ada", "accept", "first"),
        ("clip-00000", "bob", "accept", "second"),
        ("clip-00001", "bob", "accept", "first"),
        ("clip-00001", "ada", "reject", "second"),
        ("clip-00002", "ada", "reject", "first"),
        ("clip-00002", "bob", "accept", "second"),
        ("clip-00002", "eve", "accept", "adjudication"),
        ("clip-00003", "ada", "reject", "first"),
        ("clip-00004", "ada", "reject", "first"),
        ("clip-00004", "bob", "reject", "second"),
        ("clip-00004", "bob", "undo", "second"),
    ]
    with make_dataset(tmp_path, 5, previews=[Path("none")]) as catalogue:
        with catalogue.writing() as session:
            for clip, who, verdict, review in rows:
                session.add(Decision(clip_id=clip, annotator=who, verdict=verdict, review=review))
                session.flush()
        with catalogue.reading() as session:
            (pair,) = agreements(session)
            assert (pair.first, pair.second, pair.clips) == ("ada", "bob", 3)
            assert (pair.both_accept, pair.first_alone_rejects, pair.second_alone_rejects) == (1, 2, 0)
            assert list(disputed(session)) == ["clip-00001"], "the other one was ruled on"

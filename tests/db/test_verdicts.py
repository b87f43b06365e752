"""What decisions come to, against a twin that goes through the rows by hand."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from db.engine import Catalogue
from db.models import Decision
from db.verdicts import LOOKS, RULINGS, Said, Standing, standing
from tests.browser.review_dataset import make_dataset

REVIEWS = (*LOOKS, *RULINGS)


def _decide(catalogue: Catalogue, rows: list[tuple[str, str, str]], annotators: str = "ab") -> None:
    with catalogue.writing() as session:
        for clip, review, verdict in rows:
            who = annotators[REVIEWS.index(review) % len(annotators)]
            session.add(Decision(clip_id=clip, annotator=who, verdict=verdict, review=review))
            session.flush()


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["clip-00000", "clip-00001"]),
            st.sampled_from(REVIEWS),
            st.sampled_from(["accept", "reject", "undo"]),
        ),
        max_size=12,
    )
)
def test_any_history_comes_to_what_its_twin_says(rows: list[tuple[str, str, str]]) -> None:
    with tempfile.TemporaryDirectory() as folder, make_dataset(Path(folder), 2, previews=[Path("none")]) as catalogue:
        _decide(catalogue, rows)
        with catalogue.reading() as session:
            found = standing(session)
            assert standing(session, ["clip-00001", "nowhere"]) == {
                clip: each for clip, each in found.items() if clip == "clip-00001"
            }
    for clip in {clip for clip, _, _ in rows}:
        said: dict[str, str] = {}
        newest_ruling = None
        for number, review in enumerate(REVIEWS):
            for at, (which, where, verdict) in enumerate(rows):
                if (which, where) == (clip, review):
                    said[review] = verdict
                    moment = at
            if said.get(review, "undo") == "undo":
                said.pop(review, None)
            elif number >= len(LOOKS) and (newest_ruling is None or moment > newest_ruling[0]):
                newest_ruling = (moment, said[review])
        looks = [said[review] for review in LOOKS if review in said]
        wanted = None
        if newest_ruling:
            wanted = newest_ruling[1]
        elif looks:
            wanted = "reject" if "reject" in looks else "accept"
        assert found[clip].verdict == wanted
        assert found[clip].disputed == (newest_ruling is None and len(set(looks)) == 2)


@pytest.mark.parametrize(
    ("looks", "ruling", "reason"),
    [
        ({"first": "accept", "second": "accept"}, None, None),
        ({"first": "reject"}, None, "rejected by ada: cut"),
        ({"first": "accept", "second": "reject"}, None, "disputed: ada keeps, bob rejects"),
        ({"first": "accept", "second": "reject"}, "accept", None),
        ({"first": "accept"}, "reject", "rejected by eve: cut"),
    ],
)
def test_the_reason_says_who_and_why(looks: dict[str, str], ruling: str | None, reason: str | None) -> None:
    said = {
        review: Said(id=n, annotator=who, verdict=looks[review], reason="cut" if looks[review] == "reject" else None)
        for n, (review, who) in enumerate((("first", "ada"), ("second", "bob")))
        if review in looks
    }
    if ruling:
        said["final"] = Said(id=9, annotator="eve", verdict=ruling, reason="cut" if ruling == "reject" else None)
    assert Standing(by_review=said).reason == reason

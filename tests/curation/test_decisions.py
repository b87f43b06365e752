"""`curate decisions`: the history, filtered, as text and as JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from curation.commands import main
from db.models import Decision
from tests.browser.review_dataset import make_dataset


def _invoke(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["decisions", *map(str, arguments)])


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    with make_dataset(tmp_path, 30, previews=[Path("none")]) as catalogue, catalogue.writing() as session:
        for number in range(25):
            verdict = "reject" if number % 5 == 0 else "accept"
            reason = "cut" if number == 5 else None
            session.add(
                Decision(clip_id=f"clip-{number:05}", annotator="ada", verdict=verdict, reason=reason, share_seen=0.5)
            )
        session.flush()
        for number, verdict in ((0, "accept"), (1, "accept"), (5, "reject"), (6, "accept")):
            session.add(Decision(clip_id=f"clip-{number:05}", annotator="bob", verdict=verdict, review="second"))
    return tmp_path


def test_json_lists_everything(dataset: Path) -> None:
    told = json.loads(_invoke("--dataset", dataset, "--json").stdout)
    assert [row["id"] for row in told["decisions"]] == list(range(1, 30))
    assert told["decisions"][5] == {
        "id": 6,
        "clip": "clip-00005",
        "annotator": "ada",
        "verdict": "reject",
        "reason": "cut",
        "review": "first",
        "batch": None,
        "seconds": None,
        "share_seen": 0.5,
        "at": told["decisions"][5]["at"],
    }
    assert told["disputed"] == ["clip-00000"]
    (pair,) = told["agreement"]
    assert (pair["first"], pair["second"], pair["clips"]) == ("ada", "bob", 4)
    assert pair["kappa"] == pytest.approx((0.75 - 0.5) / 0.5)


def test_filters_and_text(dataset: Path) -> None:
    rows = json.loads(_invoke("--dataset", dataset, "--json", "--clip", "clip-00005").stdout)["decisions"]
    assert [row["annotator"] for row in rows] == ["ada", "bob"]
    rows = json.loads(_invoke("--dataset", dataset, "--json", "--annotator", "bob").stdout)["decisions"]
    assert len(rows) == 4
    text = _invoke("--dataset", dataset).stdout
    assert "the newest 20 decisions" in text and text.count("clip-") == 20
    assert "Cohen's kappa 0.50" in text and "curate annotate --state disputed" in text
    refused = _invoke("--dataset", dataset, "--clip", "nowhere")
    assert refused.exit_code == 2 and "no such clip: nowhere" in refused.stderr


def test_an_empty_history(tmp_path: Path) -> None:
    make_dataset(tmp_path, 1, previews=[Path("none")]).close()
    assert _invoke("--dataset", tmp_path).stdout == "decisions: none\n"
    assert json.loads(_invoke("--dataset", tmp_path, "--json").stdout) == {
        "decisions": [], "agreement": [], "disputed": []
    }  # fmt: skip

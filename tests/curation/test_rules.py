"""Filter rules: what they say, against a slow twin; versions; the command; histograms."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import av
import pytest
from click.testing import CliRunner, Result
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from curation.commands import main
from curation.filtering.histograms import histogram, round_steps, score_names, text_bars
from curation.filtering.judging import apply, judge
from curation.filtering.rules import DEFAULT, Rule, SavedRule, proposed, saved_rules, store, without
from db.engine import Catalogue
from db.models import Clip, Recipe
from db.models import Rule as RuleRow
from db.states import ClipState
from tests.curation.score_dataset import Scored, put

UNDECIDED = (ClipState.SCORED, ClipState.FILTERED, ClipState.PENDING)
NAMES = ("fade", "overlay", "variance")
VALUES = st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.75, 0.9])


def saved(name: str = "r", version: int = 1, **conditions: object) -> SavedRule:
    return SavedRule(name=name, version=version, rule=Rule(**conditions))  # type: ignore[arg-type]


def states(catalogue: Catalogue) -> dict[str, tuple[str, str | None]]:
    with catalogue.reading() as session:
        return {clip: (state, why) for clip, state, why in session.execute(select(Clip.id, Clip.state, Clip.reason))}


def filter_now(catalogue: Catalogue, *rules: SavedRule) -> None:
    with catalogue.writing() as session:
        apply(session, judge(session, rules))


def verdict_by_hand(clips: Sequence[Scored], rules: Sequence[SavedRule]) -> dict[str, ClipState]:
    """One clip after the other, as the documentation has it."""
    said: dict[str, ClipState] = {}
    for clip in clips:
        if clip.state not in UNDECIDED:
            said[clip.id] = clip.state
            continue
        bad = lacks = False
        for one in rules:
            for name, bound in one.rule.minimum.items():
                lacks |= name not in clip.scores
                bad |= name in clip.scores and clip.scores[name] < bound
            for name, bound in one.rule.maximum.items():
                lacks |= name not in clip.scores
                bad |= name in clip.scores and clip.scores[name] > bound
            bad |= one.rule.drop_short and clip.short
        said[clip.id] = ClipState.FILTERED if bad else ClipState.SCORED if lacks else ClipState.PENDING
    before = dict(said)
    for one in rules:
        if one.rule.max_per_scene is None:
            continue
        for scene in {clip.scene for clip in clips if clip.scene is not None}:
            members = [clip for clip in clips if clip.scene == scene]
            places = one.rule.max_per_scene - sum(clip.state == ClipState.ACCEPTED for clip in members)
            free = [c for c in members if c.state in UNDECIDED and before[c.id] == ClipState.PENDING]
            free.sort(key=lambda clip: (-clip.scores.get("variance", 0.0), clip.id))
            for clip in free[max(places, 0) :]:
                said[clip.id] = ClipState.FILTERED
    return said


@st.composite
def scored_clips(draw: st.DrawFn) -> list[Scored]:
    return [
        Scored(
            id=f"clip-{number:02d}",
            scores=draw(st.dictionaries(st.sampled_from(NAMES), VALUES)),
            state=draw(st.sampled_from([*UNDECIDED, *UNDECIDED, *ClipState])),
            scene=draw(st.sampled_from([None, "a", "b"])),
            short=draw(st.booleans()),
        )
        for number in range(draw(st.integers(0, 14)))
    ]


@st.composite
def some_rules(draw: st.DrawFn) -> list[SavedRule]:
    made = []
    for number in range(draw(st.integers(0, 3))):
        low = draw(st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=2))
        high = draw(st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=2))
        high = {name: max(bound, low.get(name, 0.0)) for name, bound in high.items()}
        most, short = draw(st.sampled_from([None, 1, 2])), draw(st.booleans())
        if low or high or most or short:
            made.append(saved(f"r{number}", minimum=low, maximum=high, max_per_scene=most, drop_short=short))
    return made


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(clips=scored_clips(), rules=some_rules())
def test_rules_say_what_going_through_the_clips_says(
    catalogue: Catalogue, clips: list[Scored], rules: list[SavedRule]
) -> None:
    put(catalogue, clips)
    wanted = verdict_by_hand(clips, rules)
    with catalogue.reading() as session:
        said = judge(session, rules)
    open_clips = [clip for clip in clips if clip.state in UNDECIDED]
    for state, number, newly in (
        (ClipState.PENDING, said.kept, said.newly_kept),
        (ClipState.FILTERED, said.filtered, said.newly_filtered),
        (ClipState.SCORED, said.undecided, said.newly_undecided),
    ):
        assert number == sum(wanted[clip.id] == state for clip in open_clips)
        assert newly == {clip.id for clip in open_clips if wanted[clip.id] == state != clip.state}
    lacking = {name for one in rules for name in one.rule.scores}
    undecided = [clip for clip in open_clips if wanted[clip.id] == ClipState.SCORED]
    by_hand = {name: sum(name not in clip.scores for clip in undecided) for name in lacking}
    assert said.unjudged == {name: number for name, number in by_hand.items() if number}
    filter_now(catalogue, *rules)
    after = states(catalogue)
    assert {clip: state for clip, (state, _) in after.items()} == {clip: state.value for clip, state in wanted.items()}
    for clip in open_clips:
        state, why = after[clip.id]
        assert (why is not None) == (state == "filtered")
    with catalogue.reading() as session:
        again = judge(session, rules)
    assert not (again.newly_kept or again.newly_filtered or again.newly_undecided)


def test_a_reason_names_score_value_bound_rule_and_version_of_all_that_is_broken(catalogue: Catalogue) -> None:
    put(
        catalogue, [Scored(id="a", scores={"variance": 0.00046, "fade": 0.5}), Scored(id="b", scores={"variance": 1.0})]
    )
    filter_now(
        catalogue,
        saved("default", minimum={"variance": 0.001}),
        saved("clean", 3, maximum={"fade": 0.25, "variance": 0.9}),
    )
    assert states(catalogue) == {
        "a": (
            "filtered",
            "variance 0.00046 < 0.001 (rule default, version 1); fade 0.5 > 0.25 (rule clean, version 3)",
        ),
        "b": ("filtered", "variance 1 > 0.9 (rule clean, version 3)"),
    }
    # A new version gives a clip that stays filtered its new reason; what it let go comes back without one.
    filter_now(catalogue, saved("clean", 4, maximum={"fade": 0.4}))
    assert states(catalogue) == {
        "a": ("filtered", "fade 0.5 > 0.4 (rule clean, version 4)"),
        "b": ("scored", None),
    }


def test_a_value_next_to_its_bound_is_told_apart_from_it(catalogue: Catalogue) -> None:
    put(catalogue, [Scored(id="a", scores={"variance": 0.00099999})])
    filter_now(catalogue, saved(minimum={"variance": 0.001}))
    reason = states(catalogue)["a"][1]
    assert reason == "variance 0.00099999 < 0.001 (rule r, version 1)"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({}, "needs a condition"),
        ({"minimum": {"variance": 2.0}}, "between 0 and 1"),
        ({"minimum": {"fade": math.nan}}, "finite"),
        ({"maximum": {"fade": math.inf}}, "finite"),
        ({"minimum": {"fade": 0.5}, "maximum": {"fade": 0.25}}, "both at least 0.5 and at most 0.25"),
        ({"max_per_scene": 0}, "at least one clip"),
    ],
)
def test_rules_that_cannot_be(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Rule(**wrong)  # type: ignore[arg-type]


def test_versions_grow_with_changes_alone(catalogue: Catalogue) -> None:
    def save(change: list[SavedRule]) -> list[SavedRule]:
        with catalogue.writing() as session:
            store(session, change)
        with catalogue.reading() as session:
            return saved_rules(session)

    rules = save(proposed([], "default", DEFAULT))
    assert [(r.name, r.version, r.active) for r in rules] == [("default", 1, True)]
    rules = save(proposed(rules, "default", DEFAULT))
    rules = save(proposed(rules, "clean", Rule(maximum={"fade": 0.5})))
    rules = save(proposed(rules, "default", Rule(minimum={"variance": 0.01})))
    rules = save(proposed(rules, "default", DEFAULT))
    assert [(r.name, r.version, r.rule) for r in rules] == [
        ("default", 3, DEFAULT),
        ("clean", 1, Rule(maximum={"fade": 0.5})),
    ]
    rules = save(without(rules, "default"))
    assert [(r.name, r.active) for r in rules] == [("default", False), ("clean", True)]
    rules = save(proposed(rules, "default", DEFAULT))
    assert [(r.version, r.active) for r in rules] == [(3, True), (1, True)]
    with pytest.raises(LookupError):
        without(rules, "nothing")
    with pytest.raises(ValueError, match="no name for a rule"):
        proposed(rules, "a b", DEFAULT)
    with catalogue.reading() as session:
        assert len(session.scalars(select(RuleRow)).all()) == 4
        assert len(session.scalars(select(Recipe).where(Recipe.kind == "filter")).all()) == 3


def invoke(catalogue: Catalogue, *arguments: object) -> Result:
    return CliRunner().invoke(main, ["filter", "--dataset", str(catalogue.folder), *map(str, arguments)])


def told(catalogue: Catalogue, *arguments: object) -> dict[str, object]:
    result = invoke(catalogue, *arguments, "--json")
    assert result.exit_code == 0, result.output
    found: dict[str, object] = json.loads(result.stdout)
    return found


CLIPS = [
    Scored(id="a", scores={"variance": 0.0004, "fade": 0.1}),
    Scored(id="b", scores={"variance": 0.002, "fade": 0.6}),
    Scored(id="c", scores={"variance": 0.02, "fade": 0.2}),
    Scored(id="d", scores={"variance": 0.03, "fade": 0.9}, state=ClipState.ACCEPTED),
    Scored(id="e", scores={"variance": 0.0001}, state=ClipState.REJECTED, reason="rejected by ada"),
    Scored(id="f", scores={"variance": 0.04}),
]


def by_state(catalogue: Catalogue) -> dict[str, str]:
    return {clip: state for clip, (state, _) in states(catalogue).items()}


def test_the_command_from_the_first_call_to_a_removed_rule(catalogue: Catalogue) -> None:
    put(catalogue, CLIPS)
    assert told(catalogue)["kept"] == 3  # rule 'default', as in the thesis
    assert by_state(catalogue) == {
        "a": "filtered", "b": "pending", "c": "pending", "d": "accepted", "e": "rejected", "f": "pending",
    }  # fmt: skip
    clean = told(catalogue, "--rule", "clean", "--max", "fade=0.5")
    assert (clean["kept"], clean["filtered"], clean["undecided"], clean["decided"]) == (1, 2, 1, 2)
    assert "1 clips lack a score and stay undecided: fade (1); run: curate score" in clean["remarks"]
    assert by_state(catalogue)["f"] == "scored"
    assert by_state(catalogue)["b"] == "filtered"
    assert by_state(catalogue)["d"] == "accepted"
    again = told(catalogue)  # without conditions: both rules
    assert (again["newly_kept"], again["newly_filtered"]) == (0, 0)
    listed = told(catalogue, "--list")
    assert [(r["name"], r["version"], r["active"], r["filters"]) for r in listed["rules"]] == [  # type: ignore[attr-defined]
        ("default", 1, True, 1),
        ("clean", 1, True, 1),
    ]
    text = invoke(catalogue, "--list").output
    assert "clean, version 1 of " in text
    assert "fade <= 0.5: filters 1 clips" in text
    removed = told(catalogue, "--remove", "clean")
    assert (removed["kept"], removed["undecided"]) == (3, 0)
    assert told(catalogue, "--rule", "clean")["undecided"] == 1  # active again
    told(catalogue, "--remove", "clean")
    none = told(catalogue, "--remove", "default")
    assert none["kept"] == 4
    assert "no rule is active: every scored clip is kept" in none["remarks"]
    assert told(catalogue)["kept"] == 4  # and it stays so: the default is not made anew


def test_a_dry_run_changes_nothing_and_says_what_the_call_then_does(catalogue: Catalogue, tmp_path: Path) -> None:
    put(catalogue, CLIPS)
    before = states(catalogue)
    call = ["--rule", "clean", "--min-variance", 0.001, "--max", "fade=0.5"]
    png = tmp_path / "out" / "scores.png"
    dry = told(catalogue, *call, "--dry-run", "--histogram", png, "--plots", tmp_path / "plots")
    assert states(catalogue) == before
    with catalogue.reading() as session:
        assert saved_rules(session) == []
        assert session.scalars(select(Recipe).where(Recipe.kind == "filter")).all() == []
    assert {one["condition"]: one["filters"] for one in dry["conditions"]} == {  # type: ignore[attr-defined]
        "variance >= 0.001": 1,
        "fade <= 0.5": 1,
    }
    assert {name: sum(b["clips"] for b in bins) for name, bins in dry["histograms"].items()} == {  # type: ignore[attr-defined]
        "fade": 4,
        "variance": 6,
    }
    text = invoke(catalogue, *call, "--dry-run").output
    assert "dry run: nothing was changed" in text
    assert text.count("<- threshold") == 2
    for path in (png, tmp_path / "plots" / "fade.png", tmp_path / "plots" / "variance.png"):
        with av.open(str(path)) as picture:
            assert picture.streams.video[0].width > 300
    done = told(catalogue, *call)
    same = ("kept", "filtered", "newly_kept", "newly_filtered", "undecided")
    assert [done[key] for key in same] == [dry[key] for key in same]


def test_the_recommended_rule_takes_the_published_thresholds(catalogue: Catalogue) -> None:
    from curation.filtering.recommended import known_names, recommended

    published = recommended()
    assert published.minimum == {"variance": 0.001}
    assert published.scores <= known_names()
    put(catalogue, [Scored(id="a", scores=dict.fromkeys(known_names(), 0.0) | {"variance": 0.5})])
    done = told(catalogue, "--recommended", "--max-per-scene", 3)
    assert done["kept"] == 1
    (rule,) = done["rules"]  # type: ignore[misc]
    assert rule["name"] == "recommended"
    assert rule["settings"]["max"] == published.maximum
    assert rule["settings"]["max_per_scene"] == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--max", "nonsense=1"], "no score is called nonsense; there are "),
        (["--max", "fade"], "'fade' is not NAME=NUMBER"),
        (["--max", "fade=much"], "'fade=much' is not NAME=NUMBER"),
        (["--max", "fade=nan"], "finite"),
        (["--min", "fade=1", "--min", "fade=2"], "given twice"),
        (["--min-variance", "0.1", "--min", "variance=0.1"], "give one"),
        (["--min-variance", "2"], "between 0 and 1"),
        (["--rule", "nobody"], "no rule is called 'nobody' (saved: none)"),
        (["--rule", "a/b", "--max", "fade=1"], "no name for a rule"),
        (["--remove", "nobody"], "no rule is called 'nobody'"),
        (["--remove", "default", "--max", "fade=1"], "stand alone"),
        (["--list", "--rule", "default"], "stand alone"),
    ],
)
def test_what_cannot_be_asked_for_is_one_line_and_changes_nothing(
    catalogue: Catalogue, arguments: list[str], message: str
) -> None:
    put(catalogue, CLIPS)
    before = states(catalogue)
    result = invoke(catalogue, *arguments)
    assert result.exit_code == 2
    errors = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1
    assert message in errors[0]
    assert states(catalogue) == before
    with catalogue.reading() as session:
        assert saved_rules(session) == []


def test_no_clips_and_no_rules(catalogue: Catalogue) -> None:
    assert "no rule is saved yet" in invoke(catalogue, "--list").output
    assert "variance: no scored clips" in invoke(catalogue, "--dry-run").output
    assert told(catalogue)["kept"] == 0
    with catalogue.reading() as session:
        (rule,) = saved_rules(session)
    assert rule.created_at is not None
    assert (datetime.now(UTC) - rule.created_at).total_seconds() < 60


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    values=st.lists(st.floats(-1e6, 1e6, allow_nan=False) | st.sampled_from([0.0, 0.3, 1e-9, 0.001]), max_size=12),
    name=st.sampled_from(["fade", "variance"]),
)
def test_histograms_count_every_clip_once_and_where_it_belongs(
    catalogue: Catalogue, values: list[float], name: str
) -> None:
    put(catalogue, [Scored(id=f"c{n}", scores={name: value}) for n, value in enumerate(values)])
    with catalogue.reading() as session:
        drawn = histogram(session, name)
        assert score_names(session) == ([name] if values else [])
    assert drawn.clips == len(values)
    assert len(drawn.bins) <= 25
    for one in drawn.bins:
        assert one.clips == sum(one.low <= value < one.high for value in values)
    for one, following in zip(drawn.bins, drawn.bins[1:], strict=False):
        assert one.high == following.low
    shown = text_bars(drawn, [0.3])
    assert len(shown) == (1 + len(drawn.shown([0.3])) if values else 1)


@given(st.floats(-1e12, 1e12), st.floats(0, 1e12))
def test_round_steps_hold_both_ends(low: float, spread: float) -> None:
    edges = round_steps(low, low + spread)
    assert edges[0] <= low
    assert edges[-1] > low + spread
    assert list(edges) == sorted(set(edges))
    assert 9 <= len(edges) <= 26

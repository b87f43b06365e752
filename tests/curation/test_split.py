"""The split: seeded, stable as the data grows, never through a video."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from curation.commands import main
from curation.splitting.split import SplitSettings, assign, split_videos
from db.engine import Catalogue, create
from db.models import Clip, Recipe, Split, Video
from db.states import ClipState, VideoState

sizes = st.dictionaries(st.text("abcdefgh", min_size=1, max_size=6), st.integers(1, 20), min_size=1, max_size=60)


def add(catalogue: Catalogue, videos: dict[str, int], state: ClipState = ClipState.ACCEPTED) -> None:
    """Videos with so many clips each; no files."""
    with catalogue.writing() as session:
        if session.get(Recipe, "r") is None:
            session.add(Recipe(hash="r", kind="cut", settings={}))
            session.flush()
        for name, count in videos.items():
            session.add(Video(id=name, provider="file", provider_id=name, source=name, state=VideoState.DOWNLOADED))
            session.flush()
            for index in range(count):
                session.add(
                    Clip(
                        id=f"{name}-{index}",
                        video_id=name,
                        recipe_hash="r",
                        index=index,
                        start_pts=index * 10,
                        end_pts=index * 10 + 10,
                        time_base_num=1,
                        time_base_den=25,
                        start=index * 0.4,
                        end=index * 0.4 + 0.4,
                        frame_count=10,
                        state=state,
                    )
                )


def splits(catalogue: Catalogue) -> dict[str, str]:
    with catalogue.reading() as session:
        return dict(session.execute(select(Split.video_id, Split.name)).all())


def run(dataset: Path, *arguments: str, status: int = 0) -> dict[str, object]:
    result = CliRunner().invoke(main, ["split", "--dataset", str(dataset), "--json", *arguments])
    assert result.exit_code == status, result.output
    return json.loads(result.stdout) if status != 2 else {"error": result.stderr}


@given(sizes, st.integers(0, 5))
def test_every_component_gets_one_split_and_none_is_starved(clips: dict[str, int], seed: int) -> None:
    chosen = assign(clips, {}, SplitSettings(seed=seed))
    assert chosen.keys() == clips.keys()
    assert set(chosen.values()) == ({"train", "val", "test"} if len(clips) >= 3 else {"train"})


@given(sizes, sizes, st.integers(0, 5))
def test_growth_changes_nothing_that_stands(first: dict[str, int], more: dict[str, int], seed: int) -> None:
    settings = SplitSettings(seed=seed)
    old = assign(first, {}, settings)
    grown = {**more, **first}
    new = assign(grown, old, settings)
    assert not set(new) & set(old)
    both = {**old, **new}
    assert both.keys() == grown.keys()
    # What one component more can mend, is mended: three videos that came later fill val and test.
    if len(set(grown) - set(first)) >= 2 and len(grown) >= 3:
        assert set(both.values()) == {"train", "val", "test"}


@given(
    st.dictionaries(st.integers(0, 10_000).map(str), st.integers(1, 6), min_size=60, max_size=120),
    st.integers(0, 40),
    st.integers(0, 40),
)
def test_targets_are_met_to_within_half_a_component(clips: dict[str, int], val: int, test: int) -> None:
    chosen = assign(clips, {}, SplitSettings(counts={"val": val, "test": test}))
    for split, target in (("val", val), ("test", test)):
        have = sum(number for name, number in clips.items() if chosen[name] == split)
        largest = max(clips.values())
        assert abs(have - target) <= largest / 2 or (have <= largest and target < largest)


def test_the_seed_decides_and_is_the_only_chance() -> None:
    clips = {f"video-{number}": 5 for number in range(100)}
    draws = [tuple(sorted(assign(clips, {}, SplitSettings(seed=seed)).items())) for seed in (0, 0, 1)]
    assert draws[0] == draws[1]
    assert draws[0] != draws[2]
    assert assign(dict(reversed(clips.items())), {}, SplitSettings()) == dict(draws[0])


def test_a_share_of_zero_stays_empty() -> None:
    settings = SplitSettings(shares={"train": 90, "val": 0, "test": 10})
    assert "val" not in assign({f"v{n}": 3 for n in range(50)}, {}, settings).values()
    assert set(assign({f"v{n}": 3 for n in range(50)}, {}, SplitSettings(counts={"val": 0, "test": 0})).values()) == {
        "train"
    }


@pytest.mark.parametrize(
    "bad",
    [
        {"shares": {"train": 0, "val": 5, "test": 5}},
        {"shares": {"train": 90, "val": -5, "test": 5}},
        {"shares": {"train": 90}},
        {"counts": {"train": 5}},
        {"counts": {"test": -1}},
    ],
)
def test_settings_are_checked(bad: dict[str, dict[str, float]]) -> None:
    with pytest.raises(ValueError, match=r"shares|counts"):
        SplitSettings(**bad)  # type: ignore[arg-type]


def test_only_videos_with_accepted_clips_and_all_clips_of_one_together(catalogue: Catalogue) -> None:
    add(catalogue, {f"v{n}": 4 for n in range(12)})
    add(catalogue, {"pending": 4}, ClipState.PENDING)
    result = split_videos(catalogue, SplitSettings())
    found = splits(catalogue)
    assert found == result.assigned
    assert "pending" not in found
    assert sum(result.clips.values()) == 48
    assert result.clips["val"] == result.clips["test"] == 4


def test_growing_again_and_drawing_anew(catalogue: Catalogue) -> None:
    add(catalogue, {f"v{n}": 4 for n in range(12)})
    split_videos(catalogue, SplitSettings())
    before = splits(catalogue)
    assert split_videos(catalogue, SplitSettings(seed=9)).assigned == {}
    add(catalogue, {f"w{n}": 4 for n in range(40)})
    split_videos(catalogue, SplitSettings(seed=9))
    after = splits(catalogue)
    assert {name: after[name] for name in before} == before
    assert len(after) == 52
    split_videos(catalogue, SplitSettings(seed=9), reassign=True)
    assert splits(catalogue) != after


def test_the_command_says_what_it_did(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    with create(folder) as catalogue:
        assert "no clip is accepted yet; run: curate annotate" in str(run(folder, status=2)["error"])
        add(catalogue, {"a": 3, "b": 3})
    told = run(folder)
    assert told["videos"] == {"train": 2, "val": 0, "test": 0}
    assert any("all for training" in remark for remark in told["remarks"])  # type: ignore[attr-defined]
    with create(folder) as catalogue:
        add(catalogue, {"c": 3})
    told = run(folder)
    # The one new video goes to test; nothing that stands is moved for val.
    assert told["assigned"] == {"c": "test"}
    assert any(remark.startswith("val is empty") for remark in told["remarks"])  # type: ignore[attr-defined]
    assert run(folder, "--reassign", "--seed", "3")["videos"] == {"train": 1, "val": 1, "test": 1}
    told = run(folder, "--reassign", "--test", "5")
    assert any("where 5 were asked for" in remark for remark in told["remarks"])  # type: ignore[attr-defined]


@pytest.mark.parametrize("shares", ["90/10", "a/b/c", "0/50/50", "90/-5/15", "nan/5/5"])
def test_bad_shares_are_refused(tmp_path: Path, shares: str) -> None:
    create(tmp_path / "set").close()
    assert "such as 90/5/5" in str(run(tmp_path / "set", "--shares", shares, status=2)["error"])

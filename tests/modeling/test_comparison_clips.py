"""Clips of runs side by side: those that were scored, the real one first, and what a page leaves out."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from db.shards import read_manifest
from modeling.comparison.clips import CELL, GAP, Scene, Shown, coloured, headings, make_scenes, strip
from modeling.comparison.evaluations import Evaluation, read_evaluations
from modeling.comparison.page import render
from modeling.comparison.table import build
from modeling.data.windows import open_clips
from modeling.errors import UsageError
from modeling.evaluation.sources import data_hash_of, digest_of
from modeling.inference import load_trained, roll_out
from modeling.media.video import write_video
from tests.modeling.conftest import Run
from tests.modeling.evaluated_runs import write_evaluation
from tests.modeling.moving_textures import write_textures

CPU = torch.device("cpu")
FRAMES, SEED = 8, 5


@pytest.fixture
def evaluations(trained_run: Path, textures: Path, tmp_path: Path) -> list[Evaluation]:
    for name in ("a", "b"):
        run = tmp_path / name
        shutil.copytree(trained_run, run, ignore=shutil.ignore_patterns("evaluation"))
        file = write_evaluation(run, ssim=0.5, step=3, frames=FRAMES)
        report = json.loads(file.read_text())
        scored = digest_of([clip.id for clip in open_clips(textures, "test", resolution=32, frames=FRAMES).clips[:3]])
        facts = {"n": 3, "seed": SEED, "clips_hash": scored, "weights": "model.safetensors"}
        report["protocol"].update(facts, data_recipe_hash=read_manifest(textures).recipe_hash)
        file.write_text(json.dumps(report))
    return read_evaluations([tmp_path / "a", tmp_path / "b"], None)


def scenes_of(
    evaluations: list[Evaluation], data: Path, said: list[str], *, seed: int = 0, force: bool = False
) -> list[Scene]:
    return make_scenes(evaluations, [data], chosen=[1, 9], count=2, seed=seed, device=CPU, force=force, say=said.append)


def changed(evaluation: Evaluation, **facts: object) -> Evaluation:
    report = json.loads(evaluation.file.read_text())
    report["protocol"].update(facts)
    evaluation.file.write_text(json.dumps(report))
    return read_evaluations([evaluation.file], None)[0]


def test_the_scored_clips_stand_beside_the_real_ones(evaluations: list[Evaluation], textures: Path) -> None:
    said: list[str] = []
    scenes = scenes_of(evaluations, textures, said)
    assert said == [] and len(scenes) == 2
    assert [scene.id for scene in scenes_of(evaluations, textures, said)] == [scene.id for scene in scenes]
    chosen = {tuple(one.id for one in scenes_of(evaluations, textures, said, seed=seed)) for seed in range(1, 5)}
    assert len(chosen) > 1
    run = evaluations[0].run
    assert run is not None
    trained, clips = load_trained(run, CPU), open_clips(textures, "test", resolution=32, frames=FRAMES)
    for scene in scenes:
        assert [row.title for row in scene.rows] == ["real", "a", "b"]
        index = [clip.id for clip in clips.clips].index(scene.id)
        real = clips.window(index, 0, FRAMES)
        assert np.array_equal(scene.rows[0].clip, real)
        made = roll_out(trained.generator, real[:1], frames=10, seed=None if trained.deterministic else SEED + index)
        assert np.array_equal(scene.rows[1].clip, made) and np.array_equal(scene.rows[2].clip, made)
        ended = strip(scene.rows[0], [1, 9], masked=False)[:, -CELL:]
        assert (ended[..., :3] == 128).all()  # the real clip has 8 frames
        assert np.array_equal(strip(scene.rows[1], [9], masked=False)[::4, -CELL::4, :3], made[9])


def test_other_data_is_refused(evaluations: list[Evaluation], textures: Path) -> None:
    with pytest.raises(UsageError, match="is not the data"):
        scenes_of([evaluations[0], changed(evaluations[1], data_recipe_hash="another")], textures, [])
    with pytest.raises(UsageError, match="are not those that are there now"):
        scenes_of([changed(evaluations[0], clips_hash="another")], textures, [])


def test_data_is_known_by_its_clips(evaluations: list[Evaluation], textures: Path, tmp_path: Path) -> None:
    """Not by its recipe, which all that is exported alike has: either order of --data finds it."""
    others = write_textures(tmp_path / "others", {"test": [[30, 26, 25, 24]]})
    assert read_manifest(others).recipe_hash == read_manifest(textures).recipe_hash
    one = changed(evaluations[0], data_hash=data_hash_of(textures, "test"))
    for data in ([textures, others], [others, textures]):
        scenes = make_scenes([one], data, chosen=[1], count=1, seed=0, device=CPU, force=False, say=lambda line: None)
        assert len(scenes) == 1
    with pytest.raises(UsageError, match="is not the data"):
        scenes_of([one], others, [])


def test_clips_are_of_the_step_that_was_scored(evaluations: list[Evaluation], textures: Path) -> None:
    """A run that trained on has it in its checkpoints; where it is gone, nothing is shown in its place unasked."""
    run = evaluations[0].run
    assert run is not None
    older = sorted((run / "checkpoints").glob("step-*.pt"))[0]
    step = int(older.stem.removeprefix("step-"))
    assert step < 3
    earlier = changed(evaluations[0], step=step)
    said: list[str] = []
    first, second = scenes_of([earlier, evaluations[1]], textures, said)[0].rows[1:]
    assert said == [] and not np.array_equal(first.clip, second.clip)
    named = changed(evaluations[0], weights=older.name)
    assert np.array_equal(scenes_of([named], textures, said)[0].rows[1].clip, first.clip)
    changed(evaluations[0], weights="model.safetensors")
    best = older.rename(older.with_name(f"best-{older.name}"))
    assert np.array_equal(scenes_of([earlier], textures, said)[0].rows[1].clip, first.clip)
    best.unlink()
    with pytest.raises(UsageError, match=f"is at step 3 and keeps no checkpoint of step {step}"):
        scenes_of([earlier], textures, said)
    [shown] = scenes_of([earlier], textures, said, force=True)[0].rows[1:]
    shutil.copy(run / "checkpoints" / "step-00000003.pt", best)  # of that name, and not of that step
    earlier = changed(evaluations[0], step=step, weights=best.name)
    with pytest.raises(UsageError, match="keeps no checkpoint"):
        scenes_of([earlier], textures, said)
    assert shown.title == "a (step 3: not the clips that were scored)" and "not those that were scored" in said[0]


def test_samples_show_their_own_videos(evaluations: list[Evaluation], textures: Path, tmp_path: Path) -> None:
    """Those that have a video, of a report that lies in no run; the run's own clips are not known from it."""
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    clips = open_clips(textures, "test", resolution=32, frames=FRAMES).clips[1:3]
    for number, clip in enumerate(clips):
        video = np.full((FRAMES, 32, 32, 3), 50 + 100 * number, np.uint8)
        write_video(theirs / f"{clip.id}.mp4", video, fps=12)
    report = json.loads(evaluations[0].file.read_text())
    report["metrics"] = {"samples": report["metrics"]["model"]}
    report["protocol"].update(n=2, samples=str(theirs), clips_hash=digest_of([clip.id for clip in clips]))
    file = tmp_path / "scores" / "test.json"
    file.parent.mkdir()
    file.write_text(json.dumps(report))
    alone = read_evaluations([file.parent], None)
    said: list[str] = []
    scenes = {scene.id: scene for scene in scenes_of(alone, textures, said)}
    assert set(scenes) == {clip.id for clip in clips} and said == []
    for number, clip in enumerate(clips):
        real, shown = scenes[clip.id].rows
        assert (real.title, shown.title) == ("real", "scores") and len(shown.clip) == FRAMES
        assert abs(int(shown.clip.mean()) - (50 + 100 * number)) <= 3
    shutil.rmtree(theirs)
    assert scenes_of(alone, textures, said) == [] and "are not there" in said[0]


def test_command_writes_strips_and_videos(evaluations: list[Evaluation], textures: Path, modeling: Run) -> None:
    out = evaluations[0].file.parents[2] / "out"
    arguments = [*(one.run for one in evaluations), "--data", textures, "--out", out, "--clips", 1, "--frames", "1,3"]
    for _ in range(2):  # an earlier comparison is replaced
        result = modeling("compare", *arguments, "--json")
        assert result.exit_code == 0, result.output
    assert '<h2>Clips</h2>\n<p class="faint">The clips' in (out / "index.html").read_text()
    assert len(json.loads(result.stdout)["clips"]) == 1
    assert {file.name for file in out.glob("strip-*")} == {f"strip-1-{row}.png" for row in range(3)}
    assert (out / "index.html").read_text().count("data:video/mp4;base64,") == 3
    changed(evaluations[1], step=99)
    result = modeling("compare", *arguments, "--force")
    assert result.exit_code == 0, result.output
    page = (out / "index.html").read_text()
    assert page.count("<figcaption>b (step 3: not the clips that were scored)</figcaption>") == 1
    assert "keeps no checkpoint of step 99" in page.split("<h2>Clips</h2>")[1]


def test_label_maps_stand_beside_the_input() -> None:
    labels = np.zeros((32, 32), np.uint8)
    labels[16:] = 1
    clip = np.full((2, 32, 32, 3), 200, np.uint8)
    shown = Shown(title="x", clip=clip, input=clip[0], labels=labels)
    picture = strip(shown, [1], masked=True)
    assert headings([1], masked=True) == ["input", "label map", "frame 1"]
    assert picture.shape == (CELL, 3 * CELL + 2 * GAP, 4)
    assert np.array_equal(picture[::4, CELL + GAP : 2 * CELL + GAP : 4, :3], coloured(labels))
    assert (picture[:, CELL : CELL + GAP, 3] == 0).all() and (
        picture[:, :CELL, 3] == 255
    ).all()  # gaps let dark pages through
    assert len(np.unique(coloured(labels).reshape(-1, 3), axis=0)) == 2


def test_page_says_what_it_leaves_out(evaluations: list[Evaluation]) -> None:
    clip = np.random.default_rng(0).integers(0, 255, (8, 32, 32, 3), np.uint8)
    scenes = [Scene(id=name, rows=[Shown(title="real", clip=clip, input=clip[0], labels=None)]) for name in ("p", "q")]
    whole = render(build(evaluations), [], [], scenes, [1])
    assert whole.count("<video") == 2 and "Left out" not in whole
    small = render(build(evaluations), [], [], scenes, [1], largest=len(whole) * 2 // 3 + 200_000)
    assert small.count("<video") == 1 and "Left out, to keep this page under" in small and small.count(">p</h3>") == 1

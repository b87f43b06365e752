"""`modeling bench`: its parts make a whole step, its operations are those of the passes, its timeline adds up."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from modeling.config import Config, apply_overrides
from modeling.measuring import bench as bench_module
from modeling.measuring.bench import REST, Timeline, bench, random_batch
from modeling.presets import get
from modeling.training.step import build_networks, build_optimisers
from tests.modeling.conftest import QUICK, Run

CPU = torch.device("cpu")
SMALL = [option for option in QUICK if option != "--set"]


@pytest.fixture(autouse=True)
def small_ceiling(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(bench_module.MATRIX, "cpu", 128)


def small(*overrides: str) -> Config:
    return apply_overrides(get("tiny"), [*SMALL, *overrides])


def operations(config: Config) -> dict[str, float]:
    networks = build_networks(config)
    return bench_module._operations(networks, build_optimisers(networks, config), config, CPU)


def test_a_timeline_splits_what_its_meter_says() -> None:
    readings = iter([10.0, 11.0, 13.0, 17.0])
    timeline = Timeline(lambda: next(readings))
    timeline.begin()
    timeline.enter("a")
    timeline.enter(REST)
    timeline.enter("a")
    assert timeline.spent == {REST: 5.0, "a": 2.0}


def test_the_parts_make_the_step() -> None:
    found = bench(small(), CPU, rounds=1)
    parts = {part.name: part for part in found.parts}
    assert list(parts) == [
        "G forward for D",
        "D_S",
        "D_S penalty",
        "D_T",
        "D_T penalty",
        "G forward",
        "discriminators in G's pass",
        "G backward",
        "optimisers",
        REST,
    ]
    assert all(part.seconds >= 0 for part in found.parts)
    assert found.flops == pytest.approx(sum(part.flops for part in found.parts))
    assert found.clips_per_second == pytest.approx(3 / found.seconds)
    assert 0 < found.utilisation < 10
    assert found.wait is None
    # Two forward passes for D, one for G; a backward pass takes about twice a forward pass.
    assert parts["G forward for D"].flops == pytest.approx(2 * parts["G forward"].flops)
    assert 1.7 < parts["G backward"].flops / parts["G forward"].flops < 2.1
    assert parts["optimisers"].flops == 0


def test_operations_are_those_of_the_networks_alone() -> None:
    config = small()
    networks = build_networks(config)
    clips, _ = random_batch(config, CPU)
    counter = FlopCounterMode(display=False)
    with counter:
        networks.generator(clips[:, :1], config.frames, [1])
    assert operations(config)["G forward"] == counter.get_total_flops()


def test_a_lazy_penalty_counts_as_often_as_it_is_due() -> None:
    each, lazy, none = (
        operations(small(option))
        for option in ("training.penalty_every=1", "training.penalty_every=4", "training.lambda_gp=0")
    )
    assert lazy["D_T penalty"] == pytest.approx(each["D_T penalty"] / 4)
    assert lazy["D_T"] == each["D_T"] > 0
    assert "D_T penalty" not in none


def test_other_decompositions_have_their_own_parts() -> None:
    assert {"D_S", "D_T", "D_V", "D_V penalty"} <= set(operations(small("decomposition=trivdgan-strong")))


def test_the_command_prints_a_table_or_json(textures: Path, modeling: Run) -> None:
    options = ["--preset", "tiny", "--device", "cpu", "--rounds", 1, "--data", textures, *QUICK]
    result = modeling("bench", *options)
    assert result.exit_code == 0
    for words in (
        "D_T penalty",
        "s a step of 1 clip(s) a pass",
        "GFLOP/s",
        "waiting for the loader",
        "next: modeling train",
    ):
        assert words in result.stdout
    said = json.loads(modeling("bench", *options, "--json").stdout)
    assert sum(part["share"] for part in said["parts"]) == pytest.approx(1)
    assert 0 <= said["wait_seconds"] < said["seconds"]


def test_data_of_another_size_are_refused(textures: Path, modeling: Run) -> None:
    result = modeling("bench", "--preset", "bair-64", "--device", "cpu", "--data", textures)
    assert result.exit_code == 2
    assert "this run needs 64x64" in result.stderr

"""micro_batch=auto: what is tried, what is chosen, what a resume keeps; and what is said when memory is full."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from modeling.config import Config, apply_overrides
from modeling.errors import ModelingError
from modeling.presets import get
from modeling.runs.folder import RunFolder
from modeling.training import fitting
from modeling.training import loop as training_module
from modeling.training.distributed import Processes
from modeling.training.fitting import Probe, candidates, choose, out_of_memory, settle
from modeling.training.loop import train
from tests.modeling.training_cases import request

CUDA, CPU = torch.device("cuda"), torch.device("cpu")


class Card:
    """A GPU with `memory` bytes on which a micro-batch of n takes 10 + 30 n; more than there is cannot be had."""

    def __init__(self, memory: int) -> None:
        self.memory, self.tried = memory, list[int]()

    def probe(self, micro_batch: int) -> int | None:
        self.tried.append(micro_batch)
        needed = 10 + 30 * micro_batch
        return needed if needed <= self.memory else None


def test_candidates_are_the_powers_of_two_that_divide() -> None:
    assert candidates(8) == [8, 4, 2, 1]
    assert candidates(12) == [4, 2, 1]
    assert candidates(7) == [1]


@pytest.mark.parametrize(
    ("memory", "chosen", "tried"),
    [
        (1000, 8, [8]),
        (250, 4, [8, 4]),  # 250 are there for 8, but nothing is left over
        (131, 2, [8, 4, 2]),  # 130 for 4 fit, with less than 5% to spare
        (50, 1, [8, 4, 2]),
        (5, 1, [8, 4, 2]),  # nothing fits: the pass itself says so
    ],
)
def test_the_largest_that_fits_with_some_to_spare(memory: int, chosen: int, tried: list[int]) -> None:
    card = Card(memory)
    assert choose(8, card.memory, card.probe)[0] == chosen
    assert card.tried == tried


def _settle(
    config: Config, probe: Probe | None, device: torch.device, recorded: object = None
) -> tuple[int | str, object, list[str]]:
    said: list[str] = []
    settled, note = settle(config, Processes(device=device), recorded, said.append, probe)
    return settled.training.micro_batch, note, said


def test_what_is_chosen_recorded_and_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    config, card = get("bair-64"), Card(2**30)
    monkeypatch.setattr(fitting, "memory_of", lambda device: card.memory)
    assert _settle(config, None, CPU) == (1, {"clips": 1, "device": "cpu"}, [])
    chosen, note, said = _settle(config, card.probe, CUDA)
    assert (chosen, note) == (8, {"clips": 8, "device": "cuda"})
    assert said == ["micro-batches of 8 of 8 clips fit into 1.0 GiB"]
    # A resume keeps it, without trying again; on another kind of device it is chosen anew.
    assert _settle(config, card.probe, CUDA, note) == (8, None, [])
    assert card.tried == [8]
    assert _settle(config, None, CPU, note) == (1, {"clips": 1, "device": "cpu"}, [])
    # A number that was asked for stays; a process with fewer clips takes them all.
    asked = apply_overrides(config, ["micro_batch=4"])
    assert _settle(asked, card.probe, CUDA) == (4, None, [])
    settled, _ = settle(asked, Processes(1, 4, CPU), None, said.append)
    assert settled.training.micro_batch == 2


def test_a_run_records_its_choice(textures: Path, tmp_path: Path) -> None:
    train(request(textures, tmp_path / "run", 1))
    assert RunFolder(tmp_path / "run").noted("micro_batch") == {"clips": 1, "device": "cpu"}
    assert RunFolder(tmp_path / "run").read_config().training.micro_batch == "auto"


def test_the_probe_s_passes_are_real_ones() -> None:
    """Both passes with masks, mixed styles and a lazy penalty, on networks of their own."""
    small = ["resolution=16", "frames=5", "generator.widths=[2,1]", "d_s.widths=[1,2,2]", "d_t.widths=[1,2,2]"]
    options = ["d_s.frames=3", "mask_classes=2", "style_mixing=0.9", "penalty_every=4", "micro_batch=2"]
    before = torch.get_rng_state()
    fitting.run_both_passes(apply_overrides(get("tiny"), [*small, *options]), CPU)
    assert torch.equal(before, torch.get_rng_state())


def test_full_memory_says_what_to_lower(textures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = apply_overrides(get("bair-64"), ["micro_batch=4"])
    line = out_of_memory(torch.OutOfMemoryError("CUDA out of memory. Tried 2 GiB.\nmore"), config, CPU)
    ways = "training.micro_batch=2, training.activation_checkpointing=on, training.precision=bf16, d_t.pool=2"
    assert ways in line
    assert "d_s.ch (now 32), d_t.ch (now 32), frames (now 25)" in line
    assert "\n" not in line
    lowest = apply_overrides(config, ["micro_batch=1", "activation_checkpointing=on", "precision=bf16", "d_t.pool=2"])
    assert "Lower, in this order: d_s.ch" in out_of_memory(torch.OutOfMemoryError("full"), lowest, CPU)

    def full(*arguments: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")

    monkeypatch.setattr(training_module, "generator_pass", full)
    with pytest.raises(ModelingError, match=r"the GPU's memory is full .*Lower, in this order: training\.activation"):
        train(request(textures, tmp_path / "run", 1))

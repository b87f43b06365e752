"""What each precision computes in: bf16 stays close to fp32 and leaves the penalty alone; TF32's switches; fp64."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from modeling import presets
from modeling.config import Config, apply_overrides
from modeling.inference import load_trained
from modeling.runs.checkpoint import load_checkpoint
from modeling.training import execution, losses
from modeling.training.draws import draws_for
from modeling.training.loop import train
from modeling.training.precision import matrix_products
from modeling.training.step import Networks, build_networks, build_optimisers, discriminator_pass, generator_pass
from tests.modeling.training_cases import request

SMALL = ["resolution=16", "frames=5", "generator.widths=[2,1]", "d_s.widths=[1,2,2]", "d_t.widths=[1,2,2]"]


def _config(*overrides: str) -> Config:
    return apply_overrides(presets.get("tiny"), [*SMALL, "d_s.frames=3", *overrides])


def _steps(config: Config, steps: int) -> tuple[Networks, list[dict[str, float]]]:
    networks = build_networks(config)
    optimisers = build_optimisers(networks, config)
    R, T = config.resolution, config.frames
    phase = torch.arange(T * 3 * R * R).reshape(1, T, 3, R, R) * 0.01
    clips = torch.cat((phase.sin(), phase.cos())) * 0.8
    lines = []
    for step in range(steps):
        passes = [draws_for(config, step=step, pass_index=index) for index in range(2)]
        stats = discriminator_pass(networks, optimisers, clips, passes[0], config)
        lines.append(stats | generator_pass(networks, optimisers, clips, passes[1], config))
    return networks, lines


def test_bf16_stays_close_to_fp32() -> None:
    """8 bits of mantissa: a few percent of the losses' size at first, more after three updates."""
    (_, exact), (networks, coarse) = _steps(_config(), 3), _steps(_config("precision=bf16"), 3)
    for step, (ours, theirs) in enumerate(zip(coarse, exact, strict=True)):
        near = 0.08 if step == 0 else 0.2
        for name, value in theirs.items():
            assert ours[name] == pytest.approx(value, rel=near, abs=near), (step, name)
    assert any(ours["d_t_loss"] != theirs["d_t_loss"] for ours, theirs in zip(coarse, exact, strict=True))
    for _, network in networks:
        assert {parameter.dtype for parameter in network.parameters()} == {torch.float32}


def test_under_bf16_networks_compute_in_it_and_penalties_in_fp32(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, set[torch.dtype]] = {"passes": set(), "penalty": set()}
    inside: list[bool] = []
    real = losses.by_autograd

    def watched(scored: losses.Scored, x: torch.Tensor) -> torch.Tensor:
        inside.append(True)
        try:
            return real(scored, x)
        finally:
            inside.pop()

    monkeypatch.setattr(execution.penalty_of, "__defaults__", (watched,))

    def note(module: nn.Module, inputs: object, output: torch.Tensor) -> None:
        seen["penalty" if inside else "passes"].add(output.dtype)

    config = _config("precision=bf16")
    networks = build_networks(config)
    for network in networks.discriminators.values():
        network.linear.register_forward_hook(note)
    clips = torch.rand(2, 5, 3, 16, 16)
    draws = draws_for(config, step=0, pass_index=0)
    stats = discriminator_pass(networks, build_optimisers(networks, config), clips, draws, config)
    assert seen == {"passes": {torch.bfloat16}, "penalty": {torch.float32}}
    exact = build_networks(_config())
    wanted = discriminator_pass(exact, build_optimisers(exact, _config()), clips, draws, _config())
    assert stats["d_s_penalty"] == pytest.approx(wanted["d_s_penalty"], rel=1e-2)  # its clips came through bf16


@pytest.mark.parametrize(("precision", "allowed"), [("fp32", False), ("tf32", True), ("bf16", False)])
def test_tf32_is_on_where_asked_for_and_put_back(precision: str, allowed: bool) -> None:
    def switches() -> tuple[bool, bool]:
        return torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32

    before = switches()
    with pytest.raises(KeyError), matrix_products(_config(f"precision={precision}")):
        assert switches() == (allowed, allowed)
        raise KeyError
    assert switches() == before


def test_a_run_in_fp64_is_fp64_throughout_and_animates_in_fp32(textures: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    train(request(textures, run, 1, "precision=fp64"))
    state = load_checkpoint(run / "checkpoints" / "step-00000001.pt", torch.device("cpu"))
    for name in ("generator", "d_s", "d_t", "ema"):
        assert {value.dtype for value in state[name].values()} == {torch.float64}
    assert (run / "samples" / "step-00000001.mp4").is_file()
    generator = load_trained(run, torch.device("cpu")).generator
    assert {parameter.dtype for parameter in generator.parameters()} == {torch.float32}

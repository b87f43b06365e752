"""torch.compile of the passes: the same gradients as without, in double precision, and a clear word where it cannot be.

The tracing backend (aot_eager) sees everything that the inductor does but generates no code, which takes minutes.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from modeling import presets
from modeling.config import Config, apply_overrides
from modeling.errors import UsageError
from modeling.training.compiled import CompiledExecution
from modeling.training.compilers import require_compiler
from modeling.training.draws import draws_for
from modeling.training.execution import EAGER, Execution
from modeling.training.precision import dtype_of
from modeling.training.step import Networks, build_networks, build_optimisers, discriminator_pass, generator_pass

SMALL = [
    "resolution=8",
    "frames=4",
    "generator.widths=[1]",
    "generator.ch=4",
    "d_s.widths=[1,2]",
    "d_t.widths=[1,1,2]",
    "d_s.ch=4",
    "d_t.ch=4",
    "d_s.frames=2",
    "training.batch=2",
    "micro_batch=1",
    "clip.mode=off",
    "precision=fp64",
]


@pytest.fixture(autouse=True)
def fresh() -> None:
    torch._dynamo.reset()


def _config(*overrides: str) -> Config:
    return apply_overrides(presets.get("tiny"), [*SMALL, *overrides])


def _both_passes(config: Config, compiled: bool) -> tuple[Networks, dict[str, float]]:
    networks = build_networks(config)
    for _, network in networks:
        for name, parameter in network.named_parameters():
            if name.endswith(("noise_strength", "gamma")):
                parameter.data.fill_(0.3)
    optimisers = build_optimisers(networks, config)
    how: Execution = CompiledExecution(networks, config, "aot_eager") if compiled else EAGER
    R, T = config.resolution, config.frames
    clips = torch.rand(2, T, 3, R, R, generator=torch.Generator().manual_seed(0)).to(dtype_of(config)) * 2 - 1
    draws = [draws_for(config, step=0, pass_index=index) for index in range(2)]
    stats = discriminator_pass(networks, optimisers, clips, draws[0], config, execution=how)
    stats |= generator_pass(networks, optimisers, clips, draws[1], config, execution=how)
    return networks, stats


@pytest.mark.slow
@pytest.mark.parametrize(
    "overrides",
    [(), ("generator.kind=dvdgan-s", "loss=hinge", "precision=fp32")],
    ids=["style", "dvdgan-s"],
)
def test_gradients_and_statistics_are_those_of_eager_passes(overrides: tuple[str, ...]) -> None:
    """Two micro-batches; spectral norm, the penalty's double backward, in single precision batch norm's statistics."""
    config = _config(*overrides)
    (eager, wanted), (compiled, got) = (_both_passes(config, compiled) for compiled in (False, True))
    rtol, atol = (1e-9, 1e-10) if config.training.precision == "fp64" else (1e-4, 1e-5)
    assert got == pytest.approx(wanted, rel=rtol, abs=10 * atol)
    for (name, one), (_, two) in zip(eager, compiled, strict=True):
        assert one.state_dict().keys() == two.state_dict().keys()  # no prefix of the compiler's
        parameters = dict(two.named_parameters())
        for key, parameter in one.named_parameters():
            assert (parameter.grad is None) == (parameters[key].grad is None), (name, key)
            if parameter.grad is not None:
                scale = max(1.0, float(parameter.grad.abs().max()))
                torch.testing.assert_close(
                    parameters[key].grad, parameter.grad, rtol=rtol, atol=atol * scale, msg=f"{name}.{key}"
                )
        for key, buffer in one.named_buffers():
            torch.testing.assert_close(dict(two.named_buffers())[key], buffer, rtol=rtol, atol=atol, msg=key)


def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(
        UsageError, match=r"training\.compile: there is no C\+\+ compiler \(g\+\+, clang\+\+\); install one"
    ):
        require_compiler(torch.device("cpu"))
    monkeypatch.setenv("CXX", "/nowhere/c++")
    with pytest.raises(UsageError, match=r"\$CXX names /nowhere/c\+\+, which is not there"):
        require_compiler(torch.device("cpu"))

"""The two training passes on the `tiny` preset: what they update, when they stop, and a golden loss curve."""

from __future__ import annotations

import copy

import pytest
import torch

from modeling import presets
from modeling.config import Config, apply_overrides
from modeling.networks.ema import averaged
from modeling.training import step
from modeling.training.draws import draws_for
from modeling.training.step import (
    Networks,
    NonFiniteError,
    Optimisers,
    build_networks,
    build_optimisers,
    discriminator_pass,
    generator_pass,
    penalty_is_due,
)

SMALL = ["resolution=16", "frames=5", "generator.widths=[2,1]", "d_s.widths=[1,2,2]", "d_t.widths=[1,2,2]"]


def _small(*overrides: str) -> Config:
    return apply_overrides(presets.get("tiny"), [*SMALL, "d_s.frames=3", *overrides])


def _clips(config: Config, step_index: int = 0, pass_index: int = 0) -> torch.Tensor:
    """Smooth drifting waves, new ones for each pass."""
    T, R = config.frames, config.resolution
    time = torch.arange(T, dtype=torch.float64)[:, None, None, None]
    channel = torch.arange(3, dtype=torch.float64)[:, None, None]
    row = torch.arange(R, dtype=torch.float64)[:, None] / R
    column = torch.arange(R, dtype=torch.float64) / R
    clips = []
    for sample in range(config.training.batch):
        phase = 1.7 * sample + 0.9 * step_index + 0.4 * pass_index
        clips.append(torch.sin(6 * row + 9 * column * (1 + 0.2 * channel) + 0.3 * time + phase) * 0.8)
    return torch.stack(clips).float()


def _build(config: Config) -> tuple[Networks, Optimisers]:
    networks = build_networks(config)
    return networks, build_optimisers(networks, config)


def _run_step(networks: Networks, optimisers: Optimisers, config: Config, index: int) -> dict[str, float]:
    stats: dict[str, float] = {}
    for pass_index in range(config.training.d_passes):
        clips = _clips(config, index, pass_index)
        draws = draws_for(config, step=index, pass_index=pass_index)
        stats = discriminator_pass(networks, optimisers, clips, draws, config)
    last = config.training.d_passes
    draws = draws_for(config, step=index, pass_index=last)
    return stats | generator_pass(networks, optimisers, _clips(config, index, last), draws, config)


def _weights(*networks: torch.nn.Module) -> list[torch.Tensor]:
    return [value.clone() for network in networks for value in network.state_dict().values()]


def _all_equal(one: list[torch.Tensor], two: list[torch.Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, two, strict=True))


# Three steps of `tiny`: the second D pass and the G pass of each. The double-precision run differs from these by
# less than the tolerance; leaving out a pass, a weight of a loss or the clipping moves them by far more.
GOLDEN = {
    "d_s_loss": [0.612518, -0.1640548, -2.459542],
    "d_s_penalty": [0.9459113, 0.8657488, 0.6547008],
    "d_t_loss": [0.657925, -0.9725688, -5.313089],
    "d_t_penalty": [0.9877663, 0.9606378, 0.8645364],
    "g_loss": [-2.394653, -0.09609062, 8.533838],
    "g_grad_norm": [11.96982, 64.06226, 210.2259],
}


def test_golden_loss_curve_of_tiny() -> None:
    config = presets.get("tiny")
    networks, optimisers = _build(config)
    for index in range(3):
        stats = _run_step(networks, optimisers, config, index)
        for name, values in GOLDEN.items():
            assert stats[name] == pytest.approx(values[index], rel=5e-3, abs=0.05), (index, name)


def test_one_step_of_tiny_is_deterministic() -> None:
    config, results = presets.get("tiny"), []
    for _ in range(2):
        torch.manual_seed(len(results))  # the global generator has no part in it
        networks, optimisers = _build(config)
        stats = _run_step(networks, optimisers, config, 0)
        results.append(
            (stats, _weights(networks.generator, networks.discriminators["d_s"], networks.discriminators["d_t"]))
        )
    assert results[0][0] == results[1][0]
    assert _all_equal(results[0][1], results[1][1])


def test_each_pass_updates_its_own_networks_and_reports() -> None:
    config = _small()
    networks, optimisers = _build(config)
    g, d = _weights(networks.generator), _weights(networks.discriminators["d_s"], networks.discriminators["d_t"])
    stats = discriminator_pass(networks, optimisers, _clips(config), draws_for(config, step=0, pass_index=0), config)
    assert _all_equal(g, _weights(networks.generator))
    assert not any(p.grad is not None for p in networks.generator.parameters())
    for network in (networks.discriminators["d_s"], networks.discriminators["d_t"]):
        assert all(p.grad is not None for p in network.parameters())
    assert not _all_equal(d, _weights(networks.discriminators["d_s"], networks.discriminators["d_t"]))
    names = ("loss", "wasserstein", "penalty", "grad_norm")
    assert set(stats) == {f"{network}_{name}" for network in ("d_s", "d_t") for name in names}
    for network in ("d_s", "d_t"):
        expected = -stats[f"{network}_wasserstein"] + config.training.lambda_gp * stats[f"{network}_penalty"]
        assert stats[f"{network}_loss"] == pytest.approx(expected, rel=1e-5)

    d = _weights(networks.discriminators["d_s"], networks.discriminators["d_t"])
    gradients = [p.grad.clone() for p in networks.discriminators["d_s"].parameters()]
    stats = generator_pass(networks, optimisers, _clips(config), draws_for(config, step=0, pass_index=2), config)
    assert _all_equal(
        d, _weights(networks.discriminators["d_s"], networks.discriminators["d_t"])
    )  # spectral norm's estimates among them
    assert _all_equal(gradients, [p.grad for p in networks.discriminators["d_s"].parameters()])
    assert all(p.requires_grad for p in networks.discriminators["d_s"].parameters())
    assert not _all_equal(g, _weights(networks.generator))
    assert set(stats) == {"g_loss", "g_loss_s", "g_loss_t", "g_grad_norm"}
    assert stats["g_loss"] == pytest.approx(1.0 * stats["g_loss_s"] + 5.0 * stats["g_loss_t"], rel=1e-5)


def test_power_iteration_runs_once_a_discriminator_update(monkeypatch: pytest.MonkeyPatch) -> None:
    config = _small("training.batch=3", "micro_batch=1")
    networks, optimisers = _build(config)
    seen: list[int] = []
    monkeypatch.setattr(step, "power_iteration", lambda network: seen.append(id(network)))
    discriminator_pass(networks, optimisers, _clips(config), draws_for(config, step=0, pass_index=0), config)
    assert seen == [id(networks.discriminators["d_s"]), id(networks.discriminators["d_t"])]
    generator_pass(networks, optimisers, _clips(config), draws_for(config, step=0, pass_index=2), config)
    assert len(seen) == 2


@pytest.mark.parametrize("where", ["clips", "weights"])
def test_a_non_finite_discriminator_pass_updates_nothing(where: str) -> None:
    config = _small("training.batch=3", "micro_batch=1")
    networks, optimisers = _build(config)
    draws = draws_for(config, step=4, pass_index=1)
    discriminator_pass(networks, optimisers, _clips(config), draws, config)
    clips = _clips(config)
    if where == "clips":
        clips[2, 3] = float("nan")
    else:
        networks.discriminators["d_t"].linear.bias.data.fill_(float("inf"))
    before, moments = (
        _weights(networks.discriminators["d_s"], networks.discriminators["d_t"]),
        copy.deepcopy(optimisers.discriminators["d_s"].state_dict()),
    )
    with pytest.raises(
        NonFiniteError, match=r"(d_s|d_t)_\w+ is (nan|-?inf) in step 4, pass 1: nothing was updated"
    ) as caught:
        discriminator_pass(networks, optimisers, clips, draws, config)
    assert caught.value.draws is draws
    assert caught.value.quantity.startswith("d_t" if where == "weights" else "d_")
    after = _weights(networks.discriminators["d_s"], networks.discriminators["d_t"])
    assert all(torch.equal(a.nan_to_num(), b.nan_to_num()) for a, b in zip(before, after, strict=True))
    for key, state in moments["state"].items():
        assert all(
            torch.equal(value, optimisers.discriminators["d_s"].state_dict()["state"][key][name])
            for name, value in state.items()
        )


def test_a_non_finite_generator_pass_updates_nothing() -> None:
    config = _small()
    networks, optimisers = _build(config)
    clips = _clips(config)
    clips[1, 0] = float("inf")
    before = _weights(networks.generator)
    with pytest.raises(NonFiniteError, match=r"g_\w+ is nan in step 0, pass 2"):
        generator_pass(networks, optimisers, clips, draws_for(config, step=0, pass_index=2), config)
    assert _all_equal(before, _weights(networks.generator))
    assert not optimisers.generator.state
    assert all(p.requires_grad for p in networks.discriminators["d_s"].parameters())


@pytest.mark.parametrize(("mode", "threshold"), [("norm", 1e-3), ("value", 1e-5), ("off", 2.5)])
def test_clipping(mode: str, threshold: float) -> None:
    config = _small(f"clip.mode={mode}", f"clip.threshold={threshold}")
    networks, optimisers = _build(config)
    stats = generator_pass(networks, optimisers, _clips(config), draws_for(config, step=0, pass_index=2), config)
    clipped = torch.cat([p.grad.flatten() for p in networks.generator.parameters() if p.grad is not None])
    assert stats["g_grad_norm"] > 0.01  # measured before clipping
    if mode == "norm":
        assert float(clipped.norm()) == pytest.approx(threshold, rel=1e-3)
    elif mode == "value":
        assert float(clipped.abs().max()) == pytest.approx(threshold)
    else:
        assert float(clipped.norm()) == pytest.approx(stats["g_grad_norm"], rel=1e-5)


def test_a_lazy_penalty_is_due_every_kth_pass_with_k_times_the_weight() -> None:
    config = _small("penalty_every=3", "lambda_gp=2")
    due = [penalty_is_due(config, draws_for(config, step=index, pass_index=p)) for index in range(3) for p in range(2)]
    assert due == [True, False, False, True, False, False]
    networks, optimisers = _build(config)
    run = [
        discriminator_pass(networks, optimisers, _clips(config), draws_for(config, step=0, pass_index=p), config)
        for p in range(2)
    ]
    expected = -run[0]["d_t_wasserstein"] + 6 * run[0]["d_t_penalty"]
    assert run[0]["d_t_loss"] == pytest.approx(expected, rel=1e-5)
    assert "d_t_penalty" not in run[1]
    assert run[1]["d_t_loss"] == -run[1]["d_t_wasserstein"]
    betas = optimisers.discriminators["d_s"].param_groups[0]["betas"]
    assert betas == pytest.approx((0.5**0.75, 0.999**0.75))
    assert optimisers.generator.param_groups[0]["betas"] == (0.5, 0.999)
    assert not penalty_is_due(_small("lambda_gp=0"), draws_for(config, step=0, pass_index=0))


def test_optimisers_share_the_learning_rate_and_take_a_new_one() -> None:
    config = _small("lr=1e-3")
    _, optimisers = _build(config)
    everyone = (optimisers.generator, optimisers.discriminators["d_s"], optimisers.discriminators["d_t"])
    assert all(group["lr"] == 1e-3 for one in everyone for group in one.param_groups)
    optimisers.set_learning_rate(0.25)
    assert all(group["lr"] == 0.25 for one in everyone for group in one.param_groups)


def test_clips_and_draws_must_match() -> None:
    config = _small()
    networks, optimisers = _build(config)
    draws = draws_for(config, step=0, pass_index=0, samples=[0])
    with pytest.raises(ValueError, match="2 clips need as many draws, not 1"):
        discriminator_pass(networks, optimisers, _clips(config), draws, config)


@pytest.mark.parametrize(
    ("warmup", "decays"), [(False, [0.9] * 90), (True, [(1 + n) / (10 + n) for n in range(1, 90)])]
)
def test_the_moving_average_follows_the_generator(warmup: bool, decays: list[float]) -> None:
    config = _small()
    networks, _ = _build(config)
    average = averaged(networks.generator, 0.9, warmup=warmup)
    expected = None
    for update in range(90 if warmup else 4):
        with torch.no_grad():
            for parameter in networks.generator.parameters():
                parameter += torch.randn_like(parameter)
        average.update_parameters(networks.generator)
        now = networks.generator.style_head.linear.weight.detach().clone()
        decay = min(0.9, decays[update - 1])
        expected = now if expected is None else decay * expected + (1 - decay) * now
    torch.testing.assert_close(average.module.style_head.linear.weight, expected)
    image = torch.zeros(1, 3, 16, 16)
    assert not torch.equal(average.module(image), networks.generator(image))


def test_twenty_passes_learn_to_tell_real_from_fake() -> None:
    """Training works: against a fixed generator the Wasserstein estimate of both discriminators grows."""
    config = _small("lr=1e-3")
    networks, optimisers = _build(config)
    history = []
    for index in range(20):
        draws = draws_for(config, step=index, pass_index=0)
        history.append(discriminator_pass(networks, optimisers, _clips(config), draws, config))
    for name in ("d_s_wasserstein", "d_t_wasserstein"):
        assert history[-1][name] > history[0][name] + 0.1

"""`training.micro_batch=auto`: how many clips a backward pass takes at once, and what to say when memory runs out.

On a CPU one, which needs the least. On a GPU the largest power of two that divides a process's part of the batch and
for which a real discriminator pass, penalty included, and a real generator pass fit. The choice changes a result by
rounding alone (Eq. 3.16), but a run keeps it: it stands in environment.json, and a resume takes it from there.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import replace

import torch

from modeling.config import Config
from modeling.data.conditions import Conditions
from modeling.training.build import build_networks, build_optimisers
from modeling.training.distributed import Processes
from modeling.training.draws import draws_for
from modeling.training.precision import dtype_of
from modeling.training.step import discriminator_pass, generator_pass

SPARE = 0.05  # share of the card that a micro-batch must leave free: samples and fragmentation need some

Probe = Callable[[int], int | None]  # a micro-batch -> bytes at its peak, None where they are not there


def with_micro_batch(config: Config, micro_batch: int) -> Config:
    """`config` with `micro_batch` settled."""
    return replace(config, training=replace(config.training, micro_batch=micro_batch))


def candidates(own: int) -> list[int]:
    """The powers of two that divide `own` clips, largest first; 1 is the last."""
    return [2**power for power in range((own & -own).bit_length() - 1, -1, -1)]


def choose(own: int, available: int, probe: Probe) -> tuple[int, list[str]]:
    """The first candidate for `own` clips that fits into `available` bytes with some to spare, and what was tried.

    1 where none does: then the passes themselves say what is missing.
    """
    tried: list[str] = []
    for micro_batch in candidates(own):
        if micro_batch == 1 and len(tried) == len(candidates(own)) - 1:
            return 1, tried
        peak = probe(micro_batch)
        if peak is not None and peak <= (1 - SPARE) * available:
            return micro_batch, tried
        tried.append(f"{micro_batch} needs {'more' if peak is None else gigabytes(peak)}")
    return 1, tried


def settle(
    config: Config,
    processes: Processes,
    recorded: object,
    say: Callable[[str], None],
    probe: Probe | None = None,
) -> tuple[Config, dict[str, object] | None]:
    """`config` with its micro-batch as a number, and what environment.json is to record of the choice (None: nothing).

    `recorded` is what it holds of an earlier choice, which counts for the same kind of device.
    """
    own = len(processes.part(config.training.batch))
    if config.training.micro_batch != "auto":
        return with_micro_batch(config, min(config.training.micro_batch, own)), None
    device = processes.device.type
    held = recorded if isinstance(recorded, dict) else {}
    if held.get("device") == device and isinstance(held.get("clips"), int):
        return with_micro_batch(config, min(held["clips"], own)), None
    chosen = 1
    if device == "cuda" or probe is not None:
        chosen, tried = choose(own, memory_of(processes.device), probe or passes_probe(config, processes.device))
        chosen = processes.smallest(chosen)
        remarks = f" ({', '.join(tried)})" if tried else ""
        say(f"micro-batches of {chosen} of {own} clips fit into {gigabytes(memory_of(processes.device))}{remarks}")
    return with_micro_batch(config, chosen), {"clips": chosen, "device": device}


def passes_probe(config: Config, device: torch.device) -> Probe:
    """Runs both passes once on networks of its own, which it drops again, and measures their peak."""

    def probe(micro_batch: int) -> int | None:
        part = replace(config, training=replace(config.training, batch=micro_batch, micro_batch=micro_batch))
        torch.cuda.reset_peak_memory_stats(device)
        try:
            run_both_passes(part, device)
            return int(torch.cuda.max_memory_reserved(device))
        except torch.OutOfMemoryError:
            return None
        finally:
            gc.collect()  # graphs hold their tensors in cycles
            torch.cuda.empty_cache()

    return probe


def run_both_passes(config: Config, device: torch.device) -> None:
    """A discriminator pass with its penalty and a generator pass on a batch of noise."""
    networks = build_networks(config, device)
    optimisers = build_optimisers(networks, config)
    B, k, R, M = (
        config.training.batch,
        config.generator.context_frames,
        config.resolution,
        config.generator.mask_classes,
    )
    source = torch.Generator().manual_seed(0)
    clips = (torch.rand(B, config.frames, 3, R, R, generator=source) * 2 - 1).to(device, dtype_of(config))
    mask = clips.new_ones(B, M, R, R) if M else None
    mixed = bool(config.generator.style_mixing and k)
    given = Conditions(mask=mask, other_context=clips[:, :k] if mixed else None, other_mask=mask if mixed else None)
    draws = draws_for(config, step=0, pass_index=0)  # the first pass takes a lazy penalty too
    discriminator_pass(networks, optimisers, clips, draws, config, given)
    generator_pass(networks, optimisers, clips, draws, config, given)


def memory_of(device: torch.device) -> int:
    """Bytes of the GPU that this process can have: what is free, and what it holds already. 0 for a CPU."""
    if device.type != "cuda":
        return 0
    free, _ = torch.cuda.mem_get_info(device)
    return int(free + torch.cuda.memory_reserved(device))


def out_of_memory(error: Exception, config: Config, device: torch.device) -> str:
    """The message for a GPU that is full: what was used, what there is, what to lower, in the order of its effect."""
    training, used = config.training, ""
    if device.type == "cuda":
        peak, (_, total) = torch.cuda.max_memory_reserved(device), torch.cuda.mem_get_info(device)
        used = f": this training took {gigabytes(peak)} of the card's {gigabytes(total)}"
    else:
        used = f" ({str(error).splitlines()[0]})"
    micro = training.micro_batch
    ways = []
    if micro == "auto" or micro > 1:
        ways.append(f"training.micro_batch (now {micro})" if micro == "auto" else f"training.micro_batch={micro // 2}")
    if not training.activation_checkpointing:
        ways.append("training.activation_checkpointing=on")
    if training.precision in ("fp32", "tf32"):
        ways.append("training.precision=bf16")
    if config.d_t.pool == 1 and config.decomposition == "dvdgan":
        ways.append("d_t.pool=2")
    ways += [f"d_s.ch (now {config.d_s.ch})", f"d_t.ch (now {config.d_t.ch})", f"frames (now {config.frames})"]
    return f"the GPU's memory is full{used}. Lower, in this order: {', '.join(ways)}"


def gigabytes(count: int) -> str:
    return f"{count / 2**30:.1f} GiB"

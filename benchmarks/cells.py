"""Forward + backward of every recurrent cell beside the ConvGRU's, in one run, at the sizes of a preset's levels.

    python benchmarks/cells.py [--preset bair-64] [--batch 1] [--rounds 5] [--threads N] [--device cpu]

The twin is the ConvGRU frame by frame, both convolutions in the loop (tests/modeling/literal_networks.py). The ratios
to the ConvGRU are what a cell costs; they have no target. The twin's must be above 1, with the same values.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from modeling import presets  # noqa: E402
from modeling.networks.cells import CELLS, CellStack  # noqa: E402
from tests.modeling import literal_networks as literal  # noqa: E402

Run = Callable[[Tensor, Tensor, int], Tensor]


def sides(channels: int, preset: str, device: str) -> dict[str, tuple[CellStack, Run]]:
    """Every cell, the TSRU with both warps, and the twin (which shares the ConvGRU's weights)."""
    options = presets.get(preset).generator

    def at_once(stack: CellStack, x: Tensor, h: Tensor, steps: int) -> Tensor:
        outputs: Tensor = stack(x, stack.initial(h), steps)[0]
        return outputs

    made: dict[str, tuple[CellStack, Run]] = {}
    for name in CELLS:
        for warp in ("kernel", "flow") if name.startswith("tsru") else ("kernel",):
            stack = CellStack(channels, replace(options, cell=name, cell_warp=warp)).to(device)  # type: ignore[arg-type]
            label = f"{name} {warp}" if name.startswith("tsru") else name
            made[label] = (stack, partial(at_once, stack))
    gru = made["convgru"][0]

    def frame_by_frame(x: Tensor, h: Tensor, steps: int) -> Tensor:
        states = []
        for frame in x.reshape(len(h), -1, *x.shape[1:]).expand(-1, steps, -1, -1, -1).unbind(1):
            h = literal.conv_gru(gru.cells[0], frame, h)
            states.append(h)
        return torch.stack(states, dim=1).flatten(0, 1)

    return made | {"twin": (gru, frame_by_frame)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="bair-64", choices=presets.PRESETS)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=None, help="torch's threads (default: its own choice)")
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)

    config = presets.get(arguments.preset)
    outputs = [width * config.generator.ch for width in config.generator.widths]
    levels = list(zip([outputs[0], *outputs[:-1]], (4 * 2**level for level in range(config.depth)), strict=True))
    steps, batch, device = config.frames - 1, arguments.batch, arguments.device

    def synchronised() -> float:
        if device != "cpu":
            torch.cuda.synchronize()
        return time.perf_counter()

    table: dict[str, list[float]] = {}
    error = 0.0
    for level, (channels, side) in enumerate(levels):
        frames = batch * steps if level else batch  # the lowest level's input is a constant
        x = torch.randn(frames, channels, side, side, device=device).contiguous(memory_format=torch.channels_last)
        h = torch.randn(batch, channels, side, side, device=device).contiguous(memory_format=torch.channels_last)
        x, h = x.requires_grad_(), h.requires_grad_()
        weight = torch.randn(batch * steps, channels, side, side, device=device)
        cells = sides(channels, arguments.preset, device)
        times: dict[str, list[float]] = {name: [] for name in cells}
        values = {}
        for round_number in range(arguments.rounds + 1):  # the first one warms up
            for name, (stack, run) in cells.items():
                stack.zero_grad(set_to_none=True)
                begin = synchronised()
                y = run(x, h, steps)
                (y * weight).sum().backward()  # type: ignore[no-untyped-call]
                if round_number:
                    times[name].append(synchronised() - begin)
                values[name] = y.detach()
        error = max(error, float((values["convgru"] - values["twin"]).abs().max()))
        for name, seconds in times.items():
            table.setdefault(name, []).append(statistics.median(seconds))

    print(f"{arguments.preset}, batch {batch}, {steps} steps, {device}, {torch.get_num_threads()} thread(s)")
    print(f"largest difference of the ConvGRU and its twin {error:.1e}")
    print("".join([f"{'':14}", *(f"{c:>5} x {s:<4}" for c, s in levels), " all: s   / convgru"]))
    for name, row in table.items():
        ratio = sum(row) / sum(table["convgru"])
        print("".join([f"{name:14}", *(f"{1e3 * s:9.1f} ms" for s in row), f"{sum(row):8.3f}{ratio:11.2f}"]))


if __name__ == "__main__":
    main()

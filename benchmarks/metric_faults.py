"""Do the metrics rise with what is wrong? Real footage against itself with faults of growing strength.

    python benchmarks/metric_faults.py [--footage 60] [--i3d-clips 12] [--weights DIR] [--out FOLDER]

Faults: blur and noise of every frame; the last part of each clip shuffled, frozen, or played at double speed. Metrics:
proxy-FD of clips; the proxy's filters on single frames standing still (its motion filters left out: they see nothing),
which must not see the order of frames; and FVD's pipeline, with published I3D weights where --weights has them, else
with random ones (batch norm's statistics of the undisturbed clips), called so. As in Heusel et al. 2017, Fig. 3, a set
is compared with its own disturbed copy, so strength 0 gives 0. Prints a table, writes FOLDER/metric-faults.{json,png};
metrics of an earlier run there that are not measured again are kept, so that the parts can run one by one. Exits with 1
where a video metric does not rise at a step, or a temporal fault moves the frame metric a fifth as much as it or more,
both in units of the distance between two halves of the footage.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from modeling.metrics.extractors import load_extractor  # noqa: E402
from modeling.metrics.extractors.i3d import I3D, I3DExtractor  # noqa: E402
from modeling.metrics.frechet import frechet_distance  # noqa: E402
from tests.modeling.footage import (  # noqa: E402
    FAULTS,
    IN_SPACE,
    U8,
    faulty,
    faulty_frames,
    frame_features,
    video_features,
    windows,
)

SIDE, FRAMES, I3D_FRAMES = 64, 12, 16  # of FVD: 16, as it is mostly reported
FRAMES_ALONE = "proxy of frames"
Curves = dict[str, list[float]]  # fault -> distance at each strength
CPU = torch.device("cpu")


def random_i3d(clean_NTRR3: U8) -> I3DExtractor:
    """Random weights that let every layer respond: He's, and batch norm's statistics of these clips."""
    torch.manual_seed(0)
    network = I3D()
    for module in network.modules():
        if isinstance(module, nn.Conv3d):
            nn.init.kaiming_normal_(module.weight)
        elif isinstance(module, nn.BatchNorm3d):
            module.momentum = 1.0
    extractor = I3DExtractor(network, "random", CPU)
    network.train()
    with torch.no_grad():
        network(extractor.prepared(torch.from_numpy(clean_NTRR3)))
    network.eval()
    return extractor


def curves(source: U8, features: Callable[[str, float], Tensor], clean: Tensor, name: str) -> Curves:
    made: Curves = {}
    for fault, strengths in FAULTS.items():
        begun = time.monotonic()
        made[fault] = [frechet_distance(clean, features(fault, strength)) for strength in strengths]
        told = "  ".join(f"{value:.4g}" for value in made[fault])
        print(f"{name}, {fault}: {told}  ({time.monotonic() - begun:.0f} s)", flush=True)
    return made


def halves(clean: Tensor) -> float:
    """Between two halves of the undisturbed set: what chance alone gives."""
    return frechet_distance(clean[::2], clean[1::2])


def plot(report: dict[str, dict[str, Curves]], path: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 2.6), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, (fault, strengths) in zip(figure.subplots(1, len(FAULTS), sharey=True), FAULTS.items(), strict=True):
        for name, made in report.items():
            if fault not in made["curves"]:
                continue
            values = [0, *(value / made["halves"] for value in made["curves"][fault])]
            axes.plot([0, *strengths], values, marker=".", label=name)
        unit = {"blur": "sigma, pixels", "noise": "deviation, grey levels"}.get(fault, "share of the frames")
        axes.set(title=fault, xlabel=unit)
        axes.axhline(1, color="0.7", linewidth=0.7, zorder=0)
        axes.set_yscale("symlog", linthresh=0.01)
    axes = figure.axes[0]
    axes.set_ylabel("distance / that of two halves")
    axes.legend(fontsize=7)
    figure.savefig(path, dpi=90)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--footage", type=int, default=60, help="windows for the proxies")
    parser.add_argument("--i3d-clips", type=int, default=0, help="windows for the I3D, seconds each (default: none)")
    parser.add_argument("--weights", type=Path, help="folder with the I3D's published weights")
    parser.add_argument("--out", type=Path, default=Path())
    arguments = parser.parse_args()

    def some(frames: int, count: int) -> U8:
        found = windows(frames=frames, side=SIDE, every=2 * frames, crops=2)
        return found[np.linspace(0, len(found) - 1, min(count, len(found))).round().astype(int)]

    kept = arguments.out / "metric-faults.json"
    report = json.loads(kept.read_text()) if kept.exists() else {}
    if arguments.footage:
        source = some(FRAMES, arguments.footage)
        print(f"{len(source)} windows of {FRAMES} frames, {SIDE}x{SIDE}", flush=True)
        clean = video_features(source[:, :FRAMES])
        made = curves(source, lambda fault, s: video_features(faulty(fault, s, source)), clean, "proxy-FD")
        report["proxy-FD"] = {"curves": made, "halves": halves(clean)}
        known = frame_features(source)
        clean = known[:, :FRAMES].flatten(0, 1)
        made = curves(source, lambda fault, s: faulty_frames(fault, s, source, known), clean, FRAMES_ALONE)
        # Whole windows to a half: frames of one window are much alike.
        apart = frechet_distance(known[::2, :FRAMES].flatten(0, 1), known[1::2, :FRAMES].flatten(0, 1))
        report[FRAMES_ALONE] = {"curves": made, "halves": apart}
    if arguments.i3d_clips:
        source = some(I3D_FRAMES, arguments.i3d_clips)
        name = "FVD" if arguments.weights else "I3D, random weights"
        i3d = (
            load_extractor("i3d", arguments.weights, CPU) if arguments.weights else random_i3d(source[:6, :I3D_FRAMES])
        )

        def of(clips: U8) -> Tensor:
            return i3d(torch.from_numpy(np.ascontiguousarray(clips)))["logits"]

        print(f"{name}: {len(source)} windows of {I3D_FRAMES} frames", flush=True)
        clean = of(source[:, :I3D_FRAMES])
        made = curves(source, lambda fault, s: of(faulty(fault, s, source)), clean, name)
        report[name] = {"curves": made, "halves": halves(clean)}
    kept.write_text(json.dumps(report, indent=1))
    failed = show(report)
    plot(report, arguments.out / "metric-faults.png")
    if failed:
        sys.exit("\n".join(failed))


def show(report: dict[str, dict[str, object]]) -> list[str]:
    """The table; what did not behave."""
    failed = []
    for name, made in report.items():
        print(f"\n{name} (two halves of the footage: {made['halves']:.4g})")
        for fault, values in made["curves"].items():
            strengths = "  ".join(f"{s:g}: {value:.4g}" for s, value in zip(FAULTS[fault], values, strict=True))
            print(f"| {fault} | {strengths} |")
            rises = all(a < b for a, b in zip([0.0, *values], values, strict=False))
            if not rises and (name != FRAMES_ALONE or fault in IN_SPACE):
                failed.append(f"{name} does not rise with {fault}")
    frames = report.get(FRAMES_ALONE)
    for name, video in report.items() if frames else ():
        for fault in [fault for fault in FAULTS if fault not in IN_SPACE and name != FRAMES_ALONE]:
            moved = [each["curves"][fault][-1] / each["halves"] for each in (video, frames)]
            print(f"{fault}, whole clip, in halves of the footage: {name} {moved[0]:.3f}, frames {moved[1]:.3f}")
            if moved[1] > moved[0] / 5:
                failed.append(f"{fault} moves the frame metric by {moved[1]:.3f}, {name} by {moved[0]:.3f}")
    return failed


if __name__ == "__main__":
    main()

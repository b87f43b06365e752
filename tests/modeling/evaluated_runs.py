"""Run folders with evaluations in the shape that `modeling evaluate` writes."""

from __future__ import annotations

import json
from pathlib import Path


def write_run(run: Path, *, ssim: float) -> Path:
    run.mkdir()
    (run / "config.yaml").write_text("preset: tiny\n")
    write_evaluation(run, ssim=ssim)
    return run


def write_evaluation(
    run: Path, *, ssim: float, step: int = 7, frames: int = 25, protocol_hash: str = "same", kind: str = "model"
) -> Path:
    def number(value: float) -> dict[str, object]:
        low, high = round(value - 0.1, 4), round(value + 0.1, 4)
        return {"value": value, "low": low, "high": high, "n": [6, 6], "few": False, "note": ""}

    report = {
        "format": 2,
        "protocol": {
            "name": "standard",
            "n": 6,
            "frames": frames,
            "context_frames": 1,
            "first_frame": 1,
            "stride": 1,
            "resolution": 32,
            "split": "test",
            "seed": 0,
            "step": step,
            "extractors": {},
            "protocol_hash": protocol_hash,
        },
        "metrics": {kind: {"ssim": number(ssim)}, "copied_frame": {"ssim": number(0.25)}},
        "curves": {
            kind: {
                "proxy_fd_per_frame": [1.0, 4.0, 5.0, 2.0, 6.0, 7.0],
                "self_similarity": [1.0, 0.2, 0.1, 0.9, 0.0, -0.1],
                "ssim_per_frame": [0.9, 0.5, 0.8, 0.4, 0.7, None],
            }
        },
    }
    (run / "evaluation").mkdir(exist_ok=True)
    file = run / "evaluation" / f"test-step-{step:08d}.json"
    file.write_text(json.dumps(report))
    return file

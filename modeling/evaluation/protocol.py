"""Under which conditions numbers hold: two of them compare only where these agree."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any, Literal

Name = Literal["standard", "as-published"]
Reference = Literal["pooled", "same-step"]

NORMALISATION: dict[Name, str] = {
    "standard": "none",
    "as-published": "each frame by its own minimum and maximum",
}
SSIM = "RGB channels averaged, Gaussian 11x11 with sigma 1.5, windows inside the image, 8-bit frames"
# Facts that tell where numbers come from and not under which conditions they hold.
NOT_COMPARED = (
    "weights",
    "step",
    "data",
    "data_hash",  # which of several data sets; `clips_hash` is of what was scored of it
    "preset",
    "samples",
    "noise",
    "futures",
    "curve_frames",
    "left_out_shorter",
    "left_out_unmasked",
    "left_out_samples",
    "draws",
    "videos",
    "device",
)

# Facts that only some numbers and curves rest on; the others hold for all.
OF_SETS = ("precision", "recall", "density", "coverage")
PARTICULAR: Mapping[str, tuple[str, ...]] = {
    "ssim": ("ssim", "best_of_k_ssim", "ssim_per_frame"),
    "is_parts": ("is",),
    "prdc": OF_SETS,
    "reference": ("fid_per_frame", "proxy_fd_per_frame"),
    "futures": ("best_of_k_psnr", "best_of_k_ssim", "best_of_k_lpips"),  # the more there are, the better the best
    "curve_frames": ("looping",),  # that of longer clips finds more returns
}
BY_EXTRACTOR = {
    "fid": "inception",
    "is": "inception",
    "fvd": "i3d",
    "proxy-fd": "proxy",
    "lpips": "lpips",
    "best_of_k_lpips": "lpips",
    "fid_per_frame": "inception",
    "proxy_fd_per_frame": "proxy",
    "lpips_per_frame": "lpips",
}


def extractor_of(number: str, facts: Mapping[str, Any]) -> str | None:
    """Whose features a number or a curve of a report is of."""
    if number in OF_SETS:
        return "inception" if "inception" in facts["extractors"] else "proxy"
    return BY_EXTRACTOR.get(number)


def rests_on(number: str, facts: Mapping[str, Any]) -> dict[str, Any]:
    """The facts of a protocol under which one number, or one curve, holds: two of them compare where these agree."""
    chosen = {
        key: value
        for key, value in facts.items()
        if number in PARTICULAR.get(key, () if key in NOT_COMPARED or key in PARTICULAR else (number,))
        and key not in ("extractors", "protocol_hash")
    }
    extractor = extractor_of(number, facts)
    if extractor is not None:
        chosen[extractor] = facts["extractors"].get(extractor)
    return chosen


def with_hash(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The facts with `protocol_hash`, over those under which numbers compare."""
    compared = {key: value for key, value in facts.items() if key not in NOT_COMPARED}
    text = json.dumps(compared, sort_keys=True, allow_nan=False)
    return {**facts, "protocol_hash": hashlib.sha256(text.encode()).hexdigest()[:16]}


def line(facts: Mapping[str, Any], extractor: str | None = None) -> str:
    """The protocol in one line, as it is printed beside a number; `extractor`: whose features the number is of."""
    parts = [
        str(facts["name"]),
        f"{facts['n']} clips of {facts['split']}" + (f" from {facts['videos']} videos" if "videos" in facts else ""),
        f"frames {facts['first_frame']}-{facts['frames'] - 1} of {facts['frames']}, stride {facts['stride']}",
        f"{facts['resolution']}x{facts['resolution']}",
        f"seed {facts['seed']}",
    ]
    if extractor is not None:
        about = facts["extractors"][extractor]
        parts.append(f"{extractor} {shortened(about['digest'])}")
        if "resize" in about:
            parts.append(f"resize: {about['resize']}")
    return "; ".join([*parts, f"protocol {facts['protocol_hash']}"])


def shortened(digest: str) -> str:
    """An extractor's digest with the first 16 digits of each hash in it: LPIPS has one of each of its two files."""
    return re.sub(r"[0-9a-f]{64}", lambda match: match[0][:16], digest)

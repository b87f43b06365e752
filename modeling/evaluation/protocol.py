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
    "preset",
    "samples",
    "noise",
    "futures",
    "curve_frames",
    "left_out_shorter",
    "left_out_unmasked",
    "left_out_samples",
    "draws",
    "device",
)


def with_hash(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The facts with `protocol_hash`, over those under which numbers compare."""
    compared = {key: value for key, value in facts.items() if key not in NOT_COMPARED}
    text = json.dumps(compared, sort_keys=True, allow_nan=False)
    return {**facts, "protocol_hash": hashlib.sha256(text.encode()).hexdigest()[:16]}


def line(facts: Mapping[str, Any], extractor: str | None = None) -> str:
    """The protocol in one line, as it is printed beside a number; `extractor`: whose features the number is of."""
    parts = [
        str(facts["name"]),
        f"{facts['n']} clips of {facts['split']}",
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

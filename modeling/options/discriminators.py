"""What the discriminators can be told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from modeling.options.checks import positive, width_list
from modeling.parsing import require

# Which discriminators look at what of a clip (Fig. 3.8), and those of the two baselines.
Decomposition = Literal["dvdgan", "trivdgan-fast", "trivdgan-strong", "mocogan", "tgan"]


@dataclass(frozen=True, kw_only=True)
class SpatialDiscriminatorConfig:
    """D_S: scores single frames (section 3.6)."""

    ch: int
    widths: tuple[int, ...]
    frames: int = 8  #            K: frames drawn from a clip, without replacement, from those that were generated
    conditional: bool = True  #   each frame is seen beside the input frame
    spectral_norm: bool = True
    attention: bool = True

    def __post_init__(self) -> None:
        positive("d_s", ch=self.ch, frames=self.frames)
        width_list("d_s", self.widths)


@dataclass(frozen=True, kw_only=True)
class TemporalDiscriminatorConfig:
    """D_T: scores whole clips (section 3.6)."""

    ch: int
    widths: tuple[int, ...]
    pool: Literal[1, 2] = 1  #    side of the average pool before it; 2 is Eq. 3.14's usual choice, landscapes need 1
    spectral_norm: bool = True
    attention: bool = True

    def __post_init__(self) -> None:
        positive("d_t", ch=self.ch)
        width_list("d_t", self.widths)
        require(len(self.widths) >= 3, "d_t.widths needs three or more: two 3-D blocks, then 2-D ones")

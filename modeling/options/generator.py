"""What a generator can be told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from modeling.options.checks import not_negative, positive, probability, width_list
from modeling.parsing import require

GeneratorKind = Literal["style", "dvdgan-s", "mocogan", "tgan"]
CellName = Literal["convgru", "convlstm", "trajgru", "k-trajgru", "tsru-c", "tsru-p", "tsru-s"]
# Options of the style generator with what stands for "not asked for": refused elsewhere, where nothing reads them.
STYLE_ONLY = {"style_mixing": 0.0, "blur": False, "style_activation": "sigmoid", "to_rgb_kernel": 1}


@dataclass(frozen=True, kw_only=True)
class GeneratorConfig:
    """A generator (Fig. 3.7 and section 3.10): `widths` is what each level puts out, lowest first, times `ch`."""

    kind: GeneratorKind = "style"
    ch: int
    widths: tuple[int, ...]
    style_dim: int = 256  #                                   of a clip's style; mocogan: its content; tgan: a latent
    style_activation: Literal["sigmoid", "none"] = "sigmoid"  # sigmoid produced the published numbers
    block: Literal["modulated", "adain"] = "modulated"  #     how style acts: on weights (StyleGAN2) or activations (v1)
    noise: bool = True  #                                     off reproduces the published runs, where it was dead
    blur: bool = False  #                                     StyleGAN2's low-pass filter after the up-sampling
    to_rgb_kernel: Literal[1, 3] = 1  #                       3 is what the thesis's text says, 1 what its code did
    cell: CellName = "convgru"
    cell_activation: Literal["tanh", "relu"] = "tanh"  #      rho of the cells; relu is TriVD-GAN's
    cell_warp: Literal["kernel", "flow"] = "kernel"  #        how the TSRU cells move the hidden state
    layers: int = 1  #                                        recurrent cells stacked on a level
    keep_bias: float = 0.0  #                                 added at first to the gates that keep a cell's state
    encoder_norm: Literal["none", "batch"] = "none"  #        batch is Fig. 3.3's GResNet; dvdgan-s always has it
    latent: int = 0  #                                        length of z, drawn once a clip; 0: one image, one future
    style_mixing: float = 0.0  #                              probability of another sample's style above a random level
    context_frames: int = 1  #                                k frames to go on from; 0 is unconditional
    mask_classes: int = 0  #                                  one-hot channels of the first frame's mask (section 4.5)
    mask_mode: Literal["input", "hard"] = "input"  #          hard: what the mask calls still is copied from frame 0
    moving_classes: tuple[int, ...] = ()  #                   labels that move under a hard mask; none named: all but 0

    def __post_init__(self) -> None:
        positive("generator", ch=self.ch, style_dim=self.style_dim)
        width_list("generator", self.widths)
        require(1 <= self.layers <= 3, f"generator.layers must be 1, 2 or 3, not {self.layers}")
        require(
            self.cell_warp == "kernel" or self.cell.startswith("tsru"),
            f"generator.cell_warp is an option of the tsru cells alone, not of generator.cell={self.cell}",
        )
        probability("generator", style_mixing=self.style_mixing)
        not_negative("generator", latent=self.latent, context_frames=self.context_frames)
        require(
            0 <= self.mask_classes <= 255, f"generator.mask_classes must be 0 (no mask) to 255, not {self.mask_classes}"
        )
        require(
            self.mask_mode == "input" or self.mask_classes > 0,
            "generator.mask_mode=hard needs a mask: set generator.mask_classes",
        )
        require(
            self.mask_mode == "hard" or not self.moving_classes,
            "generator.moving_classes says what a hard mask lets move: set generator.mask_mode=hard",
        )
        for label in self.moving_classes:
            require(
                1 <= label <= self.mask_classes,
                f"generator.moving_classes must be labels of 1 to mask_classes ({self.mask_classes}), not {label}",
            )
        require(
            self.context_frames > 0 or self.mask_classes == 0,
            "generator.mask_classes needs generator.context_frames of 1 or more: the mask is of an input frame",
        )
        require(
            self.context_frames > 0 or self.latent > 0,
            "generator.context_frames=0 (unconditional) draws clips from a latent: set generator.latent, such as 120",
        )
        require(
            self.context_frames > 0 or self.encoder_norm == "none",
            "generator.encoder_norm must be none where generator.context_frames=0: there is no encoder",
        )
        if self.kind != "style":
            for name, default in STYLE_ONLY.items():
                require(getattr(self, name) == default, f"generator.{name} is an option of generator.kind=style alone")
            require(self.block == "modulated", "generator.block is an option of generator.kind=style alone")
        if self.kind in ("mocogan", "tgan"):
            require(
                self.mask_classes == 0, f"generator.mask_classes must be 0: generator.kind={self.kind} takes no mask"
            )
            for name, default in (("cell", "convgru"), ("cell_activation", "tanh"), ("layers", 1)):
                require(
                    getattr(self, name) == default,
                    f"generator.{name} must be {default}: generator.kind={self.kind} has no convolutional cells",
                )

    @property
    def batch_norm(self) -> bool:
        """True where a clip's result in training depends on the other clips of its micro-batch."""
        return self.kind != "style" or self.encoder_norm == "batch"

    @property
    def random(self) -> bool:
        """True where one image has many futures: noise, a latent, or DVD-GAN-S's drawn first input."""
        return self.latent > 0 or self.kind != "style" or self.noise

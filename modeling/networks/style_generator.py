"""The thesis's generator (section 3.5, Fig. 3.7): encoder, style head, decoder of recurrent cells and style blocks.

Shapes: B clips, k context frames, T time, M mask classes, C channels, H and W height and width, S length of the style
vector, Z length of the latent.
"""

from __future__ import annotations

from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from modeling.config import LOWEST_RESOLUTION, Config, GeneratorConfig
from modeling.networks.blocks import ResidualBlock
from modeling.networks.decoder import Decoder, DecoderLevel, States
from modeling.networks.encoder import Encoder, LatentFeatures, given_channels
from modeling.networks.interface import Generator, Mixing, Parts
from modeling.networks.noise import LATENT, MIXED_LATENT, NoiseStream, drawn

STYLE_HEAD_WIDTHS = (8, 4)  # section 3.7


class StyleHead(nn.Module):
    """The lowest feature to a clip's style vector: two halving blocks, 4 -> 2 -> 1 px, and one Linear."""

    def __init__(self, channels: int, config: GeneratorConfig) -> None:
        super().__init__()
        first, second = (width * config.ch for width in STYLE_HEAD_WIDTHS)
        self.blocks = nn.Sequential(ResidualBlock(channels, first), ResidualBlock(first, second))
        self.linear = nn.Linear(second, config.style_dim)

    def forward(self, feature_BC44: Tensor) -> Tensor:
        """(B, S), before the style's activation."""
        style: Tensor = self.linear(self.blocks(feature_BC44).flatten(1))
        return style


class LatentMaps(nn.Module):
    """z to what it adds to the style, before its activation, and to the lowest level's constant."""

    def __init__(self, channels: int, config: GeneratorConfig, *, alone: bool) -> None:
        """`alone`: there is no image, so the style is z's alone and has a bias of its own."""
        super().__init__()
        self.style = nn.Linear(config.latent, config.style_dim, bias=alone)
        self.constant = nn.Linear(config.latent, channels * LOWEST_RESOLUTION**2, bias=False)


class StyleState(NamedTuple):
    """Between two frames: the cells' hidden states, what the clip keeps throughout, and its noise."""

    hidden: States
    first: Tensor  #        (B, C, 4, 4), the lowest level's input
    styles: list[Tensor]  # (B, S) a level; the same one unless styles are mixed
    noise: NoiseStream | None


class StyleGenerator(Generator):
    """The thesis's own (Fig. 3.7): one style vector a clip, style blocks in every level.

    Context frames, oldest first, and the mask lie on the encoder's channels. Without context (k = 0) hidden states and
    style are made from a latent. `encoder_norm=batch` is in the encoder's blocks, not in the style head's, whose maps
    have too few pixels for it.
    """

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        options = config.generator
        outputs = [width * options.ch for width in options.widths]
        inputs = [outputs[0], *outputs[:-1]]
        given = options.context_frames > 0
        if given:
            self.encoder = Encoder(
                inputs,
                stem=outputs[-1],
                channels=3 * options.context_frames + options.mask_classes,
                batch_norm=options.encoder_norm == "batch",
            )
            self.style_head = StyleHead(inputs[0], options)
        else:
            self.latent_features = LatentFeatures(inputs, options.latent)
        self.decoder = Decoder(inputs, outputs, options, recompute=config.training.activation_checkpointing)
        self.latent_maps = LatentMaps(inputs[0], options, alone=not given) if options.latent else None
        self.latent, self.activation = options.latent, options.style_activation

    def begin(self, context_BK3HW: Tensor, noise: NoiseStream | None, mask_BMHW: Tensor | None) -> StyleState:
        z_BZ = self._drawn(LATENT, noise, context_BK3HW)
        features, style_BS = self._read(context_BK3HW, mask_BMHW, z_BZ)
        return self._state(features, z_BZ, [style_BS] * len(features), noise)

    def begin_mixed(
        self, context_BK3HW: Tensor, noise: NoiseStream | None, mask_BMHW: Tensor | None, mixing: Mixing
    ) -> StyleState:
        z_BZ, other_BZ = (self._drawn(key, noise, context_BK3HW) for key in (LATENT, MIXED_LATENT))
        both = (
            torch.cat((context_BK3HW, mixing.context)),
            None if mask_BMHW is None or mixing.mask is None else torch.cat((mask_BMHW, mixing.mask)),
            None if z_BZ is None or other_BZ is None else torch.cat((z_BZ, other_BZ)),
        )
        features, styles = self._read(*both)
        own_BS, other_BS = styles.chunk(2)
        levels = range(len(features))
        mixed = [torch.where(mixing.first_level[:, None] <= level, other_BS, own_BS) for level in levels]
        return self._state([feature.chunk(2)[0] for feature in features], z_BZ, mixed, noise)

    def advance(self, state: StyleState, steps: int) -> tuple[Tensor, StyleState]:
        video_BT3HW, hidden = self.decoder(state.first, state.hidden, state.styles, steps, state.noise)
        return video_BT3HW, state._replace(hidden=hidden)

    def parts(self) -> Parts:
        parts: dict[str, nn.Module | nn.Parameter | Parts] = {}
        if self.context_frames:
            parts |= {
                "encoder": self.encoder,
                "style_blocks": self.style_head.blocks,
                "style_linear": self.style_head.linear,
            }
        else:
            parts["latent_features"] = self.latent_features
        if self.latent_maps is not None:
            parts |= {"latent_maps": self.latent_maps}
        levels = {f"level_{index}": level for index, level in enumerate(self.decoder.levels)}
        return parts | {
            "decoder": self.decoder,
            "decoder_parts": {"constant": self.decoder.constant, **levels, "to_rgb": self.decoder.to_rgb},
        }

    def _drawn(self, key: int, noise: NoiseStream | None, context_BK3HW: Tensor) -> Tensor | None:
        """z (B, Z) ~ N(0, I), one a clip; 0 where nothing is drawn; None without a latent."""
        return drawn(noise, key, (self.latent,), like=context_BK3HW) if self.latent else None

    def _read(
        self, context_BK3HW: Tensor, mask_BMHW: Tensor | None, z_BZ: Tensor | None
    ) -> tuple[list[Tensor], Tensor]:
        """Each level's first hidden state, lowest first, and the style (B, S)."""
        from_z = None if z_BZ is None or self.latent_maps is None else self.latent_maps.style(z_BZ)
        if self.context_frames:
            features = self.encoder(given_channels(context_BK3HW, mask_BMHW))
            style = self.style_head(features[0])
            style = style if from_z is None else style + from_z
        else:
            features, style = self.latent_features(z_BZ), from_z
        return features, torch.sigmoid(style) if self.activation == "sigmoid" else style

    def _state(
        self, features: list[Tensor], z_BZ: Tensor | None, styles: list[Tensor], noise: NoiseStream | None
    ) -> StyleState:
        levels = cast(list[DecoderLevel], list(self.decoder.levels))
        hidden = [level.cell.initial(feature) for level, feature in zip(levels, features, strict=True)]
        first = self.decoder.constant.expand(len(features[0]), -1, -1, -1)
        if z_BZ is not None and self.latent_maps is not None:
            first = first + self.latent_maps.constant(z_BZ).reshape(first.shape)
        return StyleState(hidden, first, styles, noise)

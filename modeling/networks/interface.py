"""What every generator is: context frames in, a video that starts with them out, at once or in pieces.

Shapes: B clips, k context frames, T time, H and W height and width, M mask classes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from modeling.config import Config
from modeling.networks.batch_norm import commit_statistics
from modeling.networks.noise import NoiseStream
from modeling.networks.spectral_norm import power_iteration

Noise = Sequence[int | torch.Generator] | NoiseStream  # a seed a sample, or where their values come from
Parts = Mapping[str, "nn.Module | nn.Parameter | Parts"]


class Mixing(NamedTuple):
    """Another sample for each clip of a batch, whose style takes the place of the clip's own in the upper levels."""

    first_level: Tensor  #     (B,) lowest level with the other's style; the number of levels where none has it
    context: Tensor  #         (B, k, 3, H, W), the other's context frames
    mask: Tensor | None = None  # (B, M, H, W), and its mask, where the generator takes one


class Generator(nn.Module, ABC):
    """A generator makes `begin`, which turns what is given into a state, and `advance`, which makes frames from it.

    A state is the generator's own: whatever `advance` needs to go on. Everything random in a sample is drawn from that
    sample's own seed, so neither the batch nor its split changes it.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        options = config.generator
        self.resolution, self.frames = config.resolution, config.frames
        self.context_frames = options.context_frames
        self.mask_classes, self.hard_mask = options.mask_classes, options.mask_mode == "hard"
        self.moving = [label - 1 for label in options.moving_classes] or list(range(options.mask_classes))  # channels

    @abstractmethod
    def begin(self, context_BK3HW: Tensor, noise: NoiseStream | None, mask_BMHW: Tensor | None) -> Any:
        """The state before the first generated frame. Context (B, k, 3, H, W); k is 0 where unconditional.

        `noise` None: everything that is drawn is 0, its mean. `mask_BMHW`: one-hot classes of the first context frame.
        """

    def begin_mixed(
        self, context_BK3HW: Tensor, noise: NoiseStream | None, mask_BMHW: Tensor | None, mixing: Mixing
    ) -> Any:
        """`begin` with another sample's style in the upper levels (section 3.3); ValueError where styles do not mix."""
        raise ValueError(f"{type(self).__name__} has no styles to mix")

    @abstractmethod
    def advance(self, state: Any, steps: int) -> tuple[Tensor, Any]:
        """The next `steps` frames (B, steps, 3, H, W) in [-1, 1], and the state to go on from."""

    @abstractmethod
    def parts(self) -> Parts:
        """Its modules by the names under which `modeling describe` counts their parameters; together all of them.

        A mapping under `NAME_parts` tells what `NAME` is made of.
        """

    def after_update(self) -> None:
        """Called once after each update of its weights: batch norm's running statistics, spectral norm's estimates."""
        commit_statistics(self)
        power_iteration(self)

    def forward(
        self,
        context: Tensor,
        frames: int | None = None,
        noise: Noise | None = None,
        mask_BMHW: Tensor | None = None,
        mixing: Mixing | None = None,
    ) -> Tensor:
        """Video (B, T, 3, H, W) in [-1, 1] that starts with the context itself.

        `context`: frames (B, k, 3, H, W) in [-1, 1]; one image a clip may be (B, 3, H, W); (B, 0, 3, H, W) where
        unconditional. `frames` counts the context (default: the configuration's T). `noise` is a seed or a
        `torch.Generator` for each sample; None: nothing is drawn. `mask_BMHW`: one-hot, where the generator takes one.
        `mixing`: another sample's style for the upper levels, in training. ValueError for other shapes.
        """
        context_BK3HW = self._checked(context, mask_BMHW)
        stream = self._stream(noise, context_BK3HW)
        if mixing is None:
            state = self.begin(context_BK3HW, stream, mask_BMHW)
        else:
            self._checked(mixing.context, mixing.mask)
            state = self.begin_mixed(context_BK3HW, stream, mask_BMHW, mixing)
        video_BT3HW, _ = self.advance(state, self._steps(frames))
        return torch.cat((context_BK3HW, self.kept_still(video_BT3HW, context_BK3HW, mask_BMHW)), dim=1)

    @torch.no_grad()
    def stream(
        self,
        context: Tensor,
        frames: int | None = None,
        noise: Noise | None = None,
        group: int = 8,
        mask_BMHW: Tensor | None = None,
    ) -> Iterator[Tensor]:
        """What `forward` gives in evaluation, in pieces (B, t, 3, H, W) of at most `group` frames: memory does not grow
        with T. Batch norm takes its running statistics, also where the generator is being trained."""
        context_BK3HW = self._checked(context, mask_BMHW)
        with _evaluating(self):
            state = self.begin(context_BK3HW, self._stream(noise, context_BK3HW), mask_BMHW)
        left = self._steps(frames)
        if self.context_frames:
            yield context_BK3HW
        while left > 0:
            steps = min(group, left)
            with _evaluating(self):
                video_BT3HW, state = self.advance(state, steps)
            yield self.kept_still(video_BT3HW, context_BK3HW, mask_BMHW)
            left -= steps

    def generate(
        self,
        context: Tensor,
        frames: int | None = None,
        noise: Noise | None = None,
        group: int = 8,
        mask_BMHW: Tensor | None = None,
    ) -> Tensor:
        """`forward` for inference: the same video, without a graph, computed `group` frames at a time."""
        return torch.cat(list(self.stream(context, frames, noise, group, mask_BMHW)), dim=1)

    def _checked(self, context: Tensor, mask_BMHW: Tensor | None) -> Tensor:
        side, k = self.resolution, self.context_frames
        context_BK3HW = context[:, None] if context.dim() == 4 else context
        if context_BK3HW.dim() != 5 or tuple(context_BK3HW.shape[1:]) != (k, 3, side, side):
            wanted = f"(B, 3, {side}, {side})" if k == 1 else f"(B, {k}, 3, {side}, {side})"
            raise ValueError(f"images must be {wanted}, not {tuple(context.shape)}")
        given = None if mask_BMHW is None else tuple(mask_BMHW.shape)
        needed = (len(context), self.mask_classes, side, side) if self.mask_classes else None
        if given != needed:
            raise ValueError(f"the mask must be {needed}, not {given}")
        return context_BK3HW

    def kept_still(self, video_BT3HW: Tensor, context_BK3HW: Tensor, mask_BMHW: Tensor | None) -> Tensor:
        """Under a hard mask: generated pixels where a class that moves is, the last context frame elsewhere."""
        if not self.hard_mask or mask_BMHW is None:
            return video_BT3HW
        moving_B11HW = mask_BMHW[:, self.moving].amax(dim=1)[:, None, None] > 0
        return torch.where(moving_B11HW, video_BT3HW, context_BK3HW[:, -1:])

    def _steps(self, frames: int | None) -> int:
        total = self.frames if frames is None else frames
        if total <= self.context_frames:
            if self.context_frames == 1:
                raise ValueError(f"frames counts the input frame and must be 2 or more, not {total}")
            raise ValueError(f"frames counts the {self.context_frames} context frames and must be more, not {total}")
        return total - self.context_frames

    def _stream(self, noise: Noise | None, context_BK3HW: Tensor) -> NoiseStream | None:
        if noise is None:
            return None
        if len(noise) != len(context_BK3HW):
            raise ValueError(f"noise needs one entry a sample: {len(context_BK3HW)}, not {len(noise)}")
        return noise if isinstance(noise, NoiseStream) else NoiseStream(noise)


@contextmanager
def _evaluating(network: nn.Module) -> Iterator[None]:
    """In evaluation mode; afterwards in the mode that it was in."""
    training = network.training
    if training:
        network.eval()
    try:
        yield
    finally:
        if training:
            network.train()

"""What every recurrent cell is: a convolution of all its inputs at once, and a step that the time loop repeats.

Shapes: B clips, T time, N = B*T frames, clip after clip, C channels, G channels of what a step takes from its input,
H and W height and width. Everything is kept in the channels-last layout, which both convolution and up-sampling prefer.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Literal, Self, cast

import torch
from torch import Tensor, nn

from modeling.options.generator import GeneratorConfig

Activation = Literal["tanh", "relu"]
Step = Callable[[Tensor, Tensor], Tensor]  # what `from_input` made of x (B, G, H, W), state -> next state
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"tanh": torch.tanh, "relu": torch.relu}


class Cell(nn.Module, ABC):
    """`from_input` runs once over all time steps, a step once a time step: only hidden convolutions are in the loop.

    A state is one tensor, (B, C, H, W) unless the cell says otherwise.
    """

    input: nn.Conv2d  # of all that reads the input, one bias a gate

    def __init__(self, channels: int, activation: Activation = "tanh") -> None:
        """`activation`: rho of the candidate."""
        super().__init__()
        self.channels = channels
        self.rho = ACTIVATIONS[activation]

    @classmethod
    def configured(cls, channels: int, config: GeneratorConfig) -> Self:
        return cls(channels, config.cell_activation)

    def initial(self, feature_BCHW: Tensor) -> Tensor:
        """The state before the first step, from the encoder's feature (B, C, H, W)."""
        return feature_BCHW

    def from_input(self, x_NCHW: Tensor) -> Tensor:
        """What a step takes from its input: (N, C, H, W) -> (N, G, H, W)."""
        return cast(Tensor, self.input(x_NCHW))

    @abstractmethod
    def stepper(self, state: Tensor) -> Step:
        """The step of the time loop for states of this one's shape, with what all steps share made once."""

    @abstractmethod
    def keep_state(self, bias: float) -> None:
        """Add `bias` to the gate that keeps the state, so that a new cell forgets less (0: as PyTorch begins)."""

    def _raise(self, first: int, amount: float) -> None:
        """Add `amount` to the input convolution's bias of the gate that begins at channel `first`."""
        cast(Tensor, self.input.bias).data[first : first + self.channels] += amount

    def output(self, state: Tensor) -> Tensor:
        """The hidden state (B, C, H, W) that goes on to the next layer."""
        return state

    def forward(self, x_NCHW: Tensor, state: Tensor, steps: int) -> tuple[Tensor, Tensor]:
        """All outputs (B*steps, C, H, W) and the last state; an x of one step a clip is the input at each of them."""
        from_x = self.from_input(x_NCHW).permute(0, 2, 3, 1)
        from_x_BTHWG = from_x.reshape(len(state), -1, *from_x.shape[1:]).expand(-1, steps, -1, -1, -1)
        step, outputs = self.stepper(state), []
        for x_BHWG in from_x_BTHWG.unbind(1):
            state = step(x_BHWG.permute(0, 3, 1, 2), state)
            outputs.append(self.output(state).permute(0, 2, 3, 1))
        return torch.stack(outputs, dim=1).flatten(0, 1).permute(0, 3, 1, 2), state


def orthogonal(*gates: Tensor) -> None:
    """Fill each gate's hidden weight (C, ..., 3, 3) with orthonormal rows, in place."""
    for gate in gates:
        nn.init.orthogonal_(gate)

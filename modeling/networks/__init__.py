"""The networks: the `style` generator (Fig. 3.7) and the dual discriminators (section 3.6).

`build_generator` and `build_discriminators` make them from a `Config`; initial weights depend on its seed alone.
"""

from modeling.networks.decompositions import build_discriminators
from modeling.networks.discriminators import Discriminator, SpatialDiscriminator, TemporalDiscriminator
from modeling.networks.generator import build_generator
from modeling.networks.interface import Generator, Mixing
from modeling.networks.style_generator import StyleGenerator

__all__ = [
    "Discriminator",
    "Generator",
    "Mixing",
    "SpatialDiscriminator",
    "StyleGenerator",
    "TemporalDiscriminator",
    "build_discriminators",
    "build_generator",
]

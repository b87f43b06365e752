"""The generators by name."""

from __future__ import annotations

from modeling.config import Config
from modeling.networks.dvdgan import DVDGANSmall
from modeling.networks.interface import Generator
from modeling.networks.mocogan import MoCoGAN
from modeling.networks.style_generator import StyleGenerator
from modeling.networks.tgan import TGAN
from modeling.training.seeding import seeded

GENERATORS: dict[str, type[Generator]] = {
    "style": StyleGenerator,
    "dvdgan-s": DVDGANSmall,
    "mocogan": MoCoGAN,
    "tgan": TGAN,
}


def build_generator(config: Config) -> Generator:
    """The generator that `config.generator.kind` names, its initial weights drawn from the configuration's seed."""
    with seeded(config.training.seed, "generator"):
        return GENERATORS[config.generator.kind](config)

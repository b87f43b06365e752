"""Which discriminators a configuration has (Fig. 3.8): d_s sees frames, d_t clips, d_v the whole small clip."""

from __future__ import annotations

from collections.abc import Callable

from modeling.config import Config
from modeling.networks.discriminators import Discriminator, SpatialDiscriminator, TemporalDiscriminator
from modeling.networks.patch_discriminators import (
    PatchImageDiscriminator,
    PatchVideoDiscriminator,
    VolumetricDiscriminator,
)
from modeling.options.discriminators import Decomposition
from modeling.training.seeding import seeded

Makers = dict[str, Callable[[Config], Discriminator]]


def _whole(config: Config) -> TemporalDiscriminator:
    return TemporalDiscriminator(config, whole=True)


DECOMPOSITIONS: dict[Decomposition, Makers] = {
    "dvdgan": {"d_s": SpatialDiscriminator, "d_t": TemporalDiscriminator},
    "trivdgan-fast": {"d_s": SpatialDiscriminator, "d_t": TemporalDiscriminator},
    "trivdgan-strong": {"d_s": SpatialDiscriminator, "d_t": TemporalDiscriminator, "d_v": _whole},
    "mocogan": {"d_s": PatchImageDiscriminator, "d_t": PatchVideoDiscriminator},
    "tgan": {"d_t": VolumetricDiscriminator},
}


def build_discriminators(config: Config) -> dict[str, Discriminator]:
    """The discriminators of `config.decomposition` by name, their initial weights drawn from the seed."""
    networks = {}
    for name, make in DECOMPOSITIONS[config.decomposition].items():
        with seeded(config.training.seed, name):
            networks[name] = make(config)
    return networks

"""The parameter counts of the thesis's networks, a block at a time: another count is another architecture."""

from __future__ import annotations

import pytest

from modeling import presets
from modeling.config import apply_overrides
from modeling.describe import describe
from modeling.networks import build_discriminators, build_generator

GENERATOR = {
    "bair-64": (613_856, 430_656, 16_640, 2_819_963),
    "landscape-128": (3_698_368, 1_721_472, 33_024, 15_753_709),
}
TOTALS = {
    "tiny": (337_841, 154_642, 187_282),
    "bair-64": (3_881_115, 9_863_746, 10_381_378),
    "landscape-128": (21_206_573, 2_470_802, 40_008_770),
}


@pytest.mark.parametrize("name", TOTALS)
def test_describe_counts_each_network(name: str) -> None:
    counts = describe(presets.get(name))
    assert (counts["generator"]["total"], counts["d_s"]["total"], counts["d_t"]["total"]) == TOTALS[name]
    assert counts["preset"] == name


@pytest.mark.parametrize("name", GENERATOR)
def test_generator_blocks(name: str) -> None:
    generator = describe(presets.get(name))["generator"]
    parts = tuple(generator[part] for part in ("encoder", "style_blocks", "style_linear", "decoder"))
    assert parts == GENERATOR[name]
    assert sum(parts) == generator["total"]
    assert sum(generator["decoder_parts"].values()) == generator["decoder"]


@pytest.mark.parametrize("network", ["d_s", "d_t"])
def test_discriminator_blocks_add_up(network: str) -> None:
    counts = describe(presets.get("tiny"))[network]
    assert sum(count for part, count in counts.items() if part != "total") == counts["total"]


def test_describe_counts_what_is_built() -> None:
    """Described on shapes alone, without spectral norm; trained networks must have the same counts."""
    config = presets.get("tiny")
    built = (build_generator(config), *build_discriminators(config).values())
    assert tuple(sum(p.numel() for p in network.parameters()) for network in built) == TOTALS["tiny"]


def test_options_change_counts_by_what_they_add() -> None:
    tiny = presets.get("tiny")
    base = describe(tiny)
    silent = describe(apply_overrides(tiny, ["noise=off"]))
    assert base["generator"]["total"] - silent["generator"]["total"] == 6  # two scalars a level
    alone = describe(apply_overrides(tiny, ["conditional=off"]))
    assert base["d_s"]["total"] - alone["d_s"]["total"] == 3 * 16 * (9 + 1)  # the input frame's half of conv1 and skip
    for network in ("d_s", "d_t"):
        bare = describe(apply_overrides(tiny, [f"{network}.attention=off"]))
        assert base[network]["total"] - bare[network]["total"] == 32 * (4 + 4 + 16 + 16) + 1

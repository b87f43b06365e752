"""The parameter counts of the thesis's networks, a block at a time: another count is another architecture."""

from __future__ import annotations

from itertools import pairwise

import pytest

from modeling import presets
from modeling.config import apply_overrides
from modeling.measuring.describe import describe
from modeling.networks import build_discriminators, build_generator

DISCRIMINATORS = {
    "tiny": (154_642, 187_282),
    "bair-64": (9_863_746, 10_381_378),
    "landscape-128": (2_470_802, 40_008_770),
    "landscape-256": (618_570, 10_006_050),
    "sky-128": (2_470_802, 40_008_770),
}
GENERATOR = {
    "bair-64": (613_856, 430_656, 16_640, 2_819_963),
    "landscape-128": (3_698_368, 1_721_472, 33_024, 15_753_709),
}
GENERATORS = {
    "tiny": 337_841,
    "bair-64": 3_881_115,
    "bair-64-t30": 3_881_115,
    "bair-64-as-published": 3_881_115 - 8,  # two noise strengths a level
    "landscape-128": 21_206_573,
    "landscape-128-as-published": 21_206_573 - 10,
    "sky-128": 21_206_573,
    "landscape-256": 1_834_583,
    "landscape-256-as-published": 1_834_583 - 12,
}
TOTALS = {
    name: (generator, *DISCRIMINATORS[name.removesuffix("-as-published").removesuffix("-t30")])
    for name, generator in GENERATORS.items()
}
BASELINES = {  # generator's parts, d_s, d_t; what is not said by model.md is counted by hand below
    "bair-64-dvdgan-s": ({"encoder": 615_040, "decoder": 3_238_883}, 9_863_746, 10_381_378),
    "mocogan-64": ({"content": 10_213_298, "motion": 660, "image": 3_249_027}, 1_252_289, 4_404_161),
    "tgan-64": ({"code": 2_862_116, "temporal": 876_132, "image": 3_607_331}, None, 16_005_057),
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


@pytest.mark.parametrize("name", BASELINES)
def test_baselines(name: str) -> None:
    parts, d_s, d_t = BASELINES[name]
    counts = describe(presets.get(name))
    assert {part: counts["generator"][part] for part in parts} == parts
    assert counts["generator"]["total"] == sum(parts.values())
    assert (counts["d_s"]["total"] if "d_s" in counts else None, counts["d_t"]["total"]) == (d_s, d_t)


def _conv(channels: int, out: int, kernel: int, *, bias: bool = True) -> int:
    return channels * out * kernel + out * bias


def test_dvdgan_s_by_hand() -> None:
    """Encoder as in `style` and batch norm; a level has cell, two blocks of two 3x3 and one 1x1 convolution each."""
    inputs, outputs = (128, 128, 64, 32), (128, 64, 32, 16)
    encoder = _conv(3, 16, 9)
    for before, out in zip((16, 32, 64, 128), (32, 64, 128, 128), strict=True):
        encoder += _conv(before, out, 9) + _conv(out, out, 9) + _conv(before, out, 1) + 2 * before + 2 * out
    decoder = _conv(16, 3, 9)
    for width, out in zip(inputs, outputs, strict=True):
        decoder += _conv(width, 3 * width, 9) + 3 * width * width * 9  # the recurrent cell
        for put_out in (width, out):
            decoder += _conv(width, put_out, 9) + _conv(put_out, put_out, 9) + _conv(width, put_out, 1)
            decoder += 2 * width + 2 * put_out
    assert BASELINES["bair-64-dvdgan-s"][0] == {"encoder": encoder, "decoder": decoder}


def test_mocogan_and_tgan_by_hand() -> None:
    content = _conv(3, 64, 9)
    for before, out in zip((64, 128, 256, 512), (128, 256, 512, 512), strict=True):
        content += _conv(before, out, 9) + _conv(out, out, 9) + _conv(before, out, 1)
    content += _conv(512 * 16, 50, 1)
    widths = (60, 512, 256, 128, 64)
    image = sum(_conv(a, b, 16, bias=False) + 2 * b for a, b in pairwise(widths))
    image += _conv(64, 3, 16)
    motion = 2 * _conv(10, 30, 1)
    assert BASELINES["mocogan-64"][0] == {"content": content, "motion": motion, "image": image}

    code = _conv(3, 32, 9)
    for before, out in zip((32, 64, 128, 256), (64, 128, 256, 256), strict=True):
        code += _conv(before, out, 9) + _conv(out, out, 9) + _conv(before, out, 1)
    code += _conv(256 * 16, 100, 1)
    temporal = _conv(200, 512, 1)
    for before, out in ((512, 256), (256, 128), (128, 128)):
        temporal += _conv(before, out, 4, bias=False) + 2 * out
    temporal += _conv(128, 100, 4)
    frames = 2 * _conv(100, 256 * 16, 1, bias=False) + 2 * 512
    for before, out in ((512, 256), (256, 128), (128, 64), (64, 32)):
        frames += _conv(before, out, 16, bias=False) + 2 * out
    frames += _conv(32, 3, 9)
    assert BASELINES["tgan-64"][0] == {"code": code, "temporal": temporal, "image": frames}

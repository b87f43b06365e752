"""The configuration: what is refused and how it is said, `--set`, and the way to a file and back."""

from __future__ import annotations

import dataclasses

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from modeling import presets
from modeling.config import ClipConfig, Config, ConfigError, apply_overrides
from modeling.parsing import option_paths

TINY = presets.get("tiny")


@pytest.mark.parametrize(
    ("override", "path", "value"),
    [
        ("training.lr=1e-4", "training.lr", 1e-4),  # YAML 1.1 reads 1e-4 as text
        ("lr=0.001", "training.lr", 1e-3),
        ("clip.mode=off", "training.clip.mode", "off"),  # and off as False
        ("training.clip.mode=value", "training.clip.mode", "value"),
        ("ema_decay=off", "training.ema_decay", None),
        ("ema_decay=0.99", "training.ema_decay", 0.99),
        ("noise=off", "generator.noise", False),
        ("flip=false", "training.flip", False),
        ("micro_batch=auto", "training.micro_batch", "auto"),
        ("micro_batch=2", "training.micro_batch", 2),
        ("betas=[0, 0.9]", "training.betas", (0.0, 0.9)),
        ("betas=0,0.9", "training.betas", (0.0, 0.9)),
        ("generator.widths=[3, 2, 1]", "generator.widths", (3, 2, 1)),
        ("generator.widths=3 2 1", "generator.widths", (3, 2, 1)),
        ("d_t.pool=2", "d_t.pool", 2),
        ("d_s.frames=4", "d_s.frames", 4),
        ("frames=30", "frames", 30),
        ("seed=123456789012345", "training.seed", 123456789012345),
        (" lr = 2e-4", "training.lr", 2e-4),
    ],
)
def test_overrides(override: str, path: str, value: object) -> None:
    changed: object = apply_overrides(TINY, [override])
    for name in path.split("."):
        changed = getattr(changed, name)
    assert changed == value
    assert type(changed) is type(value)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.lrr=1", "unknown option 'training.lrr'; nearest: training.lr"),
        ("lamda_gp=1", "nearest: training.lambda_gp"),
        ("widths=1", "option 'widths' is ambiguous: generator.widths, d_s.widths, d_t.widths"),
        ("preset=bair-64", "preset is chosen with --preset"),
        ("training=3", "unknown option 'training'"),
        ("lr", "--set takes key=value, not 'lr'"),
        ("=3", "--set takes key=value"),
        ("lr=[", "'[' is not a YAML value"),
        ("lr=fast", "training.lr must be a number, not 'fast'"),
        ("lr=0", "training.lr must be above 0, not 0.0"),
        ("lr=.nan", "training.lr must be a number"),
        ("lr=.inf", "training.lr must be above 0, not inf"),
        ("training.batch=1.5", "training.batch must be a whole number, not 1.5"),
        ("training.batch=true", "training.batch must be a whole number, not True"),
        ("micro_batch=9", "auto or 1 to training.batch (2), not 9"),
        ("micro_batch=some", "must be a whole number or auto, not 'some'"),
        ("noise=7", "generator.noise must be on or off, not 7"),
        (
            "cell=lstm",
            "generator.cell must be one of convgru, convlstm, trajgru, k-trajgru, tsru-c, tsru-p, tsru-s, not lstm",
        ),
        ("loss=wgan", "training.loss must be one of wgan-gp, wgan-clip, vanilla, hinge, rpgan-r1r2, not wgan"),
        ("clip.mode=hard", "must be one of norm, value, off, not hard"),
        ("betas=[1, 2, 3]", "training.betas must be 2 numbers"),
        ("betas=[0.5, 1]", "training.betas must lie in [0, 1)"),
        ("generator.widths=[]", "must be a list of positive whole numbers"),
        ("generator.widths=[2,1]", "needs 3 entries at resolution 32 (Eq. 3.13), not 2"),
        ("d_t.widths=[2,4]", "d_t.widths needs three or more"),
        ("d_s.widths=[1,1,1,1,1,1,1]", "d_s.widths halves 32 pixels 6 times"),
        ("d_t.pool=3", "d_t.pool must be one of 1, 2, not 3"),
        ("resolution=48", "must be a power of two, 8 or more, not 48"),
        ("frames=3", "frames must be 4 or more"),
        ("frames=8", "d_s.frames=8 is more than the 7 frames of a clip that are generated (frames=8, T"),
        ("layers=4", "generator.layers must be 1, 2 or 3, not 4"),
        ("ema_decay=1", "must be off or in (0, 1), not 1.0"),
        ("training.steps=10001", "raise training.schedule_steps (now 10000)"),
        ("lambda_gp=-1", "training.lambda_gp must be 0 or more"),
        ("clip.threshold=0", "training.clip.threshold must be above 0"),
    ],
)
def test_what_cannot_be_is_named_in_one_line(override: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        apply_overrides(TINY, [override])
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_overrides_that_depend_on_one_another_are_checked_together() -> None:
    changed = apply_overrides(TINY, ["frames=5", "d_s.frames=4"])
    assert (changed.frames, changed.d_s.frames) == (5, 4)
    longer = apply_overrides(TINY, ["training.steps=20000", "schedule_steps=20000"])
    assert longer.training.steps == 20_000
    assert apply_overrides(TINY, ["training.steps=20000", "schedule=constant"]).training.steps == 20_000


@pytest.mark.parametrize("name", presets.PRESETS)
def test_to_a_file_and_back(name: str) -> None:
    config = apply_overrides(presets.get(name), ["clip.mode=off", "ema_decay=off", "lr=1e-5", "noise=off"])
    assert Config.from_dict(yaml.safe_load(yaml.safe_dump(config.to_dict()))) == config


@given(
    lr=st.floats(1e-8, 1.0),
    batch=st.integers(1, 64),
    mode=st.sampled_from(["norm", "value", "off"]),
    decay=st.none() | st.floats(0.01, 0.99),
    seed=st.integers(0, 2**63),
)
def test_any_configuration_survives_yaml(lr: float, batch: int, mode: str, decay: float | None, seed: int) -> None:
    training = dataclasses.replace(
        TINY.training, lr=lr, batch=batch, clip=ClipConfig(mode=mode), ema_decay=decay, seed=seed
    )
    config = dataclasses.replace(TINY, training=training)
    assert Config.from_dict(yaml.safe_load(yaml.safe_dump(config.to_dict()))) == config


def test_every_option_can_be_set_to_what_it_is() -> None:
    values = TINY.to_dict()
    for path in option_paths(Config):
        if path == "preset":
            continue
        value: object = values
        for name in path.split("."):
            value = value[name]  # type: ignore[index]
        text = yaml.safe_dump(value, default_flow_style=True).removesuffix("...\n").strip()
        assert apply_overrides(TINY, [f"{path}={text}"]) == TINY, path


def test_from_dict_names_what_is_unknown_missing_or_not_a_mapping() -> None:
    values = TINY.to_dict()
    with pytest.raises(ConfigError, match=r"unknown option 'generator\.chh'; nearest: generator\.ch"):
        Config.from_dict(values | {"generator": values["generator"] | {"chh": 3}})
    without = {key: value for key, value in values.items() if key != "d_s"}
    with pytest.raises(ConfigError, match="the configuration lacks the option d_s"):
        Config.from_dict(without)
    with pytest.raises(ConfigError, match="training must be a mapping of options, not 3"):
        Config.from_dict(values | {"training": 3})
    with pytest.raises(ConfigError, match="the configuration must be a mapping"):
        Config.from_dict([])  # type: ignore[arg-type]


def test_frozen_and_keyword_only() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        TINY.training.lr = 1.0  # type: ignore[misc]
    with pytest.raises(TypeError):
        ClipConfig("norm")  # type: ignore[misc]


@pytest.mark.parametrize(("frames", "warned"), [(14, True), (15, False), (25, False)])
def test_a_short_sequence_is_warned_about(frames: int, warned: bool) -> None:
    warnings = apply_overrides(TINY, [f"frames={frames}"]).warnings()
    assert bool(warnings) is warned
    assert all(f"frames={frames}" in line and "3.8" in line for line in warnings)


@pytest.mark.parametrize(("resolution", "depth"), [(64, 4), (128, 5), (32, 3)])
def test_depth_is_eq_3_13(resolution: int, depth: int) -> None:
    assert next(c for c in presets.PRESETS.values() if c.resolution == resolution).depth == depth


@pytest.mark.parametrize("override", ["style_activation=none", "to_rgb_kernel=3", "blur=on", "style_mixing=0.5"])
def test_options_of_style_are_refused_where_nothing_reads_them(override: str) -> None:
    with pytest.raises(ConfigError, match=r"is an option of generator\.kind=style alone"):
        apply_overrides(TINY, ["generator.kind=dvdgan-s", f"generator.{override}"])

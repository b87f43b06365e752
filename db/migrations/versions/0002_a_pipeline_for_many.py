"""Searches that go on, pauses, sections, extras, masks, stills, fingerprints, named rules; scores name a recipe."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

SPLITS = "('train', 'val', 'test')"


def upgrade() -> None:
    # Written out: a CHECK in ADD COLUMN spares SQLite the copy of a table that others refer to.
    _checked("queries", "state", "VARCHAR NOT NULL DEFAULT 'complete'", "state IN ('open', 'complete')")
    op.add_column("queries", sa.Column("progress", sa.JSON(), nullable=True))
    op.create_table(
        "quota_uses",
        sa.Column("provider", sa.String(), nullable=False),
        sa.Column("bucket", sa.String(), nullable=False),
        sa.Column("day", sa.String(length=10), nullable=False),
        sa.Column("used", sa.Integer(), nullable=False),
        sa.Column("exhausted", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("provider", "bucket", "day", name=op.f("pk_quota_uses")),
    )
    op.create_table(
        "pauses",
        sa.Column("provider", sa.String(), nullable=False),
        sa.Column("error_class", sa.String(), nullable=False),
        sa.Column("message", sa.String(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("until", sa.DateTime(), nullable=False),
        sa.Column("cookies", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("provider", name=op.f("pk_pauses")),
    )

    for column in ("channel_id", "group_key", "taken_down_reason"):
        op.add_column("videos", sa.Column(column, sa.String(), nullable=True))
    for column in ("published_at", "pruned_at", "taken_down_at"):
        op.add_column("videos", sa.Column(column, sa.DateTime(), nullable=True))
    _checked("videos", "official_split", "VARCHAR", f"official_split IN {SPLITS}")
    op.create_index(op.f("ix_videos_group_key"), "videos", ["group_key"])
    op.create_table(
        "sections",
        sa.Column("video_id", sa.String(), nullable=False),
        sa.Column("index", sa.Integer(), nullable=False),
        sa.Column("start", sa.Double(), nullable=False),
        sa.Column("end", sa.Double(), nullable=False),
        sa.Column("first_pts", sa.Integer(), nullable=True),
        sa.Column("path", sa.String(), nullable=True),
        sa.Column("sha256", sa.String(length=64), nullable=True),
        sa.Column("bytes", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(["video_id"], ["videos.id"], name=op.f("fk_sections_video_id_videos")),
        sa.PrimaryKeyConstraint("video_id", "index", name=op.f("pk_sections")),
    )
    op.create_table(
        "extras",
        sa.Column("video_id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("path", sa.String(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(["video_id"], ["videos.id"], name=op.f("fk_extras_video_id_videos")),
        sa.PrimaryKeyConstraint("video_id", "name", name=op.f("pk_extras")),
    )
    op.create_table(
        "masks",
        sa.Column("video_id", sa.String(), nullable=False),
        sa.Column("pts", sa.Integer(), nullable=False),
        sa.Column("origin", sa.String(), nullable=False),
        sa.Column("path", sa.String(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("settings_hash", sa.String(length=64), nullable=True),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.CheckConstraint("origin IN ('given', 'motion')", name=op.f("ck_masks_origin")),
        sa.ForeignKeyConstraint(["settings_hash"], ["recipes.hash"], name=op.f("fk_masks_settings_hash_recipes")),
        sa.ForeignKeyConstraint(["video_id"], ["videos.id"], name=op.f("fk_masks_video_id_videos")),
        sa.PrimaryKeyConstraint("video_id", "pts", "origin", name=op.f("pk_masks")),
    )
    op.create_table(
        "stills",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("path", sa.String(), nullable=False),
        sa.Column("mask_path", sa.String(), nullable=True),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("label", sa.String(), nullable=True),
        sa.Column("licence", sa.String(), nullable=True),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_stills")),
    )

    op.add_column("clips", sa.Column("section_index", sa.Integer(), nullable=True))
    op.add_column("clips", sa.Column("scene", sa.String(), nullable=True))
    op.add_column("clips", sa.Column("sha256", sa.String(length=64), nullable=True))
    op.add_column("clips", sa.Column("bytes", sa.Integer(), nullable=True))
    op.create_index(op.f("ix_clips_scene_state_id"), "clips", ["scene", "state", "id"])
    op.drop_index(op.f("ix_clips_state"), "clips")
    op.create_index(op.f("ix_clips_state_video_id"), "clips", ["state", "video_id", "index"])
    op.create_index(op.f("ix_clips_state_id"), "clips", ["state", "id"])
    op.create_table(
        "fingerprints",
        sa.Column("clip_id", sa.String(), nullable=False),
        sa.Column("hashes", sa.LargeBinary(), nullable=False),
        sa.Column("settings_hash", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(["clip_id"], ["clips.id"], name=op.f("fk_fingerprints_clip_id_clips")),
        sa.ForeignKeyConstraint(
            ["settings_hash"], ["recipes.hash"], name=op.f("fk_fingerprints_settings_hash_recipes")
        ),
        sa.PrimaryKeyConstraint("clip_id", name=op.f("pk_fingerprints")),
    )
    op.create_table(
        "rules",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("recipe_hash", sa.String(length=64), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(["recipe_hash"], ["recipes.hash"], name=op.f("fk_rules_recipe_hash_recipes")),
        sa.PrimaryKeyConstraint("name", "version", name=op.f("pk_rules")),
    )
    _checked("exports", "format", "VARCHAR NOT NULL DEFAULT 'hdf5'", "format IN ('hdf5', 'webdataset')")
    op.add_column("shard_clips", sa.Column("side", sa.String(length=64), nullable=True))
    _naming("clips", "file_recipe", "recipes")
    _naming("splits", "recipe_hash", "recipes")
    _scores_name_a_recipe()
    _decisions_have_a_digest()


def _checked(table: str, column: str, kind: str, check: str) -> None:
    op.execute(f"ALTER TABLE {table} ADD COLUMN {column} {kind} CONSTRAINT ck_{table}_{column} CHECK ({check})")


def _naming(table: str, column: str, other: str) -> None:
    constraint = f"CONSTRAINT fk_{table}_{column}_{other} REFERENCES {other} (hash)"
    op.execute(f"ALTER TABLE {table} ADD COLUMN {column} VARCHAR(64) {constraint}")


def _decisions_have_a_digest() -> None:
    """What `db.tables.review.digest` gives new rows; the old ones are taken as they stand now."""
    op.add_column("decisions", sa.Column("digest", sa.String(length=64), nullable=True))
    bind = op.get_bind()
    names = ("clip_id", "batch_id", "annotator", "verdict", "reason", "review", "seconds", "share_seen")
    decisions = sa.table(
        "decisions", *(sa.column(name) for name in ("id", "digest", *names)), sa.column("created_at", sa.DateTime())
    )
    digests = []
    for number, created_at, *values in bind.execute(
        sa.select(decisions.c.id, decisions.c.created_at, *(decisions.c[name] for name in names))
    ):
        content = [*values, created_at.isoformat(sep=" ", timespec="microseconds")]
        text = json.dumps(content, separators=(",", ":"), ensure_ascii=False)
        digests.append({"number": number, "value": hashlib.sha256(text.encode()).hexdigest()})
    if not digests:
        return
    if bind.dialect.name == "sqlite":
        op.execute("DROP TRIGGER decisions_no_update")
    change = sa.update(decisions).where(decisions.c.id == sa.bindparam("number")).values(digest=sa.bindparam("value"))
    bind.execute(change, digests)
    if bind.dialect.name == "sqlite":
        op.execute(
            "CREATE TRIGGER decisions_no_update BEFORE UPDATE ON decisions "
            "BEGIN SELECT RAISE(ABORT, 'decisions are append-only'); END"
        )


def _scores_name_a_recipe() -> None:
    """Each score repeated its settings; now they stand once, as a recipe."""
    bind = op.get_bind()
    before = sa.table(
        "scores", *(sa.column(name) for name in ("clip_id", "name", "value", "created_at")),
        sa.column("settings", sa.JSON()),
    )  # fmt: skip
    recipes: dict[str, dict[str, Any]] = {}
    rows: list[dict[str, Any]] = []
    for clip_id, name, value, created_at, settings in bind.execute(sa.select(before)):
        # The number of frames belongs to the clip, not to the way of measuring.
        plain = {key: setting for key, setting in settings.items() if key != "frames"}
        recipe = {"kind": "score", "version": 1, "name": name, **plain}
        text = json.dumps(recipe, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        key = hashlib.sha256(text.encode()).hexdigest()
        recipes.setdefault(key, {"hash": key, "kind": "score", "settings": recipe, "created_at": created_at})
        rows.append({"clip_id": clip_id, "name": name, "value": value, "settings_hash": key, "created_at": created_at})
    op.drop_table("scores")
    scores = op.create_table(
        "scores",
        sa.Column("clip_id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.Column("settings_hash", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(["clip_id"], ["clips.id"], name=op.f("fk_scores_clip_id_clips")),
        sa.ForeignKeyConstraint(["settings_hash"], ["recipes.hash"], name=op.f("fk_scores_settings_hash_recipes")),
        sa.PrimaryKeyConstraint("clip_id", "name", name=op.f("pk_scores")),
    )
    op.create_index(op.f("ix_scores_name_value"), "scores", ["name", "value", "clip_id"])
    if rows:
        known = sa.table(
            "recipes", sa.column("hash"), sa.column("kind"), sa.column("settings", sa.JSON()), sa.column("created_at")
        )
        op.bulk_insert(known, list(recipes.values()))
        bind.execute(sa.insert(sa.table("scores", *(sa.column(column.name) for column in scores.columns))), rows)


def downgrade() -> None:
    raise RuntimeError("a catalogue is never taken back to an older version; use a copy made before")

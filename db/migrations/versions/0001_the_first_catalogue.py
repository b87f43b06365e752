"""The first catalogue."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "attempts",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("stage", sa.String(), nullable=False),
        sa.Column("item_id", sa.String(), nullable=False),
        sa.Column("worker", sa.String(), nullable=False),
        sa.Column("started_at", sa.DateTime(), nullable=False),
        sa.Column("ended_at", sa.DateTime(), nullable=False),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.Column("error_class", sa.String(), nullable=True),
        sa.Column("message", sa.String(), nullable=True),
        sa.CheckConstraint("outcome IN ('done', 'failed')", name=op.f("ck_attempts_outcome")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_attempts")),
    )
    op.create_index(op.f("ix_attempts_item_id"), "attempts", ["item_id"])

    op.create_table(
        "batches",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("token", sa.String(length=32), nullable=False),
        sa.Column("annotator", sa.String(), nullable=False),
        sa.Column("review", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("shown_at", sa.DateTime(), nullable=True),
        sa.Column("confirmed_at", sa.DateTime(), nullable=True),
        sa.Column("seconds", sa.Double(), nullable=True),
        sa.CheckConstraint("state IN ('open', 'confirmed', 'released')", name=op.f("ck_batches_state")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_batches")),
        sa.UniqueConstraint("token", name=op.f("uq_batches_token")),
    )
    op.create_index(op.f("ix_batches_annotator"), "batches", ["annotator"])
    op.create_index(op.f("ix_batches_state"), "batches", ["state"])

    op.create_table(
        "leases",
        sa.Column("stage", sa.String(), nullable=False),
        sa.Column("item_id", sa.String(), nullable=False),
        sa.Column("owner", sa.String(), nullable=True),
        sa.Column("token", sa.Integer(), nullable=False),
        sa.Column("expires_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("stage", "item_id", name=op.f("pk_leases")),
    )
    op.create_table(
        "queries",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("provider", sa.String(), nullable=False),
        sa.Column("phrase", sa.String(), nullable=False),
        sa.Column("settings", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_queries")),
    )
    op.create_table(
        "recipes",
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("settings", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("hash", name=op.f("pk_recipes")),
    )
    op.create_table(
        "exports",
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("recipe_hash", sa.String(length=64), nullable=False),
        sa.Column("manifest", sa.String(), nullable=False),
        sa.Column("complete", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(["recipe_hash"], ["recipes.hash"], name=op.f("fk_exports_recipe_hash_recipes")),
        sa.PrimaryKeyConstraint("version", name=op.f("pk_exports")),
    )
    op.create_table(
        "shards",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("file", sa.String(), nullable=False),
        sa.Column("split", sa.String(), nullable=False),
        sa.Column("recipe_hash", sa.String(length=64), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("bytes", sa.Integer(), nullable=False),
        sa.Column("frames", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(["recipe_hash"], ["recipes.hash"], name=op.f("fk_shards_recipe_hash_recipes")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_shards")),
        sa.UniqueConstraint("file", name=op.f("uq_shards_file")),
    )
    op.create_table(
        "videos",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("provider", sa.String(), nullable=False),
        sa.Column("provider_id", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("error_class", sa.String(), nullable=True),
        sa.Column("error", sa.String(), nullable=True),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("retry_at", sa.DateTime(), nullable=True),
        sa.Column("query_id", sa.Integer(), nullable=True),
        sa.Column("query_rank", sa.Integer(), nullable=True),
        sa.Column("title", sa.String(), nullable=True),
        sa.Column("channel", sa.String(), nullable=True),
        sa.Column("licence", sa.String(), nullable=True),
        sa.Column("licence_checked_at", sa.DateTime(), nullable=True),
        sa.Column("label", sa.String(), nullable=True),
        sa.Column("path", sa.String(), nullable=True),
        sa.Column("sha256", sa.String(length=64), nullable=True),
        sa.Column("bytes", sa.Integer(), nullable=True),
        sa.Column("duration", sa.Double(), nullable=True),
        sa.Column("fps", sa.Double(), nullable=True),
        sa.Column("width", sa.Integer(), nullable=True),
        sa.Column("height", sa.Integer(), nullable=True),
        sa.Column("codec", sa.String(), nullable=True),
        sa.Column("frames", sa.Integer(), nullable=True),
        sa.Column("cut_recipe", sa.String(length=64), nullable=True),
        sa.Column("tools", sa.JSON(), nullable=True),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("downloaded_at", sa.DateTime(), nullable=True),
        sa.CheckConstraint("state IN ('queued', 'downloaded', 'failed', 'taken-down')", name=op.f("ck_videos_state")),
        sa.ForeignKeyConstraint(["cut_recipe"], ["recipes.hash"], name=op.f("fk_videos_cut_recipe_recipes")),
        sa.ForeignKeyConstraint(["query_id"], ["queries.id"], name=op.f("fk_videos_query_id_queries")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_videos")),
        sa.UniqueConstraint("provider", "provider_id", name=op.f("uq_videos_provider_provider_id")),
    )
    op.create_index(op.f("ix_videos_state"), "videos", ["state"])

    op.create_table(
        "clips",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("video_id", sa.String(), nullable=False),
        sa.Column("recipe_hash", sa.String(length=64), nullable=False),
        sa.Column("index", sa.Integer(), nullable=False),
        sa.Column("start_pts", sa.Integer(), nullable=False),
        sa.Column("end_pts", sa.Integer(), nullable=False),
        sa.Column("time_base_num", sa.Integer(), nullable=False),
        sa.Column("time_base_den", sa.Integer(), nullable=False),
        sa.Column("start", sa.Double(), nullable=False),
        sa.Column("end", sa.Double(), nullable=False),
        sa.Column("frame_count", sa.Integer(), nullable=False),
        sa.Column("short", sa.Boolean(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column("error", sa.String(), nullable=True),
        sa.Column("path", sa.String(), nullable=True),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.CheckConstraint(
            "state IN ('planned', 'scored', 'filtered', 'pending', 'accepted', 'rejected', 'taken-down')",
            name=op.f("ck_clips_state"),
        ),
        sa.CheckConstraint("end_pts > start_pts", name=op.f("ck_clips_range")),
        sa.CheckConstraint("frame_count > 0", name=op.f("ck_clips_frame_count")),
        sa.ForeignKeyConstraint(["recipe_hash"], ["recipes.hash"], name=op.f("fk_clips_recipe_hash_recipes")),
        sa.ForeignKeyConstraint(["video_id"], ["videos.id"], name=op.f("fk_clips_video_id_videos")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_clips")),
        sa.UniqueConstraint("video_id", "recipe_hash", "index", name=op.f("uq_clips_video_id_recipe_hash_index")),
    )
    op.create_index(op.f("ix_clips_state"), "clips", ["state"])
    op.create_index(op.f("ix_clips_video_id"), "clips", ["video_id"])

    op.create_table(
        "export_shards",
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("shard_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["shard_id"], ["shards.id"], name=op.f("fk_export_shards_shard_id_shards")),
        sa.ForeignKeyConstraint(["version"], ["exports.version"], name=op.f("fk_export_shards_version_exports")),
        sa.PrimaryKeyConstraint("version", "shard_id", name=op.f("pk_export_shards")),
    )
    op.create_table(
        "splits",
        sa.Column("video_id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("component", sa.String(), nullable=False),
        sa.Column("seed", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.CheckConstraint("name IN ('train', 'val', 'test')", name=op.f("ck_splits_name")),
        sa.ForeignKeyConstraint(["video_id"], ["videos.id"], name=op.f("fk_splits_video_id_videos")),
        sa.PrimaryKeyConstraint("video_id", name=op.f("pk_splits")),
    )
    op.create_table(
        "batch_clips",
        sa.Column("batch_id", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("clip_id", sa.String(), nullable=False),
        sa.Column("marked", sa.Boolean(), nullable=False),
        sa.Column("skipped", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["batch_id"], ["batches.id"], name=op.f("fk_batch_clips_batch_id_batches")),
        sa.ForeignKeyConstraint(["clip_id"], ["clips.id"], name=op.f("fk_batch_clips_clip_id_clips")),
        sa.PrimaryKeyConstraint("batch_id", "position", name=op.f("pk_batch_clips")),
        sa.UniqueConstraint("batch_id", "clip_id", name=op.f("uq_batch_clips_batch_id_clip_id")),
    )
    op.create_index(op.f("ix_batch_clips_clip_id"), "batch_clips", ["clip_id"])

    op.create_table(
        "decisions",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("clip_id", sa.String(), nullable=False),
        sa.Column("batch_id", sa.Integer(), nullable=True),
        sa.Column("annotator", sa.String(), nullable=False),
        sa.Column("verdict", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column("review", sa.String(), nullable=False),
        sa.Column("seconds", sa.Double(), nullable=True),
        sa.Column("share_seen", sa.Double(), nullable=True),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.CheckConstraint("verdict IN ('accept', 'reject', 'undo')", name=op.f("ck_decisions_verdict")),
        sa.ForeignKeyConstraint(["batch_id"], ["batches.id"], name=op.f("fk_decisions_batch_id_batches")),
        sa.ForeignKeyConstraint(["clip_id"], ["clips.id"], name=op.f("fk_decisions_clip_id_clips")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_decisions")),
    )
    op.create_index(op.f("ix_decisions_batch_id"), "decisions", ["batch_id"])
    op.create_index(op.f("ix_decisions_clip_id"), "decisions", ["clip_id"])

    op.create_table(
        "previews",
        sa.Column("clip_id", sa.String(), nullable=False),
        sa.Column("path", sa.String(), nullable=True),
        sa.Column("error", sa.String(), nullable=True),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=False),
        sa.Column("fps", sa.Double(), nullable=False),
        sa.Column("frames", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.CheckConstraint("(path IS NULL) != (error IS NULL)", name=op.f("ck_previews_path_or_error")),
        sa.ForeignKeyConstraint(["clip_id"], ["clips.id"], name=op.f("fk_previews_clip_id_clips")),
        sa.PrimaryKeyConstraint("clip_id", name=op.f("pk_previews")),
    )
    op.create_table(
        "scores",
        sa.Column("clip_id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.Column("settings", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(["clip_id"], ["clips.id"], name=op.f("fk_scores_clip_id_clips")),
        sa.PrimaryKeyConstraint("clip_id", "name", name=op.f("pk_scores")),
    )
    op.create_index(op.f("ix_scores_name_value"), "scores", ["name", "value"])

    op.create_table(
        "shard_clips",
        sa.Column("shard_id", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("clip_id", sa.String(), nullable=False),
        sa.Column("length", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(["clip_id"], ["clips.id"], name=op.f("fk_shard_clips_clip_id_clips")),
        sa.ForeignKeyConstraint(["shard_id"], ["shards.id"], name=op.f("fk_shard_clips_shard_id_shards")),
        sa.PrimaryKeyConstraint("shard_id", "position", name=op.f("pk_shard_clips")),
    )
    op.create_index(op.f("ix_shard_clips_clip_id"), "shard_clips", ["clip_id"])
    # Decisions are history: no row of it is ever changed or removed.
    if op.get_bind().dialect.name == "sqlite":
        for event in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER decisions_no_{event.lower()} BEFORE {event} ON decisions "
                "BEGIN SELECT RAISE(ABORT, 'decisions are append-only'); END"
            )


def downgrade() -> None:

    op.drop_table("shard_clips")

    op.drop_table("scores")
    op.drop_table("previews")

    op.drop_table("decisions")

    op.drop_table("batch_clips")
    op.drop_table("splits")
    op.drop_table("export_shards")

    op.drop_table("clips")

    op.drop_table("videos")
    op.drop_table("shards")
    op.drop_table("exports")
    op.drop_table("recipes")
    op.drop_table("queries")
    op.drop_table("leases")

    op.drop_table("batches")

    op.drop_table("attempts")

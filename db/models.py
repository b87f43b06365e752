"""The catalogue's tables, as SQLAlchemy 2 typed models; they live in `db.tables`, part by part.

Identities are text and the same on every machine: a video is `<provider>-<id or hash>`, a clip is
`<video>-<recipe hash>-<index>`; the shards carry the same identities.
Times are UTC, stored as ISO text by SQLite; positions in a video are integers in the stream's own time base.
"""

from __future__ import annotations

from db.tables.base import Base, UtcDateTime, now
from db.tables.clips import Clip, Fingerprint, Preview, Recipe, Rule, Score
from db.tables.exports import Export, ExportShard, Shard, ShardClip, Split
from db.tables.review import Batch, BatchClip, Decision
from db.tables.sources import Extra, Mask, Pause, Query, QuotaUse, Section, Still, Video
from db.tables.work import Attempt, Lease

__all__ = [
    "Attempt",
    "Base",
    "Batch",
    "BatchClip",
    "Clip",
    "Decision",
    "Export",
    "ExportShard",
    "Extra",
    "Fingerprint",
    "Lease",
    "Mask",
    "Pause",
    "Preview",
    "Query",
    "QuotaUse",
    "Recipe",
    "Rule",
    "Score",
    "Section",
    "Shard",
    "ShardClip",
    "Split",
    "Still",
    "UtcDateTime",
    "Video",
    "now",
]

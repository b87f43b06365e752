"""The shard format: closed, immutable HDF5 files of RGB clips, and their manifest.

All clips' frames lie one after the other in one contiguous dataset, so that a reader takes any window of any clip
straight from a memory map; JPEG frames are decoded as they are asked for. Extras (one row a frame) and label maps of
some frames stand beside them. `ShardWriter` makes such files, `ShardReader` reads them.
"""

from db.manifest import (
    MANIFEST,
    SCHEMA_VERSION,
    SPLITS,
    Manifest,
    ShardEntry,
    ShardError,
    read_manifest,
    write_manifest,
)
from db.recipes import recipe_hash
from db.shard_codec import RAW, Codec, Encoded, Frames, decode_jpeg, encode_jpeg, images
from db.shard_reader import ShardReader
from db.shard_rows import NO_SIDE, ClipRow, ExtraType, Side, SideLayout
from db.shard_writer import ShardInfo, ShardWriter, check_frames, shard_attributes, write_shard

__all__ = [
    "MANIFEST",
    "NO_SIDE",
    "RAW",
    "SCHEMA_VERSION",
    "SPLITS",
    "ClipRow",
    "Codec",
    "Encoded",
    "ExtraType",
    "Frames",
    "Manifest",
    "ShardEntry",
    "ShardError",
    "ShardInfo",
    "ShardReader",
    "ShardWriter",
    "Side",
    "SideLayout",
    "check_frames",
    "decode_jpeg",
    "encode_jpeg",
    "images",
    "read_manifest",
    "recipe_hash",
    "shard_attributes",
    "write_manifest",
    "write_shard",
]

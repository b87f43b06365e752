"""`curate add --manifest`: name the videos of a published data set, to rebuild it."""

from __future__ import annotations

from pathlib import Path

from curation.commands.common import Dataset, Failure, Outcome, UsageFault, choose, next_command
from curation.exporting.export import tools
from curation.exporting.recipe import ExportRecipe
from curation.publishing.published import ManifestError
from curation.publishing.rebuilding import add_published, manifests
from curation.verifying.published import compare
from db.engine import Catalogue


def add_manifest(catalogue: Catalogue, dataset: Dataset, path: Path, media: Path | None) -> Outcome:
    """Queue the videos of a manifest and say what its rebuilding will need."""
    try:
        added = add_published(catalogue, path, media)
    except ManifestError as error:
        raise UsageFault(str(error)) from None
    published = added.published
    remarks = []
    for text, videos in (
        ("taken down here, and never fetched again", added.taken_down),
        ("known and cut otherwise before; they keep the clips they have", added.own_way),
        ("local files that are not here; give the folder that holds them with --media", added.not_found),
    ):
        if videos:
            remarks.append(f"{len(videos):,} {text}: {choose(videos)}")
    if media is not None:
        remarks.append(f"{len(added.found):,} found in {media}")
    remarks += [f"to export as published: {export_command(dataset, recipe)}" for recipe in published.export_recipes()]
    if published.tools != tools():
        changed = [name for name, number in tools().items() if published.tools.get(name) != number]
        remarks.append(f"published with other versions, which may change the bytes of shards: {', '.join(changed)}")
    return Outcome(
        command="add",
        counts={
            "added": len(added.new),
            "already_known": len(added.known) + len(added.own_way) + len(added.taken_down),
            "clips_to_cut": len(published.clips),
        },
        details={"videos": added.new, "found": added.found, "not_found": added.not_found},
        failures=[Failure(item="malformed row", source=path.name, error=fault) for fault in published.faults],
        remarks=remarks,
        next=next_command(dataset, "download"),
    )


def rebuilt_remarks(catalogue: Catalogue, dataset: Dataset, recipe: ExportRecipe) -> list[str]:
    """How an export stands to the published manifests of its dataset, if there are any."""
    with catalogue.reading() as session:
        added = [published for _, published in manifests(session, catalogue)]
    remarks = []
    for published in added:
        found = compare(catalogue, published, recipe=recipe.hash)
        if found.shards_published:
            remarks.append(
                f"{found.shards:,} of the {found.shards_published:,} published shards are here, byte by byte"
                + (f"; why not the others: {next_command(dataset, 'verify')} --manifest" if found.faults else "")
            )
        else:
            commands = [export_command(dataset, other) for other in published.export_recipes()]
            remarks.append(f"not exported as published; that is: {' or '.join(commands) or 'another version'}")
    return remarks


def export_command(dataset: Dataset, recipe: ExportRecipe) -> str:
    """`curate export` with the options that give this recipe."""
    options = [
        f"--size {recipe.size}",
        f"--fit {recipe.fit}",
        f"--fps {'native' if recipe.fps is None else recipe.fps}",
    ]
    options.append(f"--codec {recipe.codec.name}")
    if recipe.codec.name == "jpeg":
        options.append(f"--quality {recipe.codec.quality}")
    if recipe.masks is not None:
        options.append(f"--masks {recipe.masks}")
    if recipe.format != "hdf5":
        options.append(f"--format {recipe.format}")
    return f"{next_command(dataset, 'export')} {' '.join(options)}"

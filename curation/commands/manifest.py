"""`curate manifest`: publish the list that lets others rebuild the data set."""

from __future__ import annotations

from pathlib import Path

import click

from curation.commands.common import Dataset, Outcome, UsageFault, dataset_options, finish, next_command
from curation.publishing.publish import NothingToPublishError, Publication, UnfitToPublishError, publish
from curation.publishing.published import write_published

DEFAULT = "published.json"  # in the dataset folder


@click.command()
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE.json",
    show_default=f"{DEFAULT} in the dataset folder",
    help="Where to write it.",
)
@click.option(
    "--file-names",
    is_flag=True,
    help="Of local files, publish the name and not the path. Shards state the path: those rebuilt then differ in it.",
)
@dataset_options
def manifest(out: Path | None, file_names: bool, dataset: Dataset) -> None:
    """Publish the newest export as one JSON file: each video's address, hash and licence, each clip's times and split.

    No footage is in it. Others rebuild the data set from it, in a new dataset folder, with: curate add --manifest FILE,
    then download, cut and export; from the same sources the shards come out the same, byte by byte.
    """
    with dataset.open() as catalogue:
        try:
            publication = publish(catalogue, file_names=file_names)
        except NothingToPublishError as error:
            raise UsageFault(f"{error}; run: {next_command(dataset, 'export')}") from None
        except UnfitToPublishError as error:
            raise click.ClickException(str(error)) from None
        path = out or catalogue.folder / DEFAULT
        write_published(path, publication.published)
    finish(dataset, _outcome(publication, path, file_names))


def _outcome(publication: Publication, path: Path, file_names: bool) -> Outcome:
    published = publication.published
    remarks = [str(path)]
    if publication.local:
        how = (
            "with their names alone; shards rebuilt from this differ in that field, not in their frames"
            if file_names
            else "with their paths, as the shards have them; --file-names leaves these out"
        )
        remarks.append(
            f"{publication.local:,} videos are local files, published {how}. Whoever rebuilds needs these files: "
            "curate add --manifest FILE --media DIR"
        )
    if publication.unlicensed:
        remarks.append(f"{publication.unlicensed:,} videos have no known licence")
    if publication.lossy:
        remarks.append(
            f"{publication.lossy:,} clips have lossy files of their own: shards made from these cannot be rebuilt from "
            "the sources byte by byte"
        )
    if publication.beside:
        remarks.append(
            f"{publication.beside:,} videos have extras or masks, which are not in it: import or make them again first"
        )
    if publication.unexported > 0:
        remarks.append(f"{publication.unexported:,} accepted clips are in no export yet, and so not in it")
    return Outcome(
        command="manifest",
        counts={
            "videos": len(published.videos),
            "clips": len(published.clips),
            "shards": len(published.shards),
        },
        details={"file": str(path), "versions": dict(published.versions)},
        remarks=remarks,
    )

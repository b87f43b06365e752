"""`curate import gaugan`."""

from __future__ import annotations

from pathlib import Path

import click

from curation.commands.common import Dataset, Outcome, UsageFault, dataset_options, finish, progress
from curation.commands.import_.shared import dry_run_option, failures, path_argument
from curation.errors import StageError
from curation.importers.gaugan import STILLS, StillSettings, find_pairs, make_stills
from curation.importers.layout import LayoutError
from curation.importers.palettes import NAMED, Palette, read_palette


@click.command()
@path_argument
@click.option(
    "--labels",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of the label maps; PATH is that of the images then.",
)
@click.option(
    "--palette",
    metavar="gaugan|coco-stuff|FILE",
    help="What painted colours mean; a FILE has lines `label,red,green,blue`. Grey and indexed maps need none.",
)
@click.option("--nearest", is_flag=True, help="Give colours that are not in the palette the label of the nearest one.")
@click.option("--without-masks", is_flag=True, help="Also bring images in that have no label map.")
@click.option("--licence", metavar="TEXT", help="The images' terms, to be kept with them.")
@dry_run_option
@dataset_options
def gaugan(
    path: Path,
    labels: Path | None,
    palette: str | None,
    nearest: bool,
    without_masks: bool,
    licence: str | None,
    dry_run: bool,
    dataset: Dataset,
) -> None:
    """Images with their segmentation maps, of GauGAN, SPADE or COCO-Stuff, to be animated.

    PATH holds val_img/NAME.jpg and val_label/NAME.png (train_, test_ too), or images/ and labels/ (or masks/), or
    NAME.jpg beside NAME_mask.png; maps have their image's size. They become stills/<id>.png and stills/<id>.mask.png
    (8 bits, a label a pixel), to be animated by `modeling animate`. Labels are SPADE's: COCO-Stuff's ids less one.
    The palettes are those of the GauGAN demo's brushes and of SPADE's pictures of COCO-Stuff maps.

    Had: COCO-Stuff from github.com/nightrome/cocostuff (images: Flickr's terms, maps: CC BY 4.0); one's own pictures
    from GauGAN and programs like it.
    """
    with dataset.open() as catalogue:
        try:
            pairs, unmatched = find_pairs(path, labels=labels, without_masks=without_masks)
            settings = StillSettings(palette=_palette(palette), nearest=nearest, licence=licence)
        except LayoutError as error:
            raise UsageFault(str(error)) from None
        with progress("import gaugan", len(pairs), "images") as bar:
            result = make_stills(catalogue, pairs, settings, dry_run=dry_run, done=bar.advance)
    outcome = Outcome(
        command="import gaugan",
        counts={"found" if dry_run else "added": len(result.new), "already_known": result.known},
        failures=failures([*unmatched, *result.refused]),
        details={"stills": result.new, "labels": {str(label): n for label, n in sorted(result.labels.items())}},
    )
    if result.labels:
        shown = ", ".join(str(label) for label in sorted(result.labels)[:12])
        outcome.remarks.append(f"labels: {len(result.labels)} ({shown}{', ...' if len(result.labels) > 12 else ''})")
    if result.new and not dry_run:
        outcome.next = f"modeling animate --run RUN {catalogue.folder / STILLS}/gaugan-{'?' * 12}.png --out DIR"
    finish(dataset, outcome)


def _palette(given: str | None) -> Palette | None:
    if given is None:
        return None
    if given in NAMED:
        return NAMED[given]()
    path = Path(given)
    if not path.is_file():
        raise UsageFault(f"--palette {given}: no such file, and none of {', '.join(NAMED)}")
    try:
        return read_palette(path)
    except StageError as error:
        raise UsageFault(f"--palette: {error.message}") from None

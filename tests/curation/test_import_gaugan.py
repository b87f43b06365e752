"""`curate import gaugan`: images with their label maps, stored, indexed or painted."""

from __future__ import annotations

from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from sqlalchemy import select

from curation.importers.palettes import GAUGAN_BRUSHES, coco_stuff_palette, gaugan_palette
from db.engine import Catalogue
from db.models import Still
from tests.curation.import_cases import moving_blobs, run, run_import, write_image

LABELS = np.repeat(np.array([[156, 154, 168]], np.uint8), 8, 1).repeat(16, 0)  # (16, 24): sky, sea, tree


def stills(catalogue: Catalogue) -> list[Still]:
    with catalogue.reading() as session:
        return list(session.scalars(select(Still).order_by(Still.source)))


def painted(labels: NDArray[np.uint8], palette: dict[tuple[int, int, int], int]) -> NDArray[np.uint8]:
    colours = {label: colour for colour, label in palette.items()}
    return np.array([[colours[int(label)] for label in row] for row in labels], np.uint8)


def write_indexed(path: Path, labels: NDArray[np.uint8]) -> None:
    """A PNG with a colour table, whose pixels are numbers of it."""
    with av.open(str(path), "w", format="image2") as container:
        stream = container.add_stream("png", rate=1)
        stream.height, stream.width = labels.shape
        stream.pix_fmt = "pal8"
        frame = av.VideoFrame(labels.shape[1], labels.shape[0], "pal8")
        line = frame.planes[0].line_size
        rows = np.zeros((labels.shape[0], line), np.uint8)
        rows[:, : labels.shape[1]] = labels
        frame.planes[0].update(rows.tobytes())
        table = np.random.default_rng(0).integers(0, 256, (256, 4), np.uint8)
        table[:, 3] = 255
        frame.planes[1].update(table.tobytes())
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


@pytest.fixture
def image() -> NDArray[np.uint8]:
    return moving_blobs(1, 16, 24, 7)[0]


def check(catalogue: Catalogue, image: NDArray[np.uint8], labels: NDArray[np.uint8] = LABELS) -> Still:
    """The one still there is: its pixels and its labels."""
    (still,) = stills(catalogue)
    assert still.path == f"stills/{still.id}.png" and still.mask_path == f"stills/{still.id}.mask.png"
    np.testing.assert_array_equal(cv2.imread(str(catalogue.path(still.path)))[:, :, ::-1], image)
    mask = cv2.imread(str(catalogue.path(still.mask_path)), cv2.IMREAD_UNCHANGED)
    assert mask.dtype == np.uint8
    np.testing.assert_array_equal(mask, labels)
    return still


def test_grey_maps_of_spade(catalogue: Catalogue, tmp_path: Path, image: NDArray[np.uint8]) -> None:
    write_image(tmp_path / "val_img" / "000000017914.bmp", image)
    write_image(tmp_path / "val_label" / "000000017914.png", LABELS)
    outcome = run_import(catalogue, "gaugan", tmp_path, "--licence", "CC BY 2.0")
    assert (outcome["added"], outcome["labels"]) == (1, {"154": 128, "156": 128, "168": 128})
    still = check(catalogue, image)
    assert still.licence == "CC BY 2.0" and still.source == str(tmp_path / "val_img" / "000000017914.bmp")
    again = run_import(catalogue, "gaugan", tmp_path)
    assert (again["added"], again["already_known"]) == (0, 1)
    catalogue.path(str(still.mask_path)).unlink()
    run_import(catalogue, "gaugan", tmp_path)
    check(catalogue, image)


def test_indexed_maps_are_their_indices(catalogue: Catalogue, tmp_path: Path, image: NDArray[np.uint8]) -> None:
    write_image(tmp_path / "images" / "a.png", image)
    (tmp_path / "labels").mkdir()
    write_indexed(tmp_path / "labels" / "a.png", LABELS)
    assert cv2.imread(str(tmp_path / "labels" / "a.png"), cv2.IMREAD_UNCHANGED).ndim == 3  # colours, to most readers
    run_import(catalogue, "gaugan", tmp_path)
    check(catalogue, image)


@pytest.mark.parametrize(("name", "palette"), [("gaugan", gaugan_palette()), ("coco-stuff", coco_stuff_palette())])
def test_painted_maps(
    catalogue: Catalogue,
    tmp_path: Path,
    image: NDArray[np.uint8],
    name: str,
    palette: dict[tuple[int, int, int], int],
) -> None:
    write_image(tmp_path / "lake.png", image)
    write_image(tmp_path / "lake_mask.png", painted(LABELS, palette))
    outcome = run_import(catalogue, "gaugan", tmp_path, status=1)
    assert "painted in colours; say which with --palette" in outcome["failures"][0]["error"]
    run_import(catalogue, "gaugan", tmp_path, "--palette", name)
    check(catalogue, image)


def test_a_palette_file_and_soft_edges(catalogue: Catalogue, tmp_path: Path, image: NDArray[np.uint8]) -> None:
    data = tmp_path / "data"
    palette = {(255, 0, 0): 156, (0, 255, 0): 154, (0, 0, 255): 168}
    colours = painted(LABELS, palette)
    colours[0, 0] = (250, 3, 9)
    write_image(data / "lake.png", image)
    write_image(data / "lake.label.png", colours)
    file = tmp_path / "palette.csv"
    file.write_text("# label, colour\n156, 255, 0, 0, sky\n154,#00ff00\n168,0,0,255\n")
    outcome = run_import(catalogue, "gaugan", data, "--palette", file, status=1)
    assert (
        "the colour #fa0309 of 1 pixels is not in the palette (soft edges: --nearest)"
        in outcome["failures"][0]["error"]
    )
    run_import(catalogue, "gaugan", data, "--palette", file, "--nearest")
    check(catalogue, image)
    for line in ("300,1,2,3", "1,2,3", "x,1,2,3", "7,255,0,0"):
        file.write_text(f"156,255,0,0\n{line}\n")
        result = run(catalogue, "import", "gaugan", data, "--palette", file)
        assert result.exit_code == 2 and "palette.csv, line 2" in result.output
    result = run(catalogue, "import", "gaugan", data, "--palette", "rainbow")
    assert result.exit_code == 2 and "none of gaugan, coco-stuff" in result.output


def test_what_does_not_match_is_named(catalogue: Catalogue, tmp_path: Path, image: NDArray[np.uint8]) -> None:
    write_image(tmp_path / "images" / "a.png", image)
    write_image(tmp_path / "images" / "alone.png", image)
    write_image(tmp_path / "images" / "small.png", image[:8, :8])
    (tmp_path / "images" / "broken.png").write_bytes(b"\x89PNG")
    for name in ("a", "orphan", "small", "broken"):
        write_image(tmp_path / "masks" / f"{name}.png", LABELS)
    outcome = run_import(catalogue, "gaugan", tmp_path, status=1)
    assert outcome["added"] == 1
    assert {failure["item"]: failure["error"] for failure in outcome["failures"]} == {
        "alone.png": "missing: there is no label map of this name",
        "orphan.png": "missing: there is no image of this name",
        "small.png": "unsupported: small.png is 24x16, the image 8x8",
        "broken.png": "corrupt: broken.png: the file is cut off",
    }
    check(catalogue, image)


def test_images_alone_only_when_asked(catalogue: Catalogue, tmp_path: Path, image: NDArray[np.uint8]) -> None:
    write_image(tmp_path / "a.png", image)
    result = run(catalogue, "import", "gaugan", tmp_path)
    assert result.exit_code == 2 and "images alone: --without-masks" in result.output
    assert run_import(catalogue, "gaugan", tmp_path, "--without-masks", "--dry-run")["found"] == 1
    assert stills(catalogue) == [] and not (catalogue.folder / "stills").exists()
    run_import(catalogue, "gaugan", tmp_path, "--without-masks")
    (still,) = stills(catalogue)
    assert still.mask_path is None


def test_the_palettes_are_the_published_ones() -> None:
    assert len(coco_stuff_palette()) == 182 and sorted(coco_stuff_palette().values()) == list(range(182))
    # PASCAL VOC's rule, whose first colours everybody knows, one label later.
    by_label = {label: colour for colour, label in coco_stuff_palette().items()}
    assert [by_label[label] for label in (0, 1, 2, 14)] == [(128, 0, 0), (0, 128, 0), (128, 128, 0), (192, 128, 128)]
    assert by_label[156] == (95, 219, 255) and by_label[154] == (54, 62, 167)
    assert len(gaugan_palette()) == len(GAUGAN_BRUSHES) == 33
    assert gaugan_palette()[(0x9C, 0xEE, 0xDD)] == 156 and gaugan_palette()[(0x93, 0x64, 0xC8)] == 147

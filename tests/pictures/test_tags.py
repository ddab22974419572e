"""What travels with a TIFF: the right page, its description and unit, and what is left out."""

import io

import numpy as np
import pytest
import tifffile
from random_pictures import COLOUR, DEEP, GREY, assert_same, opened
from reference_files import tiff

from nlrn_jax.pictures import exif
from nlrn_jax.pictures.files import open_picture, save_picture

SMALL = np.ascontiguousarray(COLOUR[::3, ::3])


def pages(*options, **file) -> bytes:
    """A TIFF of pages, each (samples, options of tifffile)."""
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer, **file) as writer:
        for samples, more in options:
            kind = "rgb" if samples.ndim == 3 else "minisblack"
            writer.write(samples, photometric=kind, metadata=None, software=False, **more)
    return buffer.getvalue()


def saved(folder, picture, end="tif") -> tifffile.TiffFile:
    save_picture(folder / f"saved.{end}", picture)
    return tifffile.TiffFile(folder / f"saved.{end}")


# ---- which page


@pytest.mark.parametrize("big", [False, True])
def test_a_thumbnail_as_first_page_is_not_the_picture(tmp_path, big):
    thumbnail, whole = (SMALL, {"subfiletype": 1}), (COLOUR, {"subfiletype": 0})
    result = opened(tmp_path, pages(thumbnail, whole, thumbnail, bigtiff=big))
    assert_same(result, COLOUR)
    assert result.notes == ("page 2 of 3 taken: the first is a thumbnail",)
    assert opened(tmp_path, pages(whole, thumbnail)).notes == ("the first of 2 pages taken",)


def test_the_old_mark_of_thumbnails_is_known_too(tmp_path):
    first = (SMALL, {"extratags": [(255, 3, 1, 2, True)]})
    assert_same(opened(tmp_path, pages(first, (COLOUR, {}))), COLOUR)


def test_the_picture_may_lie_in_a_sub_page(tmp_path):
    first = (SMALL, {"subfiletype": 1, "subifds": 1, "extratags": [(271, 2, None, "Camera", True)]})
    result = opened(tmp_path, pages(first, (COLOUR, {"subfiletype": 0})))  # as TIFF/EP has it
    assert_same(result, COLOUR)
    assert result.notes == ("a sub-page taken: the first is a thumbnail",)
    with saved(tmp_path, result) as again:
        assert again.pages.first.tags[271].value == "Camera"


def test_nothing_but_a_thumbnail_is_taken_as_it_is(tmp_path):
    assert_same(opened(tmp_path, pages((COLOUR, {"subfiletype": 1}))), COLOUR)


def test_sub_pages_are_said_to_be_left_out(tmp_path):
    content = pages((COLOUR, {"subifds": 2}), (SMALL, {"subfiletype": 1}), (SMALL, {}))
    picture = opened(tmp_path, content)
    assert_same(picture, COLOUR)
    assert save_picture(tmp_path / "b.tif", picture) == ("left out: 2 sub-pages",)


# ---- what it says


@pytest.mark.parametrize("order", "<>")
def test_what_describes_a_tiff_is_kept(tmp_path, order):
    said = {270: "a title", 271: "Camera", 305: "program", 306: "2020:01:02 03:04:05", 33432: "me"}
    extra = [(code, 2, None, text, True) for code, text in said.items()]
    content = pages((DEEP[..., :3], {"extratags": extra}), byteorder=order)
    picture = opened(tmp_path, content)
    assert (picture.notes, picture.lost) == ((), ())
    with saved(tmp_path, picture) as again:
        tags = again.pages.first.tags
        assert {code: tags[code].value for code in said} == said
        np.testing.assert_array_equal(again.asarray(), DEEP[..., :3])


def test_what_tifffile_writes_of_shapes_is_not_kept(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", GREY)
    picture = open_picture(tmp_path / "a.tif")
    assert "shape" not in str(picture.exif)


def test_a_position_on_earth_is_said_to_be_left_out(tmp_path):
    extra = [(33550, 12, 3, (1.0, 1.0, 0.0), True), (34735, 3, 4, (1, 1, 0, 0), True)]
    picture = opened(tmp_path, pages((COLOUR, {"extratags": extra})))
    notes = save_picture(tmp_path / "b.tif", picture)
    assert notes == ("left out: ModelPixelScaleTag, GeoKeyDirectoryTag",)


def test_many_lost_tags_are_one_line(tmp_path):
    extra = [(65000 + i, 3, 1, i, True) for i in range(9)]
    picture = opened(tmp_path, pages((COLOUR, {"extratags": extra})))
    (note,) = save_picture(tmp_path / "b.tif", picture)
    assert note == "left out: 65000, 65001, 65002, 65003, 65004, 4 more tags"


def test_a_bigtiff_is_read_and_says_what_it_cannot_tell(tmp_path):
    extra = [(271, 2, None, "Camera", True)]
    picture = opened(tmp_path, pages((COLOUR, {"extratags": extra}), bigtiff=True))
    assert_same(picture, COLOUR)
    assert "BigTIFF" in save_picture(tmp_path / "b.tif", picture)[0]


def test_a_big_result_is_whole_without_what_describes_it():
    content = pages((COLOUR, {}), bigtiff=True)
    assert exif.into_tiff(content, None, b"<x/>") == content


# ---- programs of microscopes


def imagej(folder, **metadata):
    path = folder / "a.tif"
    tifffile.imwrite(path, GREY[None], imagej=True, resolution=(4.0, 2.0), metadata=metadata)
    return open_picture(path)


def test_the_unit_of_imagej_is_kept(tmp_path):
    picture = imagej(tmp_path, unit="micron", spacing=2.0)
    assert_same(picture, GREY)
    assert (picture.dpi, picture.per_unit) == (None, (4.0, 2.0))
    with saved(tmp_path, picture) as again:
        page = again.pages.first
        assert page.get_resolution() == (4.0, 2.0) and page.resolutionunit == 1
        assert again.imagej_metadata["unit"] == "micron"
        np.testing.assert_array_equal(again.asarray(), GREY)
    assert "ImageJ's pixels a unit" in save_picture(tmp_path / "b.png", picture)[0]


def test_planes_that_imagej_counts_are_not_claimed_of_one(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.stack([GREY] * 3), imagej=True, metadata={"unit": "um"})
    picture = open_picture(path)
    assert picture.notes == ("the first of 3 pages taken",)
    with saved(tmp_path, picture) as again:
        assert again.imagej_metadata.get("images", 1) == 1
        assert again.asarray().shape == GREY.shape


def test_the_xml_of_ome_is_said_to_be_left_out(tmp_path):
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, GREY, metadata={"axes": "YX", "PhysicalSizeX": 0.1})
    notes = save_picture(tmp_path / "b.tif", open_picture(path))
    assert notes == ("left out: OME's description",)


def test_layout_is_not_taken_for_something_lost(tmp_path):
    for planar in (False, True):
        assert opened(tmp_path, tiff(DEEP, 2, planar=planar, tags={338: [2]})).lost == ()

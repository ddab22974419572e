"""The page of pictures before and after: everything in it, no larger than it may be."""

import base64
import io
import os
import re

import numpy as np
import pytest
from PIL import Image as Pillow
from test_report import NASTY, page_data

from nlrn_jax.errors import UserError
from nlrn_jax.looking import pairs
from nlrn_jax.looking.pairs import require_room, write_pairs
from nlrn_jax.pictures.files import save_picture
from nlrn_jax.pictures.picture import Picture
from nlrn_jax.restoring.jobs import Pair
from nlrn_jax.restoring.restore import enlarge


def pixels(shape=(12, 9, 3), dtype=np.uint8, seed=0):
    """Draw noise, of which no format makes little."""
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, shape, dtype)


@pytest.fixture
def pair(tmp_path):
    """Return a function that saves a picture and a result; it takes both, or an ending too."""

    def saved(before, after, name="a.png", end=None):
        source = tmp_path / "photos" / name
        result = tmp_path / "out" / f"{source.stem}{end or source.suffix}"
        for path, picture in ((source, before), (result, after)):
            picture = picture if isinstance(picture, Picture) else Picture(picture)
            save_picture(path, picture, overwrite=True)
        return Pair(source, result)

    return saved


@pytest.fixture
def written(tmp_path):
    """Return a function that writes a page of pairs; it returns the page's data."""

    def written(*found, **settings):
        path = tmp_path / "out" / "compare.html"
        write_pairs(path, found, tmp_path / "photos", overwrite=True, **settings)
        return page_data(path)[1]

    return written


def embedded(data, index=0):
    """Decode the pictures of an image of the page, and return their formats too."""
    found = {}
    for view in data["images"][index]["views"]:
        head, content = data["pictures"][view["picture"]].split(",", 1)
        with Pillow.open(io.BytesIO(base64.b64decode(content))) as picture:
            assert head == f"data:image/{picture.format.lower()};base64"
            found[view["label"]] = np.array(picture), picture.format
    return found


def test_a_page_of_pairs_fetches_nothing_and_names_are_no_markup(pair, tmp_path):
    name = NASTY.replace("/", "") + ".png"
    path = tmp_path / "out" / "compare.html"
    write_pairs(path, [pair(pixels(), pixels(), name)], tmp_path / "photos", command=NASTY)
    text, data = page_data(path)
    assert not re.findall(r"https?://(?!www\.w3\.org/2000/svg)", text)
    assert not re.findall(r"<link|@import|url\(|\bimport\b|fetch\(|<script[^>]* src", text)
    assert "{{" not in text.replace("${{", "") and "<img src" not in text
    assert text.count("<script") == text.count("</script>") == 2
    assert data["images"][0]["name"] == name and data["facts"] == [["command", NASTY]]
    assert [entry.name for entry in path.parent.glob("*.html")] == ["compare.html"]


@pytest.mark.parametrize("shape", [(12, 9), (12, 9, 3)], ids=["grey", "colour"])
def test_small_pictures_are_embedded_without_loss(pair, written, shape):
    before, after = pixels(shape), pixels(shape, seed=1)
    data = written(pair(before, after))
    shown = embedded(data)
    np.testing.assert_array_equal(shown["before"][0], before)
    np.testing.assert_array_equal(shown["after"][0], after)
    (image,) = data["images"]
    assert (image["height"], image["width"], image["notes"]) == (12, 9, [])
    assert image["start"] == ["before", "after"] and data["title"] == "Restored: photos"
    assert all(view["figures"] is None and view["error"] is None for view in image["views"])


def test_a_result_that_was_there_before_is_not_said_to_be_of_the_command(pair, written):
    old, new = pair(pixels(), pixels())._replace(was_there=True), pair(pixels(), pixels(), "b.png")
    notes = [image["notes"] for image in written(old, new)["images"]]
    assert notes == [["not of this command: its result was there before"], []]


def test_before_an_enlargement_is_the_bicubic_one(pair, written):
    before = pixels()
    data = written(pair(before, pixels((24, 18, 3))), scale=2)
    shown = embedded(data)
    np.testing.assert_array_equal(shown["before, bicubic x2"][0], enlarge(before, 2))
    assert (data["images"][0]["height"], data["images"][0]["width"]) == (24, 18)
    assert data["title"] == "Enlarged x2: photos"


def test_sixteen_bits_and_floats_are_shown_in_eight(pair, written):
    deep = pixels(dtype=np.uint16)
    data = written(
        pair(deep, deep),
        pair((deep / 65535).astype(np.float32), (deep / 65535).astype(np.float32), "b.tif"),
    )
    for index, note in enumerate(("16 bits, shown in 8", "float, shown in 8 bits")):
        np.testing.assert_array_equal(embedded(data, index)["before"][0], np.rint(deep / 257))
        assert data["images"][index]["notes"] == [note]


@pytest.mark.parametrize("shape", [(12, 9), (12, 9, 3)], ids=["grey", "colour"])
def test_transparent_parts_lie_over_grey(pair, written, shape):
    alpha = np.full((12, 9), 255, np.uint8)
    alpha[:3], alpha[3] = 0, 51
    seen = pixels(shape)
    data = written(pair(Picture(seen, alpha), Picture(seen, alpha)))
    shown, _ = embedded(data)["after"]
    np.testing.assert_array_equal(shown[4:], seen[4:])
    assert (shown[:3] == pairs.GREY).all()
    np.testing.assert_allclose(shown[3], pairs.GREY + (seen[3] - 128.0) / 5, atol=0.5)
    assert data["images"][0]["notes"] == ["transparent parts over grey"]


def test_turned_and_cmyk_pictures_are_shown_as_they_are_seen(tmp_path, pair, written):
    (tmp_path / "photos").mkdir()
    turned = Pillow.Exif()
    turned[0x0112] = 6
    Pillow.fromarray(pixels((16, 8, 3))).save(tmp_path / "photos" / "a.jpg", exif=turned)
    Pillow.new("CMYK", (16, 8), (0, 255, 255, 0)).save(tmp_path / "photos" / "b.jpg")
    save_picture(tmp_path / "out.png", Picture(pixels((8, 16, 3))))
    found = [Pair(tmp_path / "photos" / name, tmp_path / "out.png") for name in ("a.jpg", "b.jpg")]
    data = written(*found)
    assert [image["width"] for image in data["images"]] == [16, 16]
    assert embedded(data, 0)["before"][0].shape == (8, 16, 3)
    assert (abs(embedded(data, 1)["before"][0][0, 0].astype(int) - (255, 0, 0)) < 40).all()


def test_both_have_the_colours_of_the_picture_before(pair, written):
    """Also where the result's format has no place for a profile."""
    profile = b"a profile of some kind"
    data = written(pair(Picture(pixels(), None, profile), pixels(), end=".bmp"))
    contents = [base64.b64decode(uri.split(",", 1)[1]) for uri in data["pictures"]]
    assert all(b"iCCP" in content for content in contents)


@pytest.mark.parametrize(
    "room, format, notes",
    [
        (2**20, "PNG", []),
        (2**14, "JPEG", ["shown as JPEG"]),
        (2**13, "JPEG", [r"shown as JPEG of \d+ × \d+"]),
    ],
)
def test_a_page_is_no_larger_than_it_may_be_and_says_what_that_took(
    pair, written, monkeypatch, room, format, notes
):
    monkeypatch.setattr(pairs, "PICTURE_BYTES", room)
    monkeypatch.setattr(pairs, "SMALLEST", 8)
    rng = np.random.default_rng(0)
    smooth = np.add.outer(np.arange(90), np.arange(120)) + rng.integers(0, 4, (90, 120))
    data = written(*[pair(smooth.astype(np.uint8), smooth.astype(np.uint8), f"{k}.png")
                     for k in range(2)])  # fmt: skip
    assert sum(map(len, data["pictures"])) <= room
    for index, image in enumerate(data["images"]):
        (before, kind), (after, _) = embedded(data, index).values()
        assert kind == format and before.shape == after.shape
        assert (image["height"], image["width"]) == (90, 120)
        assert (before.shape == (90, 120)) == (room > 2**13)
        for note, pattern in zip(image["notes"], notes, strict=True):
            assert re.fullmatch(pattern, note)


def test_what_small_pictures_leave_goes_to_the_large(pair, written, monkeypatch):
    monkeypatch.setattr(pairs, "PICTURE_BYTES", 2**17)
    small = [pair(pixels(), pixels(), f"{k}.png") for k in range(8)]
    large = pixels((120, 120, 3))  # two of over 43 kB, and a ninth of the whole is 15 kB
    assert embedded(written(*small, pair(large, large, "z.png")), 8)["after"][1] == "PNG"


def test_of_very_many_pictures_the_first_are_shown_and_all_are_listed(pair, tmp_path, monkeypatch):
    monkeypatch.setattr(pairs, "PICTURED", 2)
    found = [pair(pixels(), pixels(), f"{k}.png") for k in range(5)]
    path = tmp_path / "out" / "compare.html"
    assert write_pairs(path, found, tmp_path / "photos") == [
        "The first 2 of 5 pictures are in this page."
    ]
    _, data = page_data(path)
    assert [bool(image["views"]) for image in data["images"]] == [True] * 2 + [False] * 3
    assert [image["name"] for image in data["images"]] == [f"{k}.png" for k in range(5)]


def test_what_is_no_result_is_named_and_the_rest_is_shown(pair, tmp_path):
    good, other = pair(pixels(), pixels()), pair(pixels(), pixels((7, 7)), "sub/b.png")
    bad = pair(pixels(), pixels(), "c.png")
    bad.result.write_bytes(b"mine")
    lines = write_pairs(tmp_path / "page.html", [good, other, bad], tmp_path / "photos")
    assert len(lines) == 2
    assert re.fullmatch(
        r"sub/b\.png: cannot be shown: .*b\.png: 7 x 7 pixels, not 9 x 12", lines[0]
    )
    assert lines[1].startswith("c.png: cannot be shown: ")
    _, data = page_data(tmp_path / "page.html")
    assert [bool(image["views"]) for image in data["images"]] == [True, False, False]


def test_the_only_picture_gives_the_page_its_name_and_odd_names_are_written(pair, tmp_path):
    odd = pair(pixels(), pixels())
    source = odd.source.rename(odd.source.with_name(os.fsdecode(b"caf\xe9.png")))
    write_pairs(tmp_path / "page.html", [odd._replace(source=source)], source)
    _, data = page_data(tmp_path / "page.html")
    assert data["title"].startswith("Restored: caf") and data["images"][0]["name"] == source.name


def test_a_page_takes_the_place_of_nothing(pair, tmp_path):
    path = tmp_path / "compare.html"
    require_room(path, overwrite=False)
    path.write_text("mine")
    with pytest.raises(UserError, match=r"compare\.html: exists already; .*--overwrite"):
        require_room(path, overwrite=False)
    with pytest.raises(UserError, match="exists already"):
        write_pairs(path, [pair(pixels(), pixels())], tmp_path / "photos")
    assert path.read_text() == "mine"
    require_room(path, overwrite=True)
    (tmp_path / "folder").mkdir()
    with pytest.raises(UserError, match="is a folder"):
        require_room(tmp_path / "folder", overwrite=True)


def test_the_fractions_of_a_page_sum_to_one(pair, tmp_path):
    done = []
    found = [pair(pixels(), pixels(), f"{k}.png") for k in range(3)]
    write_pairs(tmp_path / "page.html", found, tmp_path / "photos", advance=done.append)
    assert len(done) == 3 and sum(done) == pytest.approx(1)

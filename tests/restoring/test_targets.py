"""Where results go: their names in each format, and what is a result of an earlier run."""

from pathlib import Path

import pytest
from PIL import Image

from nlrn_jax.commands import options
from nlrn_jax.errors import UserError
from nlrn_jax.pictures.formats import FORMATS, JPEG, PNG, TIFF, by_ending
from nlrn_jax.restoring.targets import find_jobs, result_folder, result_name


@pytest.fixture
def photo(tmp_path):
    """A JPEG picture."""
    Image.new("RGB", (5, 6)).save(tmp_path / "a.JPG", "JPEG")
    return tmp_path / "a.JPG"


@pytest.mark.parametrize(
    "name, content, format, result",
    [
        ("a.JPG", "JPEG", PNG, "a_x.png"),
        ("a.JPG", "JPEG", JPEG, "a_x.JPG"),
        ("a.jpg", "PNG", JPEG, "a_x.jpg"),
        ("a.jpg", "PNG", PNG, "a_x.png"),
        ("a.jpg", "JPEG", TIFF, "a_x.tif"),
        ("a.v2.jpg", "JPEG", PNG, "a.v2_x.png"),
        ("a", "JPEG", PNG, "a_x.png"),
        ("a.dat", "JPEG", PNG, "a_x.dat.png"),  # which is no ending of a picture
        ("a.jpg", "PNG", None, "a_x.jpg.png"),
    ],
)
def test_a_result_is_named_by_its_format(tmp_path, name, content, format, result):
    Image.new("RGB", (5, 6)).save(tmp_path / name, content)
    assert result_name(tmp_path / name, "_x", format) == result


def test_every_format_can_be_asked_for_by_its_name():
    assert {by_ending(f".{name}") for name in options.PICTURES} == set(FORMATS)
    assert {format.name.lower() for format in FORMATS} <= set(options.PICTURES)
    flag = options.FORMAT._flagvalues[options.FORMAT.name]
    assert flag.parser.enum_values == [*options.PICTURES, *options.NETWORKS]


def test_a_name_that_contradicts_the_format_is_a_line(photo, tmp_path):
    with pytest.raises(UserError, match=r"b\.png: .* not of --format=jpeg; end it in \.jpg"):
        find_jobs(photo, tmp_path / "b.png", "_x", JPEG)
    with pytest.raises(UserError, match=r"b: .* end it in \.png for a picture"):
        find_jobs(photo, tmp_path / "b", "_x", PNG)
    (job,), _ = find_jobs(photo, tmp_path / "b.jpeg", "_x", JPEG)
    assert job.target == tmp_path / "b.jpeg"


@pytest.mark.parametrize(
    "name, is_result",
    [
        ("a_x.png", True),
        ("a_x.JPG", True),
        ("a_x.JPG.tif", True),
        ("a_x_x.png", False),  # of a_x.png, which is not there
        ("a_x.edited.png", False),
        ("a_y.png", False),
        ("b_x.png", False),
        ("_x.png", False),
    ],
)
def test_results_in_another_format_are_no_input(photo, name, is_result):
    Image.new("RGB", (5, 6)).save(photo.with_name("p.png"))
    photo.with_name("p.png").rename(photo.with_name(name))
    jobs, passed = find_jobs(photo.parent, photo.parent, "_x")
    assert len(jobs) == (1 if is_result else 2)
    assert passed == ({"(earlier results)": 1} if is_result else {})


def test_the_folder_of_results_is_that_of_the_jobs(photo, tmp_path):
    for output in (None, tmp_path / "out", photo.parent):
        (job,), _ = find_jobs(photo.parent, output, "_x")
        assert job.target.parent == result_folder(photo.parent, output, "_x")
    assert result_folder(Path("photos"), None, "_x2") == Path("photos_x2")

"""Benchmarks by name, by folder and as pairs; what is missing or does not fit is one line."""

import re

import numpy as np
import pytest
from PIL import Image as Pillow

from nlrn_jax.data import sources
from nlrn_jax.data.pixels import to_float
from nlrn_jax.errors import UserError
from nlrn_jax.scoring.benchmarks import SETS, label, read_benchmarks, tables, tables_to_score
from nlrn_jax.scoring.protocols import Setting, example

rng = np.random.default_rng(0)


def save(path, height=24, width=24):
    path.parent.mkdir(parents=True, exist_ok=True)
    Pillow.fromarray(rng.integers(0, 256, (height, width), dtype=np.uint8)).save(path)


def fill(folder, count, **size):
    for number in range(count):
        save(folder / f"{number}.png", **size)


@pytest.mark.parametrize(
    ("folder", "asked", "name"),
    [
        ("Set5", "set5", "Set5"),
        ("set5/HR", "SET5", "Set5"),
        ("SET12", "Set12", "Set12"),
        ("BSDS100/GTmod12", "b100", "B100"),
        ("kodak", "Kodak24", "Kodak24"),
        ("McM/original", "bsd100,mcmaster", "McMaster"),
    ],
)
def test_a_set_is_found_by_name_whatever_its_case_and_layout(tmp_path, folder, asked, name):
    fill(tmp_path / folder, SETS[name][0])
    fill(tmp_path / folder.split("/")[0] / "LR", 2)  # not the originals
    if "/" not in folder:
        (tmp_path / folder / "LR").rename(tmp_path / "elsewhere")
    if "bsd100" in asked:
        fill(tmp_path / "B100", 100)
    found = read_benchmarks(asked, str(tmp_path))
    assert found[-1].name == name and len(found[-1].images) == SETS[name][0]


@pytest.mark.parametrize("name", ["set5", "set14", "set12", "bsd68", "cbsd68", "classic5"])
def test_the_shared_sets_are_whole(shared_data, name):
    (benchmark,) = read_benchmarks(name, str(shared_data))
    assert benchmark.name.lower() == name


def refusal(source, root):
    with pytest.raises(UserError) as error:
        read_benchmarks(source, str(root))
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_set_that_is_not_there_says_where_it_was_looked_for(tmp_path):
    message = refusal("b100", tmp_path)
    for name in ("B100", "BSD100", "BSDS100"):
        assert str(tmp_path / name) in message
    assert "data.root" in message
    assert "no folder" in refusal("set5", tmp_path / "nowhere")


def test_a_set_of_another_number_of_images_is_not_that_set(tmp_path):
    fill(tmp_path / "set5", 4)
    message = refusal("set5", tmp_path)
    assert "5 images" in message and f"folder:{tmp_path}/set5" in message


def test_an_unknown_name_lists_the_known(tmp_path):
    message = refusal("set6", tmp_path)
    assert "'set6'" in message and "Urban100" in message


def test_each_source_of_a_list_is_its_own_benchmark_once(tmp_path):
    for name in "ab":
        fill(tmp_path / name, 1)
    parts = [f"folder:{tmp_path}/{name}" for name in "ab"]
    found = read_benchmarks(f"{parts[0]}, {parts[1]},{parts[0]}", "")
    assert [benchmark.name for benchmark in found] == parts


@pytest.fixture
def pairs(tmp_path):
    """Originals of 24 x 26, their halves, and as many of the same size."""
    for name in ("a", "b", "sub/c"):
        save(tmp_path / "high" / f"{name}.png", 24, 26)
        save(tmp_path / "half" / f"{name}x2.bmp", 12, 13)
        save(tmp_path / "noisy" / f"{name}.png", 24, 26)
    return tmp_path


def read_pairs(folder, low):
    return read_benchmarks(f"pairs:{folder}/high:{folder}/{low}", "")


def test_pairs_go_by_name_without_the_scale(pairs):
    (benchmark,) = read_pairs(pairs, "half")
    assert [image.name.removeprefix(f"{pairs}/high/") for image in benchmark.images] == [
        "a.png", "b.png", "sub/c.png",
    ]  # fmt: skip
    for name, low in zip(("a", "b", "sub/c"), benchmark.low, strict=True):
        expected = np.asarray(Pillow.open(pairs / "half" / f"{name}x2.bmp"))
        np.testing.assert_array_equal(low, expected)


def test_paired_low_resolution_has_the_scale_of_its_size(pairs):
    found = tables(read_pairs(pairs, "half"), (2, 3), Setting("sr_y", 1, 0))
    assert [table.level for table in found] == [2]
    for protocol, level in (("denoise_clipped", 25.0), ("jpeg", 10), ("photo", 20.0)):
        (table,) = tables(read_pairs(pairs, "noisy"), (level,), Setting(protocol, 1, 0))
        assert table.level == level


@pytest.mark.parametrize("protocol", ["denoise_clipped", "jpeg", "photo"])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_paired_picture_is_restored_as_it_is(pairs, protocol, channels):
    (benchmark,) = read_pairs(pairs, "noisy")
    test = example(benchmark.images[0], Setting(protocol, channels, 0), 20, benchmark.low[0])
    expected = benchmark.low[0] if channels == 1 else np.stack([benchmark.low[0]] * 3, axis=-1)
    np.testing.assert_array_equal(test.input, to_float(expected))


def test_a_missing_and_an_extra_partner_are_named(pairs):
    (pairs / "half" / "bx2.bmp").unlink()
    assert re.search(r"1 pictures of \S+/high and 0 of .*/high/b\.png", refuse_pairs(pairs))
    save(pairs / "half" / "dx2.png")
    save(pairs / "high" / "b.bmp")
    assert "one name" in refuse_pairs(pairs)
    (pairs / "high" / "b.bmp").unlink()
    (pairs / "high" / "b.png").unlink()
    assert re.search(r"0 pictures of \S+/high and 1 of .*/half/dx2\.png", refuse_pairs(pairs))


def refuse_pairs(folder):
    return refusal(f"pairs:{folder}/high:{folder}/half", "")


@pytest.mark.parametrize("source", ["pairs:", "pairs:a", "pairs:a:", "pairs:a:b:c"])
def test_two_folders_make_pairs(source):
    assert "pairs:HIGH:LOW" in refusal(source, "")


@pytest.mark.parametrize(
    ("low", "levels", "protocol", "culprit"),
    [
        ("half", (3, 4), "sr_y", "24 x 26 and its partner of 12 x 13"),
        ("half", (25.0,), "denoise_clipped", "do not fit sigma 25"),
        ("half", (2,), "sr_y_float", "--config.evaluate.protocol=sr_y"),
        ("noisy", (25.0,), "denoise", "--config.evaluate.protocol=denoise_clipped"),
        ("noisy", (15.0, 25.0), "denoise_clipped", "which is that, of sigma 15, sigma 25?"),
        ("noisy", (10, 20), "jpeg", "quality 20? Name it: --config.evaluate.levels='(20,)'"),
        ("half", (20.0,), "photo", "do not fit noise 20"),
    ],
)
def test_pairs_that_do_not_fit_are_refused(pairs, low, levels, protocol, culprit):
    with pytest.raises(UserError, match=re.escape(culprit)):
        tables(read_pairs(pairs, low), levels, Setting(protocol, 1, 0))


def test_one_pair_of_another_size_is_named(pairs):
    save(pairs / "half" / "sub" / "cx2.bmp", 13, 13)
    with pytest.raises(UserError, match=r"sub/c\.png.*13 x 13.*\(1 of 3 pairs\)"):
        tables(read_pairs(pairs, "half"), (2,), Setting("sr_y", 1, 0))


def test_too_small_an_image_is_refused_with_its_protocol(tmp_path):
    fill(tmp_path / "small", 1, height=18)
    benchmarks = read_benchmarks(f"folder:{tmp_path}/small", "")
    tables(benchmarks, (3,), Setting("sr_y", 1, 0))
    with pytest.raises(UserError, match=r"20 x 20 that scoring by sr_y needs"):
        tables(benchmarks, (3, 4), Setting("sr_y", 1, 0))


def test_without_benchmarks_the_held_out_images_are_scored(tiny_config, photographs):
    (table,) = tables_to_score(tiny_config, (25.0,), photographs)
    assert table.benchmark.name == "held-out" and table.benchmark.images == photographs
    assert tables_to_score(tiny_config, (25.0,), []) == []


def test_levels_are_named_as_in_papers():
    asked = [
        ("denoise", 25.0), ("denoise_clipped", 2.5), ("jpeg", 40), ("photo", 20.0), ("sr_y", 3),
    ]  # fmt: skip
    assert [label(protocol, level) for protocol, level in asked] == [
        "sigma 25", "sigma 2.5", "quality 40", "noise 20", "x3",
    ]  # fmt: skip


def test_sets_can_be_named_together_with_samples(tmp_path, monkeypatch):
    monkeypatch.setitem(sources.SAMPLES, "sklearn.datasets.images", ("china.jpg",))
    monkeypatch.setitem(sources.SAMPLES, "skimage.data", ())
    fill(tmp_path / "set5", 5)
    names = [benchmark.name for benchmark in read_benchmarks("samples,set5", str(tmp_path))]
    assert names == ["samples", "Set5"]

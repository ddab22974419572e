"""The page of an evaluation: everything in it, nothing fetched, names never markup."""

import base64
import copy
import io
import json
import re

import numpy as np
import pytest
from PIL import Image as Pillow

from nlrn_jax.data.pixels import to_float, to_uint8
from nlrn_jax.errors import UserError
from nlrn_jax.looking import report
from nlrn_jax.looking.report import write_report
from nlrn_jax.pictures.files import read_pixels, write_pixels
from nlrn_jax.scoring.protocols import score

METHODS = {"noisy": ("baseline", 0.1), "tv": ("classical", 0.05), "NLRN": ("network", 0.02)}
NASTY = "</script><script>alert(1)</script><img src=x onerror=alert(2)>&\"'"


def write_results(folder, photographs, methods=METHODS, **changes):
    """Write results of methods that leave so much noise in each photograph, and the pictures."""
    rng = np.random.default_rng(0)
    images = []
    for number, (name, pixels) in enumerate(photographs):
        original = to_float(pixels)
        pictures, figures = {"original": f"{number}/original.png"}, {}
        write_pixels(folder / pictures["original"], pixels)
        for method, (kind, noise) in methods.items():
            noise = noise * (1 if kind == "baseline" else 1 + number)
            output = original + noise * rng.standard_normal(original.shape)
            key = "baseline" if kind == "baseline" else method
            pictures[key] = f"{number}/{kind}-{len(pictures)}.png"
            write_pixels(folder / pictures[key], to_uint8(output))
            figures[method] = score(output, original, "denoise", 25.0)
        pictures = {"input": pictures["baseline"]} | pictures
        height, width = pixels.shape[:2]
        images.append(
            {
                "name": name,
                "height": height,
                "width": width,
                "pictures": pictures,
                "figures": figures,
            }
        )
    means = {m: {"psnr": 20.0, "ssim": None, "seconds_per_megapixel": None} for m in methods}
    means["BM3D"] = {"psnr": 29.97, "ssim": None, "seconds_per_megapixel": None}
    kinds = {name: kind for name, (kind, _) in methods.items()} | {"BM3D": "published"}
    results = {
        "protocol": "denoise", "task": "denoise", "seed": 0, "commit": None,
        "command": "python -m nlrn_jax.main", "date": "2026-01-01T00:00:00+00:00",
        "methods": [
            {"name": name, "kind": kind, "parameters": None, "run": None, "checkpoint": None}
            for name, kind in kinds.items()
        ],
        "tables": [
            {"benchmark": "Set12", "level": 25.0, "label": "sigma 25", "means": means,
             "images": images},
        ],
    } | changes  # fmt: skip
    (folder / "results.json").write_text(json.dumps(results))
    return results


def page_data(path):
    """Return the page's text and the data in it."""
    text = path.read_text()
    (data,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text, re.S)
    return text, json.loads(data)


def pixels_of(uri):
    """Decode a picture of the page."""
    head, content = uri.split(",", 1)
    assert head == "data:image/png;base64"
    return Pillow.open(io.BytesIO(base64.b64decode(content)))


def test_the_page_fetches_nothing(photographs, tmp_path):
    write_results(tmp_path, photographs)
    text, _ = page_data(write_report(tmp_path))
    assert not re.findall(r"https?://(?!www\.w3\.org/2000/svg)", text)
    assert not re.findall(r"<link|@import|url\(|\bimport\b|fetch\(|<script[^>]* src", text)
    assert "default-src 'none'; img-src data:" in text
    assert "{{" not in text.replace("${{", "")
    assert [path.name for path in tmp_path.glob("report*")] == ["report.html"]


def test_every_picture_is_embedded_once_and_without_loss(photographs, tmp_path):
    results = write_results(tmp_path, photographs)
    _, data = page_data(write_report(tmp_path))
    assert len(data["pictures"]) == 4 * (4 + 3)  # three methods, the original, three error maps
    (table,) = data["tables"]
    for entry, image in zip(results["tables"][0]["images"], table["images"], strict=True):
        views = {view["label"]: view for view in image["views"]}
        assert list(views) == ["noisy", "tv", "NLRN", "original"]  # the input is the noisy one
        for label, view in views.items():
            key = "baseline" if label == "noisy" else label
            embedded = np.array(pixels_of(data["pictures"][view["picture"]]))
            np.testing.assert_array_equal(embedded, read_pixels(tmp_path / entry["pictures"][key]))
            assert view["figures"] == entry["figures"].get(label)
        assert views["original"]["error"] is None


def test_an_error_map_shows_the_absolute_difference_to_its_scale(tmp_path):
    original = np.full((12, 12), 100, np.uint8)
    output = original.copy()
    output[0, :5] = 92, 84, 108, 132, 250
    error = report._error(output, original, tmp_path)
    np.testing.assert_array_equal(error[0, :6], [64, 128, 64, 255, 255, 0])
    colour = np.stack([output, original, original], axis=-1)
    error = report._error(colour, np.stack([original] * 3, axis=-1), tmp_path)
    np.testing.assert_array_equal(error[0, :3], [21, 42, 21])  # a third of it, in 255 steps


def test_names_never_become_markup(photographs, tmp_path):
    methods = {"noisy": ("baseline", 0.1), NASTY: ("network", 0.02)}
    photographs = [photographs[0]._replace(name=NASTY)]
    results = write_results(tmp_path, photographs, methods, command=NASTY)
    results["tables"][0]["benchmark"] = NASTY
    (tmp_path / "results.json").write_text(json.dumps(results))
    text, data = page_data(write_report(tmp_path))
    assert NASTY not in text and "<img src" not in text
    assert data["tables"][0]["images"][0]["name"] == NASTY
    assert text.count("<script") == text.count("</script>") == 2


@pytest.mark.parametrize("count, worst, best", [(3, "3.png", "0.png"), (2, "3.png", "0.png")])
def test_of_many_images_the_worst_and_the_best_have_pictures(
    photographs, tmp_path, monkeypatch, count, worst, best
):
    monkeypatch.setattr(report, "PICTURED", count)
    write_results(tmp_path, photographs)  # the later, the less gain
    _, data = page_data(write_report(tmp_path))
    images = data["tables"][0]["images"]
    assert len(images) == 4
    pictured = [image["name"] for image in images if image["views"]]
    assert len(pictured) == count and {worst, best} <= set(pictured)


def test_large_pictures_leave_room_for_one_at_least(photographs, tmp_path, monkeypatch):
    monkeypatch.setattr(report, "PICTURE_BYTES", 1)
    write_results(tmp_path, photographs)
    _, data = page_data(write_report(tmp_path))
    assert [bool(image["views"]) for image in data["tables"][0]["images"]] == [0, 0, 0, 1]


def test_an_infinite_psnr_has_no_gain_and_is_no_error(photographs, tmp_path):
    results = write_results(tmp_path, photographs)
    for image in results["tables"][0]["images"][:2]:
        image["figures"]["NLRN"]["psnr"] = None
    (tmp_path / "results.json").write_text(json.dumps(results))
    _, data = page_data(write_report(tmp_path))
    gains = [image["gain"] for image in data["tables"][0]["images"]]
    assert gains[:2] == [None, None] and gains[2] > gains[3]


def test_gain_is_that_of_the_first_network(photographs, tmp_path):
    methods = {"noisy": ("baseline", 0.1), "tv": ("classical", 0.01)}
    methods |= {"B": ("network", 0.02), "A": ("network", 0.04)}
    results = write_results(tmp_path, photographs, methods)
    _, data = page_data(write_report(tmp_path))
    (table,) = data["tables"]
    assert table["ours"] == "B"
    for image, entry in zip(table["images"], results["tables"][0]["images"], strict=True):
        figures = entry["figures"]
        assert image["gain"] == pytest.approx(figures["B"]["psnr"] - figures["noisy"]["psnr"])


def test_low_resolution_is_a_picture_of_its_own(photographs, tmp_path):
    results = write_results(tmp_path, photographs[:1], task="sr")
    (entry,) = results["tables"][0]["images"]
    write_pixels(tmp_path / "low.png", photographs[0].pixels[::2, ::2])
    entry["pictures"]["input"] = "low.png"
    (tmp_path / "results.json").write_text(json.dumps(results))
    _, data = page_data(write_report(tmp_path))
    low = data["tables"][0]["images"][0]["views"][0]
    assert low["label"] == "low resolution" and low["low"] and low["error"] is None
    assert pixels_of(data["pictures"][low["picture"]]).size == (10, 12)


def test_curves_and_explanations_of_runs_are_shown(photographs, tmp_path):
    run = tmp_path / "run"
    write_results(run / "evaluation", photographs)
    rows = [{"step": step, "psnr": 20 + step / 100, "baseline": 20.0} for step in range(1, 2001)]
    rows[999] |= {"validation_psnr": 31.5, "validation_baseline": 30.0}
    rows[1]["psnr"] = None
    (run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    write_pixels(run / "explain" / "a_1_2.png", photographs[0].pixels)
    _, data = page_data(write_report(run / "evaluation", [run, tmp_path / "elsewhere"]))
    (curve,) = data["curves"]
    assert curve["run"] == "run" and curve["validation"] == [[1000, 1.5]]
    assert 400 < len(curve["training"]) <= report.POINTS
    for step, gain in curve["training"][1:]:
        assert gain == pytest.approx(step / 100)
    (explanation,) = data["explanations"]
    assert explanation["name"] == "run: a, row 1, column 2"
    embedded = np.array(pixels_of(data["pictures"][explanation["picture"]]))
    np.testing.assert_array_equal(embedded, photographs[0].pixels)


def without(results, *path):
    """Copy results without what a path of keys leads to."""
    results = copy.deepcopy(results)
    place = results
    for key in path[:-1]:
        place = place[key]
    del place[path[-1]]
    return json.dumps(results)


WRONG = {
    "no JSON": lambda r: '{"protocol": ',
    "a list": lambda r: "[]",
    "the figures of an older program": lambda r: '{"Set12, sigma 25": {"psnr": 30}}',
    "no tables": lambda r: without(r, "tables"),
    "no methods": lambda r: without(r, "methods"),
    "an image without figures": lambda r: without(r, "tables", 0, "images", 0, "figures"),
    "an image without pictures": lambda r: without(r, "tables", 0, "images", 0, "pictures"),
    "another task": lambda r: json.dumps(r | {"task": "inpainting"}),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_wrong_results_are_one_clear_line_and_no_page(case, photographs, tmp_path):
    results = write_results(tmp_path, photographs)
    (tmp_path / "results.json").write_text(WRONG[case](results))
    with pytest.raises(UserError, match=r"results\.json: .*--mode=evaluate") as error:
        write_report(tmp_path)
    assert "\n" not in str(error.value)
    assert not list(tmp_path.glob("report*"))


def test_missing_results_are_one_clear_line(tmp_path):
    with pytest.raises(UserError, match=r"results\.json: no such file; run --mode=evaluate"):
        write_report(tmp_path)


def test_a_picture_that_is_missing_or_of_another_size_is_named(photographs, tmp_path):
    write_results(tmp_path, photographs)
    picture = tmp_path / "1" / "network-3.png"
    write_pixels(picture, photographs[0].pixels[:-1])
    with pytest.raises(UserError, match=r"1/network-3\.png: \[23, 20\] pixels"):
        write_report(tmp_path)
    picture.unlink()
    with pytest.raises(UserError, match=r"1/network-3\.png: no such file"):
        write_report(tmp_path)


def test_damaged_figures_of_a_run_are_named_but_a_line_cut_short_is_not(photographs, tmp_path):
    write_results(tmp_path, photographs)
    line = '{"step": 1, "psnr": 20, "baseline": 17}\n'
    (tmp_path / "metrics.jsonl").write_text(line + '{"step"')
    _, data = page_data(write_report(tmp_path, [tmp_path]))
    assert data["curves"][0]["training"] == [[1, 3]]
    (tmp_path / "metrics.jsonl").write_text('{"step"\n' + line)
    with pytest.raises(UserError, match=r"metrics\.jsonl"):
        write_report(tmp_path, [tmp_path])

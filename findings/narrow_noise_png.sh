#!/usr/bin/env bash
# imagecodecs 2026.3.6: png_encode refuses some narrow pictures of noise.
#
# Its output buffer seems to be reckoned from the samples, without the byte of filter that PNG puts
# before each row: noise of few columns and many rows, which deflate cannot shrink,
# does not fit. The same pixels turned by a quarter, or as 16 bits, are encoded. Pillow writes all.
#
# Seen: 1000 rows of 3: PngError (png_write_data_fn output stream too small);
# 3 rows of 1000: 3071 bytes; Pillow: exact
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
  imagecodecs==2026.3.6 numpy==2.4.6 pillow==12.0.0
"$folder/venv/bin/python" - <<'END'
import io

import imagecodecs
import numpy as np
from PIL import Image

noise = np.random.default_rng(0).integers(0, 256, (1000, 3)).astype(np.uint8)
turned = imagecodecs.png_encode(np.ascontiguousarray(noise.T))
assert np.array_equal(imagecodecs.png_decode(turned), noise.T)
buffer = io.BytesIO()
Image.fromarray(noise).save(buffer, "PNG")
exact = np.array_equal(np.array(Image.open(buffer)), noise)
try:
    told = f"{len(imagecodecs.png_encode(noise))} bytes"
except imagecodecs.PngError as error:
    told = f"PngError ({error})"
print(f"imagecodecs {imagecodecs.__version__}: 1000 rows of 3: {told}; "
      f"3 rows of 1000: {len(turned)} bytes; Pillow: {'exact' if exact else 'other pixels'}")
assert "too small" in told and exact, "behaves otherwise now"
END

"""Picture files by their specifications, in plain Python: what `nlrn_jax.pictures` is held against.

No decoder or encoder of the program is used, but for `encoded`, which is Pillow's.
"""

import io
import struct
import zlib

import numpy as np

PNG = b"\x89PNG\r\n\x1a\n"


def png(samples, colour_type, depth=16, chunks=b"") -> bytes:
    """A PNG of samples [H, W, ...], its rows without filter."""
    height, width = samples.shape[:2]
    rows = b"".join(b"\0" + row.astype(f">u{depth // 8}").tobytes() for row in samples)
    return png_of_rows(height, width, zlib.compress(rows), colour_type, depth, chunks)


def png_of_rows(height, width, rows, colour_type, depth=8, chunks=b"") -> bytes:
    """A PNG of rows that are compressed already, or of some that do not fit."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    body = chunks + png_chunk(b"IDAT", rows) + png_chunk(b"IEND", b"")
    return PNG + png_chunk(b"IHDR", header) + body


def png_chunk(kind, content) -> bytes:
    check_sum = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I4s", len(content), kind) + content + check_sum


def png_samples(content: bytes) -> np.ndarray:
    """Decode a PNG, not interlaced, of 8 or 16 bits: PNG specification, section 9 (filters)."""
    at, data = len(PNG), b""
    while at < len(content):
        length, kind = struct.unpack(">I4s", content[at : at + 8])
        body = content[at + 8 : at + 8 + length]
        if kind == b"IHDR":
            width, height, depth, colour_type = struct.unpack(">IIBB", body[:10])
        data += body if kind == b"IDAT" else b""
        at += length + 12
    channels = {0: 1, 2: 3, 4: 2, 6: 4}[colour_type]
    step = channels * depth // 8
    rows = np.frombuffer(zlib.decompress(data), np.uint8).reshape(height, 1 + step * width)
    above = np.zeros(step * (width + 1), int)
    result = []
    for kind, row in zip(rows[:, 0], rows[:, 1:], strict=True):
        line = np.zeros(step * (width + 1), int)  # begins with a pixel of zeros
        for i, byte in enumerate(row, step):
            a, b, c = int(line[i - step]), int(above[i]), int(above[i - step])
            paeth = min((a, b, c), key=lambda value, p=a + b - c: abs(p - value))
            line[i] = (int(byte) + (0, a, b, (a + b) // 2, paeth)[kind]) % 256
        result.append(line[step:].astype(np.uint8))
        above = line
    samples = np.array(result).view(f">u{depth // 8}").reshape(height, width, channels)
    return samples.squeeze(2) if channels == 1 else samples


def tiff(samples, photometric, order="<", planar=False, tags=None) -> bytes:
    """An uncompressed TIFF 6.0 of samples [H, W, C], one strip a plane; `tags` replace or add."""
    height, width, channels = samples.shape
    kind, size = samples.dtype.kind, samples.dtype.itemsize
    planes = list(np.moveaxis(samples, 2, 0)) if planar else [samples]
    strips = [plane.astype(f"{order}{kind}{size}").tobytes() for plane in planes]
    offsets = [8 + sum(map(len, strips[:i])) for i in range(len(strips))]
    entries = {256: [width], 257: [height], 258: [8 * size] * channels, 259: [1]}
    entries |= {262: [photometric], 273: offsets, 277: [channels], 278: [height]}
    entries |= {279: [*map(len, strips)], 284: [2 if planar else 1]}
    entries |= {339: [3 if kind == "f" else 1] * channels} | (tags or {})
    start = offsets[-1] + len(strips[-1])
    beyond = start + 2 + 12 * len(entries) + 4
    directory, values = struct.pack(order + "H", len(entries)), b""
    for tag, numbers in sorted(entries.items()):
        value = struct.pack(f"{order}{len(numbers)}H", *numbers)
        if len(value) > 4:
            values, value = values + value, struct.pack(order + "I", beyond + len(values))
        directory += struct.pack(order + "HHI", tag, 3, len(numbers)) + value.ljust(4, b"\0")
    head = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(order + "I", start)
    return head + b"".join(strips) + directory + bytes(4) + values


def encoded(pillow_image, format, **options) -> bytes:
    buffer = io.BytesIO()
    pillow_image.save(buffer, format, **options)
    return buffer.getvalue()


def as_held(upright, orientation) -> np.ndarray:
    """How a camera held so stores the upright picture (EXIF 2.3, tag 0x0112)."""
    transposed = upright.swapaxes(0, 1)
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: transposed,
        6: np.rot90(upright, 1),
        7: transposed[::-1, ::-1],
        8: np.rot90(upright, -1),
    }
    return np.ascontiguousarray(stored[orientation])


def cyan_is_grey_profile() -> bytes:
    """An ICC profile (version 2, lut8) in which cyan ink is L* = 50, other ink black."""
    lightness = [0 if m or y or k else 128 if c else 255 for c, m, y, k in np.ndindex(2, 2, 2, 2)]
    grid = b"".join(bytes([level, 128, 128]) for level in lightness)
    one, linear = 1 << 16, bytes(range(256))
    matrix = struct.pack(">9i", one, 0, 0, 0, one, 0, 0, 0, one)
    table = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + matrix + 4 * linear + grid + 3 * linear
    size = 128 + 4 + 12 + len(table)
    head = struct.pack(
        ">I4sI4s4s4s12s4s", size, b"", 0x02400000, b"prtr", b"CMYK", b"Lab ", b"", b"acsp"
    )
    head = head.ljust(68, b"\0") + struct.pack(">3I", 0xF6D6, one, 0xD32D)  # illuminant D50
    return head.ljust(128, b"\0") + struct.pack(">I4sII", 1, b"A2B0", 144, len(table)) + table

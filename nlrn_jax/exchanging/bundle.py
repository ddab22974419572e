"""The arrays of a checkpoint of TensorFlow, without TensorFlow.

PREFIX.index is a sorted table of LevelDB: blocks of names, each with a record of type, shape, and
place in PREFIX.data-00000-of-00001, where the arrays lie one after another. Formats:
tensorflow/core/util/tensor_bundle, tensorflow/core/lib/io/table_format.txt, and
tensorflow/core/protobuf/tensor_bundle.proto.
"""

import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from nlrn_jax.errors import UserError

_MAGIC = 0xDB4775248B80FB57  # the end of a table
_FOOTER = 48
_PLAIN = 0  # a block that is not compressed, as TensorFlow writes those of checkpoints
_FLOAT32 = 1  # of tensorflow/core/framework/types.proto


def read_bundle(prefix: str | Path) -> dict[str, np.ndarray]:
    """Read the float32 arrays of a checkpoint by their names; those of other types are left out.

    Raises:
      UserError: no such checkpoint, or a damaged one; one in several shards.
    """
    prefix = str(prefix).removesuffix(".index")
    index = Path(f"{prefix}.index")
    if not index.is_file():
        raise UserError(
            f"{index}: no such file; name a checkpoint of TensorFlow by what comes before .index, "
            "or an .npz"
        )
    try:
        return dict(_arrays(prefix, index.read_bytes()))
    except (ValueError, IndexError, struct.error, UnicodeDecodeError) as error:
        raise UserError(f"{index}: is no whole checkpoint ({error}); copy it again") from error


def _arrays(prefix: str | Path, table: bytes) -> Iterator[tuple[str, np.ndarray]]:
    entries = _entries(table)
    name, header = next(entries)
    if name or _fields(header).get(1, 1) != 1:
        raise UserError(f"{prefix}: lies in several shards; save it in one")
    data = Path(f"{prefix}.data-00000-of-00001")
    if not data.is_file():
        raise UserError(f"{data}: no such file, though {prefix}.index is there; copy both")
    content = memoryview(data.read_bytes())
    for name, entry in entries:
        fields = _fields(entry)
        if fields.get(1) != _FLOAT32:
            continue
        offset, size, shape = fields.get(4, 0), fields.get(5, 0), _shape(fields.get(2, b""))
        if offset + size > len(content):
            raise ValueError(f"{data.name} ends before {name.decode()}")
        array = np.frombuffer(content[offset : offset + size], "<f4").reshape(shape)
        yield name.decode(), array


def _entries(table: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield names and records of a table, in order."""
    footer = table[-_FOOTER:]
    if len(table) < _FOOTER or struct.unpack("<Q", footer[-8:])[0] != _MAGIC:
        raise ValueError("it does not end as a table does")
    _, at = _handle(footer, 0)  # of the block of what filters there are: none
    index, _ = _handle(footer, at)
    for _, place in _block(table, index):
        yield from _block(table, _handle(place, 0)[0])


def _block(table: bytes, handle: tuple[int, int]) -> Iterator[tuple[bytes, bytes]]:
    """Yield keys and values of a block; a key begins with as much of the one before as it says."""
    start, size = handle
    block = table[start : start + size]
    if len(block) != size or table[start + size] != _PLAIN:
        raise ValueError("a block of it is cut off or compressed")
    restarts = struct.unpack("<I", block[-4:])[0]
    end, at, key = size - 4 * (restarts + 1), 0, b""
    while at < end:
        shared, at = _varint(block, at)
        own, at = _varint(block, at)
        length, at = _varint(block, at)
        key = key[:shared] + block[at : at + own]
        yield key, block[at + own : at + own + length]
        at += own + length


def _handle(content: bytes, at: int) -> tuple[tuple[int, int], int]:
    """Read where a block lies and how long it is; and return where that ends."""
    offset, at = _varint(content, at)
    size, at = _varint(content, at)
    return (offset, size), at


def _varint(content: bytes, at: int) -> tuple[int, int]:
    """Read a number of seven bits a byte, the lowest first; and return where it ends."""
    value, shift = 0, 0
    while True:
        byte = content[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at


def _fields(message: bytes) -> dict[int, int | bytes]:
    """Read the fields of a message of protocol buffers by number; of repeated ones the last."""
    return {number: value for number, value in _all_fields(message)}


def _all_fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        kind = tag & 7
        if kind == 0:
            value, at = _varint(message, at)
        else:  # 1 and 5: of 8 and 4 bytes; 2: of a length that it tells
            length, at = _varint(message, at) if kind == 2 else ({1: 8, 5: 4}[kind], at)
            value, at = message[at : at + length], at + length
        yield tag >> 3, value


def _shape(message: bytes) -> tuple[int, ...]:
    """Read a TensorShapeProto: of each dimension, field 2, the size is field 1."""
    sizes = (_fields(value) for number, value in _all_fields(message) if number == 2)
    return tuple(size.get(1, 0) for size in sizes)

"""The constants of an ONNX file: as much of protobuf and of onnx.proto as it takes to read them, and no more.

A file is a ModelProto; fields are named below by their number in onnx.proto (IR version 3 and later).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

MODEL_GRAPH = 7
GRAPH_NODE = 1
NODE_OUTPUT, NODE_OPERATOR, NODE_ATTRIBUTE = 2, 4, 5
ATTRIBUTE_TENSOR, ATTRIBUTE_GRAPH = 5, 6
TENSOR_DIMENSION, TENSOR_TYPE, TENSOR_RAW = 1, 2, 9

FLOAT = 1
"TensorProto.DataType of s e8 m23, the only one read."


def float_constants(file: bytes) -> dict[str, Any]:
    """Every float32 array that a `Constant` node of any (sub)graph holds, by the name of the node's output.

    Raises:
        ValueError: this is no ONNX file.
    """
    found: dict[str, Any] = {}
    try:
        for number, value in _fields(memoryview(file)):
            if number == MODEL_GRAPH:
                _read_graph(value, found)
    except (IndexError, TypeError, UnicodeDecodeError) as error:
        raise ValueError("no ONNX file") from error
    return found


def _read_graph(graph: memoryview, found: dict[str, Any]) -> None:
    for number, node in _fields(graph):
        if number == GRAPH_NODE:
            _read_node(node, found)


def _read_node(node: memoryview, found: dict[str, Any]) -> None:
    parts: dict[int, list[Any]] = {}
    for number, value in _fields(node):
        parts.setdefault(number, []).append(value)
    constant = [bytes(value) for value in parts.get(NODE_OPERATOR, ())] == [b"Constant"]
    for attribute in parts.get(NODE_ATTRIBUTE, ()):
        for number, value in _fields(attribute):
            if number == ATTRIBUTE_GRAPH:
                _read_graph(value, found)
            elif number == ATTRIBUTE_TENSOR and constant and (array := _array(value)) is not None:
                found[bytes(parts[NODE_OUTPUT][0]).decode()] = array


def _array(tensor: memoryview) -> Any:
    shape: list[int] = []
    kind, raw = 0, b""
    for number, value in _fields(tensor):
        if number == TENSOR_DIMENSION:
            shape.extend([value] if isinstance(value, int) else _integers(value))
        elif number == TENSOR_TYPE:
            kind = value
        elif number == TENSOR_RAW:
            raw = bytes(value)
    if kind != FLOAT or len(raw) != 4 * math.prod(shape):
        return None
    return np.frombuffer(raw, np.dtype("<f4")).reshape(shape)


def _fields(message: memoryview) -> Iterator[tuple[int, Any]]:
    """(number, value) of a message's fields: an integer, or the bytes of whatever else it is."""
    at = 0
    while at < len(message):
        key, at = _integer(message, at)
        kind = key & 7
        if kind == 0:
            value, at = _integer(message, at)
        else:
            length, at = _integer(message, at) if kind == 2 else ({1: 8, 5: 4}[kind] if kind in (1, 5) else -1, at)
            if length < 0 or at + length > len(message):
                raise ValueError("no protobuf message")
            value, at = message[at : at + length], at + length
        yield key >> 3, value


def _integers(packed: memoryview) -> Iterator[int]:
    at = 0
    while at < len(packed):
        value, at = _integer(packed, at)
        yield value


def _integer(message: memoryview, at: int) -> tuple[int, int]:
    """A varint, and where it ends."""
    value = shift = 0
    while True:
        byte = message[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7

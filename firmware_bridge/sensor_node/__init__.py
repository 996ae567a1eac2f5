"""Our own sensor nodes: a microcontroller that measures irradiance and temperatures. Pure.

``cobs`` makes bytes that hold no 0x00, ``frame`` says what stands in a frame and puts it into
bytes, ``decoder`` gets frames back out of a stream and believes none that is damaged, ``decode``
turns one into quantities. ``c/`` holds the encoder for firmware. docs/protocol/sensor-node.md is
the protocol.
"""

from .decode import decode_frame, identify_frame
from .decoder import FrameBuffer, NodeCounters, RefusedFrame
from .frame import FIELDS, NodeFrame, encode_frame, parse_frame

__all__ = [
    "FIELDS",
    "FrameBuffer",
    "NodeCounters",
    "NodeFrame",
    "RefusedFrame",
    "decode_frame",
    "encode_frame",
    "identify_frame",
    "parse_frame",
]

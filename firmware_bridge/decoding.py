"""A file from the field to readings: ``solar-edge decode``. Pure, but for what the caller reads.

Takes one recorded reply in hexadecimal, several (one a line), a trace of ``send``/``recv`` lines or
flight recording, a P1 telegram, or frames of a sensor node. Everything passes the checks that a
live reply passes; what fails them is listed with its reason and gives no value.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from models.contract.quantities import QUANTITIES
from models.contract.record import Quality

from .drivers.p1 import decode_telegrams
from .drivers.sensor_node import decode_node_frames
from .errors import DeviceError, PermanentDeviceError
from .flight import looks_like_recording, parse_recording
from .goodwe.framing import decode_aa55_reply
from .poll_plan import Block
from .profile import Profile, load_profile
from .profile.schema import AA55, MODBUS, P1, SENSOR_NODE
from .recorded import (
    RecordedBlock,
    Refused,
    hex_bytes,
    lone_reply,
    read_request,
    replies_of,
    reply_to,
    rounds,
    split_frames,
)
from .sunspec.recorded import decode_recorded as decode_sunspec
from .values import Decoded


@dataclass(frozen=True)
class Round:
    """One poll of one unit, or one telegram."""

    decoded: Decoded
    unit: int | None = None
    time_s: float | None = None
    blocks: tuple[Block, ...] = ()


@dataclass
class FileContent:
    """What a file holds."""

    profile: str
    rounds: list[Round] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """For ``--json``: the newest value of each name first, then round by round. Values of
        several units are never put together: then there are rounds only."""
        newest = Decoded()
        if len({one.unit for one in self.rounds}) == 1:
            for one in self.rounds:
                newest.update(one.decoded)
        body: dict[str, Any] = {"profile": self.profile, **decoded_to_json(newest)}
        if len(self.rounds) > 1:
            body["rounds"] = [
                {
                    "unit": one.unit,
                    "time_s": one.time_s,
                    **decoded_to_json(one.decoded),
                }
                for one in self.rounds
            ]
        body["units"] = sorted({one.unit for one in self.rounds if one.unit is not None})
        body["blocks"] = [
            {"function": block.function, "address": block.address, "count": block.count}
            for block in dict.fromkeys(b for one in self.rounds for b in one.blocks)
        ]
        body["refused"] = [{"what": one.what, "reason": one.reason} for one in self.refused]
        return body


def decoded_to_json(decoded: Decoded) -> dict[str, Any]:
    """Readings and details with their units; a reason beside every value that is not good."""
    readings = {
        name: _value(decoded, name, reading.value, QUANTITIES[name].unit, reading.quality)
        for name, reading in decoded.readings.items()
    }
    details = {
        name: _value(decoded, name, detail.value, detail.unit, detail.quality)
        for name, detail in decoded.details.items()
    }
    return {"readings": readings, "details": details}


def _value(
    decoded: Decoded, name: str, value: float | str | None, unit: str, quality: Quality
) -> dict[str, Any]:
    body: dict[str, Any] = {"value": value, "unit": unit, "quality": quality.value}
    if quality is not Quality.GOOD:
        body["reason"] = decoded.reasons.get(name, "the device gives none")
    if name in decoded.raw:
        body["raw"] = decoded.raw[name]
    return body


def decode_content(
    profile_name: str,
    content: bytes,
    *,
    file: str = "file",
    address: int | None = None,
    request: str | None = None,
) -> FileContent:
    """Everything that ``content`` says, by the profile called ``profile_name``.

    Args:
        profile_name: As in a site's settings.
        content: Of the file.
        file: Its name, for errors.
        address: First register of a lone reply, as on the wire.
        request: The request of a lone reply, in hexadecimal.

    Raises:
        PermanentDeviceError: Unknown profile, or a file that is none of the forms above.
    """
    profile = load_profile(profile_name)
    result = FileContent(profile.name)
    protocol = profile.file.protocol
    if protocol == P1:
        for outcome in decode_telegrams(content):
            _take(result, outcome)
        return _checked(result, file, "no telegram")
    if protocol == SENSOR_NODE:
        for outcome in decode_node_frames(_binary(content)):
            _take(result, outcome)
        return _checked(result, file, "no frame")
    text = _text(content, file)
    if protocol == AA55:
        _decode_aa55(profile, text, file, result)
        return _checked(result, file, "no reply")
    blocks = _blocks(profile, text, file, address, request, result)
    for group in rounds(blocks):
        pairs = [(one.block, one.data) for one in group]
        decoded = (
            profile.decode_recording(pairs, raw=True)
            if protocol == MODBUS
            else decode_sunspec(pairs, profile.file.sunspec)
        )
        result.rounds.append(
            Round(decoded, group[0].unit, group[0].time_s, tuple(one.block for one in group))
        )
    return _checked(result, file, "no reply")


def _blocks(
    profile: Profile,
    text: str,
    file: str,
    address: int | None,
    request: str | None,
    result: FileContent,
) -> list[RecordedBlock]:
    if looks_like_recording(text):
        replies = replies_of(parse_recording(text, file))
        result.refused += replies.refused
        return replies.blocks
    wanted = None if request is None else read_request(hex_bytes(request, "--request"))
    blocks = []
    for place, reply in _frames(text, file):
        try:
            if wanted is not None:
                blocks.append(reply_to(wanted, reply))
            else:
                blocks.append(lone_reply(reply, _where(profile, address, reply)))
        except DeviceError as error:
            result.refused.append(Refused(f"{place}: {reply.hex(' ')}", error.reason))
    return blocks


def _where(profile: Profile, address: int | None, reply: bytes) -> int | Callable[[int, int], int]:
    """The address of a lone reply: as given, or that of the one usual read it can answer."""
    if address is not None:
        return address

    def fitting(function: int, count: int) -> int:
        found = [
            block
            for block in profile.usual_blocks
            if (block.function, block.count) == (function, count)
        ]
        if len(found) > 1:
            found = [block for block in found if _makes_sense(profile, block, reply)]
        if len(found) != 1:
            what = "none" if not found else f"several ({', '.join(str(b.address) for b in found)})"
            raise PermanentDeviceError(
                f"which registers are these {count}? {what} of the usual reads of {profile.name} "
                "can have brought them; say --address N or --request HEX"
            )
        return found[0].address

    return fitting


def _makes_sense(profile: Profile, block: Block, reply: bytes) -> bool:
    """Whether ``reply``, read as ``block``, holds the value that tells the device, or good ones."""
    data = lone_reply(reply, block.address).data
    decoded = profile.decode_recording([(block, data)])
    identity = profile.file.identity
    told = decoded.readings.get(identity.quantity) if identity is not None else None
    if told is not None and identity is not None:
        return told.value is not None and identity.lowest <= told.value <= identity.highest
    given = [reading for reading in decoded.readings.values() if reading.value is not None]
    return bool(given) and all(reading.quality is Quality.GOOD for reading in given)


def _decode_aa55(profile: Profile, text: str, file: str, result: FileContent) -> None:
    for place, reply in _frames(text, file):
        try:
            command, payload = decode_aa55_reply(reply)
        except DeviceError as error:
            result.refused.append(Refused(f"{place}: {reply.hex(' ')}", error.reason))
            continue
        block = Block(command, 0, len(payload))
        decoded = profile.decode_recording([(block, payload)], raw=True)
        result.rounds.append(Round(decoded, blocks=(block,)))


def _frames(text: str, file: str) -> list[tuple[str, bytes]]:
    """The frames in a text of hexadecimal: over all lines, or one a line, or one behind another."""
    lines = [
        (number, line.split("#", 1)[0].strip())
        for number, line in enumerate(text.splitlines(), 1)
        if line.split("#", 1)[0].strip()
    ]
    if not lines:
        raise PermanentDeviceError(f"{file}: is empty")
    whole = hex_bytes(" ".join(line for _, line in lines), file)
    together = split_frames(whole)
    if len(lines) == 1 or together != [whole]:
        return [(file, frame) for frame in together]
    pieces = [(f"{file}:{number}", hex_bytes(line, f"{file}:{number}")) for number, line in lines]
    # Wrapped lines of one damaged frame are as long as each other, all but the last.
    is_wrapped = len({len(piece) for _, piece in pieces[:-1]}) == 1
    return [(file, whole)] if is_wrapped and len(pieces) > 2 else pieces


def _take(result: FileContent, outcome: Decoded | Refused) -> None:
    if isinstance(outcome, Refused):
        result.refused.append(outcome)
    else:
        result.rounds.append(Round(outcome))


def _checked(result: FileContent, file: str, what: str) -> FileContent:
    if not result.rounds and not result.refused:
        raise PermanentDeviceError(f"{file}: holds {what} that {result.profile} is read by")
    return result


def _text(content: bytes, file: str) -> str:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = ""
    if not text.isprintable() and any(ord(c) < 32 and c not in "\r\n\t" for c in text):
        text = ""
    # A raw reply is no text: take its bytes as they are.
    return text or content.hex()


def _binary(content: bytes) -> bytes:
    """Bytes of a frame that may be written in hexadecimal."""
    try:
        return hex_bytes(content.decode("ascii"), "file")
    except (UnicodeDecodeError, PermanentDeviceError):
        return content

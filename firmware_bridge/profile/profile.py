"""A loaded profile: which requests a poll takes, and what the replies mean.

Polling reads what goes into records (quantities, and what they are computed from), group by group;
*everything* adds details and texts, for people. Each combination is planned once and kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from ..poll_plan import Block, plan
from ..registers import REGISTER_TYPES
from ..values import Decoded
from .decoder import BlockDecoder, decode_blocks, derive, withhold
from .schema import AA55, MODBUS, Derived, ProfileFile, Register


@dataclass(frozen=True)
class PollPlan:
    """The requests of one poll and the decoders of their replies."""

    blocks: tuple[Block, ...]
    decoders: tuple[BlockDecoder, ...]
    guarded: tuple[Register, ...]
    """Registers that mean nothing without another value."""
    rules: tuple[Derived, ...]
    optional: frozenset[Block]
    """Requests for parts of the map that a device may not have."""

    def decode(self, replies: Mapping[Block, bytes], *, raw: bool = False) -> Decoded:
        """The values in ``replies``; blocks without a reply are left out."""
        return decode_blocks(self.decoders, replies, self.guarded, self.rules, raw=raw)


class Profile:
    """One kind of device."""

    def __init__(self, file: ProfileFile) -> None:
        self.file = file
        self.name = file.name
        self._plans: dict[tuple[frozenset[str], bool], PollPlan] = {}

    @property
    def has_registers(self) -> bool:
        """Whether the map stands in the file; other protocols bring their own."""
        return self.file.protocol in (MODBUS, AA55)

    @property
    def groups(self) -> dict[str, float]:
        """Seconds between two reads, by group; the group ``""`` is read at every poll."""
        return {"": 0.0, **self.file.groups}

    def in_order(self, order: str | None) -> Profile:
        """The same with all longer numbers in ``order`` instead of its own; itself for None."""
        if order is None:
            return self
        registers = tuple(
            replace(register, order=order)
            if not register.is_text and REGISTER_TYPES[register.type].count > 1
            else register
            for register in self.file.registers
        )
        return Profile(replace(self.file, registers=registers))

    def poll_plan(self, groups: frozenset[str]) -> PollPlan:
        """What to read when ``groups`` are due: only what goes into records."""
        return self._plan(groups, everything=False)

    @cached_property
    def whole_plan(self) -> PollPlan:
        """What to read to tell a person everything that the device says."""
        return self._plan(frozenset(self.groups), everything=True)

    @cached_property
    def usual_blocks(self) -> tuple[Block, ...]:
        """Blocks that a recorded reply is likely to hold: the usual reads that the file names, or
        our own where it names none."""
        requests = self.file.requests
        if requests is None:
            return ()
        if requests.usual:
            return tuple(Block(*read) for read in requests.usual)
        own = {*self.whole_plan.blocks, *self.poll_plan(frozenset({""})).blocks}
        return tuple(sorted({*own, *self.poll_plan(frozenset(self.groups)).blocks}))

    def decode_recording(
        self, blocks: Sequence[tuple[Block, bytes]], *, raw: bool = False
    ) -> Decoded:
        """Whatever lies in recorded ``blocks``, whichever requests fetched them.

        A later block wins over an earlier one where both hold a value.
        """
        decoded = Decoded()
        for block, data in blocks:
            inside = [
                register for register in self.file.registers if block.holds(self._span(register))
            ]
            if inside:
                part = Decoded()
                BlockDecoder(self.file, block, inside).decode(data, part, raw=raw)
                decoded.update(part)
        withhold(self.file.registers, decoded)
        derive(self.file.derived, decoded)
        return decoded

    def _plan(self, groups: frozenset[str], *, everything: bool) -> PollPlan:
        known = self._plans.get((groups, everything))
        if known is not None:
            return known
        file = self.file
        assert file.requests is not None
        wanted = [
            register
            for register in (file.registers if everything else self._recorded)
            if register.group in groups
        ]
        parts: dict[str, list[Block]] = {}
        for register in wanted:
            parts.setdefault(register.part, []).append(self._span(register))
        by_part = {part: self._blocks(spans) for part, spans in sorted(parts.items())}
        blocks = tuple(block for some in by_part.values() for block in some)
        optional = frozenset(block for part, some in by_part.items() if part for block in some)
        # A slow value that lies in a block which is read anyway costs nothing.
        pool = file.registers if everything else self._recorded
        decoders = []
        for block in blocks:
            inside = [register for register in pool if block.holds(self._span(register))]
            decoders.append(BlockDecoder(file, block, inside))
        read = {f.name for f in pool if any(b.holds(self._span(f)) for b in blocks)}
        made = self._plans[groups, everything] = PollPlan(
            blocks,
            tuple(decoders),
            tuple(register for register in pool if register.needs and register.name in read),
            self._rules(read, everything=everything),
            optional,
        )
        return made

    def _blocks(self, spans: Iterable[Block]) -> tuple[Block, ...]:
        requests = self.file.requests
        assert requests is not None
        if self.file.is_bytewise:  # a command brings its whole payload
            ends: dict[int, int] = {}
            for span in spans:
                ends[span.function] = max(ends.get(span.function, 0), span.end)
            return tuple(Block(command, 0, end) for command, end in sorted(ends.items()))
        return plan(
            spans, longest=requests.longest, bridge=requests.bridge, barriers=requests.barriers
        )

    def _rules(self, read: set[str], *, everything: bool) -> tuple[Derived, ...]:
        """Rules of which at least one part is read."""
        chosen = []
        for rule in self.file.derived:
            if (everything or rule.name in self._needed) and read.intersection(rule.of):
                chosen.append(rule)
                read = read | {rule.name}
        return tuple(chosen)

    def _span(self, register: Register) -> Block:
        return Block(self.file.function_of(register), register.address, self.file.span_of(register))

    @cached_property
    def _needed(self) -> frozenset[str]:
        """Names of the quantities and of all that they are computed from."""
        needed = {register.name for register in self.file.registers if register.quantity}
        needed.update(rule.name for rule in self.file.derived if rule.quantity)
        for rule in reversed(self.file.derived):
            if rule.name in needed:
                needed.update(rule.of)
        needed.update(r.needs for r in self.file.registers if r.needs and r.name in needed)
        return frozenset(needed)

    @cached_property
    def _recorded(self) -> tuple[Register, ...]:
        return tuple(r for r in self.file.registers if r.name in self._needed)

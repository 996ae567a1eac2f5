"""Requests of one poll, for every profile: ours, the optimum, and one request for each value.

The optimum is searched over all ways to cut a map into legal requests (dynamic programming over
every contiguous run of values), independently of the planner's own way. Also what a poll takes on a
9600-baud line. Last line: JSON.
"""

from __future__ import annotations

import json
from collections import defaultdict
from itertools import pairwise

from rich.console import Console
from rich.table import Table

from firmware_bridge import DeviceSettings
from firmware_bridge.airtime import exchange_s
from firmware_bridge.poll_plan import Block
from firmware_bridge.profile import Profile, known_profiles, load_profile
from firmware_bridge.profile.schema import MODBUS
from firmware_bridge.settings import resolve


def values_of(profile: Profile) -> list[tuple[str, Block]]:
    """Where each value lies that a full poll brings (all groups due, details left out), by the part
    of the map that it belongs to."""
    file = profile.file
    plan = profile.poll_plan(frozenset(profile.groups))
    spans = {
        (r.part, Block(file.function_of(r), r.address, file.span_of(r)))
        for decoder in plan.decoders
        for r in decoder.registers
    }
    return sorted(spans)


def fewest_requests(profile: Profile) -> int:
    """The least number of legal requests that bring all values: searched, not planned."""
    requests = profile.file.requests
    assert requests is not None
    # A part that some devices refuse must not share a request with what all have.
    apart: dict[tuple[str, int], list[Block]] = defaultdict(list)
    for part, value in values_of(profile):
        apart[part, value.function].append(value)
    total = 0
    for values in apart.values():
        best = [0] + [len(values) + 1] * len(values)
        for end in range(1, len(values) + 1):
            for start in range(end - 1, -1, -1):
                run = values[start:end]
                last = max(value.end for value in run)
                if last - run[0].address > requests.longest:
                    break
                gaps = all(b.address - a.end <= requests.bridge for a, b in pairwise(run))
                crossed = any(run[0].address < barrier < last for barrier in requests.barriers)
                if gaps and not crossed:
                    best[end] = min(best[end], best[start] + 1)
        total += best[-1]
    return total


def main() -> None:
    """Print the table and the JSON line."""
    table = Table()
    table.add_column("profile", no_wrap=True)
    for column in ("values", "requests", "optimum", "one by one", "every poll", "ms at 9600 baud"):
        table.add_column(column, justify="right")
    rows = []
    planned_all: list[int] = []
    fewest_all: list[int] = []
    for name in known_profiles():
        profile = load_profile(name)
        if profile.file.protocol != MODBUS:
            continue
        link = resolve(
            DeviceSettings("x", "modbus-rtu", name, serial_port="/dev/null"), profile.file.link
        )
        values = values_of(profile)
        planned = len(profile.poll_plan(frozenset(profile.groups)).blocks)
        fast = profile.poll_plan(frozenset({""})).blocks
        line_ms = sum(exchange_s(link, block.count) for block in fast) * 1000
        fewest = fewest_requests(profile)
        planned_all.append(planned)
        fewest_all.append(fewest)
        row = {
            "profile": name,
            "values": len(values),
            "requests": planned,
            "optimum": fewest,
            "one_by_one": len(values),
            "requests_every_poll": len(fast),
            "line_ms_every_poll": round(line_ms),
        }
        rows.append(row)
        table.add_row(name, *(str(value) for key, value in row.items() if key != "profile"))
    Console().print(table)
    requests, optimum = sum(planned_all), sum(fewest_all)
    print(
        json.dumps(
            {"profiles": rows, "requests": requests, "optimum": optimum, "over": requests / optimum}
        )
    )


if __name__ == "__main__":
    main()

"""The site report of a scan: what an installer leaves behind. Self-contained HTML, JSON, TOML.

Every text that a device sent is escaped: a device's name is no markup.
"""

from __future__ import annotations

from html import escape
from typing import Any

from firmware_bridge import Decoded
from firmware_bridge.decoding import decoded_to_json
from firmware_bridge.profile import load_profile
from firmware_bridge.scan import Candidate, FoundUnit, ScanResult
from firmware_bridge.serial_ports import stable_name
from models.contract.quantities import quantity
from models.contract.record import Quality
from models.contract.timestamps import Instant, format_iso8601

_ROLES = {"inverter": "inverter", "hybrid": "inverter", "meter": "meter", "battery": "battery"}

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem;
  color: #1c2430; background: #fff; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
table { border-collapse: collapse; width: 100%; margin: .5rem 0 1rem; }
th, td { text-align: left; padding: .3rem .6rem; border-bottom: 1px solid #d8dee6; }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
.suspect td { background: #fdecea; } .missing td, .asleep td { color: #7a8594; }
.sure { color: #18794e; } .guess { color: #a35200; }
pre { background: #f4f6f9; padding: 1rem; overflow-x: auto; }
footer { margin-top: 3rem; color: #7a8594; font-size: .85rem; }
"""


def result_to_json(result: ScanResult) -> dict[str, Any]:
    """For ``--json``."""
    return {
        "link": _link_name(result),
        "tried": list(result.tried),
        "trouble": result.trouble,
        "found": [
            {
                "unit": unit.unit,
                "answered": unit.answered,
                "candidates": [_candidate_json(candidate) for candidate in unit.candidates],
            }
            for unit in result.found
        ],
        "settings": proposed_settings(result),
    }


def _candidate_json(candidate: Candidate) -> dict[str, Any]:
    return {
        "profile": candidate.profile,
        "word_order": candidate.word_order,
        "certain": candidate.certain,
        "why": candidate.why,
        "good_share": round(candidate.good_share, 3),
        "manufacturer": candidate.identity.manufacturer,
        "model": candidate.identity.model,
        "serial_number": candidate.identity.serial_number,
        "version": candidate.identity.version,
        **decoded_to_json(candidate.decoded),
    }


def proposed_settings(result: ScanResult) -> str:
    """``[[devices]]`` tables for a site's settings file, one for each unit that is known."""
    tables = []
    roles: dict[str, int] = {}
    for unit in result.found:
        if unit.candidates:
            best = unit.candidates[0]
            role = _ROLES.get(load_profile(best.profile).file.kind, "sensor")
            roles[role] = roles.get(role, 0) + 1
            tables.append(_settings_table(result, unit, best, role, roles[role]))
    return "\n".join(tables)


def _settings_table(
    result: ScanResult, unit: FoundUnit, best: Candidate, role: str, number: int
) -> str:
    base = result.base
    lines = [
        "[[devices]]",
        f'name = "{role}-{number}"',
        f'role = "{role}"',
        f'protocol = "{base.protocol}"',
        f'profile = "{best.profile}"',
    ]
    if base.host:
        lines.append(f'host = "{base.host}"')
        if base.port is not None:
            lines.append(f"port = {base.port}")
    else:
        port = stable_name(base.serial_port) or base.serial_port
        lines.append(f'serial_port = "{port}"')
        if base.baud_rate is not None:
            lines.append(f"baud_rate = {base.baud_rate}")
        if base.parity is not None:
            lines.append(f'parity = "{base.parity}"')
    lines.append(f"unit = {unit.unit}")
    if best.word_order:
        lines.append(f'word_order = "{best.word_order}"')
    if not best.certain:
        lines.append(f"# a guess: {best.why}; check the type plate")
    return "\n".join(lines) + "\n"


def report_html(result: ScanResult, now: Instant) -> str:
    """The whole report."""
    body = [
        "<h1>Site report</h1>",
        f"<p>{escape(_link_name(result))}, looked at {escape(format_iso8601(now))}: "
        f"{len(result.tried)} unit addresses asked, {len(result.found)} answered.</p>",
    ]
    if result.trouble:
        body.append(f'<p class="guess">{escape(result.trouble)}</p>')
    body += [_unit_html(unit) for unit in result.found]
    if proposal := proposed_settings(result):
        body.append("<h2>Proposed settings</h2>")
        body.append(f"<pre>{escape(proposal)}</pre>")
    body.append("<footer>Written by solar-edge scan. Only reads were sent.</footer>")
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Site report</title><style>{_STYLE}</style></head><body>"
        + "\n".join(body)
        + "</body></html>\n"
    )


def _unit_html(unit: FoundUnit) -> str:
    if not unit.candidates:
        return (
            f"<h2>Unit {unit.unit}: unknown</h2><p>Somebody {escape(unit.answered)}, but no "
            "profile fits.</p>"
        )
    best, *others = unit.candidates
    identity = best.identity
    facts = [
        ("manufacturer", identity.manufacturer),
        ("model", identity.model),
        ("serial number", identity.serial_number),
        ("version", identity.version),
        ("profile", best.profile + (f", words {best.word_order}" if best.word_order else "")),
    ]
    rows = "".join(f"<tr><th>{n}</th><td>{escape(v)}</td></tr>" for n, v in facts if v)
    sure = "sure" if best.certain else "guess"
    others_text = ", ".join(f"{c.profile} ({c.good_share:.0%} good)" for c in others)
    also = f"<p>Also possible: {escape(others_text)}.</p>" if others_text else ""
    title = f"Unit {unit.unit}: {identity.manufacturer} {identity.model}"
    return (
        f"<h2>{escape(title)}</h2>"
        f'<p class="{sure}">{sure}: {escape(best.why)}; {best.good_share:.0%} of its values are '
        f"good</p><table>{rows}</table>{also}{_values_html(best.decoded)}"
    )


def _values_html(decoded: Decoded) -> str:
    rows = []
    for name, reading in decoded.readings.items():
        rows.append(_value_row(decoded, name, reading.value, quantity(name).unit, reading.quality))
    for name, detail in decoded.details.items():
        rows.append(_value_row(decoded, name, detail.value, detail.unit, detail.quality))
    head = "<tr><th>value of</th><th></th><th>unit</th><th>quality</th></tr>"
    return f"<table>{head}{''.join(rows)}</table>"


def _value_row(
    decoded: Decoded, name: str, value: float | str | None, unit: str, quality: Quality
) -> str:
    shown = "–" if value is None else value if isinstance(value, str) else f"{value:,.10g}"
    reason = decoded.reasons.get(name, "")
    note = quality.value + (f": {reason}" if reason and quality is not Quality.GOOD else "")
    return (
        f'<tr class="{quality.value}"><td>{escape(name)}</td>'
        f'<td class="number">{escape(shown)}</td><td>{escape(unit)}</td>'
        f"<td>{escape(note)}</td></tr>"
    )


def _link_name(result: ScanResult) -> str:
    base = result.base
    where = base.serial_port or f"{base.host}:{base.port or 'usual port'}"
    return f"{base.protocol} {where}"

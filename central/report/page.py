"""The frame of a report page: one file that needs nothing else, and how it is written.

A content security policy inside the page forbids every request, so "self-contained" is enforced by
the reader's browser.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Sequence
from html import escape
from importlib import resources
from pathlib import Path

from .facts import Fact

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def document(title: str, subtitle: str, sections: Iterable[str], footer: str) -> str:
    """A whole page; ``sections`` are markup, the other arguments text."""
    style = (resources.files("central.report") / "report.css").read_text(encoding="utf-8")
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<title>{escape(title)}</title>
<link rel="icon" href="data:,">
<style>
{style}</style>
</head>
<body>
<header>
<h1><span class="sun" aria-hidden="true"></span>{escape(title)}</h1>
<p>{escape(subtitle)}</p>
</header>
<main>
{chr(10).join(sections)}
</main>
<footer>{escape(footer)}</footer>
</body>
</html>
"""


def section(heading: str, *content: str, note: str = "", class_: str = "") -> str:
    """A panel with a heading; ``content`` is markup."""
    words = f'<p class="note">{escape(note)}</p>' if note else ""
    attribute = f' class="{class_}"' if class_ else ""
    return (
        f"<section{attribute}>\n<h2>{escape(heading)}</h2>\n{words}{''.join(content)}\n</section>"
    )


def figure(wide: str, narrow: str, legend: Sequence[tuple[str, str]] = ()) -> str:
    """A plot drawn for both widths; ``legend`` pairs classes of the style sheet with words."""
    items = "".join(
        f'<li><i class="{escape(name)}" aria-hidden="true"></i>{escape(words)}</li>'
        for name, words in legend
    )
    marks = f'<ul class="legend">{items}</ul>' if items else ""
    return (
        f'<figure>{marks}<div class="wide">{wide}</div><div class="narrow">{narrow}</div></figure>'
    )


def table(head: Sequence[str], rows: Iterable[str]) -> str:
    """A table of ready ``<th>``/``<td>`` cells and rows made by ``row``."""
    return (
        f'<div class="scroll"><table><thead><tr>{"".join(head)}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def column(name: str, class_: str = "") -> str:
    """A heading cell."""
    attribute = f' class="{class_}"' if class_ else ""
    return f'<th scope="col"{attribute}>{escape(name)}</th>'


def row(name: str, cells: Iterable[str], class_: str = "") -> str:
    """A row headed by ``name``; ``cells`` are made by ``cell``."""
    attribute = f' class="{class_}"' if class_ else ""
    return f'<tr{attribute}><th scope="row">{escape(name)}</th>{"".join(cells)}</tr>'


def cell(value: str, class_: str = "", aside: str = "") -> str:
    """A cell; ``aside`` stands smaller beside it on wide screens."""
    attribute = f' class="{class_}"' if class_ else ""
    small = f'<small class="extra">{escape(aside)}</small>' if aside else ""
    return f"<td{attribute}>{escape(value)}{small}</td>"


def fact_list(rows: Iterable[Fact]) -> str:
    """Names and values; what is wrong carries a sign that needs no colour."""
    items = "".join(
        f"<dt>{escape(one.name)}</dt><dd>{'⚠ ' if one.wrong else ''}{escape(one.value)}</dd>"
        for one in rows
    )
    return f"<dl>{items}</dl>"


def bullets(sentences: Iterable[str]) -> str:
    """Sentences as a list."""
    return "<ul>" + "".join(f"<li>{escape(one)}</li>" for one in sentences) + "</ul>"


def write_page(path: Path, text: str) -> None:
    """Write ``text`` to ``path`` at once: a reader sees the old file or the new one.

    Raises ``OSError`` when it cannot be written; no draft is left behind.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, draft_name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    draft = Path(draft_name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        draft.chmod(0o644)  # mkstemp keeps others out; a report is to be read
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise

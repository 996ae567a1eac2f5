"""The report page: what it says, that it needs nothing else, and that a browser shows it."""

from __future__ import annotations

import io
import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from central.compare import Comparison
from central.report.facts import LiveReport, Parity, Source, Timing, alarms, facts, limits
from central.report.html import render_live_report, write_live_report
from central.report.live import LiveScores, training_ends
from central.report.text import closing_table
from central.store import open_store
from models.contract.timestamps import DAY_MS, HORIZON_STEPS, HOUR_MS, STEP_MS
from tests.unit.central.report.published_days import (
    END,
    MANIFEST,
    SITE,
    START,
    TRUTH,
    Fleet,
    banded,
    forecast,
    issue_times,
    persistence_at,
    sure,
    truth_at,
)

COMPARISON = Comparison("site_01", 768, 768, 768, (), (), (), (), 0, 0)


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Measurements and fallible forecasts of the four days; not to be added to."""
    store = open_store(f"sqlite:///{tmp_path_factory.mktemp('store') / 'central.sqlite'}")
    fleet = Fleet(store)
    fleet.measures(TRUTH.window(0, TRUTH.index(END)))
    fleet.publishes(*(forecast(at, banded(at)) for at in issue_times()))
    yield fleet
    store.close()


@pytest.fixture(scope="module")
def live(published: Fleet) -> LiveScores:
    """Scores of those forecasts."""
    return published.live(training_end=training_ends([MANIFEST]))


def report(live: LiveScores) -> LiveReport:
    return LiveReport(
        title="Four days at site_01",
        site_name="site_01",
        site=SITE,
        live=live,
        source=Source("simulated from nsrdb_2013.csv", 60, simulated=True),
        generated_at=END,
        manifests=(MANIFEST,),
        parities=(Parity("Compiled trees", 10_000, 1.2e-6, 1e-4, "largest difference"),),
        comparison=COMPARISON,
        timings=(Timing("Training", 71.4),),
    )


class Page(HTMLParser):
    """Text and attributes of a page; open tags must be closed in order."""

    VOID = frozenset({"meta", "link", "br"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.open: list[str] = []
        self.feed(page)
        self.close()
        assert self.open == []
        self.text = re.sub(r"\s+", " ", " ".join(self.words))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes.extend((tag, name, value or "") for name, value in attrs)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words.append(data)


def test_the_page_says_the_scores_the_facts_and_the_limits(live: LiveScores) -> None:
    page = Page(render_live_report(report(live)))
    assert f"{100 * live.overall.skill:+.1f}" in page.text
    low, high = live.overall.skill_low, live.overall.skill_high
    assert f"{100 * low:+.1f} to {100 * high:+.1f}" in page.text
    for score in live.scores.values():
        assert f"{100 * score.mae:.2f}" in page.text
        assert f"{100 * score.pinball:.2f}" in page.text
    for words in (
        "weather mode none",
        "release 7",
        "source resolution 60 min",
        "trained on 2025-06-05 to 2026-06-05 (365 days)",
        "1.2e-6, allowed 0.0001",
        "768 entries in the journal, 768 in the store, 768 equal by key and hash",
        "1 min 11 s",
        "yes, the first target",
        "simulated from nsrdb_2013.csv",
        "one value per 60 minutes",
        "Only 4 days could be scored",
    ):
        assert words in page.text


def test_the_page_asks_for_nothing_from_anywhere(live: LiveScores) -> None:
    text = render_live_report(report(live))
    assert not re.search(r"https?:|//[a-z]", text)
    assert "url(" not in text
    assert "@import" not in text
    page = Page(text)
    links = [(tag, value) for tag, name, value in page.attributes if name in {"src", "href"}]
    assert links == [("link", "data:,")]
    assert "script" not in {tag for tag, _, _ in page.attributes}
    assert "NaN" not in text.replace("NaN</title>", "")


def test_every_plot_has_words_for_those_who_cannot_see_it(live: LiveScores) -> None:
    page = Page(render_live_report(report(live)))
    plots = [value for tag, name, value in page.attributes if (tag, name) == ("svg", "aria-label")]
    assert len(plots) == 6  # three, each for a wide and a narrow screen
    assert len(set(plots)) == 3
    assert all(plot.endswith(".") and len(plot) > 60 for plot in plots)
    assert any(f"24-36 h: {100 * live.scores['24-36 h'].mae:.1f} against" in plot for plot in plots)


def test_names_from_outside_cannot_become_markup(live: LiveScores) -> None:
    hostile = '<script>alert("x")</script>'
    bad = replace(
        report(replace(live, agent=hostile, forecasts={hostile: 3})),
        title=hostile,
        site_name=hostile,
        source=Source(hostile),
        notes=(hostile,),
    )
    text = render_live_report(bad)
    assert "<script" not in text
    assert hostile in Page(text).text


def test_scores_inside_the_training_span_raise_an_alarm(published: Fleet, live: LiveScores) -> None:
    assert alarms(report(live)) == ()
    early = published.live(training_end=START + 2 * DAY_MS)
    (alarm,) = alarms(report(early))
    assert "These scores do not count" in alarm
    assert re.sub(r"\s", " ", alarm) in Page(render_live_report(report(early))).text


def test_a_journal_that_lost_entries_raises_an_alarm(live: LiveScores) -> None:
    lost = replace(COMPARISON, matching=766, stored_entries=766, lost=(("aa", (5, 6)),))
    bad = replace(report(live), comparison=lost)
    assert alarms(bad) == ("Journal and store disagree: see the facts below.",)
    (fact,) = [fact for fact in facts(bad) if fact.name == "Journal and store"]
    assert fact.wrong
    assert "2 lost" in fact.value


def test_forecasts_no_better_than_persistence_are_not_praised(fleet: Fleet) -> None:
    for at in issue_times():
        targets = at + np.arange(HORIZON_STEPS) * STEP_MS - 8 * HOUR_MS
        # A fifth closer to the truth on one day, a fifth farther from it on the next.
        share = np.where(targets // DAY_MS % 2, 0.2, -0.2)
        power = persistence_at(at) + share * (truth_at(at) - persistence_at(at))
        fleet.publishes(forecast(at, sure(power)))
    live = fleet.live()
    assert live.overall.skill_low < 0 < live.overall.skill_high
    text = Page(render_live_report(report(live))).text
    assert "not clear of chance" in text
    assert "chance could explain the difference" in " ".join(limits(report(live)))


def test_worse_forecasts_are_called_worse(fleet: Fleet) -> None:
    fleet.publishes(*(forecast(at, sure(5000.0 - banded(at)[3])) for at in issue_times()))
    text = Page(render_live_report(report(fleet.live()))).text
    assert "worse than the reference" in text
    assert "% more mean absolute error" in text


def test_a_report_without_any_forecast_says_so(fleet: Fleet) -> None:
    empty = replace(report(fleet.live()), manifests=(), comparison=None)
    assert "Nothing could be scored" in Page(render_live_report(empty)).text
    assert any(fact.wrong for fact in facts(empty) if fact.name == "After the training span")


def test_real_measurements_are_not_called_simulated(live: LiveScores) -> None:
    real = replace(report(live), source=Source("measured by the site's inverter"))
    said = " ".join(limits(real))
    assert "simulated" not in said
    assert "interpolated" not in said


def test_the_file_is_written_at_once_or_not_at_all(live: LiveScores, tmp_path: Path) -> None:
    file = tmp_path / "new" / "report.html"
    write_live_report(report(live), file)
    assert file.read_text(encoding="utf-8") == render_live_report(report(live))
    assert [path.name for path in file.parent.iterdir()] == ["report.html"]
    with pytest.raises(OSError, match="directory"):
        write_live_report(report(live), file.parent)  # a directory is in the way
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [file]


def test_the_closing_table_says_skill_facts_and_where_the_page_lies(
    live: LiveScores, tmp_path: Path
) -> None:
    console = Console(file=io.StringIO(), width=80, color_system=None)
    console.print(closing_table(report(live), tmp_path / "report.html"))
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    last = re.sub(r"\s+", " ", text[text.index("Skill against") :])
    assert f"{100 * live.overall.skill:+.1f} %" in last
    assert "over 4 days" in last
    assert "report.html" in text.replace("\n", "")
    assert "768 equal by key and hash" in re.sub(r"\s+", " ", text)
    for lead, score in live.scores.items():
        (line,) = [line for line in text.splitlines() if re.match(rf" *{re.escape(lead)}  ", line)]
        assert f"{100 * score.mae:.2f}" in line


HARNESS = """<!doctype html><body><pre id="found"></pre><script>
const page = %s, found = {};
let left = 2;
for (const width of [360, 1200]) {
  const frame = document.createElement("iframe");
  frame.style.cssText = `border:0;height:3000px;width:${width}px`;
  frame.onload = () => {
    const inner = frame.contentDocument, shown = (e) => e.getClientRects().length > 0;
    found[width] = {
      needs: inner.documentElement.scrollWidth,
      plots: [...inner.querySelectorAll("svg")].filter(shown).length,
      text: Math.min(...[...inner.querySelectorAll("svg text")].filter(shown)
        .map((e) => e.getBoundingClientRect().height)),
      loaded: frame.contentWindow.performance.getEntriesByType("resource").length,
    };
    left -= 1;
    if (!left) document.getElementById("found").textContent = JSON.stringify(found);
  };
  frame.srcdoc = page;
  document.body.append(frame);
}
</script>"""
"""Lays the page out in frames of a phone's and a desk's width and measures it there."""


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """Run headless Chromium on a file and return what it prints."""
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("no chromium: apt-get install chromium")
    profile = tmp_path_factory.mktemp("chromium")

    def run(file: Path, *arguments: str) -> str:
        done = subprocess.run(
            [
                program,
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--hide-scrollbars",
                f"--user-data-dir={profile}",
                *arguments,
                file.as_uri(),
            ],
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.mark.browser
def test_the_page_fits_a_phone_and_a_desk_and_loads_nothing(
    live: LiveScores, tmp_path: Path, chromium: Callable[..., str]
) -> None:
    harness = tmp_path / "harness.html"
    page = json.dumps(render_live_report(report(live))).replace("</", "<\\/")
    harness.write_text(HARNESS % page, encoding="utf-8")
    dom = chromium(harness, "--dump-dom")
    (found,) = re.findall(r'<pre id="found">(.*?)</pre>', dom)
    for width, measured in json.loads(found).items():
        assert measured["needs"] <= int(width)
        assert measured["plots"] == 3
        assert measured["text"] >= 10
        assert measured["loaded"] == 0


@pytest.mark.browser
def test_light_and_dark_are_both_drawn(
    live: LiveScores, tmp_path: Path, chromium: Callable[..., str]
) -> None:
    from matplotlib.image import imread

    page = tmp_path / "report.html"
    write_live_report(report(live), page)
    grounds, lines = {}, {"light": (194, 86, 10), "dark": (255, 157, 77)}
    for number, (theme, line) in enumerate(reversed(lines.items())):
        picture = tmp_path / f"{theme}.png"
        chromium(
            page,
            f"--screenshot={picture}",
            "--window-size=1000,1400",
            f"--blink-settings=preferredColorScheme={number}",
        )
        pixels = np.round(255 * imread(picture)[:, :, :3]).astype(int)
        grounds[theme] = int(pixels[0, 0].mean())
        # The line of what was measured, in the colour of this theme.
        assert (np.abs(pixels - line).max(axis=2) <= 8).sum() > 300
    assert grounds["light"] > 200
    assert grounds["dark"] < 60

"""The first page in a real browser: what a person sees, and that no script fails."""

from __future__ import annotations

import re
from pathlib import Path

import httpx
import pytest

from central.service import Running
from tests.browser import browse, text_of

pytestmark = pytest.mark.browser


def test_the_page_shows_sites_power_band_and_bundle(filled: Running, tmp_path: Path) -> None:
    dom = browse(filled.api_url + "/", tmp_path)
    text = text_of(dom)
    for site in ("site_01", "site_02", "device_01"):
        assert site in text
    for said in (
        "2 / 4",
        "sites online",
        "release 7",
        "bundle-7",
        "solar_generation_xgboost",
        "500 W/m²",
        "88 % of 640 (calibrated)",
        "live",
    ):
        assert said in text, said
    for drawn in ('class="outer"', 'class="inner"', 'class="median"', 'class="actual"'):
        assert drawn in dom, drawn
    assert "NaN" not in dom
    assert "undefined" not in dom


def test_a_refused_bundle_is_shown_with_its_reason_as_text(filled: Running, tmp_path: Path) -> None:
    dom = browse(filled.api_url + "/#site_02", tmp_path)
    assert "bundle-8: LengthOrHashMismatchError: <b>x</b>" in text_of(dom)
    assert "&lt;b&gt;x&lt;/b&gt;" in dom


def test_a_site_without_data_says_so(filled: Running, tmp_path: Path) -> None:
    text = text_of(browse(filled.api_url + "/#new_one", tmp_path))
    assert "Neither a forecast nor measured power yet." in text
    assert "never" in text


def test_the_plot_takes_the_width_of_a_phone(filled: Running, tmp_path: Path) -> None:
    dom = browse(filled.api_url + "/#site_01", tmp_path, "--window-size=500,900")
    found = re.search(r'viewBox="0 0 (\d+) (\d+)"', dom)
    assert found is not None
    assert 300 <= int(found.group(1)) < 500  # Chromium opens no narrower window


def test_the_page_loads_nothing_from_elsewhere(filled: Running) -> None:
    page = httpx.get(filled.api_url + "/")
    assert page.headers["content-security-policy"].startswith("default-src 'self'")
    for name in ("", "page.js", "plot.js", "page.css"):
        answer = httpx.get(f"{filled.api_url}/{name}")
        assert answer.status_code == 200
        elsewhere = re.findall(r"https?://[^\s\"']+", answer.text)
        assert set(elsewhere) <= {"http://www.w3.org/2000/svg"}, elsewhere

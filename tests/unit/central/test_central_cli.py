"""What a user can do wrong on the command line ends with one line and exit code 2."""

from __future__ import annotations

from pathlib import Path

import pytest

from central.cli import main

SETTINGS = """
data_dir = "{folder}/var"
[[sites]]
id = "farm"
latitude = 40.0
longitude = -105.0
dc_capacity_w = 6000.0
ac_capacity_w = 5000.0
history = "history.csv"
"""
HISTORY = "timestamp,ac_power\n2023-01-01T00:00:00Z,0\n2023-01-01T00:15:00Z,0\n"
YEAR_2023 = ["--start", "2023-01-01T00:00:00Z", "--end", "2023-02-01T00:00:00Z"]
BACKWARDS = ["--start", "2023-02-01T00:00:00Z", "--end", "2023-01-01T00:00:00Z"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["report", "--agent", "farm", *BACKWARDS], "the window must end after it begins"),
        (["report", "--agent", "nobody", *YEAR_2023], "'nobody' has no [[sites]] table"),
        (["report", "--agent", "farm", "--start", "yesterday"], "not an ISO 8601 instant"),
        (["report", "--agent", "farm", *YEAR_2023, "--save", "no/such/x.json"], "no/such/x.json"),
        (["train", "--until", "2010-01-01T00:00:00Z"], "no site has a history to train on"),
        (["train"], "farm: 0 days of history; at least 68 are needed"),
        (["evaluate"], "run `solar-central train` first"),
        (["release", "--bundle", "no-such-bundle"], "cannot release no-such-bundle"),
        (["compare", "no.sqlite", "--agent", "farm"], "no.sqlite: no such journal"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    said: str,
) -> None:
    config = tmp_path / "central.toml"
    config.write_text(SETTINGS.format(folder=tmp_path), encoding="utf-8")
    (tmp_path / "history.csv").write_text(HISTORY, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["solar-central", *arguments, "--config", str(config)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if "solar-central:" in line]
    assert len(lines) == 1
    assert said in lines[0]

"""Raw files in, processed tables out, each row kept, flagged or removed by a named rule.

Two ways lead through. NSRDB and TMY3 files, which know their place and clock, become a typed
weather frame; read in this order: ``weather`` (the values), ``source_text`` (bytes to lines),
``recognise`` (which format, by content), ``table`` (lines to numbers), ``nsrdb`` and ``tmy3`` (one
format each), ``row_rules`` (which rows may stay), ``read`` (all of that in one call), ``sun_check``
and ``judge_weather`` (does the file agree with the sun), ``engineer`` (columns for people).

All other tables: ``known_columns`` and ``layouts`` (what is understood), ``blocks``,
``series_stamps`` and ``series_parse`` (a stream of bytes to arrays), ``series_rules`` (which rows
may stay), ``judge`` with ``power_quality``, ``held_power``, ``meter_quality``, ``qcrad``,
``clock_shift``, ``level_shift`` and ``peers`` (what is wrong with those), ``features`` (columns for
people), ``process_table`` (all of that).

``process`` chooses between the two for a file, ``preprocess`` does a directory.

    from central.intake import read_weather
    weather = read_weather(Path("nsrdb_2013.csv"))
    weather.frame["ghi"], weather.source.resolution_minutes, weather.report.removed
"""

from .errors import IntakeError
from .power_quality import PowerQuality, judge_power
from .preprocess import FileReport, exit_status, preprocess
from .read import read_weather
from .weather import Gap, ReadReport, Weather, WeatherSource

__all__ = [
    "FileReport",
    "Gap",
    "IntakeError",
    "PowerQuality",
    "ReadReport",
    "Weather",
    "WeatherSource",
    "exit_status",
    "judge_power",
    "preprocess",
    "read_weather",
]

"""Raw files in, one typed weather frame out, each row kept or removed by a named rule.

Read in this order: ``weather`` (the values), ``source_text`` (bytes to lines), ``recognise``
(which format, by content), ``table`` (lines to numbers), ``nsrdb`` and ``tmy3`` (one format each),
``row_rules`` (which rows may stay), ``read`` (all of that in one call), then ``sun_check`` (does
the file agree with the sun), ``engineer`` (columns for people) and ``preprocess`` (a directory).

    from central.intake import read_weather
    weather = read_weather(Path("nsrdb_2013.csv"))
    weather.frame["ghi"], weather.source.resolution_minutes, weather.report.removed
"""

from .errors import IntakeError
from .preprocess import FileReport, exit_status, preprocess
from .read import read_weather
from .weather import Gap, ReadReport, Weather, WeatherSource

__all__ = [
    "FileReport",
    "Gap",
    "IntakeError",
    "ReadReport",
    "Weather",
    "WeatherSource",
    "exit_status",
    "preprocess",
    "read_weather",
]

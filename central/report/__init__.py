"""What the forecasts were worth, for people: numbers, pages and tables.

``live`` scores what an agent really published against what was really measured (``pairs`` lays both
side by side, ``day_ahead`` takes the band that the plot shows). ``facts`` holds what a report says
beside the scores, and its limits; ``html`` and ``text`` show it. ``training`` reports a candidate.
``plots`` and ``svg`` draw, ``page`` frames, ``numbers`` writes numbers for readers.
"""

"""``make demo``: one site, one centre, from a Modbus register to a signed model and back.

Uses the two programs only through their commands, as an operator would; ``__main__`` tells the
story, ``scenario`` decides weather, dates and settings, ``processes`` starts and ends what runs.
"""

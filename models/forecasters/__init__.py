"""Forecasters: the baseline that always works, and the blend that a bundle describes."""

"""SunSpec: devices that describe themselves by the official model definitions.

``definitions`` reads the definitions (package pysunspec2 carries them); ``layout`` lays one over a
device's registers; ``points`` decodes and encodes; ``walk`` finds the models of a device; ``fetch``
reads them so that values and scale factors belong together; ``meaning`` says which point is which
quantity of the contract; ``recorded`` does the same for recordings. See docs/protocol/sunspec.md.
"""

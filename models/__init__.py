"""What edge and centre must agree on: the data contract and the forecast path.

Start with ``models.contract`` (standard library only: quantities, time, records, forecasts,
payloads, topics), then ``models.features`` (the one feature function), ``models.forecasters``
(baselines and the bundle-driven blend), ``models.runtimes`` (TFLite and compiled trees) and
``models.bundle``. This package imports nothing else of ours, and nothing here opens a socket or
starts a thread.
"""

"""Everything that is not on the box: intake, training, release, ingest, API, dashboard.

One way through it: ``intake`` (raw weather files to tables), ``training`` (features, fit, convert,
evaluate), ``registry`` (MLflow), ``release`` (signed bundles), ``ingest`` and ``store`` (what the
fleet sends), ``api`` (what a person sees), ``broker`` (the MQTT broker of the one-host setting).
Imports ``models`` and no other room.
"""

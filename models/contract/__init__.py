"""The contract between device, box and centre, in the standard library alone.

Read in this order: ``quantities`` (the glossary as code), ``timestamps`` and ``clock``, ``record``,
``forecast``, ``messages`` (everything else that crosses the wire), ``payload`` (values <-> bytes),
``topics``, ``settings``, ``errors``. JSON Schemas of every payload are generated from here into
``docs/protocol/`` (``python -m models.contract.schema docs/protocol``).
"""

SCHEMA_VERSION = 1
"""Version of every payload in this contract; a reader refuses versions it does not know."""

"""The contract between device, box and centre, in the standard library alone.

Read in this order: ``quantities`` (the glossary as code), ``timestamps`` and ``clock``, ``record``,
``forecast``, ``messages`` (everything else that crosses the wire), ``payload`` (values <-> bytes),
``topics``, ``settings``, ``errors``. A value that could not travel cannot be built (``checks``).
``python -m models.contract.schema docs/protocol --nomenclature docs/NOMENCLATURE.md`` writes the
JSON Schemas, the page of topics and the glossary from here.
"""

SCHEMA_VERSION = 1
"""Version of every payload in this contract; a reader refuses versions it does not know."""

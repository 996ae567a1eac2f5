"""Small pieces that JSON Schemas of payloads are made of."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from . import SCHEMA_VERSION
from .checks import MAX_COUNT, MAX_TEXT
from .messages import EPOCH_PATTERN
from .quantities import Quantity
from .timestamps import ISO8601_PATTERN
from .topics import BUNDLES, IDENTIFIER_PATTERN

Schema = dict[str, Any]


def object_of(properties: Schema, required: list[str] | None = None, **more: Any) -> Schema:
    """An object that knows no other keys; all of them required unless ``required`` says which."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties) if required is None else required,
        "additionalProperties": False,
        **more,
    }


def payload(name: str, description: str, body: Schema) -> Schema:
    """A whole schema document called ``name``."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:solar-sharing:v{SCHEMA_VERSION}:{name}",
        "title": f"solar-sharing {name}",
        "description": description,
        **body,
    }


def text(description: str, longest: int = MAX_TEXT, shortest: int = 0) -> Schema:
    """A text with lengths in characters."""
    lengths = {"minLength": shortest, "maxLength": longest}
    return {"type": "string", "description": description, **lengths}


def nullable(schema: Schema) -> Schema:
    """``schema``, or null."""
    return {**schema, "type": [schema["type"], "null"]}


def integer(description: str, lowest: int = 0, highest: int = MAX_COUNT) -> Schema:
    """A whole number within limits."""
    return {"type": "integer", "description": description, "minimum": lowest, "maximum": highest}


def share(description: str) -> Schema:
    """A number from 0 to 1."""
    return {"type": "number", "description": description, "minimum": 0, "maximum": 1}


def enum(words: type[StrEnum], description: str) -> Schema:
    """One word of an enumeration."""
    return {"type": "string", "description": description, "enum": [word.value for word in words]}


def instant(description: str) -> Schema:
    """An ISO 8601 time with a zone."""
    return {
        "type": "string",
        "description": f"{description}; ISO 8601 with a zone",
        "pattern": f"^{ISO8601_PATTERN}$",
    }


def identifier(description: str) -> Schema:
    """A name as topics have it."""
    return {
        "type": "string",
        "description": description,
        "pattern": f"^{IDENTIFIER_PATTERN}$",
        "not": {"const": BUNDLES},
    }


def quantity_text(quantity: Quantity) -> str:
    """``ambient air temperature [degC]``."""
    return f"{quantity.meaning} [{quantity.unit}]"


def value(quantity: Quantity) -> Schema:
    """A value of ``quantity`` in its base unit; limits are told, not enforced."""
    limits = f"possible: {quantity.limits}, beyond it is suspect"
    return {"type": "number", "description": f"{quantity_text(quantity)}; {limits}"}


VERSION: Schema = {"const": SCHEMA_VERSION, "description": "version of this schema"}
EPOCH: Schema = {
    "type": "string",
    "description": "journal epoch, random and new at every start of the agent",
    "pattern": f"^{EPOCH_PATTERN}$",
}
SEQ = integer("number of the journal entry, growing within its epoch", 1)
KEY: Schema = {"epoch": EPOCH, "seq": SEQ}
KEY_TOGETHER: Schema = {"epoch": ["seq"], "seq": ["epoch"]}


def journal_object(properties: Schema) -> Schema:
    """An object that carries a journal key when it comes from an agent's journal."""
    return object_of(
        {**properties, **KEY}, required=list(properties), dependentRequired=KEY_TOGETHER
    )

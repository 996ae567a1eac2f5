"""How an archive is cut for a broker: pieces, and an index that says how many there are.

Both sides agree on it here. The index is not signed and not believed: it only tells a reader when
to stop; length and hash are checked against the signed metadata.
"""

from __future__ import annotations

import json

from models.contract.fields import Fields
from models.contract.payload.json_text import parse_json

PIECE_BYTES = 200_000
"""Small enough for any broker's packet limit, and for a slow link's timeout per message."""
INDEX = "index"
"""Topic level of the index, beside the pieces ``0``, ``1``, ..."""
MAX_PIECES = 1000


def encode_index(length: int) -> bytes:
    """Index of an archive of ``length`` bytes."""
    return json.dumps({"length": length, "pieces": -(-length // PIECE_BYTES)}).encode()


def decode_index(data: bytes) -> int:
    """Number of pieces. Raises ``PayloadError`` for nonsense."""
    fields = Fields(parse_json(data, 1000))
    fields.integer("length", 1)
    pieces: int = fields.integer("pieces", 1, MAX_PIECES)
    return pieces

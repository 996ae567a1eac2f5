"""Smart meters that push telegrams through a P1 port (DSMR, eSMR, e-MUCS and their kin). Pure.

``telegram``: bytes to telegrams, each whole and proved, or refused. ``lines``: the lines of one.
``obis``: what their codes mean. ``values``: numbers, times and texts between the brackets.
``decode``: quantities of the contract and details. docs/protocol/p1.md says what is believed when.
"""

from .decode import decode_telegram, identify_telegram
from .telegram import RefusedTelegram, Telegram, TelegramBuffer

__all__ = [
    "RefusedTelegram",
    "Telegram",
    "TelegramBuffer",
    "decode_telegram",
    "identify_telegram",
]

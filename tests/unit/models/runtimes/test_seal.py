"""A damaged model file never reaches native code."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.runtimes.base import RuntimeLoadError
from models.runtimes.seal import seal, unseal


@given(st.binary(max_size=300))
def test_unseal_gives_back_what_was_sealed(content: bytes) -> None:
    assert unseal(seal(content), "x") == content


@given(st.binary(max_size=100), st.data())
def test_a_file_cut_anywhere_is_refused(content: bytes, data: st.DataObject) -> None:
    sealed = seal(content)
    length = data.draw(st.integers(0, len(sealed) - 1))
    with pytest.raises(RuntimeLoadError):
        unseal(sealed[:length], "x")


@given(st.binary(max_size=100), st.data())
def test_one_flipped_bit_anywhere_is_refused(content: bytes, data: st.DataObject) -> None:
    damaged = bytearray(seal(content))
    position = data.draw(st.integers(0, len(damaged) - 1))
    damaged[position] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(RuntimeLoadError):
        unseal(bytes(damaged), "x")


def test_the_message_names_the_file_and_tells_damage_from_a_missing_seal() -> None:
    with pytest.raises(RuntimeLoadError, match=r"bundle/lstm\.tflite: no seal"):
        unseal(b"never sealed", "bundle/lstm.tflite")
    damaged = b"X" + seal(b"sound content")[1:]
    with pytest.raises(RuntimeLoadError, match=r"bundle/lstm\.tflite: .*damaged"):
        unseal(damaged, "bundle/lstm.tflite")

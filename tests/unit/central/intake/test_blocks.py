"""Laws of the block reader: no row is lost, moved or invented, however the file is cut."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from central.intake import blocks
from central.intake.blocks import TextStream

_CELL = st.text(alphabet="abc019. -", max_size=4)
_LINE = st.one_of(
    st.lists(_CELL, min_size=3, max_size=3).map(",".join),
    st.lists(_CELL, min_size=1, max_size=5).map(",".join),
    st.just(""),
    st.just('"x,y",1,2'),
)


def _rows(content: bytes, size: int) -> list[tuple[int, bool, str]]:
    """(line, ragged, text) of each row."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "table.csv"
        path.write_bytes(content)
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(blocks, "_BLOCK_BYTES", size)
            stream = TextStream(path)
            try:
                stream.head(1)
                found = []
                for block in stream.blocks(skip=1, separator=",", width=3):
                    texts = block.text.decode().rstrip("\n").split("\n")
                    assert len(texts) == block.lines.size == block.ragged.size
                    texts = [text.rstrip("\r") for text in texts]
                    found += list(
                        zip(block.lines.tolist(), block.ragged.tolist(), texts, strict=True)
                    )
                return found
            finally:
                stream.close()


@given(
    lines=st.lists(_LINE, max_size=30),
    size=st.integers(1, 200),
    end=st.sampled_from(["\n", "\r\n"]),
)
def test_every_row_comes_once_with_its_line_however_the_file_is_cut(
    lines: list[str], size: int, end: str
) -> None:
    content = end.join(["a,b,c", *lines]).encode()
    found = _rows(content, size)
    assert found == _rows(content, 1 << 20)
    numbers = [number for number, _, _ in found]
    assert numbers == [n for n, line in enumerate(lines, start=2) if line.strip()]
    for number, ragged, text in found:
        line = lines[number - 2]
        cells = 3 if line.startswith('"') else line.count(",") + 1
        bare = line.rstrip(", ").count(",") + 1
        assert ragged == (cells < 3 or (cells > 3 and bare > 3))
        if ragged:
            assert text == ",,"
        elif cells == 3:
            assert text == line


def test_fingerprint_is_that_of_the_unpacked_text(tmp_path: Path) -> None:
    import gzip
    import hashlib

    content = b"a,b,c\n" + b"1,2,3\n" * 5000
    plain, packed = tmp_path / "plain.csv", tmp_path / "packed.csv"
    plain.write_bytes(content)
    packed.write_bytes(gzip.compress(content))
    for path in (plain, packed):
        stream = TextStream(path)
        rows = sum(block.lines.size for block in stream.blocks(skip=1, separator=",", width=3))
        assert rows == 5000
        assert stream.sha256 == hashlib.sha256(content).hexdigest()
        stream.close()

"""Unpacking takes exactly the files of the manifest and nothing else, whoever made the archive."""

from __future__ import annotations

import io
import os
import shutil
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from models.bundle.archive import (
    ArchiveError,
    hash_file,
    pack,
    read_manifest,
    unpack,
    verify_directory,
)
from models.bundle.manifest import MANIFEST_NAME
from models.bundle.manifest_json import encode_manifest
from tests.bundles import CPU, OTHER_CPU, Bundles

Members = list[tuple[tarfile.TarInfo, bytes]]


@pytest.fixture
def archive(bundles: Bundles, tmp_path: Path) -> Path:
    directory = bundles.make()
    pack(directory, read_manifest(directory), tmp_path / "good.tar")
    return tmp_path / "good.tar"


def rewrite(
    archive: Path, change: Callable[[Members], None], form: int = tarfile.USTAR_FORMAT
) -> Path:
    """The same archive with other members, as an attacker with a signing key could make it."""
    with tarfile.open(archive) as tar:
        members: Members = []
        for member in tar.getmembers():
            source = tar.extractfile(member)
            assert source is not None
            members.append((member, source.read()))
    change(members)
    target = archive.with_name("changed.tar")
    with tarfile.open(target, "w", format=form) as tar:
        for member, data in members:
            tar.addfile(member, io.BytesIO(data))
    return target


def member(
    name: str, data: bytes = b"x", kind: bytes = tarfile.REGTYPE
) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, len(data)
    if kind in (tarfile.SYMTYPE, tarfile.LNKTYPE):
        info.linkname = "/etc/passwd"
    return info, data


def test_packed_and_unpacked_is_what_was_built(archive: Path, tmp_path: Path) -> None:
    manifest = unpack(archive, tmp_path / "out", CPU)
    verify_directory(tmp_path / "out", manifest, CPU)
    assert read_manifest(tmp_path / "out") == manifest
    assert all(not path.stat().st_mode & 0o222 for path in (tmp_path / "out").rglob("*.so"))


def test_same_files_give_the_same_archive(bundles: Bundles, tmp_path: Path) -> None:
    directory = bundles.make()
    manifest = read_manifest(directory)
    pack(directory, manifest, tmp_path / "one.tar")
    shutil.copytree(directory, tmp_path / "elsewhere")
    for path in (tmp_path / "elsewhere").rglob("*"):
        os.utime(path, (1, 1))
        path.chmod(0o700)
    pack(tmp_path / "elsewhere", manifest, tmp_path / "two.tar")
    assert hash_file(tmp_path / "one.tar") == hash_file(tmp_path / "two.tar")


def test_box_unpacks_only_what_its_cpu_needs(bundles: Bundles, tmp_path: Path) -> None:
    directory = bundles.make()
    manifest = read_manifest(directory)
    ((name, model),) = manifest.models.items()
    shutil.copytree(directory / "trees", directory / "other")
    (files,) = model.files.values()
    other = tuple(replace(one, path=one.path.replace("trees", "other")) for one in files)
    model = replace(model, files={CPU: files, OTHER_CPU: other})
    manifest = replace(manifest, models={name: model})
    pack(directory, manifest, tmp_path / "both.tar")
    unpack(tmp_path / "both.tar", tmp_path / "out", OTHER_CPU)
    assert (tmp_path / "out" / "other").is_dir()
    assert not (tmp_path / "out" / "trees").exists()
    verify_directory(tmp_path / "out", manifest, OTHER_CPU)
    with pytest.raises(ArchiveError, match=r"is not named|is no file here"):
        verify_directory(tmp_path / "out", manifest, CPU)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda m: m.append(member("../outside")), "is not named by the manifest"),
        (lambda m: m.append(member("/tmp/outside")), "is not named by the manifest"),
        (lambda m: m.append(member("trees/../../outside")), "is not named by the manifest"),
        (lambda m: m.append(member("extra.py")), "is not named by the manifest"),
        (lambda m: m.append(member("link", b"", tarfile.SYMTYPE)), "is not a plain file"),
        (lambda m: m.append(member("link", b"", tarfile.LNKTYPE)), "is not a plain file"),
        (lambda m: m.append(member("node", b"", tarfile.CHRTYPE)), "is not a plain file"),
        (lambda m: m.append(member("pipe", b"", tarfile.FIFOTYPE)), "is not a plain file"),
        (lambda m: m.append(member("trees/", b"", tarfile.DIRTYPE)), "is not a plain file"),
        (lambda m: m.append(m[1]), "is not named by the manifest, or twice"),
        (lambda m: m.append(m[0]), "is not named by the manifest, or twice"),
        (lambda m: m.pop(), "missing from the archive"),
        (lambda m: m.pop(0), f"the first file of the archive is not {MANIFEST_NAME}"),
        (lambda m: m.clear(), f"the first file of the archive is not {MANIFEST_NAME}"),
        (lambda m: m.__setitem__(0, member(MANIFEST_NAME, b"{}")), "manifest.json: v: is missing"),
        (lambda m: m.__setitem__(0, member(MANIFEST_NAME, b" " * 300_000)), "are too many"),
        (
            lambda m: m.__setitem__(1, member(m[1][0].name, m[1][1][:-1] + b"?")),
            "SHA-256 is not the one",
        ),
        (lambda m: m.__setitem__(1, member(m[1][0].name, m[1][1] + b"?")), "declared"),
    ],
)
def test_archive_that_is_not_its_manifest(
    archive: Path, tmp_path: Path, change: Callable[[Members], None], words: str
) -> None:
    with pytest.raises(ArchiveError, match=words):
        unpack(rewrite(archive, change), tmp_path / "deep" / "out", CPU)
    assert not (tmp_path / "outside").exists()
    assert not (tmp_path / "deep" / "outside").exists()


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_names_and_extended_headers_are_not_interpreted(
    archive: Path, tmp_path: Path, form: int
) -> None:
    long = rewrite(archive, lambda m: m.insert(0, member("é" * 200)), form)
    with pytest.raises(ArchiveError, match="is not a plain file"):
        unpack(long, tmp_path / "out", CPU)


@pytest.mark.parametrize("keep", [0, 100, 511, 512, 700, 3000, -513, -1200])
def test_archive_cut_short(archive: Path, tmp_path: Path, keep: int) -> None:
    cut = tmp_path / "cut.tar"
    cut.write_bytes(archive.read_bytes()[:keep])
    with pytest.raises(ArchiveError):
        unpack(cut, tmp_path / "out", CPU)


def test_archive_that_goes_on_after_its_end(archive: Path, tmp_path: Path) -> None:
    with archive.open("ab") as file:
        file.write(b"more")
    with pytest.raises(ArchiveError, match="goes on after its end"):
        unpack(archive, tmp_path / "out", CPU)


def test_every_flipped_header_byte_is_noticed(archive: Path, tmp_path: Path) -> None:
    data = bytearray(archive.read_bytes())
    second = 512 + -(-len(encode_manifest_of(archive)) // 512) * 512
    for place in range(second, second + 512, 7):
        data[place] ^= 0x55
        changed = tmp_path / "flipped.tar"
        changed.write_bytes(data)
        with pytest.raises(ArchiveError):
            unpack(changed, tmp_path / f"out-{place}", CPU)
        data[place] ^= 0x55


def encode_manifest_of(archive: Path) -> bytes:
    with tarfile.open(archive) as tar:
        first = tar.next()
        assert first is not None
        source = tar.extractfile(first)
        assert source is not None
        return source.read()


def test_directory_with_a_changed_missing_extra_or_linked_file(bundles: Bundles) -> None:
    def flaw(spoil: Callable[[Path], object]) -> str:
        directory = bundles.make()
        manifest = read_manifest(directory)
        verify_directory(directory, manifest)
        spoil(directory)
        with pytest.raises(ArchiveError) as caught:
            verify_directory(directory, manifest)
        return str(caught.value)

    library = "trees/q500.so"
    assert flaw(lambda d: (d / "x.py").write_text("1")) == "x.py: is not named by the manifest"
    assert "is no file here" in flaw(lambda d: (d / library).unlink())
    data = bytearray((bundles.make() / library).read_bytes())
    data[-1] ^= 1
    assert "SHA-256" in flaw(lambda d: (d / library).write_bytes(data))
    assert "bytes" in flaw(lambda d: (d / library).write_bytes(b""))

    def link(directory: Path) -> None:
        (directory / library).unlink()
        (directory / library).symlink_to(directory / "trees/q250.so")

    assert "is no file here" in flaw(link)


def test_pack_refuses_files_that_are_not_the_manifests(bundles: Bundles, tmp_path: Path) -> None:
    directory = bundles.make()
    manifest = read_manifest(directory)
    (directory / "golden.npz").write_bytes(b"other")
    with pytest.raises(ArchiveError, match=r"golden.npz: 5 bytes"):
        pack(directory, manifest, tmp_path / "x.tar")


def test_manifest_file_that_is_missing_or_broken_is_named(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match=r"manifest.json: cannot be read"):
        read_manifest(tmp_path)
    (tmp_path / MANIFEST_NAME).write_bytes(b"{}")
    with pytest.raises(ArchiveError, match=r"manifest.json: v: is missing"):
        read_manifest(tmp_path)


def test_manifest_on_disk_is_the_canonical_one(archive: Path, tmp_path: Path) -> None:
    manifest = unpack(archive, tmp_path / "out")
    assert (tmp_path / "out" / MANIFEST_NAME).read_bytes() == encode_manifest(manifest)

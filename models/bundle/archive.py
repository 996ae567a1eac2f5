"""Bundle directory <-> tar, safely. Beside ``models.runtimes`` the only code here that uses a disk.

Packing is deterministic: the same files give the same bytes, so the same hash. Unpacking believes
nothing although a signature was checked before: plain files only, the manifest first, then exactly
the files it names, each within its declared size and with its hash; everything is on the disk
(fsync of files and directories) when :func:`unpack` returns. Only the plain ustar header is read;
``tarfile`` never gets to interpret long names, links, sparse files or extended headers.
"""

from __future__ import annotations

import hashlib
import os
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import IO

from models.contract.errors import ContractError

from .manifest import MANIFEST_NAME, MAX_MANIFEST_BYTES, BundleFile, Manifest
from .manifest_json import decode_manifest, encode_manifest

_BLOCK = 512
_CHUNK = 1 << 20


class ArchiveError(ContractError):
    """A bundle whose files are not what its manifest says; names the file."""


def describe_file(directory: Path, path: str) -> BundleFile:
    """Path, hash and size of ``directory / path``, for a manifest. Raises ``ArchiveError``."""
    try:
        digest, size = _hash(directory / path)
        return BundleFile(path, digest, size)
    except OSError as error:
        raise ArchiveError(f"{directory / path}: cannot be read: {error.strerror}") from None
    except ContractError as error:
        raise ArchiveError(f"{directory / path}: {error}") from None


def write_manifest(directory: Path, manifest: Manifest) -> None:
    """Write ``manifest`` into its bundle directory."""
    (directory / MANIFEST_NAME).write_bytes(encode_manifest(manifest))


def read_manifest(directory: Path) -> Manifest:
    """The manifest of a bundle directory. Raises ``ContractError`` naming file and field."""
    path = directory / MANIFEST_NAME
    try:
        with path.open("rb") as file:
            data = file.read(MAX_MANIFEST_BYTES + 1)
    except OSError as error:
        raise ArchiveError(f"{path}: cannot be read: {error.strerror}") from None
    try:
        return decode_manifest(data)
    except ContractError as error:
        raise ArchiveError(f"{path}: {error}") from None


def verify_directory(directory: Path, manifest: Manifest, cpu: str | None = None) -> None:
    """Raise ``ArchiveError`` unless ``directory`` holds exactly the files of ``manifest``.

    ``cpu``: only the files that this CPU needs (an unpacked bundle); None: all (a built one).
    Every byte is read again from the disk.
    """
    wanted = {file.path: file for file in _chosen(manifest, cpu)}
    present = {
        path.relative_to(directory).as_posix()
        for path in directory.rglob("*")
        if path.is_symlink() or not path.is_dir()
    }
    for extra in sorted(present - wanted.keys() - {MANIFEST_NAME}):
        raise ArchiveError(f"{extra}: is not named by the manifest")
    for path, file in wanted.items():
        if path not in present or (directory / path).is_symlink():
            raise ArchiveError(f"{path}: is named by the manifest but is no file here")
        _compare(describe_file(directory, path), file)


def pack(directory: Path, manifest: Manifest, target: Path) -> None:
    """Write the bundle in ``directory`` to the tar ``target``, described by ``manifest``.

    The manifest comes from the value, not from the directory, so that a release can be stamped
    without touching what was built. Raises ``ArchiveError`` when the files do not match.
    """
    verify_directory(directory, manifest)
    with target.open("wb") as out:
        _append(out, MANIFEST_NAME, encode_manifest(manifest))
        for file in sorted(manifest.files(), key=lambda one: one.path):
            data = (directory / file.path).read_bytes()
            _compare(BundleFile(file.path, hashlib.sha256(data).hexdigest(), len(data)), file)
            _append(out, file.path, data)
        out.write(bytes(2 * _BLOCK))
        _sync_file(out)


def unpack(archive: Path, directory: Path, cpu: str | None = None) -> Manifest:
    """Unpack ``archive`` into the new ``directory`` and return its manifest.

    Files for other CPUs than ``cpu`` are checked like the rest and left out. On any error
    ``directory`` is left half full: it is a staging place, to be removed by the caller.

    Raises:
        ArchiveError: anything but exactly the files of its manifest.
        OSError: the disk is full or broken.
    """
    directory.mkdir(parents=True)
    with archive.open("rb") as source:
        manifest_member = _next(source)
        if manifest_member is None or manifest_member.name != MANIFEST_NAME:
            raise ArchiveError(f"the first file of the archive is not {MANIFEST_NAME}")
        if manifest_member.size > MAX_MANIFEST_BYTES:
            raise ArchiveError(f"{MANIFEST_NAME}: {manifest_member.size} bytes are too many")
        data = _body(source, manifest_member.size)
        try:
            manifest = decode_manifest(data)
        except ContractError as error:
            raise ArchiveError(f"{MANIFEST_NAME}: {error}") from None
        _write(directory / MANIFEST_NAME, data)
        missing = {file.path: file for file in manifest.files()}
        kept = {file.path for file in _chosen(manifest, cpu)}
        while (member := _next(source)) is not None:
            file = missing.pop(member.name, None)
            if file is None:
                raise ArchiveError(f"{member.name[:120]!r}: is not named by the manifest, or twice")
            if member.size != file.size:
                raise ArchiveError(f"{file.path}: {member.size} bytes, {file.size} declared")
            data = _body(source, member.size)
            _compare(BundleFile(file.path, hashlib.sha256(data).hexdigest(), len(data)), file)
            if file.path in kept:
                _write(directory / file.path, data)
        for path in missing:
            raise ArchiveError(f"{path}: is named by the manifest but missing from the archive")
    sync_tree(directory)
    return manifest


def sync_tree(directory: Path) -> None:
    """fsync every file and directory from ``directory`` down, then the directory that holds it."""
    for root, _, names in os.walk(directory):
        for name in names:
            path = Path(root, name)
            if not path.is_symlink():
                _sync_path(path)
        _sync_path(Path(root))
    _sync_path(directory.parent)


def sync_directory(directory: Path) -> None:
    """fsync one directory: renames and removals in it survive a power cut."""
    _sync_path(directory)


def hash_file(path: Path) -> str:
    """SHA-256 of a file in hex."""
    return _hash(path)[0]


def _chosen(manifest: Manifest, cpu: str | None) -> Iterable[BundleFile]:
    return manifest.files() if cpu is None else manifest.files_for(cpu)


def _compare(found: BundleFile, declared: BundleFile) -> None:
    if found.size != declared.size:
        raise ArchiveError(f"{declared.path}: {found.size} bytes, {declared.size} declared")
    if found.sha256 != declared.sha256:
        raise ArchiveError(f"{declared.path}: its SHA-256 is not the one in the manifest")


def _append(out: IO[bytes], name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(data), 0o444
    out.write(member.tobuf(tarfile.USTAR_FORMAT))
    out.write(data)
    out.write(bytes(-len(data) % _BLOCK))


def _next(source: IO[bytes]) -> tarfile.TarInfo | None:
    """The next header; None at the end of the archive. Plain files only."""
    block = source.read(_BLOCK)
    if block == bytes(_BLOCK):
        if source.read().strip(b"\0"):
            raise ArchiveError("the archive goes on after its end")
        return None
    try:
        member = tarfile.TarInfo.frombuf(block, "utf-8", "strict")
    except (tarfile.HeaderError, ValueError) as error:
        raise ArchiveError(f"the archive is broken: {error}") from None
    if member.type != tarfile.REGTYPE:
        raise ArchiveError(f"{member.name[:120]!r}: is not a plain file")
    return member


def _body(source: IO[bytes], size: int) -> bytes:
    data = source.read(size)
    if len(data) != size or len(source.read(-size % _BLOCK)) != -size % _BLOCK:
        raise ArchiveError("the archive ends in the middle of a file")
    return data


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as file:
        file.write(data)
    path.chmod(0o444)


def _hash(path: Path) -> tuple[str, int]:
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            size += len(chunk)
    return digest.hexdigest(), size


def _sync_file(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())


def _sync_path(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
        # Whoever reads it next reads the disk, not our memory of it.
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)

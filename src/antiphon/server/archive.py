"""The whole workspace, or everything about one user, as files that another server takes in.

An archive is a folder, or the same as a `.tar.gz`, in this order:

    manifest.json               `{"format": "antiphon-archive", "version": 1, ...}`
    resources/00000001.jsonl    a hundred resources, one a line, with `media_type` where there is a content
    contents/00000001           the bytes of the first resource that has any, and so on
    conversations/00000001.jsonl    a hundred conversations, one a line, each with its document
    journals/<id>.jsonl         what happened in a conversation, line by line
    recordings/<id>.mp3         its sound
    deliveries.jsonl            webhooks that still wait to be posted; only in the archive of a user
    complete.json               how many there are of each: an archive without it is only a part of one

It is written and read a piece at a time, so that its size does not matter. API keys are not in it, since nobody has
them but their owners; secrets of the workspace are, in clear.
"""

from __future__ import annotations

import asyncio
import gzip
import io
import os
import tarfile
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Generator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol, cast

import msgspec

from antiphon.errors import AntiphonError, ConflictError, NotFoundError
from antiphon.store.conversations import Conversation, Wanted
from antiphon.store.recordings import Recordings
from antiphon.store.resources import Resource, dumps
from antiphon.store.store import Store

FORMAT, VERSION = "antiphon-archive", 1
BATCH = 100
"Resources or conversations in a file and in a transaction."
SECTIONS = ("resources", "contents", "conversations", "journals", "recordings", "deliveries")

Progress = Callable[[str], None]
"Called with the section of each thing that was written, read or erased."


class ArchiveError(AntiphonError):
    """An archive cannot be written or read: it is none, of another version, damaged, or only a part."""


# ----------------------------------------------------------------------------------------------------------- export


async def export_workspace(
    store: Store, recordings: Recordings, target: Path, *, now: float, progress: Progress = lambda section: None
) -> Mapping[str, int]:
    """Write everything to `target`, a new `.tar.gz` or folder. Returns how many there are of each.

    A server may go on meanwhile; what changes under way is in the archive as it was before or after.

    Raises:
        ArchiveError: there is something at `target` already, or it cannot be written.
        StoreError: the store cannot be read.
    """
    async with _writing(target, {"about": "workspace", "created_at": now}, progress) as writer:
        place: tuple[str, str] | None = None
        while found := await store.resources.following(place, BATCH):
            last = found[-1][0]
            place = last.kind, last.id
            await writer.rows("resources", [{**asdict(one), "media_type": media} for one, media in found])
            for resource, media_type in found:
                if media_type is not None:
                    _, data = await store.resources.content(resource.kind, resource.id)
                    await writer.add("contents", data)
        await _export_conversations(writer, store, recordings, None)
    return writer.counts


async def export_user(
    store: Store,
    recordings: Recordings,
    user_id: str,
    target: Path,
    *,
    now: float,
    progress: Progress = lambda section: None,
) -> Mapping[str, int]:
    """The same for everything about one user: what is returned is what they may ask for.

    Raises:
        ArchiveError: as for `export_workspace`.
        StoreError: the store cannot be read.
    """
    about = {"about": "user", "user_id": user_id, "created_at": now}
    async with _writing(target, about, progress) as writer:
        waiting = await _export_conversations(writer, store, recordings, user_id)
        if waiting:
            await writer.rows("deliveries", waiting, "deliveries.jsonl")
    return writer.counts


async def _export_conversations(
    writer: _Writer, store: Store, recordings: Recordings, user_id: str | None
) -> list[dict[str, Any]]:
    """Returns the webhooks of a user's conversations that wait, without their secrets."""
    waiting: list[dict[str, Any]] = []
    last: str | None = None
    while found := await store.conversations.following(last, BATCH, user_id=user_id):
        last = found[-1].id
        await writer.rows("conversations", [asdict(one) for one in found])
        for conversation in found:
            if pieces := await store.conversations.journal(conversation.id):
                await writer.add("journals", b"".join(pieces), f"journals/{conversation.id}.jsonl")
            try:
                sound = await recordings.get(conversation.id)
            except NotFoundError:
                pass
            else:
                await writer.add("recordings", sound, f"recordings/{conversation.id}.mp3")
            if user_id is not None:
                waiting += [
                    {"conversation_id": one.conversation_id, "event": one.event, "created_at": one.created_at}
                    for one in await store.deliveries.waiting(conversation.id)
                ]
    return waiting


# ----------------------------------------------------------------------------------------------------------- import


async def import_workspace(
    store: Store,
    recordings: Recordings,
    source: Path,
    *,
    replace: bool = False,
    progress: Progress = lambda section: None,
) -> Mapping[str, int]:
    """Take in what an archive holds, beside what there is. Returns how many there are of each.

    The archive is read twice: nothing is written before all of it was looked at. If the store fails half way, the same
    import with `replace` goes on.

    Raises:
        ArchiveError: it is no archive, of another version, damaged, or only a part of one.
        ConflictError: something of the same id is there already, and `replace` is not set.
        StoreError: the store cannot be written.
    """
    counts = await _check(store, source, replace=replace)
    expected: list[tuple[str, str, str]] = []  # contents that follow the resources which were read last
    with _reading(source) as files:
        while (file := await asyncio.to_thread(next, files, None)) is not None:
            section, name, data = file
            match section:
                case "resources":
                    expected = await _restore_resources(store, data)
                case "contents":
                    if not expected:
                        raise ArchiveError("the archive is damaged: a content belongs to nothing")
                    kind, identifier, media_type = expected.pop(0)
                    await store.resources.put_content(kind, identifier, media_type, data)
                case "conversations":
                    found = [_decoded(line, Conversation) for line in data.splitlines()]
                    await store.conversations.restore(found)
                case "journals":
                    await store.conversations.restore_journal(name.removesuffix(".jsonl"), data)
                case "recordings":
                    await recordings.put(name.removesuffix(".mp3"), data)
                case _:
                    continue
            for _ in range(_things(section, data)):
                progress(section)
    return counts


async def _restore_resources(store: Store, data: bytes) -> list[tuple[str, str, str]]:
    found = [_decoded(line, dict[str, Any]) for line in data.splitlines()]
    media_types = [one.pop("media_type", None) for one in found]
    restored = [_converted(one, Resource) for one in found]
    await store.resources.restore(restored)
    pairs = zip(restored, media_types, strict=True)
    return [(one.kind, one.id, media_type) for one, media_type in pairs if media_type is not None]


async def _check(store: Store, source: Path, *, replace: bool) -> Mapping[str, int]:
    """Read all of it. Returns how many there are of each."""
    counts: Counter[str] = Counter()
    announced: Mapping[str, int] | None = None
    expected = 0
    with _reading(source) as files:
        while (file := await asyncio.to_thread(next, files, None)) is not None:
            section, name, data = file
            if section == "complete.json":
                announced = _decoded(data, dict[str, int])
                continue
            counts[section] += _things(section, data)
            if section == "resources":
                found = [_decoded(line, dict[str, Any]) for line in data.splitlines()]
                expected += sum(one.pop("media_type", None) is not None for one in found)
                restored = [_converted(one, Resource) for one in found]
                if not replace:
                    await _refuse_resources(store, restored)
            elif section == "conversations":
                ids = [_decoded(line, Conversation).id for line in data.splitlines()]
                if not replace and (there := await store.conversations.some(ids)):
                    raise ConflictError(f"there is a conversation {min(there)!r} already: nothing was imported")
            elif section == "recordings" and not _is_id(name.removesuffix(".mp3")):
                raise ArchiveError(f"the archive is damaged: {name!r} is no recording's name")
    if announced is None:
        raise ArchiveError("the archive is only a part of one: its export was broken off")
    if dict(announced) != {section: counts[section] for section in announced} or counts["contents"] != expected:
        raise ArchiveError("the archive is damaged: it does not hold what it says")
    return announced


async def _refuse_resources(store: Store, given: Sequence[Resource]) -> None:
    for kind in {one.kind for one in given}:
        there = await store.resources.some(kind, [one.id for one in given if one.kind == kind])
        if there:
            raise ConflictError(f"there is a {kind} {there[0].id!r} already: nothing was imported")


def _is_id(text: str) -> bool:
    return text.replace("_", "").replace("-", "").isalnum()


# ---------------------------------------------------------------------------------------------------------- erasure


async def erase_user(
    store: Store, recordings: Recordings, user_id: str, parts: Path, *, progress: Progress = lambda section: None
) -> Mapping[str, int]:
    """Forget everything about one user. Returns how many there were of each.

    A conversation that lives is not ended; the server that has it writes nothing more of it down. `parts`: the folder
    in which recordings grow.

    Raises:
        StoreError: not everything could be erased; erasing again goes on.
    """
    erased: Counter[str] = Counter()

    def note(section: str, many: int = 1) -> None:
        erased[section] += many
        for _ in range(many):
            progress(section)

    while found := await store.conversations.ids(Wanted(user_id=user_id), limit=BATCH):
        for identifier in found:
            note("deliveries", await store.deliveries.forget(identifier))
            note("journals", bool(await store.conversations.journal(identifier)))
            note("recordings", await _erase_recording(recordings, identifier, parts))
            try:
                await store.conversations.delete(identifier)
            except NotFoundError:  # somebody else was faster
                continue
            note("conversations")
    await store.database.scrub()
    return {section: erased[section] for section in ("conversations", "journals", "recordings", "deliveries")}


async def _erase_recording(recordings: Recordings, identifier: str, parts: Path) -> bool:
    there = True
    try:
        await recordings.get(identifier)
    except NotFoundError:
        there = False
    await recordings.delete(identifier)
    part = parts / f"{identifier}.mp3.part"
    if await asyncio.to_thread(part.exists):
        await asyncio.to_thread(part.unlink, missing_ok=True)
        there = True
    return there


# ------------------------------------------------------------------------------------------------------------ files


class _Files(Protocol):
    """Where an archive is written to."""

    def write(self, name: str, data: bytes) -> None: ...


class _Writer:
    """Numbers and counts what is written."""

    def __init__(self, files: _Files, progress: Progress) -> None:
        self._files = files
        self._progress = progress
        self._numbers: Counter[str] = Counter()
        self.counts: Counter[str] = Counter()

    async def rows(self, section: str, rows: Sequence[Mapping[str, Any]], name: str | None = None) -> None:
        """One JSON object a line."""
        self._numbers[section] += 1
        data = "".join(dumps(row) + "\n" for row in rows).encode()
        await self._write(section, data, name or f"{section}/{self._numbers[section]:08}.jsonl", len(rows))

    async def add(self, section: str, data: bytes, name: str | None = None) -> None:
        """One file."""
        self._numbers[section] += 1
        await self._write(section, data, name or f"{section}/{self._numbers[section]:08}", 1)

    async def _write(self, section: str, data: bytes, name: str, things: int) -> None:
        await asyncio.to_thread(self._files.write, name, data)
        self.counts[section] += things
        for _ in range(things):
            self._progress(section)


@asynccontextmanager
async def _writing(target: Path, about: Mapping[str, Any], progress: Progress) -> AsyncGenerator[_Writer]:
    """An archive that is complete when this is left in good order, and else not there, or not complete."""
    try:
        if await asyncio.to_thread(_is_taken, target):
            raise ArchiveError(f"there is something at {target} already")
        with _tar(target) if target.name.endswith((".tar.gz", ".tgz")) else _folder(target) as files:
            files.write("manifest.json", dumps({"format": FORMAT, "version": VERSION, **about}).encode())
            writer = _Writer(files, progress)
            yield writer
            files.write("complete.json", dumps(writer.counts).encode())
    except OSError as error:
        raise ArchiveError(f"{target} cannot be written: {error.strerror or error}") from error


def _is_taken(target: Path) -> bool:
    return target.exists() and not (target.is_dir() and not any(target.iterdir()))


class _Folder:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def write(self, name: str, data: bytes) -> None:
        file = self._folder / name
        file.parent.mkdir(mode=0o700, exist_ok=True)
        file.touch(mode=0o600)
        file.write_bytes(data)


@contextmanager
def _folder(target: Path) -> Generator[_Files]:
    target.mkdir(mode=0o700, parents=True, exist_ok=True)
    yield _Folder(target)


class _Tar:
    def __init__(self, archive: tarfile.TarFile) -> None:
        self._archive = archive

    def write(self, name: str, data: bytes) -> None:
        member = tarfile.TarInfo(name)
        member.size = len(data)
        member.mode = 0o600
        self._archive.addfile(member, io.BytesIO(data))
        cast("Any", self._archive).members.clear()  # it would remember every one


@contextmanager
def _tar(target: Path) -> Generator[_Files]:
    """For its owner alone, since it holds secrets; under its name once it is whole."""
    draft = target.with_name(target.name + ".part")
    target.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with (
            os.fdopen(descriptor, "wb") as file,
            gzip.GzipFile(fileobj=file, mode="wb", compresslevel=6) as zipped,
            tarfile.open(fileobj=zipped, mode="w|") as archive,
        ):
            yield _Tar(archive)
        os.replace(draft, target)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


@contextmanager
def _reading(source: Path) -> Generator[Iterator[tuple[str, str, bytes]]]:
    """Section, name within it and bytes of each file, after the manifest. Raises ArchiveError, while it is read too."""
    files = _tar_files(source) if source.is_file() else _folder_files(source)
    checked = _checked(files, source)
    try:
        yield checked
    finally:
        checked.close()
        files.close()


def _checked(files: Iterator[tuple[str, bytes]], source: Path) -> Generator[tuple[str, str, bytes]]:
    try:
        name, manifest = next(files, ("", b""))
        if name != "manifest.json":
            raise ArchiveError(f"{source} is no archive of a workspace")
        about = _decoded(manifest, dict[str, Any])
        if about.get("format") != FORMAT:
            raise ArchiveError(f"{source} is no archive of a workspace")
        if about.get("version") != VERSION:
            raise ArchiveError(f"the archive is of version {about.get('version')}; this program reads {VERSION}")
        for name, data in files:
            section, separator, inner = name.partition("/")
            yield (section, inner, data) if separator else (_TOP.get(name, name), name, data)
    except (tarfile.TarError, EOFError) as error:
        raise ArchiveError(f"the archive is damaged: {error}") from error
    except OSError as error:
        raise ArchiveError(f"{source} cannot be read: {error.strerror or error}") from error


_TOP = {"deliveries.jsonl": "deliveries"}


def _tar_files(source: Path) -> Generator[tuple[str, bytes]]:
    with tarfile.open(source, mode="r|gz") as archive:
        for member in archive:
            content = archive.extractfile(member) if member.isfile() else None
            if content is not None:
                yield member.name, content.read()
            cast("Any", archive).members.clear()


def _folder_files(source: Path) -> Generator[tuple[str, bytes]]:
    yield "manifest.json", (source / "manifest.json").read_bytes()
    contents = 0
    for section in SECTIONS:
        if section == "contents":
            continue
        for file in sorted((source / section).glob("*")):
            data = file.read_bytes()
            yield f"{section}/{file.name}", data
            if section == "resources":  # contents follow their resources, as in the tar
                for line in data.splitlines():
                    if _decoded(line, dict[str, Any]).get("media_type") is not None:
                        contents += 1
                        yield f"contents/{contents:08}", (source / "contents" / f"{contents:08}").read_bytes()
    for name in (*_TOP, "complete.json"):
        if (source / name).exists():
            yield name, (source / name).read_bytes()


def _things(section: str, data: bytes) -> int:
    return len(data.splitlines()) if section in ("resources", "conversations", "deliveries") else 1


def _decoded(data: bytes, kind: Any) -> Any:
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.DecodeError as error:
        raise ArchiveError(f"the archive is damaged: {error}") from error


def _converted(value: object, kind: Any) -> Any:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise ArchiveError(f"the archive is damaged: {error}") from error

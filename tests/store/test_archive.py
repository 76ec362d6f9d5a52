"""Archives: the whole workspace, everything about one user, and the erasure of it; on both kinds of database."""

from __future__ import annotations

import asyncio
import json
import tarfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest

from antiphon.errors import ConflictError, NotFoundError
from antiphon.server.archive import ArchiveError, erase_user, export_user, export_workspace, import_workspace
from antiphon.server.records import Records
from antiphon.store.recordings import FolderRecordings
from antiphon.store.store import Store, open_store

CANARY = "canary-3f9a17"
NOW = 1_700_000_000.0


def line(at: float, **said: Any) -> bytes:
    return json.dumps({"at": at, **said}).encode() + b"\n"


class Kept:
    """A store, its recordings, and what writes them."""

    def __init__(self, store: Store, folder: Path) -> None:
        self.store = store
        self.parts = folder
        self.recordings = FolderRecordings(folder)
        self.records = Records(store.conversations, self.recordings, folder, lambda: NOW)

    async def converse(self, identifier: str, user_id: str, *, webhook: bool = False, words: str = "Hello.") -> None:
        """A conversation that is over, with a recording."""
        header = {"version": 2, "conversation_id": identifier, "agent_id": "desk", "started_at": NOW - 60}
        lines = line(0.0, journal={**header, "user_id": user_id})
        lines += line(1.0, out={"type": "agent_response", "agent_response_event": {"agent_response": words}})
        lines += line(2.0, end={"close_code": 1000, "reason": "over", "error_type": None})
        await self.records.append({identifier: (0, lines)}, ())
        self.records.append_audio(identifier, f"sound of {identifier} {words}".encode())
        hooks = [({"url": "https://example.com", "secret": "s3cret"}, "post_call_transcription")] if webhook else []
        await self.records.finish(identifier, hooks)

    async def fill(self) -> None:
        """More than one batch of everything."""
        resources = self.store.resources
        for number in range(120):
            await resources.create("agent", f"agent_{number:03}", f"Agent {number}", {"n": number}, now=NOW + number)
        await resources.create("secret", "sec_1", "token", {"value": "s3cret"}, now=NOW)
        for number in range(3):
            await resources.create("document", f"doc_{number}", "paper", {"é": number}, now=NOW, parent="folder_1")
            await resources.put_content("document", f"doc_{number}", "application/pdf", bytes([number]) * 1000)
        await resources.update("agent", "agent_007", now=NOW + 500, archived=True)
        for number in range(105):
            await self.converse(f"conv_{number:03}", f"user-{number % 2}")

    async def everything(self) -> dict[str, Any]:
        """All that an archive carries over."""
        found = await self.store.resources.following(None, 1000)
        talks = await self.store.conversations.following(None, 1000)
        contents = [await self.store.resources.content(one.kind, one.id) for one, media in found if media]
        journals = {one.id: b"".join(await self.store.conversations.journal(one.id)) for one in talks}
        sounds = {one.id: await self.recordings.get(one.id) for one in talks}
        return {"found": found, "contents": contents, "talks": talks, "journals": journals, "sounds": sounds}


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.component("postgresql"))])
def database(request: pytest.FixtureRequest) -> Any:
    """Makes the URL of an empty database: `with database(folder) as url`."""
    if request.param == "postgresql":
        cluster = request.getfixturevalue("cluster")
        return lambda folder: cluster.database()
    return lambda folder: nullcontext(f"sqlite:///{folder}/antiphon.db")


@pytest.fixture
def kept(database: Any, tmp_path: Path) -> Any:
    """An empty place: `async with kept("first") as first`."""

    @asynccontextmanager
    async def make(name: str) -> AsyncGenerator[Kept]:
        folder = tmp_path / name
        folder.mkdir()
        with database(folder) as url:
            async with open_store(url) as store:
                yield Kept(store, folder / "recordings")

    return make


@pytest.mark.parametrize("name", ["workspace.tar.gz", "workspace"])
def test_what_is_exported_can_be_imported(kept: Any, tmp_path: Path, name: str) -> None:
    """Everything is as it was, times, contents, journals and sound included, and counted."""
    target = tmp_path / name

    async def scene() -> None:
        async with kept("first") as first, kept("second") as second:
            await first.fill()
            counts = await export_workspace(first.store, first.recordings, target, now=NOW)
            assert dict(counts) == {
                "resources": 124,
                "contents": 3,
                "conversations": 105,
                "journals": 105,
                "recordings": 105,
            }
            told: list[str] = []
            taken = await import_workspace(second.store, second.recordings, target, progress=told.append)
            assert taken == counts
            assert {section: told.count(section) for section in set(told)} == counts
            assert await second.everything() == await first.everything()

    asyncio.run(scene())
    assert target.stat().st_mode & 0o077 == 0, "it holds secrets"


def test_an_import_overwrites_only_when_told(kept: Any, tmp_path: Path) -> None:
    """Nothing at all is done if one id is taken; with `replace` it is what the archive says."""
    target = tmp_path / "workspace.tar.gz"

    async def scene() -> None:
        async with kept("first") as first, kept("second") as second:
            await first.fill()
            await export_workspace(first.store, first.recordings, target, now=NOW)
            await second.converse("conv_104", "user-0", words="Something else.")
            with pytest.raises(ConflictError, match="conv_104"):
                await import_workspace(second.store, second.recordings, target)
            assert await second.store.resources.count() == 0
            await second.store.conversations.delete("conv_104")
            await second.store.resources.create("secret", "sec_1", "token", {"value": "other"}, now=NOW)
            with pytest.raises(ConflictError, match="sec_1"):
                await import_workspace(second.store, second.recordings, target)
            assert await second.store.resources.count() == 1
            for _ in range(2):
                await import_workspace(second.store, second.recordings, target, replace=True)
                assert await second.everything() == await first.everything()

    asyncio.run(scene())


def test_an_export_overwrites_nothing(kept: Any, tmp_path: Path) -> None:
    """Neither a file nor a folder with something in it."""
    (tmp_path / "taken.tar.gz").write_text("mine")
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").write_text("mine")

    async def scene() -> None:
        async with kept("first") as first:
            for name in ("taken.tar.gz", "taken"):
                with pytest.raises(ArchiveError, match="already"):
                    await export_workspace(first.store, first.recordings, tmp_path / name, now=NOW)

    asyncio.run(scene())
    assert (tmp_path / "taken.tar.gz").read_text() == "mine"


def test_what_is_no_whole_archive_is_refused(kept: Any, tmp_path: Path) -> None:
    """Cut off, incomplete, of another version, something else: nothing is written."""
    whole, folder = tmp_path / "whole.tar.gz", tmp_path / "folder"

    async def scene() -> None:
        async with kept("first") as first, kept("second") as second:
            await first.fill()
            await export_workspace(first.store, first.recordings, whole, now=NOW)
            await export_workspace(first.store, first.recordings, folder, now=NOW)
            cut = tmp_path / "cut.tar.gz"
            cut.write_bytes(whole.read_bytes()[:-2000])
            text = tmp_path / "text.tar.gz"
            text.write_text("hello")
            for source in (cut, text, tmp_path / "none.tar.gz"):
                with pytest.raises(ArchiveError):
                    await import_workspace(second.store, second.recordings, source)
            manifest = folder / "manifest.json"
            said = manifest.read_text()
            manifest.write_text(said.replace('"version":1', '"version":2'))
            with pytest.raises(ArchiveError, match="version 2"):
                await import_workspace(second.store, second.recordings, folder)
            manifest.write_text(said)
            (folder / "recordings" / "conv_003.mp3").unlink()
            with pytest.raises(ArchiveError, match="does not hold"):
                await import_workspace(second.store, second.recordings, folder)
            (folder / "complete.json").unlink()
            with pytest.raises(ArchiveError, match="only a part"):
                await import_workspace(second.store, second.recordings, folder)
            assert await second.store.resources.count() == 0
            assert await second.store.conversations.following(None, 10) == []

    asyncio.run(scene())


def test_a_users_archive_holds_what_is_theirs_alone(kept: Any, tmp_path: Path) -> None:
    """Their conversations, journals, recordings and queued webhooks; nobody else's, no agents, no secrets."""
    target = tmp_path / "user.tar.gz"

    async def scene() -> None:
        async with kept("first") as first:
            await first.fill()
            await first.converse("conv_anna", "anna", webhook=True)
            counts = await export_user(first.store, first.recordings, "anna", target, now=NOW)
            assert counts == {"conversations": 1, "journals": 1, "recordings": 1, "deliveries": 1}

    asyncio.run(scene())
    with tarfile.open(target) as archive:
        names = archive.getnames()
        whole = b"".join(file.read() for name in names if (file := archive.extractfile(name)) is not None)
    assert names == [
        "manifest.json",
        "conversations/00000001.jsonl",
        "journals/conv_anna.jsonl",
        "recordings/conv_anna.mp3",
        "deliveries.jsonl",
        "complete.json",
    ]
    assert b"user-0" not in whole
    assert b"s3cret" not in whole


def test_erasing_a_user_leaves_nothing_of_them(kept: Any, tmp_path: Path) -> None:
    """Not in a table, not in a file, not in the rest of a page or of the log of SQLite; others' are untouched."""

    async def scene() -> None:
        async with kept("first") as first:
            for number in range(110):
                await first.converse(f"conv_a{number:03}", CANARY, webhook=number == 0, words=f"{CANARY} " * 50)
            await first.converse("conv_other", "other", webhook=True)
            first.records.append_audio("conv_a000", CANARY.encode())
            counts = await erase_user(first.store, first.recordings, CANARY, first.parts)
            assert counts == {"conversations": 110, "journals": 110, "recordings": 110, "deliveries": 1}
            assert [one.id for one in await first.store.conversations.following(None, 10)] == ["conv_other"]
            assert [one.conversation_id for one in await first.store.deliveries.waiting()] == ["conv_other"]
            assert await first.store.conversations.journal("conv_other")
            with pytest.raises(NotFoundError):
                await first.records.document("conv_a000")
            left = [file for file in tmp_path.rglob("*") if file.is_file()]  # noqa: ASYNC240
            assert [file for file in left if CANARY.encode() in file.read_bytes()] == []
            again = await erase_user(first.store, first.recordings, CANARY, first.parts)
            assert set(again.values()) == {0}

    asyncio.run(scene())


def test_what_is_erased_while_it_is_written_stays_erased(kept: Any) -> None:
    """The server that has the conversation finds it gone at its end, and keeps no recording of it either."""

    async def scene() -> None:
        async with kept("first") as first:
            header = {"version": 2, "conversation_id": "conv_live", "agent_id": "desk", "started_at": NOW}
            await first.records.append({"conv_live": (0, line(0.0, journal={**header, "user_id": "anna"}))}, ())
            first.records.append_audio("conv_live", b"one")
            await erase_user(first.store, first.recordings, "anna", first.parts)
            await first.records.append({"conv_live": (1, line(1.0, end={"close_code": 1000}))}, ())
            first.records.append_audio("conv_live", b"two")
            with pytest.raises(NotFoundError):
                await first.records.finish("conv_live")
            with pytest.raises(NotFoundError):
                await first.records.audio("conv_live")
            assert not list(first.parts.iterdir())

    asyncio.run(scene())

"""Secrets at rest: no byte of the database tells them, and only the right key opens them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from antiphon.store.sealing import SEALED_KINDS, Sealer, SealError
from antiphon.store.store import Store, open_store

Ask = Callable[[Coroutine[Any, Any, Any]], Any]
CANARY = "canary-4711-of-the-tests"
OLD, NEW = Sealer(["the old key"]), Sealer(["the new key", "the old key"])


async def kept(store: Store) -> list[str]:
    """Documents as the database has them."""
    query = text("SELECT document FROM resources ORDER BY kind, id")
    return await store.database.read(lambda connection: list(connection.scalars(query)))


async def everything(store: Store) -> Any:
    return [(one.kind, one.id, one.document) for one, _ in await store.resources.following(None, 100)]


async def fill(store: Store, kinds: frozenset[str] | set[str] = SEALED_KINDS) -> None:
    for kind in sorted(kinds):
        await store.resources.create(kind, f"{kind}_1", "name", {"value": CANARY}, now=1.0)


@pytest.mark.parametrize("kind", sorted(SEALED_KINDS))
def test_what_is_secret_is_sealed_and_comes_out(url: str, ask: Ask, kind: str) -> None:
    """Whichever way it goes in: made, changed, put, restored; an agent stays as readable as it was."""

    async def scene() -> None:
        async with open_store(url, OLD) as store:
            resources = store.resources
            made = await resources.create(kind, "one", "name", {"value": CANARY}, now=1.0)
            assert made.document == {"value": CANARY}
            assert (await resources.update(kind, "one", now=2.0, document={"value": f"{CANARY}2"})).document == {
                "value": f"{CANARY}2"
            }
            await resources.put(kind, "two", "name", {"value": CANARY}, now=1.0)
            await resources.restore([made])
            assert (await resources.get(kind, "one")).document == {"value": CANARY}
            assert len(await resources.all(kind)) == len((await resources.page(kind)).items) == 2
            assert all(CANARY not in document for document in await kept(store))
            await resources.create("agent", "a", "name", {"value": 1}, now=1.0)
            assert '{"value":1}' in await kept(store)

    ask(scene())


def test_each_sealing_is_another(url: str, ask: Ask) -> None:
    """Nobody sees that two secrets are the same; one cannot be put in another's place."""

    async def scene() -> None:
        async with open_store(url, OLD) as store:
            for name in ("one", "two"):
                await store.resources.create("secret", name, "", {"value": CANARY}, now=1.0)
            one, two = await kept(store)
            assert one != two
            change = text("UPDATE resources SET document = :d WHERE id = 'two'")
            await store.database.write(lambda connection: connection.execute(change, {"d": one}))
            with pytest.raises(SealError, match="was changed in the database"):
                await store.resources.get("secret", "two")

    ask(scene())


def test_plain_ones_and_those_of_an_earlier_key_are_sealed_with_the_first(url: str, ask: Ask) -> None:
    """Once; what they are, and when they were changed, stays."""

    async def scene() -> None:
        async with open_store(url) as store:
            await fill(store)
            before = await everything(store)
            changed_at = (await store.resources.get("secret", "secret_1")).updated_at
        for sealer, count in ((OLD, len(SEALED_KINDS)), (OLD, 0), (NEW, len(SEALED_KINDS)), (NEW, 0)):
            async with open_store(url, sealer) as store:
                assert await store.resources.seal() == count
                assert all(document.startswith(f"sealed:1:{sealer.key_id}:") for document in await kept(store))
                assert await everything(store) == before
                assert (await store.resources.get("secret", "secret_1")).updated_at == changed_at

    ask(scene())


@pytest.mark.parametrize("sealer", [None, Sealer(["another key"])], ids=["no key", "another key"])
def test_without_its_key_a_secret_is_an_error_that_says_so(url: str, ask: Ask, sealer: Sealer | None) -> None:
    """The message names the key by its id, and what to set; nothing is overwritten."""

    async def scene() -> None:
        async with open_store(url, OLD) as store:
            await fill(store, {"secret"})
            before = await kept(store)
        async with open_store(url, sealer) as store:
            questions = [store.resources.get("secret", "secret_1"), store.resources.all("secret")]
            if sealer is not None:
                questions.append(store.resources.seal())
            for question in questions:
                with pytest.raises(SealError, match=f"sealed with the key {OLD.key_id}.*secret_key"):
                    await question
            assert await kept(store) == before

    ask(scene())


@pytest.mark.parametrize("sealed", ["sealed:1:{id}:", "sealed:1:{id}:AAAA", "sealed:1:{id}:not base64", "sealed:1:"])
def test_what_is_no_sealed_document_is_an_error(sealed: str) -> None:
    """Cut off, empty, anything."""
    with pytest.raises(SealError):
        OLD.open("secret", "one", sealed.format(id=OLD.key_id))


def test_no_byte_of_the_files_tells_a_secret(tmp_path: Path) -> None:
    """Neither after it was kept, nor after one that lay there in clear was sealed; the write-ahead log included."""
    url = f"sqlite:///{tmp_path}/antiphon.db"

    def found() -> bool:
        return any(CANARY.encode() in file.read_bytes() for file in tmp_path.iterdir())

    async def scene() -> None:
        async with open_store(url) as store:
            await fill(store)
            assert found()
        async with open_store(url, OLD) as store:
            await store.resources.seal()
            assert not found()
            await store.resources.create("secret", "late", "", {"value": CANARY}, now=1.0)
            await store.resources.update("secret", "late", now=2.0, document={"value": f"{CANARY} changed"})
            assert not found()
        assert not found()

    asyncio.run(scene())

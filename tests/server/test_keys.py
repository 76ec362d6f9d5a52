"""What is kept in the data folder stays the same, and its owner's."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import httpx
import pytest

from antiphon.errors import ConfigError
from antiphon.server.keys import signing_secret, workspace_key
from antiphon.store.sealing import SealError

Serving = Callable[..., AbstractAsyncContextManager[Any]]


def test_a_key_is_made_once_and_then_kept(tmp_path: Path) -> None:
    """A restart changes neither the key nor the secret; only the first time says that it was made."""
    data = tmp_path / "new" / "data"
    first = workspace_key(data)
    assert first.generated
    assert first.text.startswith("sk_")
    assert workspace_key(data) == (first.text, False)
    assert signing_secret(data) == signing_secret(data)


def test_only_the_owner_can_read_what_is_kept(tmp_path: Path) -> None:
    """Mode 0600, and no draft is left behind."""
    workspace_key(tmp_path)
    signing_secret(tmp_path)
    files = sorted(tmp_path.iterdir())
    assert [file.name for file in files] == ["signing.secret", "workspace.key"]
    assert [stat.S_IMODE(file.stat().st_mode) for file in files] == [0o600, 0o600]


def test_servers_that_start_together_agree_on_the_key(tmp_path: Path) -> None:
    """One of them makes it, whole; the others read it."""
    with ThreadPoolExecutor(8) as threads:
        kept = list(threads.map(lambda _: workspace_key(tmp_path), range(32)))
    assert len({key.text for key in kept}) == 1
    assert [key.generated for key in kept].count(True) == 1


def test_two_data_folders_have_two_keys(tmp_path: Path) -> None:
    """Nothing is shared between servers but the folder."""
    assert workspace_key(tmp_path / "a").text != workspace_key(tmp_path / "b").text
    assert signing_secret(tmp_path / "a") != signing_secret(tmp_path / "b")


def test_a_folder_that_cannot_be_is_a_config_error(tmp_path: Path) -> None:
    """The path says which file."""
    (tmp_path / "data").write_text("a file")
    with pytest.raises(ConfigError) as caught:
        workspace_key(tmp_path / "data")
    assert caught.value.path == str(tmp_path / "data" / "workspace.key")


def test_an_empty_key_file_is_a_config_error(tmp_path: Path) -> None:
    """An empty key would let everybody in who sends none."""
    (tmp_path / "workspace.key").write_text("\n")
    with pytest.raises(ConfigError, match="empty"):
        workspace_key(tmp_path)


# ------------------------------------------------------------------------------------------------- secrets at rest


async def keep_secret(server: Any, value: str) -> str:
    """The id of a secret, kept over REST."""
    async with httpx.AsyncClient(base_url=server.address, trust_env=False) as client:
        body = {"name": "token", "value": value}
        answer = await client.post("/v1/convai/secrets", json=body, headers={"xi-api-key": "sk_of_the_tests"})
        return answer.json()["secret_id"]


def test_a_secret_is_in_no_file_of_the_data_folder(serving: Serving, tmp_path: Path) -> None:
    """Neither while the server runs nor afterwards; the next start reads it with the key that was made."""

    def found() -> list[Path]:
        return [file for file in (tmp_path / "data").rglob("*") if file.is_file() and b"canary-99" in file.read_bytes()]

    async def scene() -> None:
        async with serving() as server:
            identifier = await keep_secret(server, "canary-99")
            assert found() == []
        assert found() == []
        async with serving() as server:
            assert await server.services.workspace.secret(identifier) == "canary-99"

    asyncio.run(scene())
    assert (tmp_path / "data" / "secret.key").stat().st_mode & 0o777 == 0o600


def test_a_new_key_seals_what_an_earlier_one_opens(serving: Serving) -> None:
    """From the generated one to one that is set, to the next; without the earlier one the server says what is missing
    and does not start."""

    async def scene() -> None:
        async with serving() as server:
            identifier = await keep_secret(server, "value")
        for key in ("the first that is set", "the second, the first that is set", "the second"):
            async with serving(secret_key=key) as server:
                assert await server.services.workspace.secret(identifier) == "value"
        with pytest.raises(SealError, match="secret_key has to hold it"):
            async with serving(secret_key="a third"):
                pass
        async with serving(secret_key="a third, the second", signing_secret="x" * 20) as server:
            assert await server.services.workspace.secret(identifier) == "value"

    asyncio.run(scene())


def test_the_signing_secret_seals_where_no_other_key_is_set(serving: Serving, tmp_path: Path) -> None:
    """Nodes that share it and a database need no other setting."""

    async def scene() -> None:
        async with serving(signing_secret="shared by all nodes") as server:
            identifier = await keep_secret(server, "value")
        assert not (tmp_path / "data" / "secret.key").exists()
        async with serving(signing_secret="shared by all nodes") as server:
            assert await server.services.workspace.secret(identifier) == "value"

    asyncio.run(scene())

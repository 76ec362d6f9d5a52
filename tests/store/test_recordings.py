"""Recordings: in a folder or in a bucket of an S3-compatible server, what is put in comes out."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from antiphon.errors import ConfigError, NotFoundError, StoreError
from antiphon.store.recordings import FolderRecordings, Recordings, open_recordings

Ask = Callable[[Coroutine[Any, Any, Any]], Any]
SOUND = bytes(range(256)) * 400


@pytest.fixture(params=["folder", pytest.param("bucket", marks=pytest.mark.component("s3"))])
def recordings(request: pytest.FixtureRequest, tmp_path: Path) -> Recordings:
    """Nothing kept yet, of each kind."""
    if request.param == "folder":
        return open_recordings(f"file://{tmp_path}/recordings")
    request.getfixturevalue("bucket_credentials")
    return open_recordings(f"s3://calls/{tmp_path.name}")


def test_what_is_put_comes_out(recordings: Recordings, ask: Ask) -> None:
    """As it went in; the newest; nothing of nobody."""
    ask(recordings.put("conv_1", SOUND))
    ask(recordings.put("conv_2", b""))
    assert ask(recordings.get("conv_1")) == SOUND
    assert ask(recordings.get("conv_2")) == b""
    ask(recordings.put("conv_1", SOUND[:7]))
    assert ask(recordings.get("conv_1")) == SOUND[:7]
    with pytest.raises(NotFoundError, match="conv_3"):
        ask(recordings.get("conv_3"))


def test_what_is_deleted_is_gone(recordings: Recordings, ask: Ask) -> None:
    """It alone; to delete it again is no mistake."""
    ask(recordings.put("conv_1", SOUND))
    ask(recordings.put("conv_10", SOUND))
    ask(recordings.delete("conv_1"))
    ask(recordings.delete("conv_1"))
    with pytest.raises(NotFoundError):
        ask(recordings.get("conv_1"))
    assert ask(recordings.get("conv_10")) == SOUND


def test_many_may_be_put_and_read_at_once(recordings: Recordings, ask: Ask) -> None:
    """Each is its own."""

    async def everybody() -> list[bytes]:
        names = [f"conv_{number}" for number in range(12)]
        await asyncio.gather(*(recordings.put(name, name.encode() * 1000) for name in names))
        return await asyncio.gather(*map(recordings.get, names))

    assert ask(everybody()) == [f"conv_{number}".encode() * 1000 for number in range(12)]


@pytest.mark.component("s3")
@pytest.mark.usefixtures("bucket_credentials")
def test_a_bucket_that_fails_is_a_store_error(
    ask: Ask, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """There is none of that name, or nobody answers; neither message nor log has the key in it."""
    caplog.set_level(logging.DEBUG)
    missing = open_recordings("s3://nobody/x")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    silent = open_recordings("s3://calls/x", {"retry_config": {"max_retries": 0}})
    questions = (missing.put("conv_1", SOUND), silent.put("conv_1", SOUND), silent.get("c"), silent.delete("c"))
    for question in questions:
        with pytest.raises(StoreError, match="object store failed") as caught:
            ask(question)
        assert "canary-key" not in str(caught.value)
    assert "canary-key" not in caplog.text


def test_another_kind_of_place_is_a_config_error() -> None:
    """A folder or a bucket."""
    with pytest.raises(ConfigError, match="recordings"):
        open_recordings("ftp://host/folder")


def test_a_folder_that_cannot_be_is_a_config_error(tmp_path: Path) -> None:
    """Said at the start."""
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="recordings"):
        FolderRecordings(tmp_path / "file" / "recordings")

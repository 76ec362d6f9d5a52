"""Recordings of conversations: MP3 files in a folder, or objects in an S3-compatible store."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from antiphon.errors import ConfigError, NotFoundError, StoreError


class Recordings(Protocol):
    """Where sound is kept, by the id of its conversation. Ids are the server's own and hold nothing but letters,
    digits, `_` and `-`."""

    async def put(self, conversation_id: str, audio: bytes) -> None:
        """Keep it, whole or not at all. Raises StoreError."""
        ...

    async def get(self, conversation_id: str) -> bytes:
        """What is kept. Raises NotFoundError, StoreError."""
        ...

    async def delete(self, conversation_id: str) -> None:
        """Forget it, if there is any. Raises StoreError."""
        ...


def open_recordings(url: str, options: Mapping[str, Any] | None = None) -> Recordings:
    """Those in a folder (`file:///path` or a path) or in a bucket (`s3://bucket/prefix`; credentials and region as
    usual in the environment, `AWS_ACCESS_KEY_ID`, `AWS_ENDPOINT_URL`, ...).

    Raises:
        ConfigError: it is neither, cannot be written to, or what it needs is not installed.
    """
    if url.startswith("s3://"):
        return _bucket(url, options or {})
    if "://" in url and not url.startswith("file://"):
        raise ConfigError("should be a folder or s3://bucket/prefix", path="recordings")
    return FolderRecordings(Path(url.removeprefix("file://")))


class FolderRecordings:
    """One file each."""

    def __init__(self, folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"recordings cannot be kept: {error}", path="recordings") from error
        self._folder = folder

    async def put(self, conversation_id: str, audio: bytes) -> None:
        """See Recordings."""

        def write() -> None:
            target = self.file(conversation_id)
            draft = target.with_suffix(".part")
            draft.write_bytes(audio)
            os.replace(draft, target)

        try:
            await asyncio.to_thread(write)
        except OSError as error:
            raise StoreError(f"a recording could not be kept: {error.strerror}") from error

    async def get(self, conversation_id: str) -> bytes:
        """See Recordings."""
        try:
            return await asyncio.to_thread(self.file(conversation_id).read_bytes)
        except FileNotFoundError as error:
            raise NotFoundError("recording", conversation_id) from error
        except OSError as error:
            raise StoreError(f"a recording could not be read: {error.strerror}") from error

    async def delete(self, conversation_id: str) -> None:
        """See Recordings."""
        try:
            await asyncio.to_thread(self.file(conversation_id).unlink, missing_ok=True)
        except OSError as error:
            raise StoreError(f"a recording could not be deleted: {error.strerror}") from error

    def file(self, conversation_id: str) -> Path:
        """Where it lies, if there is any. Raises NotFoundError: no conversation has such an id."""
        if not conversation_id.replace("_", "").replace("-", "").isalnum():
            raise NotFoundError("recording", conversation_id)
        return self._folder / f"{conversation_id}.mp3"


def _bucket(url: str, options: Mapping[str, Any]) -> Recordings:
    try:
        from obstore.store import S3Store
    except ModuleNotFoundError as error:
        raise ConfigError("obstore is missing: install antiphon[s3]", path="recordings") from error
    try:
        return BucketRecordings(S3Store.from_url(url, **options))
    except Exception as error:
        raise ConfigError(f"no such bucket: {error}", path="recordings") from error


class BucketRecordings:
    """One object each, in any store that `obstore` knows."""

    def __init__(self, store: Any) -> None:
        self._store = store

    async def put(self, conversation_id: str, audio: bytes) -> None:
        """See Recordings."""
        import obstore

        try:
            await obstore.put_async(self._store, f"{conversation_id}.mp3", audio)
        except Exception as error:  # a door: the library's errors share no class
            raise StoreError("a recording could not be kept: the object store failed") from error

    async def get(self, conversation_id: str) -> bytes:
        """See Recordings."""
        import obstore

        try:
            answer = await obstore.get_async(self._store, f"{conversation_id}.mp3")
            return bytes(await answer.bytes_async())
        except FileNotFoundError as error:
            raise NotFoundError("recording", conversation_id) from error
        except Exception as error:
            raise StoreError("a recording could not be read: the object store failed") from error

    async def delete(self, conversation_id: str) -> None:
        """See Recordings."""
        import obstore

        try:
            await obstore.delete_async(self._store, f"{conversation_id}.mp3")
        except FileNotFoundError:
            pass
        except Exception as error:
            raise StoreError("a recording could not be deleted: the object store failed") from error

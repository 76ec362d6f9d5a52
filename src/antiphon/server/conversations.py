"""What is kept of conversations: in the data folder, `conversations/<id>.jsonl` is the journal, which grows while one
lives, and `conversations/<id>.json` the stored document, which is written at its end. Where it is recorded,
`conversations/<id>.mp3.part` grows beside the journal, and is `conversations/<id>.mp3` at the end.

These functions block; callers on the event loop go through a thread.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from antiphon.errors import ConfigError, NotFoundError
from antiphon.record.document import conversation_document

_ID = re.compile(r"conv_[A-Za-z0-9]{1,128}")


class ConversationFolder:
    """Journals, documents and recordings of conversations, by id."""

    def __init__(self, folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"conversations cannot be kept: {error}", path=str(folder)) from error
        self._folder = folder

    def append(self, conversation_id: str, lines: Iterable[bytes]) -> None:
        """Add whole lines to a journal. Raises OSError."""
        with self._journal(conversation_id).open("ab") as journal:
            journal.writelines(lines)

    def append_audio(self, conversation_id: str, mp3: bytes) -> None:
        """Add sound to a recording. Raises OSError."""
        with self._recording(conversation_id).with_suffix(".mp3.part").open("ab") as recording:
            recording.write(mp3)

    def finish_audio(self, conversation_id: str) -> None:
        """The recording is whole. Raises OSError."""
        target = self._recording(conversation_id)
        os.replace(target.with_suffix(".mp3.part"), target)

    def finish(self, conversation_id: str) -> None:
        """Write the document of a conversation that is over, whole or not at all. Raises OSError."""
        document = json.dumps(self._fold(conversation_id), ensure_ascii=False, indent=1)
        target = self._document(conversation_id)
        draft = target.with_suffix(".json.part")
        draft.write_text(document, encoding="utf-8")
        os.replace(draft, target)

    def document(self, conversation_id: str) -> dict[str, Any]:
        """What is known of a conversation, over or not.

        Raises:
            NotFoundError: there has been none of that id.
        """
        try:
            return json.loads(self._document(conversation_id).read_bytes())
        except FileNotFoundError:
            pass
        try:
            return self._fold(conversation_id)
        except FileNotFoundError as error:
            raise NotFoundError("conversation", conversation_id) from error

    def audio(self, conversation_id: str) -> Path:
        """The recording of a conversation, MP3.

        Raises:
            NotFoundError: there is none, or the conversation goes on.
        """
        recording = self._recording(conversation_id)
        if not recording.is_file():
            raise NotFoundError("conversation_audio", conversation_id)
        return recording

    def _fold(self, conversation_id: str) -> dict[str, Any]:
        recorded = self._recording(conversation_id).is_file()
        with self._journal(conversation_id).open("rb") as journal:
            return conversation_document(journal, recordings=("user", "response") if recorded else ())

    def _recording(self, conversation_id: str) -> Path:
        return self._path(conversation_id, ".mp3")

    def _journal(self, conversation_id: str) -> Path:
        return self._path(conversation_id, ".jsonl")

    def _document(self, conversation_id: str) -> Path:
        return self._path(conversation_id, ".json")

    def _path(self, conversation_id: str, suffix: str) -> Path:
        """Ids come from outside: only what looks like one becomes a file's name."""
        if not _ID.fullmatch(conversation_id):
            raise NotFoundError("conversation", conversation_id)
        return self._folder / f"{conversation_id}{suffix}"

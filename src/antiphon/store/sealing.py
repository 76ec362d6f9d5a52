"""What is secret is sealed before it goes into the database: whoever gets the file, or a copy of it, cannot read it.

A sealed document is the text `sealed:1:<id of the key>:<base64>`: AES-256-GCM with a nonce of its own, bound to kind
and id, so that one cannot be put in another's place. Several keys may be known: the first seals, all of them open.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from antiphon.errors import StoreError

SEALED_KINDS = frozenset({"secret", "webhook", "phone_number", "mcp_server"})
"Resources whose documents hold what opens something elsewhere."
PREFIX = "sealed:1:"
NONCE = 12
"Bytes of a nonce."
PURPOSE = b"antiphon: documents at rest, 1"
"A key that is also used for something else is not the same key here."


class SealError(StoreError):
    """A document is sealed with a key that is not known, or was tampered with."""


class Sealer:
    """Seals and opens texts. `keys`: texts that are long and random; the first seals."""

    def __init__(self, keys: Sequence[str]) -> None:
        derived = [HKDF(SHA256(), 32, salt=None, info=PURPOSE).derive(key.encode()) for key in keys]
        self._ciphers = {hashlib.sha256(PURPOSE + key).hexdigest()[:8]: AESGCM(key) for key in derived}
        self.key_id = next(iter(self._ciphers))
        "Of the key that seals; it tells nothing of the key."

    def seal(self, kind: str, identifier: str, text: str) -> str:
        """The text as it may be kept."""
        nonce = os.urandom(NONCE)
        sealed = self._ciphers[self.key_id].encrypt(nonce, text.encode(), _bound(kind, identifier))
        return f"{PREFIX}{self.key_id}:{base64.b64encode(nonce + sealed).decode()}"

    def open(self, kind: str, identifier: str, sealed: str) -> str:
        """The text that was sealed. Raises SealError."""
        key_id, _, data = sealed.removeprefix(PREFIX).partition(":")
        if (cipher := self._ciphers.get(key_id)) is None:
            raise unknown_key(kind, identifier, sealed)
        try:
            raw = base64.b64decode(data, validate=True)
            return cipher.decrypt(raw[:NONCE], raw[NONCE:], _bound(kind, identifier)).decode()
        except (InvalidTag, ValueError, binascii.Error) as error:
            raise SealError(f"the {kind} {identifier!r} was changed in the database: it cannot be opened") from error

    def is_current(self, text: str) -> bool:
        """Whether it is sealed with the key that seals."""
        return text.startswith(f"{PREFIX}{self.key_id}:")


def is_sealed(text: str) -> bool:
    """Whether a document as it is kept is sealed; JSON never looks like that."""
    return text.startswith(PREFIX)


def unknown_key(kind: str, identifier: str, sealed: str) -> SealError:
    """It is sealed with a key that nobody has given."""
    key_id = sealed.removeprefix(PREFIX).partition(":")[0]
    return SealError(
        f"the {kind} {identifier!r} is sealed with the key {key_id}, which is not known: the setting secret_key has to "
        "hold it (after a comma, if another one is to seal from now on)"
    )


def _bound(kind: str, identifier: str) -> bytes:
    return f"{kind}/{identifier}".encode("utf-8", "replace")

"""What has to outlive a restart to keep addresses, clients and secrets valid: the workspace key, the signing secret and
the key that secrets are sealed with.

All are files in the data folder that their owner alone can read.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import NamedTuple

from antiphon.errors import ConfigError
from antiphon.store.sealing import Sealer

from .settings import Settings


class Kept(NamedTuple):
    """A kept text."""

    text: str
    generated: bool
    "Whether it was made just now."


def workspace_key(data: Path) -> Kept:
    """The key of a workspace whose operator has set none.

    Raises:
        ConfigError: the data folder cannot be written to.
    """
    return _keep(data / "workspace.key", f"sk_{secrets.token_hex(24)}")


def kept_workspace_key(data: Path) -> str | None:
    """The key that was made once; None: none was. Raises ConfigError as `workspace_key`."""
    return workspace_key(data).text if (data / "workspace.key").exists() else None


def signing_secret(data: Path) -> bytes:
    """The secret that signed addresses are made with. Raises ConfigError as `workspace_key`."""
    return _keep(data / "signing.secret", secrets.token_hex(32)).text.encode("ascii")


def sealer(settings: Settings) -> Sealer:
    """What seals secrets in the database: with the first of `secret_key`, else of `signing_secret`, else of a file.

    The others open what was sealed before one of them was set. Raises ConfigError as `workspace_key`.
    """
    given = "" if settings.secret_key is None else settings.secret_key.get_secret_value()
    keys = [key for part in given.split(",") if (key := part.strip())]
    if settings.signing_secret is not None:
        keys.append(settings.signing_secret.get_secret_value())
    file = settings.data / "secret.key"
    if not keys or file.exists():
        keys.append(_keep(file, secrets.token_hex(32)).text)
    return Sealer(keys)


def _keep(file: Path, fresh: str) -> Kept:
    """What the file holds; if there is none, it is made with `fresh`, whole or not at all, by one process only."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        if not file.exists():
            draft = file.with_name(f".{file.name}.{secrets.token_hex(8)}")
            draft.touch(mode=0o600, exist_ok=False)
            try:
                draft.write_text(fresh + "\n", encoding="ascii")
                os.link(draft, file)
            except FileExistsError:
                pass  # another server was quicker: its text is the one
            finally:
                draft.unlink()
        text = file.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot be kept: {error}", path=str(file)) from error
    if not text:
        raise ConfigError("is empty; delete it to have a new one made", path=str(file))
    return Kept(text, generated=text == fresh)

"""What has to outlive a restart to keep addresses and clients valid: the workspace key and the signing secret.

Both are files in the data folder that their owner alone can read.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import NamedTuple

from antiphon.errors import ConfigError


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

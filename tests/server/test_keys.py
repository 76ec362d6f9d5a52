"""What is kept in the data folder stays the same, and its owner's."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from antiphon.errors import ConfigError
from antiphon.server.keys import signing_secret, workspace_key


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

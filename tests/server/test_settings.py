"""Where settings come from, which source wins, and what a wrong one is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from antiphon.errors import ConfigError
from antiphon.server.settings import COMMAND_LINE, PREFIX, Settings, reference

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(PREFIX + name.upper(), raising=False)
    monkeypatch.delenv("ANTIPHON_CONFIG", raising=False)


def written(folder: Path, text: str) -> Path:
    config = folder / "antiphon.toml"
    config.write_text(text)
    return config


def test_the_command_line_wins_over_the_environment_and_the_environment_over_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Precedence, one source taken away at a time."""
    config = written(tmp_path, "port = 1001\n")
    monkeypatch.setenv("ANTIPHON_PORT", "1002")
    assert Settings.load(config, port=1003).port == 1003
    assert Settings.load(config, port=None).port == 1002
    monkeypatch.delenv("ANTIPHON_PORT")
    assert Settings.load(config).port == 1001
    assert Settings.load().port == 8080


def test_the_environment_can_name_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`ANTIPHON_CONFIG` stands for `--config`."""
    monkeypatch.setenv("ANTIPHON_CONFIG", str(written(tmp_path, "port = 1001\n")))
    assert Settings.load().port == 1001


def test_an_unknown_name_in_the_file_is_told_with_its_path(tmp_path: Path) -> None:
    """A mistyped setting must not pass for one that was set."""
    config = written(tmp_path, "prot = 8080\n")
    with pytest.raises(ConfigError) as caught:
        Settings.load(config)
    assert caught.value.path == f"{config}: prot"


@pytest.mark.parametrize("text", ["port = ", "port = 8080\nport = 8081", "\x00"])
def test_a_file_that_is_no_toml_is_told_with_its_path(tmp_path: Path, text: str) -> None:
    """Every syntax error is a ConfigError."""
    config = written(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        Settings.load(config)
    assert caught.value.path == str(config)


def test_a_missing_file_is_told_with_its_path(tmp_path: Path) -> None:
    """So is a file that is not there."""
    with pytest.raises(ConfigError) as caught:
        Settings.load(tmp_path / "nothing.toml")
    assert caught.value.path == str(tmp_path / "nothing.toml")


def test_a_wrong_value_is_told_where_it_was_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The path names the option, the variable or the file, whichever it was."""
    with pytest.raises(ConfigError) as caught:
        Settings.load(public_url="voice.example.com")
    assert caught.value.path == "--public-url"
    config = written(tmp_path, '[llm_models."gpt-*"]\nurl = "http://localhost"\n')
    with pytest.raises(ConfigError) as caught:
        Settings.load(config)
    assert caught.value.path == f"{config}: llm_models.gpt-*.base_url"
    monkeypatch.setenv("ANTIPHON_PORT", "many")
    with pytest.raises(ConfigError) as caught:
        Settings.load()
    assert caught.value.path == "ANTIPHON_PORT"


def test_an_environment_variable_that_is_no_json_is_a_config_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """The map of language models is JSON there."""
    monkeypatch.setenv("ANTIPHON_LLM_MODELS", "{")
    with pytest.raises(ConfigError, match="llm_models"):
        Settings.load()


def test_a_certificate_needs_its_key(tmp_path: Path) -> None:
    """TLS with half of what it needs is refused before anything listens."""
    with pytest.raises(ConfigError, match="together"):
        Settings.load(tls_cert=tmp_path / "cert.pem")


def test_language_models_are_the_same_from_file_and_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Engines are handed plain values, the key in clear; a printed Settings hides it."""
    config = written(tmp_path, '[llm_models."gpt-*"]\nbase_url = "http://127.0.0.1:1/v1"\napi_key = "very-secret"\n')
    from_file = Settings.load(config)
    expected = {"gpt-*": {"base_url": "http://127.0.0.1:1/v1", "model": None, "api_key": "very-secret"}}
    assert from_file.models == expected
    assert "very-secret" not in repr(from_file)
    monkeypatch.setenv("ANTIPHON_LLM_MODELS", '{"*": {"base_url": "http://127.0.0.1:2/v1", "model": "small"}}')
    assert Settings.load(config).models == {
        "*": {"base_url": "http://127.0.0.1:2/v1", "model": "small", "api_key": None}
    }


def test_proxies_in_the_environment_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody writes JSON into a shell for two addresses."""
    monkeypatch.setenv("ANTIPHON_TRUSTED_PROXIES", "10.0.0.1, 10.0.0.2")
    assert Settings.load().trusted_proxies == ("10.0.0.1", "10.0.0.2")


def test_settings_cannot_be_changed() -> None:
    """They are a value."""
    with pytest.raises(ValueError, match="frozen"):
        Settings.load().port = 1  # pyright: ignore[reportAttributeAccessIssue]


def test_every_setting_is_explained() -> None:
    """Each has a sentence under it, and the options of the command line are settings."""
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []
    assert set(COMMAND_LINE) <= set(Settings.model_fields)


def test_the_reference_in_the_docs_is_current() -> None:
    """To renew it: python -c "from antiphon.server.settings import reference; print(reference(), end='')"."""
    assert (ROOT / "docs" / "settings.md").read_text() == reference()

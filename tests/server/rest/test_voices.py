"""Voices, models, user: what clients ask before they speak."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import httpx
import pytest

Serving = Callable[..., AbstractAsyncContextManager[Any]]


def answers(serving: Serving, *paths: str) -> list[httpx.Response]:
    """What a server answers to these paths."""

    async def scene() -> list[httpx.Response]:
        async with serving() as server:
            return [await server.get(path) for path in paths]

    return asyncio.run(scene())


@pytest.mark.component("espeak")
def test_voices_are_those_of_the_engine(serving: Serving) -> None:
    """Each has what strict clients miss, and its id is one that an agent may have."""
    (answer,) = answers(serving, "/v1/voices")
    voices = answer.json()["voices"]
    assert {"en-US+f5", "de", "fr"} <= {voice["voice_id"] for voice in voices}
    for voice in voices:
        assert voice["fine_tuning"]["state"] == {}
        assert voice["category"] == "premade"
        assert voice["settings"]["speed"] == 1.0
        assert voice["labels"]["language"]


@pytest.mark.component("espeak")
def test_voices_are_searched_and_read_in_parts(serving: Serving) -> None:
    """Every page but the last says what asks for the next."""
    first, german, female, none, last = answers(
        serving,
        "/v2/voices?page_size=100",
        "/v2/voices?search=german&language=de",
        "/v2/voices?gender=female",
        "/v2/voices?category=cloned",
        "/v2/voices?page_size=100&next_page_token=100",
    )
    page = first.json()
    assert (len(page["voices"]), page["has_more"], page["next_page_token"]) == (100, True, "100")
    rest = last.json()
    assert (rest["has_more"], rest["next_page_token"]) == (False, None)
    assert len(page["voices"]) + len(rest["voices"]) == page["total_count"]
    assert [voice["voice_id"] for voice in german.json()["voices"]] == ["de"]
    assert all(voice["labels"]["gender"] == "female" for voice in female.json()["voices"])
    assert none.json() == {"voices": [], "has_more": False, "total_count": 0, "next_page_token": None}


@pytest.mark.component("espeak")
def test_ids_that_clients_have_built_in_are_voices(serving: Serving) -> None:
    """So is any language with any variant; anything else is 404."""
    known, variant, settings, unknown, token = answers(
        serving,
        "/v1/voices/JBFqnCBsd6RMkjVDRZzb",
        "/v1/voices/de+f3",
        "/v1/voices/de/settings",
        "/v1/voices/nobody",
        "/v2/voices?next_page_token=x",
    )
    assert known.json()["voice_id"] == "JBFqnCBsd6RMkjVDRZzb"
    assert variant.json()["labels"] == {"language": "de", "gender": "female"}
    assert settings.json()["stability"] == 0.5
    assert (unknown.status_code, unknown.json()["detail"]["status"]) == (404, "voice_not_found")
    assert token.status_code == 400


@pytest.mark.component("espeak")
def test_models_say_what_speaks_and_what_listens(serving: Serving) -> None:
    """With the languages that they really have."""
    (answer,) = answers(serving, "/v1/models")
    speaks, listens = answer.json()
    assert (speaks["model_id"], speaks["can_do_text_to_speech"]) == ("espeak", True)
    assert {"language_id": "de", "name": "German"} in speaks["languages"]
    assert (listens["model_id"], listens["can_do_text_to_speech"]) == ("pocketsphinx", False)
    assert listens["languages"] == [{"language_id": "en", "name": "English"}]


def test_the_user_is_the_workspace(serving: Serving) -> None:
    """Nothing is counted and nothing is owed."""
    user, subscription = answers(serving, "/v1/user", "/v1/user/subscription")
    assert user.json()["subscription"]["tier"] == "self_hosted"
    assert subscription.json()["current_overage"] == {"amount": "0", "currency": "usd"}
    assert subscription.json()["status"] == "active"

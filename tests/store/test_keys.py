"""API keys and spent tokens, whichever database keeps them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from antiphon.errors import NotFoundError, StoreError
from antiphon.store.keys import ApiKey
from antiphon.store.store import Store

Ask = Callable[[Coroutine[Any, Any, Any]], Any]


def key(name: str, *, at: float = 5.0, scopes: tuple[str, ...] = ("agents:read",)) -> ApiKey:
    return ApiKey(f"key_{name}", name, name * 3, "...1234", scopes, at)


def test_a_key_is_found_by_its_digest(store: Store, ask: Ask) -> None:
    """As it was put in, whatever somebody calls it."""
    odd = ApiKey("key_1", "Büro \U0001f511", "d1", "...abcd", ("agents:read", "converse"), 5.0)
    ask(store.keys.add(odd))
    assert ask(store.keys.by_digest("d1")) == odd
    assert ask(store.keys.by_digest("d2")) is None


def test_a_name_that_no_column_holds_is_cleaned(store: Store, ask: Ask) -> None:
    """NUL and lone surrogates come from shells, too."""
    ask(store.keys.add(ApiKey("key_1", "a\0b\ud83d", "d1", "", (), 5.0)))
    assert ask(store.keys.by_digest("d1")).name == "a?b?"


def test_a_revoked_key_is_listed_and_opens_nothing(store: Store, ask: Ask) -> None:
    """Its first revocation is the one that counts."""
    ask(store.keys.add(key("b", at=2.0)))
    ask(store.keys.add(key("a", at=1.0)))
    assert ask(store.keys.any_valid())
    ask(store.keys.revoke("key_a", now=7.0))
    ask(store.keys.revoke("key_a", now=8.0))
    assert ask(store.keys.by_digest("aaa")) is None
    assert [(one.id, one.revoked_at) for one in ask(store.keys.all())] == [("key_a", 7.0), ("key_b", None)]
    ask(store.keys.revoke("key_b", now=9.0))
    assert not ask(store.keys.any_valid())


def test_a_key_that_is_not_there_cannot_be_revoked(store: Store, ask: Ask) -> None:
    """NotFoundError names it."""
    with pytest.raises(NotFoundError, match="key_none"):
        ask(store.keys.revoke("key_none", now=7.0))


def test_two_keys_cannot_share_a_digest(store: Store, ask: Ask) -> None:
    """A key has one owner."""
    ask(store.keys.add(key("a")))
    with pytest.raises(StoreError):
        ask(store.keys.add(ApiKey("key_other", "", "aaa", "", (), 5.0)))


def test_use_is_noted_once_a_minute(store: Store, ask: Ask) -> None:
    """Also where two nodes have each read an older note."""
    ask(store.keys.add(key("a")))
    read_before: ApiKey = ask(store.keys.by_digest("aaa"))
    for now, noted in [(100.0, 100.0), (159.0, 100.0), (160.0, 160.0)]:
        ask(store.keys.note_use(read_before, now=now))
        assert ask(store.keys.by_digest("aaa")).used_at == noted
    ask(store.keys.note_use(ask(store.keys.by_digest("aaa")), now=170.0))
    assert ask(store.keys.by_digest("aaa")).used_at == 160.0


def test_a_token_is_spent_once_however_many_try(store: Store, ask: Ask) -> None:
    """Of twenty at one time, one."""

    async def rush() -> list[bool]:
        return await asyncio.gather(*(store.spent.spend("t1", 100.0) for _ in range(20)))

    assert sorted(ask(rush()), reverse=True) == [True] + [False] * 19
    assert ask(store.spent.spend("t2", 100.0))
    assert not ask(store.spent.spend("t1", 200.0))


def test_tokens_are_remembered_until_they_expire(store: Store, ask: Ask) -> None:
    """What has expired is void without being remembered."""
    ask(store.spent.spend("old", 100.0))
    ask(store.spent.spend("new", 100.5))
    assert ask(store.spent.sweep(now=100.0)) == 1
    assert not ask(store.spent.spend("new", 100.5))
    assert ask(store.spent.spend("old", 100.0))

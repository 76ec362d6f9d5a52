"""Conversations: their journals while they live, their documents when they are over, their lists."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from antiphon.errors import ConflictError, NotFoundError
from antiphon.store.conversations import Conversation, Wanted
from antiphon.store.resources import CursorError
from antiphon.store.store import Store

Ask = Callable[[Coroutine[Any, Any, Any]], Any]


def conversation(
    identifier: str = "conv_1", agent_id: str = "agent_1", at: float = 10.0, **fields: Any
) -> Conversation:
    return Conversation(identifier, agent_id, at, **fields)


async def begin(store: Store, *identifiers: str, now: float = 10.0, **fields: Any) -> None:
    for identifier in identifiers:
        await store.conversations.begin(conversation(identifier, **fields), now=now)


# ------------------------------------------------------------------------------------------------------ while they live


def test_what_begins_is_found(store: Store, ask: Ask) -> None:
    """Without a document: it is not over."""
    one = conversation(user_id="user", branch_id="branch", text_only=True, title="A title", language="de", rating=4)
    ask(store.conversations.begin(one, now=11.0))
    assert ask(store.conversations.get("conv_1")) == one
    assert ask(store.conversations.journal("conv_1")) == []


def test_a_journal_comes_back_in_order(store: Store, ask: Ask) -> None:
    """By number, whichever piece was written first; bytes are bytes."""
    ask(begin(store, "conv_1", "conv_2"))
    ask(store.conversations.append({"conv_1": [(1, b"one\n"), (0, b"zero\n\0\xff")]}, (), now=11.0))
    ask(store.conversations.append({"conv_1": [(2, b"two\n")], "conv_2": [(0, b"other\n")]}, (), now=12.0))
    assert ask(store.conversations.journal("conv_1")) == [b"zero\n\0\xff", b"one\n", b"two\n"]
    assert ask(store.conversations.journal("conv_2")) == [b"other\n"]
    assert ask(store.conversations.journal("nobody")) == []


def test_first_lines_begin_a_conversation(store: Store, ask: Ask) -> None:
    """In the same transaction: there is never one without the other."""
    lines = {"conv_1": [(0, b"zero\n")], "conv_2": [(0, b"zero\n")]}
    ask(store.conversations.append(lines, (), now=11.0, begun=[conversation("conv_1"), conversation("conv_2")]))
    assert ask(store.conversations.journal("conv_2")) == [b"zero\n"]
    assert ask(store.conversations.count(Wanted())) == 2


def test_a_write_may_be_tried_again(store: Store, ask: Ask) -> None:
    """Who got no answer does not know whether it was made; what was added to a piece since then is not lost."""
    begun = [conversation("conv_1")]
    ask(store.conversations.append({"conv_1": [(0, b"zero\n")]}, (), now=11.0, begun=begun))
    again = {"conv_1": [(0, b"zero\none\n")], "conv_2": [(0, b"new\n")]}
    ask(store.conversations.append(again, (), now=12.0, begun=[*begun, conversation("conv_2")]))
    assert ask(store.conversations.journal("conv_1")) == [b"zero\none\n"]
    assert ask(store.conversations.journal("conv_2")) == [b"new\n"]


def test_lines_of_a_deleted_conversation_are_dropped(store: Store, ask: Ask) -> None:
    """Those of the others are kept."""
    ask(begin(store, "conv_1", "conv_2"))
    ask(store.conversations.append({"conv_1": [(0, b"zero\n")]}, (), now=11.0))
    ask(store.conversations.delete("conv_1"))
    lines = {"conv_1": [(1, b"one\n")], "conv_2": [(0, b"zero\n")]}
    ask(store.conversations.append(lines, ["conv_1", "conv_2"], now=12.0))
    assert ask(store.conversations.journal("conv_1")) == []
    assert ask(store.conversations.journal("conv_2")) == [b"zero\n"]
    with pytest.raises(NotFoundError):
        ask(store.conversations.get("conv_1"))


def test_deleting_while_appending_harms_nobody(store: Store, ask: Ask) -> None:
    """Neither fails, and nothing stays of what was deleted."""

    async def both() -> None:
        for number in range(20):
            gone, stays = f"gone_{number}", f"stays_{number}"
            await begin(store, gone, stays)
            lines = {gone: [(0, b"zero\n")], stays: [(0, b"zero\n")]}
            await asyncio.gather(store.conversations.append(lines, (), now=11.0), store.conversations.delete(gone))
            assert await store.conversations.journal(gone) == []
            assert await store.conversations.journal(stays) == [b"zero\n"]

    ask(both())


def test_nothing_at_all_can_be_appended(store: Store, ask: Ask) -> None:
    """A second in which nobody said anything."""
    ask(store.conversations.append({}, (), now=11.0))
    ask(store.conversations.append({}, ["nobody"], now=11.0))
    assert ask(store.conversations.count(Wanted())) == 0


def test_everybody_appends_at_once(store: Store, ask: Ask) -> None:
    """Writers wait for each other; each finds its own lines."""
    names = [f"conv_{number}" for number in range(12)]
    ask(begin(store, *names))

    async def everybody() -> None:
        async def talk(name: str) -> None:
            for number in range(5):
                line = f"{name} {number}\n".encode()
                await store.conversations.append({name: [(number, line)]}, names, now=11.0)

        await asyncio.gather(*map(talk, names))

    ask(everybody())
    for name in names:
        assert ask(store.conversations.journal(name)) == [f"{name} {number}\n".encode() for number in range(5)]


def test_who_is_not_kept_alive_is_abandoned(store: Store, ask: Ask) -> None:
    """Lines or a word keep it alive; what is over cannot be abandoned."""
    ask(begin(store, "silent", "talks", "waits", now=10.0))
    ask(begin(store, "over", now=10.0, status="done"))
    ask(begin(store, "failed", now=10.0, status="failed"))
    ask(begin(store, "processing", now=10.0, status="processing"))
    ask(store.conversations.append({"talks": [(0, b"x")]}, ["waits"], now=20.0))
    assert sorted(ask(store.conversations.unfinished(stale_at=10.0))) == ["processing", "silent"]
    assert ask(store.conversations.unfinished(stale_at=9.0)) == []
    assert len(ask(store.conversations.unfinished(stale_at=20.0))) == 4


def test_finishing_keeps_the_document(store: Store, ask: Ask) -> None:
    """And the columns, but not over what is known better: when it began, and what somebody thought of it."""
    ask(begin(store, "conv_1"))
    ask(store.conversations.append({"conv_1": [(0, b"zero\n")]}, (), now=11.0))
    with pytest.raises(ConflictError, match="not over"):
        ask(store.conversations.rate("conv_1", {"rating": 5}, 5))
    document = {"transcript": [{"message": "\0 \U0001f600"}], "cost": float("nan")}
    over = conversation(at=99.0, status="done", duration=3.5, messages=2, successful="success", document=document)
    ask(store.conversations.finish(over))
    found = ask(store.conversations.get("conv_1"))
    assert found.document == {**document, "cost": None}
    assert (found.started_at, found.rating, found.status, found.duration) == (10.0, None, "done", 3.5)
    assert ask(store.conversations.journal("conv_1")) == [b"zero\n"]
    assert ask(store.conversations.unfinished(stale_at=1e9)) == []


def test_an_empty_document_is_one(store: Store, ask: Ask) -> None:
    """None says that it is not over."""
    ask(begin(store, "conv_1", document={}))
    assert ask(store.conversations.get("conv_1")).document == {}


# ------------------------------------------------------------------------------------------------------------ changes


def test_ratings_and_recordings_can_change(store: Store, ask: Ask) -> None:
    """The document changes with a rating; what was said before of it stays."""
    ask(begin(store, "conv_1", has_audio=True, document={"metadata": {"feedback": None}}))
    ask(store.conversations.rate("conv_1", {"rating": 5}, 5))
    ask(store.conversations.rate("conv_1", {"comment": "fine"}, None))
    found = ask(store.conversations.get("conv_1"))
    assert (found.rating, found.document) == (5, {"metadata": {"feedback": {"rating": 5, "comment": "fine"}}})
    ask(store.conversations.forget_audio("conv_1", {"has_audio": False}))
    found = ask(store.conversations.get("conv_1"))
    assert (found.rating, found.has_audio, found.document) == (5, False, {"has_audio": False})


def test_an_id_of_nobody_is_not_found(store: Store, ask: Ask) -> None:
    """Whatever is asked for, and whatever it looks like."""
    for identifier in ("nobody", "", "a\0b", "\ud800", "x" * 10_000):
        for question in (
            store.conversations.get(identifier),
            store.conversations.rate(identifier, {}, 1),
            store.conversations.forget_audio(identifier, {}),
            store.conversations.delete(identifier),
            store.conversations.finish(conversation(identifier)),
        ):
            with pytest.raises(NotFoundError):
                ask(question)
        assert ask(store.conversations.journal(identifier)) == []


def test_deleting_forgets_the_journal(store: Store, ask: Ask) -> None:
    """One that gets the same id begins with nothing."""
    ask(begin(store, "conv_1"))
    ask(store.conversations.append({"conv_1": [(0, b"zero\n")]}, (), now=11.0))
    ask(store.conversations.delete("conv_1"))
    ask(begin(store, "conv_1"))
    assert ask(store.conversations.journal("conv_1")) == []


def test_the_words_of_callers_break_nothing(store: Store, ask: Ask) -> None:
    """A row that a database refuses would stop the journals of all that are written with it: texts are made to fit."""
    words = "\0\ud800" + "ä日" * 5_000
    fields = {"user_id": words, "title": words, "branch_id": words, "language": words}
    ask(store.conversations.append({"conv_1": [(0, b"x")]}, (), now=1.0, begun=[conversation(**fields)]))
    found = ask(store.conversations.get("conv_1"))
    assert found.title == "??" + "ä日" * 5_000
    assert found.user_id == found.title[:500]
    assert (found.branch_id, found.language) == (found.title[:200], found.title[:32])
    for name in ("user_id", "branch_id"):
        assert ask(store.conversations.ids(Wanted(**{name: words}))) == ["conv_1"]
    assert ask(store.conversations.ids(Wanted(search="\0\ud800Ä"))) == ["conv_1"]
    assert ask(store.conversations.ids(Wanted(agent_id="\0", status=["\0"]))) == []
    assert ask(store.conversations.last_calls(["\0", "agent_1"])) == {"agent_1": 10.0}


# -------------------------------------------------------------------------------------------------------------- lists

FILTERS: list[tuple[dict[str, Any], str]] = [
    ({}, "abcd"),
    ({"agent_id": "agent_2"}, "b"),
    ({"user_id": "ann"}, "a"),
    ({"branch_id": "main"}, "b"),
    ({"successful": "success"}, "bc"),
    ({"status": ["done"]}, "bc"),
    ({"status": ["done", "failed"]}, "bcd"),
    ({"text_only": True}, "c"),
    ({"text_only": False}, "abd"),
    ({"started_after": 2.0}, "bcd"),
    ({"started_before": 2.0}, "ab"),
    ({"started_after": 2.0, "started_before": 3.0}, "bc"),
    ({"longer_than": 20.0}, "bcd"),
    ({"shorter_than": 20.0}, "ab"),
    ({"search": "ÖFFNUNG"}, "a"),
    ({"search": "100%"}, "b"),
    ({"search": "_"}, ""),
    ({"agent_id": "agent_1", "status": ["done"], "successful": "success"}, "c"),
    ({"agent_id": "nobody"}, ""),
]


def test_a_list_can_be_narrowed(store: Store, ask: Ask) -> None:
    """By each column, alone and together; counts and ids agree with the list."""
    done: dict[str, Any] = {"status": "done", "successful": "success"}

    async def fill() -> None:
        await begin(store, "a", at=1.0, duration=10.0, user_id="ann", title="Öffnungszeiten")
        await begin(store, "b", at=2.0, duration=20.0, agent_id="agent_2", branch_id="main", title="100% off", **done)
        await begin(store, "c", at=3.0, duration=30.0, text_only=True, **done)
        await begin(store, "d", at=4.0, duration=40.0, status="failed", successful="failure", user_id="bob")

    ask(fill())
    for fields, found in FILTERS:
        wanted = Wanted(**fields)
        page = ask(store.conversations.page(wanted))
        assert [one.id for one in page.items] == sorted(found, reverse=True), wanted
        assert ask(store.conversations.count(wanted)) == len(found)
        assert ask(store.conversations.ids(wanted)) == sorted(found)


@pytest.mark.parametrize("descending", [True, False])
def test_pages_make_the_whole(store: Store, ask: Ask, descending: bool) -> None:
    """Although all began at the same moment, and more begin meanwhile; without documents."""
    first = [f"m{number}" for number in range(7)]
    ask(begin(store, *first, document={"big": True}))

    async def read_while_writing() -> list[str]:
        seen: list[str] = []
        cursor: str | None = None
        for number in range(100):
            page = await store.conversations.page(Wanted(), cursor=cursor, page_size=3, descending=descending)
            assert all(one.document is None for one in page.items)
            seen += [one.id for one in page.items]
            if (cursor := page.next_cursor) is None:
                return seen
            if number < 2:
                await begin(store, f"a{number}", f"m{number}x", f"z{number}")
        raise AssertionError("the list has no end")

    seen = ask(read_while_writing())
    assert seen == sorted(set(seen), reverse=descending)
    assert set(first) <= set(seen)


def test_a_cursor_that_was_not_given_out_is_refused(store: Store, ask: Ask) -> None:
    """As in every list."""
    with pytest.raises(CursorError):
        ask(store.conversations.page(Wanted(), cursor="garbage"))


def test_the_newest_call_of_each_agent_is_known(store: Store, ask: Ask) -> None:
    """Agents that were never called are left out."""
    ask(begin(store, "a", at=1.0))
    ask(begin(store, "b", at=3.0))
    ask(begin(store, "c", at=2.0, agent_id="agent_2"))
    question = store.conversations.last_calls(["agent_1", "agent_2", "agent_3"])
    assert ask(question) == {"agent_1": 3.0, "agent_2": 2.0}
    assert ask(store.conversations.last_calls([])) == {}

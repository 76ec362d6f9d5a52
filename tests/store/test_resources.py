"""Resources: what is put in comes out, by id and in lists, whichever database keeps it."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from antiphon.errors import ConflictError, NotFoundError, StoreError
from antiphon.store.resources import CursorError, Page, Resource, SortBy
from antiphon.store.store import Store

Ask = Callable[[Coroutine[Any, Any, Any]], Any]
HALF = "\ud83d"
"Half a surrogate pair: JSON can spell it, UTF-8 cannot."


async def keep(store: Store, *names: str, at: float = 5.0, kind: str = "agent", **fields: Any) -> None:
    for name in names:
        await store.resources.create(kind, f"{kind}_{name}", name, {"name": name}, now=at, **fields)


async def every_page(store: Store, **options: Any) -> list[str]:
    """Names of all there are, from page to page."""
    names: list[str] = []
    cursor: str | None = None
    while True:
        page: Page[Resource] = await store.resources.page("agent", cursor=cursor, **options)
        names += [one.name for one in page.items]
        assert page.has_more == (page.next_cursor is not None)
        if (cursor := page.next_cursor) is None:
            return names


def cursor_of(*place: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(place).encode()).decode().rstrip("=")


# ------------------------------------------------------------------------------------------------------- one of them


def test_what_is_created_is_found(store: Store, ask: Ask) -> None:
    """As it came in, keys that nobody knows included."""
    document = {"name": "Desk", "unknown": [1, 2.5, None, True, {"ä": "日本"}], "big": 2**64}
    made = ask(store.resources.create("agent", "agent_1", "Desk", document, now=7.25, parent="folder_1"))
    assert made == Resource("agent", "agent_1", "Desk", document, 7.25, 7.25, parent="folder_1")
    assert ask(store.resources.get("agent", "agent_1")) == made
    assert ask(store.resources.count("agent")) == 1


def test_an_id_is_taken_once(store: Store, ask: Ask) -> None:
    """Of each kind; the first stays as it was."""
    ask(keep(store, "1"))
    with pytest.raises(ConflictError, match="agent_1"):
        ask(keep(store, "1", at=9.0))
    ask(store.resources.create("tool", "agent_1", "another kind", {}, now=1.0))
    assert ask(store.resources.get("agent", "agent_1")).created_at == 5.0


def test_an_id_of_nobody_is_not_found(store: Store, ask: Ask) -> None:
    """Whatever it looks like: ids come from paths of URLs."""
    ask(keep(store, "1"))
    for identifier in ("nobody", "", "a\0b", f"a{HALF}", "x" * 10_000, "' OR 1=1 --"):
        for question in (
            store.resources.get("agent", identifier),
            store.resources.update("agent", identifier, now=1.0, name="x"),
            store.resources.delete("agent", identifier),
            store.resources.content("agent", identifier),
        ):
            with pytest.raises(NotFoundError) as caught:
                ask(question)
            assert (caught.value.kind, caught.value.identifier) == ("agent", identifier)
        assert ask(store.resources.some("agent", [identifier])) == []


def test_an_update_changes_what_is_given(store: Store, ask: Ask) -> None:
    """And nothing else."""
    ask(keep(store, "1", parent="folder_1"))
    changed = ask(store.resources.update("agent", "agent_1", now=6.0, name="One"))
    assert changed == Resource("agent", "agent_1", "One", {"name": "1"}, 5.0, 6.0, parent="folder_1")
    changed = ask(store.resources.update("agent", "agent_1", now=7.0, document={}, archived=True, parent=""))
    assert changed == Resource("agent", "agent_1", "One", {}, 5.0, 7.0, archived=True)
    assert ask(store.resources.get("agent", "agent_1")) == changed


def test_a_change_of_something_older_is_refused(store: Store, ask: Ask) -> None:
    """`expected` names the version that it was made from."""
    ask(keep(store, "1"))
    before = ask(store.resources.get("agent", "agent_1")).updated_at
    ask(store.resources.update("agent", "agent_1", now=6.0, name="first", expected=before))
    with pytest.raises(ConflictError):
        ask(store.resources.update("agent", "agent_1", now=7.0, name="second", expected=before))
    assert ask(store.resources.get("agent", "agent_1")).name == "first"


@pytest.mark.parametrize("now", [1_700_000_000.0, 1_699_999_000.0], ids=["stands still", "goes back"])
def test_every_version_has_a_time_of_its_own(store: Store, ask: Ask, now: float) -> None:
    """Although the clock does not move: who has read the first would overwrite the second."""
    ask(keep(store, "1", at=1_700_000_000.0))
    times = [ask(store.resources.get("agent", "agent_1")).updated_at]
    times += [ask(store.resources.update("agent", "agent_1", now=now, name="x")).updated_at for _ in range(3)]
    assert times == sorted(set(times))
    assert times[-1] < times[0] + 0.001
    with pytest.raises(ConflictError):
        ask(store.resources.update("agent", "agent_1", now=now, name="y", expected=times[0]))


def test_of_two_changes_at_once_one_is_refused(store: Store, ask: Ask) -> None:
    """Both were made from the same version."""
    ask(keep(store, "1"))

    async def both() -> list[Any]:
        changes = [
            store.resources.update("agent", "agent_1", now=6.0, name=name, expected=5.0) for name in ("a", "b", "c")
        ]
        return await asyncio.gather(*changes, return_exceptions=True)

    results = ask(both())
    assert sorted(type(result).__name__ for result in results) == ["ConflictError", "ConflictError", "Resource"]


def test_put_keeps_it_either_way(store: Store, ask: Ask) -> None:
    """Created or changed; also when everybody creates it at the same time."""

    async def everybody() -> None:
        puts = [store.resources.put("settings", "workspace", "", {"by": who}, now=float(who)) for who in range(8)]
        await asyncio.gather(*puts)

    ask(everybody())
    ask(store.resources.put("settings", "workspace", "", {"by": 9}, now=9.0))
    assert ask(store.resources.get("settings", "workspace")).document == {"by": 9}
    assert ask(store.resources.count("settings")) == 1


def test_what_is_deleted_is_gone(store: Store, ask: Ask) -> None:
    """With its bytes; a second time there is nothing to delete, and its id is free."""
    ask(keep(store, "1"))
    ask(store.resources.put_content("agent", "agent_1", "text/plain", b"words"))
    ask(store.resources.delete("agent", "agent_1"))
    for question in (store.resources.get, store.resources.content, store.resources.delete):
        with pytest.raises(NotFoundError):
            ask(question("agent", "agent_1"))
    ask(keep(store, "1"))
    with pytest.raises(NotFoundError):
        ask(store.resources.content("agent", "agent_1"))


def test_some_come_in_the_order_asked_for(store: Store, ask: Ask) -> None:
    """Each once; those that are not there are left out."""
    ask(keep(store, "1", "2", "3"))
    found = ask(store.resources.some("agent", ["agent_3", "agent_9", "agent_1", "agent_3"]))
    assert [one.id for one in found] == ["agent_3", "agent_1"]
    assert ask(store.resources.some("agent", [])) == []


def test_all_are_one_kind_oldest_first(store: Store, ask: Ask) -> None:
    """Of equal age: by id."""
    ask(keep(store, "b", at=2.0))
    ask(keep(store, "d", "c", at=1.0))
    ask(keep(store, "tool", kind="tool"))
    assert [one.name for one in ask(store.resources.all("agent"))] == ["c", "d", "b"]


# ---------------------------------------------------------------------------------------------------- any text at all


def test_any_text_can_be_kept(store: Store, ask: Ask) -> None:
    """NUL and half a surrogate pair, which databases refuse, become `?` in names; in documents NUL is kept."""
    made = ask(store.resources.create("agent", "1", f"a\0b{HALF}", {"k\0": f"\0{HALF}\U0001f600"}, now=1.0))
    assert made.name == "a?b?"
    assert made.document == {"k\0": "\0?\U0001f600"}
    assert ask(store.resources.get("agent", "1")) == made
    changed = ask(store.resources.update("agent", "1", now=2.0, name="\0", parent="\0", document={HALF: 1}))
    assert (changed.name, changed.parent, changed.document) == ("?", "?", {"?": 1})
    assert len(ask(store.resources.page("agent", search="\0", parent="\0")).items) == 1


def test_a_number_that_json_lacks_is_null(store: Store, ask: Ask) -> None:
    """Python's parser lets NaN through; a document with it could be written and never be read."""
    document = {"a": float("nan"), "b": [1.5, float("inf"), {"c": float("-inf")}]}
    assert ask(store.resources.create("agent", "1", "x", document, now=1.0)).document == {
        "a": None,
        "b": [1.5, None, {"c": None}],
    }


def test_a_big_document_is_kept(store: Store, ask: Ask) -> None:
    """4 MB of JSON, and a name of 100 kB."""
    document = {str(number): "ä" * 1000 for number in range(2000)}
    ask(store.resources.create("agent", "1", "n" * 100_000, document, now=1.0))
    assert ask(store.resources.get("agent", "1")).document == document
    ask(keep(store, "2"))
    assert len(ask(every_page(store, page_size=1, sort_by="name"))) == 2


def test_a_text_that_is_too_long_for_its_column_is_cut(store: Store, ask: Ask) -> None:
    """Only the column: the document has the whole."""
    made = ask(store.resources.create("agent", "1", "x", {"parent": "p" * 300}, now=1.0, parent="p" * 300))
    assert (made.parent, made.document) == ("p" * 200, {"parent": "p" * 300})


# ---------------------------------------------------------------------------------------------------------- contents


def test_bytes_are_kept_as_they_are(store: Store, ask: Ask) -> None:
    """The newest, with their media type; everybody may write at the same time."""
    data = bytes(range(256)) * 10_000
    ask(store.resources.put_content("document", "1", "text/plain", b""))
    ask(store.resources.put_content("document", "1", "application/pdf\0", data))
    assert ask(store.resources.content("document", "1")) == ("application/pdf?", data)

    async def everybody() -> None:
        puts = [store.resources.put_content("document", "2", "text/plain", str(who).encode()) for who in range(8)]
        await asyncio.gather(*puts)

    ask(everybody())
    assert ask(store.resources.content("document", "2"))[1].isdigit()


# ------------------------------------------------------------------------------------------------------------- lists


SEARCHES = [
    ("desk", ["Front Desk", "desk 100%"]),
    ("DESK", ["Front Desk", "desk 100%"]),
    ("%", ["desk 100%"]),
    ("_", ["a_b"]),
    ("a_b", ["a_b"]),
    ("/", ["and/or"]),
    ("\\", ["back\\slash"]),
    ("ärzte", ["ÄRZTE"]),
    ("ÄRZ", ["ÄRZTE"]),
    ("'", ["it's"]),
    ("nobody", []),
    ("\0", []),
    ("", ["ÄRZTE", "Front Desk", "a_b", "and/or", "axb", "back\\slash", "desk 100%", "it's"]),
]


def test_a_search_is_for_a_part_of_the_name(store: Store, ask: Ask) -> None:
    """In any case, in any alphabet; no character is a wildcard."""
    ask(keep(store, "Front Desk", "desk 100%", "a_b", "axb", "and/or", "back\\slash", "ÄRZTE", "it's"))
    for search, found in SEARCHES:
        assert sorted(ask(every_page(store, search=search))) == sorted(found), search


def test_a_list_can_be_narrowed(store: Store, ask: Ask) -> None:
    """To what is archived or not, and to what belongs to something."""
    ask(keep(store, "a", "b"))
    ask(keep(store, "c", parent="folder_1"))
    ask(store.resources.update("agent", "agent_b", now=6.0, archived=True))
    assert ask(every_page(store, archived=True)) == ["b"]
    assert ask(every_page(store, archived=False)) == ["c", "a"]
    assert ask(every_page(store, parent="folder_1")) == ["c"]
    assert ask(every_page(store, parent="")) == ["b", "a"]


@pytest.mark.parametrize("sort_by", ["created_at", "updated_at", "name"])
@pytest.mark.parametrize("descending", [True, False])
def test_pages_make_the_whole(store: Store, ask: Ask, sort_by: SortBy, descending: bool) -> None:
    """In either direction, by each order, although many are equal: nothing is lost, nothing comes twice."""

    async def fill() -> None:
        for number in range(7):
            name = f"same {number // 4}" if sort_by == "name" else str(number)
            await store.resources.create("agent", f"agent_{number}", name, {}, now=float(number // 3))

    async def whole(size: int) -> list[tuple[Any, str]]:
        places: list[tuple[Any, str]] = []
        cursor: str | None = None
        for _ in range(8):
            page = await store.resources.page(
                "agent", cursor=cursor, page_size=size, sort_by=sort_by, descending=descending
            )
            assert len(page.items) <= size
            places += [(getattr(one, sort_by), one.id) for one in page.items]
            if (cursor := page.next_cursor) is None:
                break
        return places

    ask(fill())
    for size in (1, 2, 3, 7, 100):
        places = ask(whole(size))
        assert places == sorted(set(places), reverse=descending)
        assert len(places) == 7


@pytest.mark.parametrize("descending", [True, False])
def test_what_comes_meanwhile_moves_nothing(store: Store, ask: Ask, descending: bool) -> None:
    """Items are added before, at and after the place of the cursor, of the same age, between any two pages."""
    first = [f"m{number}" for number in range(6)]
    ask(keep(store, *first))

    async def read_while_writing() -> list[str]:
        seen: list[str] = []
        cursor: str | None = None
        for number in range(100):
            page = await store.resources.page("agent", cursor=cursor, page_size=2, descending=descending)
            seen += [one.name for one in page.items]
            if (cursor := page.next_cursor) is None:
                return seen
            if number < 3:
                await keep(store, f"a{number}", f"m{number}x", f"z{number}")
                await keep(store, f"older{number}", at=4.0)
                await keep(store, f"newer{number}", at=6.0)
        raise AssertionError("the list has no end")

    seen = ask(read_while_writing())
    assert len(seen) == len(set(seen))
    assert set(first) <= set(seen)


def test_what_goes_meanwhile_takes_nothing_along(store: Store, ask: Ask) -> None:
    """Not even when the cursor stands on it."""
    ask(keep(store, "a", "b", "c", "d"))
    page = ask(store.resources.page("agent", page_size=2, descending=False))
    ask(store.resources.delete("agent", "agent_b"))
    rest = ask(store.resources.page("agent", cursor=page.next_cursor, page_size=2, descending=False))
    assert [one.name for one in rest.items] == ["c", "d"]


GARBAGE = [
    "garbage",
    "ä",
    "=",
    "%00",
    "\ud800",
    cursor_of(),
    cursor_of(5.0),
    cursor_of(5.0, "agent_1", 3),
    cursor_of(5.0, 7),
    cursor_of(None, "agent_1"),
    cursor_of(True, "agent_1"),
    cursor_of("a name", "agent_1"),
    cursor_of(10**400, "agent_1"),
    cursor_of([5.0], "agent_1"),
    base64.urlsafe_b64encode(b'{"a": 1, "b": 2}').decode(),
    base64.urlsafe_b64encode(b"[" * 100_000).decode(),
    base64.urlsafe_b64encode(b"\xff\xfe").decode(),
]


def test_a_cursor_that_was_not_given_out_is_refused(store: Store, ask: Ask) -> None:
    """Also one of another order, whose value does not fit the column."""
    ask(keep(store, "1"))
    for cursor in GARBAGE:
        with pytest.raises(CursorError):
            ask(store.resources.page("agent", cursor=cursor))
    assert ask(store.resources.page("agent", cursor=cursor_of("a name", "agent_1"), sort_by="name")).items


def test_a_cursor_may_hold_any_place(store: Store, ask: Ask) -> None:
    """Whether anything stands there or not: any text, any number, infinity."""
    ask(keep(store, "name"))
    for place in (("\0", "\0"), (HALF, HALF), ("'", "x" * 10_000)):
        page = ask(store.resources.page("agent", cursor=cursor_of(*place), sort_by="name", descending=False))
        assert [one.name for one in page.items] == ["name"]
    for value in (float("nan"), float("inf"), -1e308):
        for descending in (True, False):
            ask(store.resources.page("agent", cursor=cursor_of(value, "x"), descending=descending))


def test_a_cursor_error_is_a_store_error() -> None:
    """Who keeps lists need not know more."""
    assert issubclass(CursorError, StoreError)

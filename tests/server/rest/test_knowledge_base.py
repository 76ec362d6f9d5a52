"""The knowledge base: documents come in, are found, are read, and go."""

from __future__ import annotations

import asyncio
import io
import json
import threading
import zipfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import httpx
import pytest

Serving = Callable[..., AbstractAsyncContextManager[Any]]
Scene = Callable[[httpx.AsyncClient], Awaitable[None]]

BASE = "/v1/convai/knowledge-base"
KEY = "sk_of_the_tests"


def play(serving: Serving, scene: Scene, **settings: Any) -> None:
    """A scene with a client of a running server."""

    async def run() -> None:
        async with serving(**settings) as server:
            headers = {"xi-api-key": KEY}
            async with httpx.AsyncClient(base_url=server.address, headers=headers, trust_env=False) as client:
                await scene(client)

    asyncio.run(run())


def good(answer: httpx.Response) -> Any:
    """The body of an answer that is none of an error."""
    assert answer.status_code == 200, answer.text
    return answer.json()


def refused(answer: httpx.Response) -> tuple[int, str]:
    """Status code and name of an error."""
    return answer.status_code, answer.json()["detail"]["status"]


async def text(client: httpx.AsyncClient, name: str, words: str = "We open at nine.", **fields: Any) -> str:
    """The id of a new text."""
    return good(await client.post(f"{BASE}/text", json={"text": words, "name": name, **fields}))["id"]


async def file(client: httpx.AsyncClient, filename: str, data: bytes, media_type: str, **fields: str) -> dict[str, Any]:
    """A new file, as it is then."""
    made = good(await client.post(f"{BASE}/file", files={"file": (filename, data, media_type)}, data=fields))
    return good(await client.get(f"{BASE}/{made['id']}"))


async def agent(client: httpx.AsyncClient, services: Any, name: str, *documents: str) -> None:
    """An agent in the store that knows these documents."""
    known = [{"id": document, "name": "", "type": "text"} for document in documents]
    config = {"conversation_config": {"agent": {"prompt": {"knowledge_base": known, "llm": "x"}}}}
    await services.store.resources.create("agent", f"agent_{name}", name, config, now=1_700_000_000.0)


def test_a_text_comes_back_as_html(serving: Serving) -> None:
    """Its paragraphs as paragraphs, its angle brackets as text."""

    async def scene(client: httpx.AsyncClient) -> None:
        answer = good(await client.post(f"{BASE}/text", json={"text": "a < b\n\nc", "name": "Sums", "unknown": [1]}))
        assert (answer["name"], answer["folder_path"]) == ("Sums", [])
        document = good(await client.get(f"{BASE}/{answer['id']}"))
        assert document["type"] == "text"
        assert document["extracted_inner_html"] == "<p>a &lt; b</p><p>c</p>"
        assert document["metadata"]["size_bytes"] == 8
        assert document["metadata"]["created_at_unix_secs"] == 1_700_000_000
        content = await client.get(f"{BASE}/{answer['id']}/content")
        assert content.text == document["extracted_inner_html"]
        assert content.headers["content-type"].startswith("text/html")
        assert "sandbox" in content.headers["content-security-policy"]

    play(serving, scene)


def test_what_cannot_be_a_document_is_refused(serving: Serving) -> None:
    """With a 4xx: clients repeat what is answered with a 5xx or a 409."""

    async def scene(client: httpx.AsyncClient) -> None:
        document = await text(client, "a")
        assert refused(await client.post(f"{BASE}/text", json={"text": " \n"})) == (400, "document_empty")
        assert (await client.post(f"{BASE}/text", json={})).status_code == 422
        inside = {"text": "x", "parent_folder_id": document}
        assert refused(await client.post(f"{BASE}/text", json=inside)) == (400, "not_a_folder")
        nowhere = {"text": "x", "parent_folder_id": "kbdir_none"}
        assert refused(await client.post(f"{BASE}/text", json=nowhere)) == (404, "document_not_found")
        empty = await client.post(f"{BASE}/file", files={"file": ("a.txt", b"", "text/plain")})
        assert refused(empty) == (400, "document_empty")
        for path in ("", "/content", "/rag-index", "/dependent-agents"):
            assert refused(await client.get(f"{BASE}/none{path}")) == (404, "document_not_found")
        assert refused(await client.delete(f"{BASE}/none")) == (404, "document_not_found")
        without_key = await client.get(BASE, headers={"xi-api-key": ""})
        assert without_key.status_code == 401

    play(serving, scene)


def _docx(*paragraphs: str) -> bytes:
    words = "".join(f"<w:p><w:r><w:t>{paragraph}</w:t></w:r></w:p>" for paragraph in paragraphs)
    space = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("word/document.xml", f'<w:document xmlns:w="{space}"><w:body>{words}</w:body></w:document>')
    return packed.getvalue()


def test_files_are_read_by_what_they_are(serving: Serving) -> None:
    """Text, Markdown and HTML as they are, DOCX by its paragraphs; scripts of a page are left out."""

    async def scene(client: httpx.AsyncClient) -> None:
        plain = await file(client, "text.txt", b"Nine to five.", "text/plain", name="Hours")
        assert (plain["name"], plain["filename"]) == ("Hours", "text.txt")
        assert plain["extracted_inner_html"] == "<p>Nine to five.</p>"
        markdown = await file(client, "a.md", "# Über uns".encode(), "application/octet-stream", name="null")
        assert (markdown["name"], markdown["extracted_inner_html"]) == ("a.md", "<p># Über uns</p>")
        page = b"<html><head><title>x</title></head><body onload='x()'><h1>Hi</h1><script>y()</script></body></html>"
        assert (await file(client, "a.html", page, "text/html"))["extracted_inner_html"] == "<h1>Hi</h1>"
        written = await file(client, "a.docx", _docx("One", "Two &amp; three"), "application/octet-stream")
        assert written["extracted_inner_html"] == "<p>One</p><p>Two &amp; three</p>"
        assert written["supported_usages"] == ["prompt", "auto"]

    play(serving, scene)


@pytest.mark.parametrize(
    ("name", "data"), [("a.pdf", b"%PDF-1.7 ..."), ("a.docx", b"no archive"), ("a.txt", b"\0\1\2\xff" * 20)]
)
def test_a_file_without_readable_text_says_so(serving: Serving, name: str, data: bytes) -> None:
    """It is kept, and no agent can use it: nothing pretends that its text is known."""

    async def scene(client: httpx.AsyncClient) -> None:
        document = await file(client, name, data, "application/octet-stream")
        assert document["extraction_error"]
        assert (document["extracted_inner_html"], document["supported_usages"]) == ("", [])
        assert document["metadata"]["size_bytes"] == len(data)
        index = await client.post(f"{BASE}/{document['id']}/rag-index", json={"model": "e5_mistral_7b_instruct"})
        assert good(index)["status"] == "failed"

    play(serving, scene)


class _Site(BaseHTTPRequestHandler):
    pages: ClassVar[dict[str, tuple[int, str, bytes]]] = {
        "/": (200, "text/html; charset=latin-1", "<body><p>Schön</p></body>".encode("latin-1")),
        "/moved": (302, "/", b""),
        "/circle": (302, "/circle", b""),
        "/gone": (404, "text/html", b"gone"),
        "/picture": (200, "image/png", b"\x89PNG"),
    }

    def do_GET(self) -> None:
        status, kind, body = self.pages[self.path]
        self.send_response(status)
        self.send_header("location" if status == 302 else "content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass


@contextmanager
def site() -> Iterator[str]:
    """A web site on this machine."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Site)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_web_page_is_read_once(serving: Serving) -> None:
    """Through redirects, in its own character set; what cannot be had is a 4xx that says why."""

    async def scene(client: httpx.AsyncClient) -> None:
        with site() as address:
            made = good(await client.post(f"{BASE}/url", json={"url": f"{address}/moved", "enable_auto_sync": True}))
            document = good(await client.get(f"{BASE}/{made['id']}"))
            assert (document["type"], document["url"]) == ("url", f"{address}/moved")
            assert document["extracted_inner_html"] == "<p>Schön</p>"
            for path in ("/circle", "/gone", "/picture"):
                answer = await client.post(f"{BASE}/url", json={"url": address + path})
                assert refused(answer) == (400, "url_not_usable")
        for url in ("ftp://example.com/", "nonsense", "http://", "http://[", "http://a\0b/"):
            assert refused(await client.post(f"{BASE}/url", json={"url": url})) == (400, "url_not_usable")

    play(serving, scene, tool_hosts=["127.0.0.1"])


def test_pages_of_the_server_s_own_network_are_not_read(serving: Serving) -> None:
    """Who may write documents may not therefore read what only this machine can; `tool_hosts` allows it."""

    async def scene(client: httpx.AsyncClient) -> None:
        with site() as address:
            answer = await client.post(f"{BASE}/url", json={"url": address})
        assert refused(answer) == (400, "url_not_usable")
        assert "tool_hosts" in answer.json()["detail"]["message"]

    play(serving, scene)


def test_documents_are_listed_by_folder_type_name_and_size(serving: Serving) -> None:
    """A folder's own content and all below it are different questions."""

    async def scene(client: httpx.AsyncClient) -> None:
        outer = good(await client.post(f"{BASE}/folder", json={"name": "Outer"}))["id"]
        made = good(await client.post(f"{BASE}/folder", json={"name": "Inner", "parent_folder_id": outer}))
        assert made["folder_path"] == [{"id": outer, "name": "Outer"}]
        inner = made["id"]
        top = await text(client, "Top", "1234")
        deep = await text(client, "Deep", "12345678", parent_folder_id=inner)

        async def ids(**query: Any) -> list[str]:
            return [each["id"] for each in good(await client.get(BASE, params=query))["documents"]]

        assert set(await ids()) == {outer, inner, top, deep}
        assert set(await ids(parent_folder_id="root")) == {outer, top}
        assert await ids(parent_folder_id=inner) == [deep]
        assert set(await ids(ancestor_folder_id=outer)) == {inner, deep}
        assert await ids(types=["text"], sort_by="size", sort_direction="asc") == [top, deep]
        assert await ids(search="dEE") == [deep]
        assert await ids(sort_by="name", sort_direction="asc") == [deep, inner, outer, top]
        assert (await ids(sort_by="name", sort_direction="asc", folders_first=True))[:2] == [inner, outer]
        folder = good(await client.get(f"{BASE}/{outer}"))
        assert (folder["type"], folder["children_count"], folder["document_count"]) == ("folder", 1, 1)
        assert [part["name"] for part in good(await client.get(f"{BASE}/{deep}"))["folder_path"]] == ["Outer", "Inner"]
        assert refused(await client.get(f"{BASE}/{outer}/content")) == (400, "folder_has_no_content")

    play(serving, scene)


def test_a_list_is_read_in_parts(serving: Serving) -> None:
    """Each document once, also when one goes in between; a cursor of nobody's is refused."""

    async def scene(client: httpx.AsyncClient) -> None:
        made = [await text(client, f"doc {number}") for number in range(7)]
        seen: list[str] = []
        cursor: str | None = None
        for _ in range(3):
            query = {"page_size": 2, "sort_by": "name", **({"cursor": cursor} if cursor else {})}
            part = good(await client.get(BASE, params=query))
            seen += [each["name"] for each in part["documents"]]
            cursor = part["next_cursor"]
            assert part["has_more"] == (cursor is not None)
            if len(seen) == 2:
                await client.delete(f"{BASE}/{made[0]}")
        assert seen == [f"doc {number}" for number in range(6, 0, -1)]
        for cursor in ("x", "WzFd", "W251bGwsMV0", "W0luZmluaXR5LCJ4Il0"):
            assert refused(await client.get(BASE, params={"cursor": cursor})) == (400, "invalid_cursor")
        assert len(good(await client.get(BASE, params={"page_size": 100_000}))["documents"]) == 6

    play(serving, scene)


def test_a_document_is_changed_and_moved(serving: Serving) -> None:
    """What is not given stays; a folder never gets into itself."""

    async def scene(client: httpx.AsyncClient) -> None:
        document = await text(client, "Old", "old text")
        changed = good(await client.patch(f"{BASE}/{document}", json={"name": "New"}))
        assert (changed["name"], changed["extracted_inner_html"]) == ("New", "<p>old text</p>")
        changed = good(await client.patch(f"{BASE}/{document}", json={"content": "new"}))
        assert (changed["name"], changed["extracted_inner_html"]) == ("New", "<p>new</p>")
        assert changed["metadata"]["size_bytes"] == 3
        outer = good(await client.post(f"{BASE}/folder", json={"name": "Outer"}))["id"]
        inner = good(await client.post(f"{BASE}/folder", json={"name": "Inner", "parent_folder_id": outer}))["id"]
        assert refused(await client.patch(f"{BASE}/{outer}", json={"content": "x"})) == (400, "folder_has_no_content")
        good(await client.post(f"{BASE}/{document}/move", json={"move_to": inner}))
        assert good(await client.get(f"{BASE}/{document}"))["folder_parent_id"] == inner
        for target in (outer, inner):
            answer = await client.post(f"{BASE}/{outer}/move", json={"move_to": target})
            assert refused(answer) == (400, "folder_in_itself")
        good(await client.post(f"{BASE}/{document}/move", json={"move_to": None}))
        assert good(await client.get(f"{BASE}/{document}"))["folder_parent_id"] is None

    play(serving, scene)


def test_what_agents_know_is_not_deleted_without_force(serving: Serving) -> None:
    """With force the agents know it no more; what else their documents say stays."""

    async def run() -> None:
        async with (
            serving() as server,
            httpx.AsyncClient(base_url=server.address, headers={"xi-api-key": KEY}, trust_env=False) as client,
        ):
            folder = good(await client.post(f"{BASE}/folder", json={"name": "Folder"}))["id"]
            document = await text(client, "Known", parent_folder_id=folder)
            other = await text(client, "Other")
            await agent(client, server.services, "direct", document, other)
            await agent(client, server.services, "above", folder)

            async def dependents(which: str) -> list[str]:
                answer = await client.get(f"{BASE}/{document}/dependent-agents", params={"dependent_type": which})
                return [each["id"] for each in good(answer)["agents"]]

            assert await dependents("all") == ["agent_direct", "agent_above"]
            assert await dependents("direct") == ["agent_direct"]
            assert await dependents("transitive") == ["agent_above"]
            listed = good(await client.get(BASE, params={"search": "Known"}))["documents"][0]
            assert [each["name"] for each in listed["dependent_agents"]] == ["direct"]
            assert refused(await client.delete(f"{BASE}/{document}")) == (400, "document_in_use")
            assert refused(await client.delete(f"{BASE}/{folder}")) == (400, "folder_not_empty")
            good(await client.delete(f"{BASE}/{folder}", params={"force": True}))
            for gone in (folder, document):
                assert refused(await client.get(f"{BASE}/{gone}")) == (404, "document_not_found")
            left = (await server.services.store.resources.get("agent", "agent_direct")).document
            prompt = left["conversation_config"]["agent"]["prompt"]
            assert ([each["id"] for each in prompt["knowledge_base"]], prompt["llm"]) == ([other], "x")

    asyncio.run(run())


def test_no_index_claims_to_be_ready(serving: Serving) -> None:
    """What was asked for is noted under the model's name, and keeps its id."""

    async def scene(client: httpx.AsyncClient) -> None:
        large, small = await text(client, "Large", "word " * 200), await text(client, "Small", "word")
        folder = good(await client.post(f"{BASE}/folder", json={"name": "Folder"}))["id"]
        model = {"model": "multilingual_e5_large_instruct"}
        statuses = {large: "created", small: "document_too_small", folder: "cannot_index_folder"}
        for document, status in statuses.items():
            index = good(await client.post(f"{BASE}/{document}/rag-index", json=model))
            assert (index["status"], index["progress_percentage"]) == (status, 0.0)
            assert good(await client.post(f"{BASE}/{document}/rag-index", json=model)) == index
            assert good(await client.get(f"{BASE}/{document}/rag-index")) == {"indexes": [index]}
        overview = good(await client.get(f"{BASE}/rag-index"))
        assert overview["total_used_bytes"] == 0
        assert overview["models"] == [{**model, "used_bytes": 0}]

    play(serving, scene)


def test_half_a_surrogate_pair_in_a_text_fails_nothing(serving: Serving) -> None:
    """JSON can hold one, UTF-8 cannot."""

    async def scene(client: httpx.AsyncClient) -> None:
        body = json.dumps({"text": "a\ud83d", "name": "n\ud83d"})
        made = good(await client.post(f"{BASE}/text", content=body, headers={"content-type": "application/json"}))
        assert made["name"] == "n?"
        assert good(await client.get(f"{BASE}/{made['id']}"))["extracted_inner_html"] == "<p>a?</p>"

    play(serving, scene)

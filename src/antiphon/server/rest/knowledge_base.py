"""The knowledge base: documents and the folders they are in.

A document is a resource of the kind `document`, whose parent is its folder. Its content, beside it, is its text: plain,
Markdown or HTML, as `extraction.py` has it. Of a file whose text cannot be extracted the original is kept, and its
document says so in `extraction_error`. Nothing is indexed for retrieval yet, and no index claims to be ready.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import copy
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Annotated, Any, Literal, TypeVar, cast

from fastapi import APIRouter, File, Form, Query, UploadFile
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, ConfigDict

from antiphon.errors import ConflictError, NotFoundError
from antiphon.server.extraction import HTML, MARKDOWN, TEXT, Extracted, ExtractionError, as_html, extract, kind_of
from antiphon.server.fetching import FetchError, fetch
from antiphon.server.rest.dependencies import KeyNeeded, ServicesOf
from antiphon.server.rest.errors import ApiError
from antiphon.server.services import Services
from antiphon.store.resources import Resource

router = APIRouter(prefix="/v1/convai/knowledge-base", tags=["knowledge base"], dependencies=[KeyNeeded])

KIND = "document"
ORIGINAL = "document_file"
"Under this kind and the document's id, the bytes of a file whose text is not what it holds."
MOST_BYTES = 20 * 1024 * 1024
"Of one document, as it comes."
SMALLEST_INDEXED = 500
"Bytes of text below which a document is looked up whole, not by an index."
NO_LIMIT = 2**40
"Bytes that indexes may have: the API has no word for no limit."
DEEPEST = 32
"Folders in folders."
ROOT = "root"
"How clients name the folder that is in none."
ATTEMPTS = 3

T = TypeVar("T")
DocumentType = Literal["file", "url", "text", "folder"]
SortBy = Literal["name", "created_at", "updated_at", "size"]
EmbeddingModel = Literal["e5_mistral_7b_instruct", "multilingual_e5_large_instruct"]


class _Body(BaseModel):
    """Clients send more than is known here; it is kept or passed over."""

    model_config = ConfigDict(extra="allow")


class TextDocument(_Body):
    """A text."""

    text: str
    name: str | None = None
    parent_folder_id: str | None = None


class UrlDocument(_Body):
    """A web page, read once."""

    url: str
    name: str | None = None
    parent_folder_id: str | None = None


class Folder(_Body):
    """A folder."""

    name: str
    parent_folder_id: str | None = None


class DocumentChange(_Body):
    """What is given is changed."""

    name: str | None = None
    content: str | None = None


class Move(_Body):
    """Where to; nothing: out of all folders."""

    move_to: str | None = None


class IndexRequest(_Body):
    """For which model."""

    model: EmbeddingModel


# ---------------------------------------------------------------------------------------------------------- making


@router.post("/text")
async def create_text_document(services: ServicesOf, body: TextDocument) -> dict[str, Any]:
    """Keep a text."""
    if not body.text.strip():
        raise ApiError(400, "document_empty", "the text is empty")
    content = Extracted(TEXT, body.text)
    name = body.name or body.text.strip().splitlines()[0][:60]
    return await _create(services, name, {"type": "text"}, content, body.parent_folder_id)


@router.post("/url")
async def create_url_document(services: ServicesOf, body: UrlDocument) -> dict[str, Any]:
    """Keep what a web page says now. The page has to be public, or on a host of the setting `tool_hosts`."""
    try:
        page = await fetch(body.url, services.tool_hosts, most=MOST_BYTES)
        name = page.url.partition("?")[0]
        content = await asyncio.to_thread(
            extract, page.data, filename="", media_type=page.media_type or HTML, charset=page.charset
        )
    except (FetchError, ExtractionError) as error:
        raise ApiError(400, "url_not_usable", f"{body.url!r} cannot be made a document: {error}") from error
    if not content.text.strip():
        raise ApiError(400, "document_empty", f"there is no text at {body.url!r}")
    document = {"type": "url", "url": body.url, **_extra(body)}
    return await _create(services, body.name or name, document, content, body.parent_folder_id)


@router.post("/file")
async def create_file_document(
    services: ServicesOf,
    file: Annotated[UploadFile, File()],
    name: Annotated[str | None, Form()] = None,
    parent_folder_id: Annotated[str | None, Form()] = None,
) -> dict[str, Any]:
    """Keep a file: its text where it is plain, Markdown, HTML or DOCX, and the file alone where it is anything else."""
    data = await file.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise ApiError(413, "document_too_large", f"a document has {MOST_BYTES} bytes at most")
    if not data:
        raise ApiError(400, "document_empty", "the file is empty")
    filename, media_type = file.filename or "file", file.content_type or ""
    document: dict[str, Any] = {
        "type": "file",
        "filename": filename,
        "media_type": kind_of(filename, media_type)[:100],
        "size_bytes": len(data),
    }
    original: bytes | None = None
    try:
        content = await asyncio.to_thread(extract, data, filename=filename, media_type=media_type)
        if document["media_type"] not in (TEXT, MARKDOWN, HTML):
            original = data
    except ExtractionError as error:
        content, original = Extracted(TEXT, ""), data
        document["extraction_error"] = str(error)
    folder = None if parent_folder_id == "null" else parent_folder_id
    title = filename if name in (None, "", "null") else str(name)
    return await _create(services, title, document, content, folder, original)


@router.post("/folder")
async def create_folder(services: ServicesOf, body: Folder) -> dict[str, Any]:
    """Make a folder."""
    if not body.name.strip():
        raise ApiError(400, "name_missing", "a folder needs a name")
    return await _create(services, body.name, {"type": "folder", **_extra(body)}, None, body.parent_folder_id)


def _extra(body: BaseModel) -> dict[str, Any]:
    return dict(body.model_extra or {})


async def _create(
    services: Services,
    name: str,
    document: Mapping[str, Any],
    content: Extracted | None,
    folder: str | None,
    original: bytes | None = None,
) -> dict[str, Any]:
    parent = await _folder(services, folder)
    library = await _library(services)
    if parent and len(library.ancestors(library.by_id[parent])) >= DEEPEST:
        raise ApiError(400, "folder_too_deep", f"folders are in each other {DEEPEST} deep at most")
    identifier = services.new_id("kbdir" if content is None else "doc")
    resources, size = services.store.resources, 0
    if content is not None:
        text = content.text.encode("utf-8", "replace")
        size = len(text)
        await resources.put_content(KIND, identifier, content.media_type, text)
    if original is not None:
        await resources.put_content(ORIGINAL, identifier, str(document.get("media_type", "")), original)
    name = name.encode("utf-8", "replace").decode()  # JSON can hold half of a surrogate pair, an answer cannot
    kept = {"size_bytes": size, **document}
    now = services.epoch()
    resource = await resources.create(KIND, identifier, name, kept, now=now, parent=parent)
    return {"id": identifier, "name": resource.name, "folder_path": library.path(resource)}


async def _folder(services: Services, folder: str | None) -> str:
    """The folder that a document is to be in, as it is kept. Raises NotFoundError, ApiError."""
    if not folder or folder == ROOT:
        return ""
    if (await services.store.resources.get(KIND, folder)).document["type"] != "folder":
        raise ApiError(400, "not_a_folder", f"{folder} is a document, no folder")
    return folder


# -------------------------------------------------------------------------------------------------------- the whole


class _Library:
    """All documents and folders, and the agents that know them, as they are at one moment."""

    def __init__(self, resources: Iterable[Resource], agents: Iterable[tuple[str, str, float, Mapping[str, Any]]]):
        self.by_id = {resource.id: resource for resource in resources}
        self._children: dict[str, list[Resource]] = {}
        for resource in self.by_id.values():
            self._children.setdefault(resource.parent, []).append(resource)
        self._dependents: dict[str, list[dict[str, Any]]] = {}
        for agent_id, name, created_at, document in agents:
            for known in known_documents(document):
                agent = {
                    "id": agent_id,
                    "name": name,
                    "type": "available",
                    "created_at_unix_secs": int(created_at),
                    "access_level": "admin",
                    "referenced_resource_ids": [known],
                }
                self._dependents.setdefault(known, []).append(agent)

    def children(self, identifier: str) -> list[Resource]:
        """What is right in a folder."""
        return self._children.get(identifier, [])

    def below(self, identifier: str) -> list[Resource]:
        """All that is in a folder, however deep; a folder comes after what is in it."""
        found: dict[str, Resource] = {}
        to_see = [identifier]
        while to_see:
            for child in self.children(to_see.pop()):
                if child.id not in found:
                    found[child.id] = child
                    to_see.append(child.id)
        return list(reversed(found.values()))

    def ancestors(self, resource: Resource) -> list[Resource]:
        """The folders around it, the outermost first."""
        around: list[Resource] = []
        while resource.parent in self.by_id and len(around) < 2 * DEEPEST:
            resource = self.by_id[resource.parent]
            around.insert(0, resource)
        return around

    def path(self, resource: Resource) -> list[dict[str, Any]]:
        """The same, as clients see it."""
        return [{"id": folder.id, "name": folder.name} for folder in self.ancestors(resource)]

    def dependents(self, resource: Resource, which: str = "all") -> list[dict[str, Any]]:
        """Agents that know it: `direct`ly, or (`transitive`) because they know a folder that it is in."""
        found: dict[str, dict[str, Any]] = {}
        sources = [resource] if which != "transitive" else []
        sources += self.ancestors(resource) if which != "direct" else []
        for source in sources:
            for agent in self._dependents.get(source.id, ()):
                known = found.setdefault(agent["id"], {**agent, "referenced_resource_ids": []})
                known["referenced_resource_ids"].append(source.id)
        return list(found.values())


async def _library(services: Services) -> _Library:
    stored = await services.store.resources.all("agent")
    files = services.workspace.files.agents
    in_files = {agent.agent_id for agent in files}
    agents = [(agent.id, agent.name, agent.created_at, agent.document) for agent in stored if agent.id not in in_files]
    agents += [(agent.agent_id, agent.name, 0.0, agent.raw) for agent in files]
    return _Library(await services.store.resources.all(KIND), agents)


def _inner(document: Any, *keys: str) -> Any:
    for key in keys:
        if not isinstance(document, Mapping):
            return None
        document = cast("Mapping[str, Any]", document).get(key)
    return document


def _entries(document: Mapping[str, Any]) -> list[Any]:
    listed = _inner(document, "conversation_config", "agent", "prompt", "knowledge_base")
    return cast("list[Any]", listed) if isinstance(listed, list) else []


def known_documents(document: Mapping[str, Any]) -> list[str]:
    """Ids of the documents and folders that an agent's document names."""
    return [str(identifier) for entry in _entries(document) if (identifier := _inner(entry, "id")) is not None]


# --------------------------------------------------------------------------------------------- as clients see it


def _summary(resource: Resource, library: _Library) -> dict[str, Any]:
    document = resource.document
    seen: dict[str, Any] = {
        "id": resource.id,
        "name": resource.name,
        "type": document["type"],
        "metadata": {
            "created_at_unix_secs": int(resource.created_at),
            "last_updated_at_unix_secs": int(resource.updated_at),
            "size_bytes": document.get("size_bytes", 0),
        },
        "supported_usages": [] if "extraction_error" in document else ["prompt", "auto"],
        "access_info": ACCESS,
        "folder_parent_id": resource.parent or None,
        "folder_path": library.path(resource),
    }
    match document["type"]:
        case "url":
            seen["url"] = document["url"]
        case "folder":
            below = library.below(resource.id)
            seen["children_count"] = len(library.children(resource.id))
            seen["document_count"] = sum(each.document["type"] != "folder" for each in below)
        case _:
            pass
    if "extraction_error" in document:
        seen["extraction_error"] = document["extraction_error"]
    return seen


ACCESS = {
    "is_creator": True,
    "creator_name": "workspace",
    "creator_email": "",
    "role": "admin",
    "anonymous_access_level_override": None,
    "access_source": "creator",
}
"Of everything: who holds the workspace key may do all there is to do."


async def _whole(services: Services, resource: Resource, library: _Library) -> dict[str, Any]:
    whole = _summary(resource, library)
    if resource.document["type"] == "folder":
        return whole
    content = await _content(services, resource)
    whole["extracted_inner_html"] = as_html(content)
    whole["content_format"] = "html"
    if resource.document["type"] == "file":
        whole["filename"] = resource.document["filename"]
    return whole


async def _content(services: Services, resource: Resource) -> Extracted:
    if resource.document["type"] == "folder":
        raise ApiError(400, "folder_has_no_content", f"{resource.id} is a folder")
    media_type, data = await services.store.resources.content(KIND, resource.id)
    return Extracted(media_type, data.decode("utf-8", "replace"))


# ---------------------------------------------------------------------------------------------------------- looking


@router.get("")
async def get_documents(
    services: ServicesOf,
    page_size: int = 30,
    search: str | None = None,
    types: Annotated[list[DocumentType] | None, Query()] = None,
    parent_folder_id: str | None = None,
    ancestor_folder_id: str | None = None,
    folders_first: bool = False,
    sort_by: SortBy = "created_at",
    sort_direction: Literal["asc", "desc"] = "desc",
    cursor: str | None = None,
) -> dict[str, Any]:
    """A part of the list of documents and folders. `parent_folder_id`: what is right in it (`root`: in no folder);
    `ancestor_folder_id`: however deep."""
    library = await _library(services)
    found: Iterable[Resource] = library.by_id.values()
    if ancestor_folder_id not in (None, "", ROOT):
        await services.store.resources.get(KIND, str(ancestor_folder_id))
        found = library.below(str(ancestor_folder_id))
    if parent_folder_id:
        parent = await _folder(services, parent_folder_id)
        found = [resource for resource in found if resource.parent == parent]
    if types:
        found = [resource for resource in found if resource.document["type"] in types]
    if search:
        found = [resource for resource in found if search.lower() in resource.name.lower()]

    def place(resource: Resource) -> Any:
        values = {
            "name": resource.name.lower(),
            "created_at": resource.created_at,
            "updated_at": resource.updated_at,
            "size": resource.document.get("size_bytes", 0),
        }
        return values[sort_by], resource.id

    ordered = sorted(found, key=place, reverse=sort_direction == "desc")
    if folders_first:
        ordered.sort(key=lambda resource: resource.document["type"] != "folder")
    part, next_cursor = page(ordered, cursor, page_size, lambda resource: resource.id)
    documents = [
        {**_summary(resource, library), "dependent_agents": library.dependents(resource, "direct")} for resource in part
    ]
    return {"documents": documents, "next_cursor": next_cursor, "has_more": next_cursor is not None}


def page(
    ordered: Sequence[T], cursor: str | None, size: int, identifier_of: Callable[[T], str]
) -> tuple[Sequence[T], str | None]:
    """A part of a list that is at hand, and what asks for the next. A cursor names the last that was seen, and how many
    came before it, should it be gone by then. Raises ApiError."""
    begin = 0
    if cursor:
        try:
            seen, identifier = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
            begin = max(0, int(seen))
        except (ValueError, TypeError, OverflowError, binascii.Error, RecursionError) as error:
            raise ApiError(400, "invalid_cursor", "the cursor is none that this server gave out") from error
        begin = next((place + 1 for place, each in enumerate(ordered) if identifier_of(each) == identifier), begin)
    part = ordered[begin : begin + min(max(size, 1), 100)]
    end = begin + len(part)
    if end >= len(ordered) or not part:
        return part, None
    return part, base64.urlsafe_b64encode(json.dumps([end, identifier_of(part[-1])]).encode()).decode().rstrip("=")


@router.get("/rag-index")
async def get_rag_index_overview(services: ServicesOf) -> dict[str, Any]:
    """What indexes take up. There are none yet that take up anything."""
    models = {model for each in await services.store.resources.all(KIND) for model in _indexes(each)}
    return {
        "total_used_bytes": 0,
        "total_max_bytes": NO_LIMIT,
        "models": [{"model": model, "used_bytes": 0} for model in sorted(models)],
    }


@router.get("/{documentation_id}")
async def get_document(services: ServicesOf, documentation_id: str) -> dict[str, Any]:
    """A document with its content as HTML, or a folder."""
    resource = await services.store.resources.get(KIND, documentation_id)
    return await _whole(services, resource, await _library(services))


@router.get("/{documentation_id}/content", response_class=HTMLResponse)
async def get_document_content(services: ServicesOf, documentation_id: str) -> HTMLResponse:
    """Its content as HTML."""
    resource = await services.store.resources.get(KIND, documentation_id)
    content = as_html(await _content(services, resource))
    # It may come from anywhere on the web: a browser that is shown it must not run or load anything.
    return HTMLResponse(content, headers={"content-security-policy": "sandbox; default-src 'none'"})


@router.get("/{documentation_id}/dependent-agents")
async def get_dependent_agents(
    services: ServicesOf,
    documentation_id: str,
    dependent_type: Literal["direct", "transitive", "all"] = "all",
    page_size: int = 30,
    cursor: str | None = None,
) -> dict[str, Any]:
    """Agents that know it: by itself, or through a folder that it is in."""
    resource = await services.store.resources.get(KIND, documentation_id)
    agents = (await _library(services)).dependents(resource, dependent_type)
    part, next_cursor = page(agents, cursor, page_size, lambda agent: agent["id"])
    return {"agents": part, "branches": [], "next_cursor": next_cursor, "has_more": next_cursor is not None}


# --------------------------------------------------------------------------------------------------------- changing


@router.patch("/{documentation_id}")
async def update_document(services: ServicesOf, documentation_id: str, body: DocumentChange) -> dict[str, Any]:
    """Another name, another text: a text that replaces a page's or a file's stays until that is made anew."""
    resources = services.store.resources
    resource = await resources.get(KIND, documentation_id)
    document = copy.deepcopy(resource.document)
    if body.content is not None:
        if document["type"] == "folder":
            raise ApiError(400, "folder_has_no_content", f"{documentation_id} is a folder")
        if not body.content.strip():
            raise ApiError(400, "document_empty", "the text is empty")
        text = body.content.encode("utf-8", "replace")
        media_type, _ = await resources.content(KIND, documentation_id)
        await resources.put_content(KIND, documentation_id, media_type, text)
        document["size_bytes"] = len(text)
        document.pop("extraction_error", None)
    changed = await resources.update(
        KIND, documentation_id, now=services.epoch(), name=body.name or None, document={**document, **_extra(body)}
    )
    return await _whole(services, changed, await _library(services))


@router.post("/{documentation_id}/move")
async def move_document(services: ServicesOf, documentation_id: str, body: Move) -> dict[str, Any]:
    """Put it into another folder, or into none."""
    resource = await services.store.resources.get(KIND, documentation_id)
    parent = await _folder(services, body.move_to)
    library = await _library(services)
    around = [*library.ancestors(library.by_id[parent]), library.by_id[parent]] if parent else []
    if any(folder.id == resource.id for folder in around):
        raise ApiError(400, "folder_in_itself", "a folder cannot be moved into itself")
    if len(around) >= DEEPEST:
        raise ApiError(400, "folder_too_deep", f"folders are in each other {DEEPEST} deep at most")
    await services.store.resources.update(KIND, resource.id, now=services.epoch(), parent=parent)
    return {}


@router.delete("/{documentation_id}")
async def delete_document(services: ServicesOf, documentation_id: str, force: bool = False) -> dict[str, Any]:
    """Forget it. With `force` even if agents know it, who then know it no more, or if it is a folder with content."""
    resource = await services.store.resources.get(KIND, documentation_id)
    library = await _library(services)
    gone = [*library.below(resource.id), resource]
    if not force:
        if len(gone) > 1:
            raise ApiError(400, "folder_not_empty", f"the folder {resource.name!r} is not empty; force deletes it all")
        if agents := library.dependents(resource, "direct"):
            names = ", ".join(agent["name"] for agent in agents)
            raise ApiError(400, "document_in_use", f"{resource.name!r} is known to agents: {names}; force deletes it")
    for each in gone:
        for agent in library.dependents(each, "direct"):
            await _withdraw(services, agent["id"], each.id)
        with suppress(NotFoundError):  # somebody else was faster
            await services.store.resources.delete(KIND, each.id)
        with suppress(NotFoundError):  # always: it is content without a resource, and it is the content that goes
            await services.store.resources.delete(ORIGINAL, each.id)
    return {}


async def _withdraw(services: Services, agent_id: str, document_id: str) -> None:
    """Have an agent know a document no more. An agent in a file cannot be changed."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            agent = await services.store.resources.get("agent", agent_id)
        except NotFoundError:
            return
        document = copy.deepcopy(agent.document)
        entries = _entries(document)
        entries[:] = [entry for entry in entries if _inner(entry, "id") != document_id]
        try:
            await services.store.resources.update(
                "agent", agent_id, now=services.epoch(), document=document, expected=agent.updated_at
            )
        except ConflictError:
            if attempt == ATTEMPTS:
                raise
        else:
            return


# --------------------------------------------------------------------------------------------------------- indexing


@router.post("/{documentation_id}/rag-index")
async def compute_rag_index(services: ServicesOf, documentation_id: str, body: IndexRequest) -> dict[str, Any]:
    """Ask for an index, or how it fares. It is noted, and not made yet: its status stays `created`."""
    resource = await services.store.resources.get(KIND, documentation_id)
    indexes = _indexes(resource)
    if body.model not in indexes:
        indexes = {**indexes, body.model: services.new_id("ragidx")}
        await services.store.resources.update(
            KIND, resource.id, now=resource.updated_at, document={**resource.document, "rag_indexes": indexes}
        )
    return await _index(services, resource, body.model, indexes[body.model])


@router.get("/{documentation_id}/rag-index")
async def get_rag_indexes(services: ServicesOf, documentation_id: str) -> dict[str, Any]:
    """The indexes that were asked for."""
    resource = await services.store.resources.get(KIND, documentation_id)
    return {
        "indexes": [
            await _index(services, resource, model, identifier) for model, identifier in _indexes(resource).items()
        ]
    }


def _indexes(resource: Resource) -> dict[str, str]:
    """Model -> id of each index that was asked for."""
    return dict(resource.document.get("rag_indexes", {}))


async def _index(services: Services, resource: Resource, model: str, identifier: str) -> dict[str, Any]:
    status = "created"
    if resource.document["type"] == "folder":
        status = "cannot_index_folder"
    elif "extraction_error" in resource.document:
        status = "failed"
    elif len((await _content(services, resource)).text.encode()) < SMALLEST_INDEXED:
        status = "document_too_small"
    return {
        "id": identifier,
        "model": model,
        "status": status,
        "progress_percentage": 0.0,
        "document_model_index_usage": {"used_bytes": 0},
    }

"""The text of documents: what of a file an agent can be told. Only formats that need nothing but Python itself."""

from __future__ import annotations

import html
import io
import mimetypes
import re
import zipfile
from dataclasses import dataclass
from html.parser import HTMLParser
from xml.etree import ElementTree

from antiphon.errors import AntiphonError

MOST_UNPACKED = 50 * 1024 * 1024
"Bytes of the XML in a DOCX file: a small archive can hold a very large file."

TEXT, MARKDOWN, HTML = "text/plain", "text/markdown", "text/html"
DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
SUPPORTED = "plain text, Markdown, HTML and DOCX"

_KINDS = {
    ".txt": TEXT,
    ".text": TEXT,
    ".csv": TEXT,
    ".json": TEXT,
    ".xml": TEXT,
    ".yaml": TEXT,
    ".yml": TEXT,
    ".md": MARKDOWN,
    ".markdown": MARKDOWN,
    ".html": HTML,
    ".htm": HTML,
    ".xhtml": HTML,
    ".docx": DOCX,
}
"By the end of a name, which says more than what clients call the content."


class ExtractionError(AntiphonError):
    """The text of a file cannot be had here."""


@dataclass(frozen=True, slots=True)
class Extracted:
    """What an agent can be told."""

    media_type: str
    "TEXT, MARKDOWN or HTML."
    text: str


def extract(data: bytes, *, filename: str = "", media_type: str = "", charset: str | None = None) -> Extracted:
    """The text of a file. HTML keeps its markup, without scripts, styles and what stands outside of its body.

    Raises:
        ExtractionError: the format is not one of SUPPORTED, or the file is broken.
    """
    kind = kind_of(filename, media_type)
    if kind == DOCX:
        return Extracted(TEXT, _docx(data))
    if kind not in (TEXT, MARKDOWN, HTML):
        raise ExtractionError(f"no text is extracted from {kind or 'files of this kind'} here, only from {SUPPORTED}")
    text = _decoded(data, charset)
    return Extracted(HTML, inner_html(text)) if kind == HTML else Extracted(kind, text)


def kind_of(filename: str, media_type: str) -> str:
    """The media type of a file, as its name has it, or else as it is called. Text of any kind counts as plain."""
    end = filename[filename.rfind(".") :].lower() if "." in filename else ""
    if end in _KINDS:
        return _KINDS[end]
    kind = media_type.partition(";")[0].strip().lower()
    if kind in ("", "application/octet-stream"):
        kind = mimetypes.guess_type(filename)[0] or kind
    if kind in ("text/x-markdown", MARKDOWN):
        return MARKDOWN
    if kind in (HTML, "application/xhtml+xml"):
        return HTML
    if kind.startswith("text/") or kind in ("application/json", "application/xml", "application/yaml"):
        return TEXT
    return kind


def as_html(extracted: Extracted) -> str:
    """The same as HTML: paragraphs of a text become paragraphs."""
    if extracted.media_type == HTML:
        return extracted.text
    paragraphs = re.split(r"\n\s*\n", extracted.text.strip())
    return "".join(f"<p>{html.escape(paragraph, quote=False)}</p>" for paragraph in paragraphs if paragraph)


def inner_html(text: str) -> str:
    """The body of a page, without what is not read."""
    parser = _Body()
    parser.feed(text)
    parser.close()
    return "".join(parser.parts).strip()


def _decoded(data: bytes, charset: str | None) -> str:
    for name in (charset, "utf-8-sig"):
        if name is not None:
            try:
                return data.decode(name)
            except (LookupError, UnicodeDecodeError):
                continue
    if b"\0" in data[:4096] and not data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise ExtractionError("this is no text, whatever its name says")
    return data.decode("utf-16" if data.startswith((b"\xff\xfe", b"\xfe\xff")) else "cp1252", "replace")


_NOT_READ = frozenset({"script", "style", "noscript", "template", "head", "svg", "iframe", "object"})
"Elements that are left out with all that is in them."
_AROUND = frozenset({"html", "body"})
"Elements of which only what is in them is kept."
_KEPT_ATTRIBUTES = frozenset({"href", "colspan", "rowspan", "alt", "title", "lang"})
_VOID = frozenset({"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "wbr"})


class _Body(HTMLParser):
    """Gathers what is read of a page."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._inside: list[str] = []
        "Elements under way that are not read."

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "body":
            self._inside.clear()  # a head that was never closed
        if self._inside or tag in _NOT_READ:
            if tag in _NOT_READ:
                self._inside.append(tag)
        elif tag not in _AROUND:
            kept = "".join(
                f' {name}="{html.escape(value)}"'
                for name, value in attrs
                if name in _KEPT_ATTRIBUTES and value and not value.strip().lower().startswith("javascript:")
            )
            self.parts.append(f"<{tag}{kept}>")

    def handle_endtag(self, tag: str) -> None:
        if self._inside:
            if tag in self._inside:
                while self._inside.pop() != tag:
                    pass
        elif tag not in _AROUND and tag not in _VOID:
            self.parts.append(f"</{tag}>")

    def handle_data(self, data: str) -> None:
        if not self._inside:
            self.parts.append(html.escape(data, quote=False))


_WORD = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"


def _docx(data: bytes) -> str:
    """The paragraphs of a DOCX file, which is an archive of XML files, in their order."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive, archive.open("word/document.xml") as file:
            text = file.read(MOST_UNPACKED + 1)
        if len(text) > MOST_UNPACKED:
            raise ExtractionError(f"its text is longer than {MOST_UNPACKED} bytes")
        if b"<!DOCTYPE" in text:  # DOCX has none; one could define entities that unfold without end
            raise ExtractionError("this is no DOCX file: its XML has a DOCTYPE")
        root = ElementTree.fromstring(text)
    except (zipfile.BadZipFile, KeyError, ElementTree.ParseError, RuntimeError, NotImplementedError, OSError) as error:
        raise ExtractionError(f"this is no DOCX file: {error}") from error
    return "\n\n".join(filter(None, map(_paragraph, root.iter(f"{_WORD}p"))))


def _paragraph(paragraph: ElementTree.Element) -> str:
    text: list[str] = []
    for element in paragraph.iter():
        if element.tag == f"{_WORD}t":
            text.append(element.text or "")
        elif element.tag == f"{_WORD}tab":
            text.append("\t")
        elif element.tag in (f"{_WORD}br", f"{_WORD}cr"):
            text.append("\n")
    return "".join(text).strip()

"""Documents to readable text: plain text, Markdown and HTML."""

from __future__ import annotations

import html
import importlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from loci_udfs.errors import LociError

_PIECE = 1 << 16  # characters between two checkpoints
MIME_TYPES = ("text/plain", "text/markdown", "text/html", "application/xhtml+xml")
# Plain text with a form feed between two pages; chunks of it know their page.
PAGED_TEXT = "text/plain; pages=form-feed"


@dataclass(frozen=True, slots=True)
class Heading:
    """offset: where its line starts in the document's text, in characters. level: 1..6."""

    offset: int
    level: int
    title: str


@dataclass(frozen=True, slots=True)
class Document:
    """text without control characters and CR; headings in order of offset.

    pages: where each page starts in text, in order; nothing where there are no pages.
    """

    text: str
    title: str | None = None
    headings: list[Heading] = field(default_factory=list)
    pages: list[int] = field(default_factory=list)


def to_document(content: str, mime_type: str, *, checkpoint: Callable[[], None] | None = None) -> Document:
    """The readable text of content, with its title and headings.

    mime_type: one of MIME_TYPES, or PAGED_TEXT; case and other parameters such as charset are ignored,
    since content is already characters. checkpoint is called after every 64 k characters of Markdown and
    HTML. Content of white space only gives the empty text. Raises LC201 for any other type.
    """
    kind, *parameters = (part.strip().lower() for part in mime_type.split(";"))
    if kind == "text/plain":
        return _from_pages(content.split("\f")) if "pages=form-feed" in parameters else Document(clean(content))
    if kind == "text/markdown":
        return _from_markdown(clean(content), checkpoint)
    if kind == "text/html":
        return _from_html(content, checkpoint)
    if kind == "application/xhtml+xml":
        return _from_html(_as_html(content), checkpoint)
    raise LociError(
        "unsupported document type",
        detail=f"The type is {mime_type[:100]!r}.",
        hint=f"Supported types are {', '.join(MIME_TYPES)}.",
        sqlstate="LC201",
    )


# -- plain text -----------------------------------------------------------------------------------

_LINE_END = re.compile("\r\n?|[\x0b\x0c\x85]")
_CONTROL = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_BLANK_LINES = re.compile(r"\n(?:[ \t]*\n){3,}")


def clean(text: str) -> str:
    """text with LF line ends, without control characters, and with at most two blank lines in a row."""
    text = _SURROGATE.sub("\ufffd", text.removeprefix("\ufeff"))
    text = _CONTROL.sub("", _LINE_END.sub("\n", text))
    text = _BLANK_LINES.sub("\n\n\n", text)
    return "" if text.isspace() else text


def _from_pages(contents: list[str]) -> Document:
    pages: list[int] = []
    parts: list[str] = []
    length = 0
    for content in contents:
        text = clean(content).strip("\n")
        if text and parts:
            # A page is a good place to cut.
            parts.append("\n\n")
            length += 2
        pages.append(length)
        if text:
            parts.append(text)
            length += len(text)
    return Document("".join(parts), pages=pages)


# -- Markdown -------------------------------------------------------------------------------------

_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})(.*)")
_ATX = re.compile(r" {0,3}(#{1,6})(?=[ \t]|$)")
_SETEXT = re.compile(r" {0,3}(?:(=+)|-+)[ \t]*$")
_NOT_PARAGRAPH = re.compile(r" {4}|\t| {0,3}(?:>|[-+*][ \t]|[0-9]{1,9}[.)][ \t]|\||<)")
_INTERRUPTION = re.compile(r" {0,3}(?:>|<|[-+*][ \t]|1[.)][ \t]|(?:\*[ \t]*){3,}$|(?:_[ \t]*){3,}$)")
_LINK = re.compile(r"!?\[([^\[\]]*)\]\([^()]*\)")
_LONGEST_MARKDOWN_TITLE = 1000


def _from_markdown(text: str, checkpoint: Callable[[], None] | None) -> Document:
    headings: list[Heading] = []
    fence: str | None = None
    paragraph: list[str] = []
    paragraph_start = 0
    position = _front_matter_end(text)
    checked = position
    while position < len(text):
        line_end = text.find("\n", position)
        if line_end < 0:
            line_end = len(text)
        line = text[position:line_end]
        if fence is not None:
            closing = _FENCE.match(line)
            if closing and closing[1].startswith(fence) and not closing[2].strip():
                fence = None
        elif (opening := _FENCE.match(line)) and not (opening[1][0] == "`" and "`" in opening[2]):
            fence = opening[1]
            paragraph = []
        elif atx := _ATX.match(line):
            title = line[atx.end() :].strip(" \t")
            bare = title.rstrip("#")
            if not bare or bare[-1] in " \t":
                title = bare
            headings += _heading(position, len(atx[1]), title)
            paragraph = []
        elif paragraph and (underline := _SETEXT.match(line)):
            headings += _heading(paragraph_start, 1 if underline[1] else 2, " ".join(paragraph))
            paragraph = []
        elif not line.strip() or (_INTERRUPTION if paragraph else _NOT_PARAGRAPH).match(line):
            paragraph = []
        else:
            if not paragraph:
                paragraph_start = position
            # Only the beginning of a paragraph can be wanted as a title.
            if len(paragraph) < 8:
                paragraph.append(line[:_LONGEST_MARKDOWN_TITLE].strip())
        position = line_end + 1
        if checkpoint is not None and position - checked > _PIECE:
            checked = position
            checkpoint()
    first = next((heading.title for heading in headings if heading.level == 1), None)
    return Document(text, first, headings)


def _heading(offset: int, level: int, raw: str) -> list[Heading]:
    title = _LINK.sub(r"\1", raw[:_LONGEST_MARKDOWN_TITLE])
    title = " ".join(title.replace("**", "").replace("__", "").replace("`", "").split()).strip("*_ ")
    return [Heading(offset, level, title)] if title else []


def _front_matter_end(text: str) -> int:
    """Past a YAML block at the very beginning, whose closing line would look like an underline."""
    if not text.startswith("---\n"):
        return 0
    found = re.compile(r"^(?:---|\.\.\.)[ \t]*$", re.MULTILINE).search(text, 4)
    return found.end() if found else 0


# -- HTML -----------------------------------------------------------------------------------------

_DROPPED = frozenset(
    {
        "head",
        "title",
        "script",
        "style",
        "template",
        "noscript",
        "svg",
        "iframe",
        "object",
        "embed",
        "applet",
        "audio",
        "video",
        "canvas",
        "select",
        "datalist",
    }
)
_NAVIGATION_CLASSES = frozenset(("navheader", "navfooter"))
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_PARAGRAPHS = frozenset(
    {
        "p",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "blockquote",
        "pre",
        "listing",
        "xmp",
        "table",
        "figure",
        "hr",
        "dl",
        "fieldset",
    }
)
_LINES = frozenset(
    {
        "html",
        "body",
        "div",
        "section",
        "article",
        "aside",
        "header",
        "footer",
        "main",
        "address",
        "center",
        "form",
        "details",
        "summary",
        "legend",
        "caption",
        "tr",
        "thead",
        "tbody",
        "tfoot",
        "dt",
        "dd",
        "figcaption",
        "hgroup",
        "menu",
        "dir",
        "optgroup",
        "option",
        "textarea",
    }
)
_VERBATIM = frozenset(("pre", "listing", "xmp", "textarea"))
_VOID = frozenset(
    {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr"}
)

_HTML_SPACE = re.compile("[ \t\n\r\f\xa0]+")
_UNWANTED = re.compile("[\x00-\x08\x0b\x0e-\x1f\x7f-\x9f\xad\ufeff]")

# The parser looks through its stack of open elements for every end tag without a start tag.
_DEEPEST = 1000
_LONGEST_HEADING = 1000
_DEEPEST_INDENT = 8


def _from_html(content: str, checkpoint: Callable[[], None] | None) -> Document:
    content = _SURROGATE.sub("\ufffd", content.removeprefix("\ufeff"))
    reader = _read(content, checkpoint, drop_navigation=True)
    if reader is not None and reader.dropped_navigation and not reader.has_text:
        # Navigation that was never closed holds the whole page.
        reader = _read(content, checkpoint, drop_navigation=False)
    if reader is None or not (reader.has_text or reader.clean_title()):
        return Document(_strip_tags(content, checkpoint))
    return Document(reader.text(), reader.clean_title(), reader.headings)


def _read(content: str, checkpoint: Callable[[], None] | None, *, drop_navigation: bool) -> _Reader | None:
    """The events of content gathered in a reader; None where the parser should not go on."""
    etree: Any = importlib.import_module("lxml.etree")
    reader = _Reader(drop_navigation)
    # Events instead of a tree: no recursion, no entity to expand, memory only for the text.
    parser = etree.HTMLParser(
        target=reader, recover=True, huge_tree=True, no_network=True, remove_comments=True, remove_pis=True
    )
    try:
        for position in range(0, len(content), _PIECE):
            parser.feed(content[position : position + _PIECE])
            if reader.deepest > _DEEPEST:
                return None
            if checkpoint is not None:
                checkpoint()
        parser.close()
    except etree.LxmlError:
        # Raised at the end when there was no element at all; _strip_tags() sees what there was.
        return None if not reader.has_text else reader
    return reader


class _Reader:
    """Receives the parser's events and writes text.

    White space is decided late: breaks, bullets and cell separators wait until there is text to
    come after them, so nothing is left over at the ends and empty elements leave no trace.
    """

    def __init__(self, drop_navigation: bool) -> None:
        self.headings: list[Heading] = []
        self.has_text = False
        self.dropped_navigation = False
        self.deepest = 0
        self._drop_navigation = drop_navigation
        self._parts: list[str] = []
        self._length = 0
        self._depth = 0
        self._skipping = 0  # open elements, counted from the dropped one
        self._skip_root = ""
        self._title: list[str] | None = None
        self._in_title = False
        self._verbatim = 0
        self._verbatim_begins = False
        self._breaks = 0  # line ends wanted before the next text
        self._space = ""  # white space wanted before the next text if no line end is
        self._prefix = ""  # bullet wanted before the next text
        self._separators = 0  # cells begun since the last text
        self._fresh = False  # nothing yet in this list item or cell: its own blocks need no break
        self._lists: list[int] = []  # next number of each open list, 0 for bullets
        self._cells: list[int] = []  # cells so far in the current row of each open table
        self._heading_level = 0
        self._heading_offset = -1
        self._heading_text: list[str] = []

    # Events, called by the parser.

    def start(self, tag: str, attributes: Any) -> None:
        self._depth += 1
        self.deepest = max(self.deepest, self._depth)
        if self._skipping:
            self._skipping += 1
            if tag == "title" and self._skip_root == "head":
                self._begin_title()
            return
        if tag in _DROPPED or self._is_unwanted(tag, attributes):
            self._skipping = 1
            self._skip_root = tag
            if tag == "title":
                self._begin_title()
            else:
                self._space = self._space or " "
            return
        if tag in _HEADINGS:
            self._end_heading()
            self._break(2)
            self._heading_level = _HEADINGS[tag]
        elif tag in _PARAGRAPHS:
            self._break(2)
        elif tag in _LINES:
            self._break(1)
        if tag == "br":
            if self._heading_level:
                self._space = " "
            else:
                self._breaks = min(self._breaks + 1, 3)
        elif tag == "li":
            self._begin_item()
        elif tag in ("ul", "ol"):
            self._break(1 if self._lists else 2)
            self._lists.append(self._first_number(attributes) if tag == "ol" else 0)
        elif tag in ("td", "th"):
            self._begin_cell()
        elif tag == "tr":
            if self._cells:
                self._cells[-1] = 0
            self._separators = 0
        elif tag == "table":
            self._cells.append(0)
        elif tag == "img":
            self.data(attributes.get("alt") or "")
        if tag in _VERBATIM:
            self._verbatim += 1
            self._verbatim_begins = True

    def end(self, tag: str) -> None:
        self._depth -= 1
        if self._skipping:
            self._skipping -= 1
            if tag == "title":
                self._in_title = False
            return
        if tag in _VERBATIM:
            self._verbatim = max(self._verbatim - 1, 0)
        if tag in _HEADINGS:
            self._end_heading()
            self._break(2)
        elif tag == "table":
            if self._cells:
                self._cells.pop()
            self._separators = 0
            self._break(2)
        elif tag in ("ul", "ol"):
            if self._lists:
                self._lists.pop()
            self._prefix = ""
            self._fresh = False
            self._break(1 if self._lists else 2)
        elif tag == "li":
            self._fresh = False
            self._break(1)
        elif tag in _PARAGRAPHS:
            self._break(2)
        elif tag in _LINES:
            self._break(1)

    def data(self, text: str) -> None:
        if self._skipping:
            if self._in_title and self._title is not None and len(self._title) < 100:
                self._title.append(text[:1000])
            return
        text = _UNWANTED.sub("", text)
        if self._verbatim and not self._heading_level:
            self._write_verbatim(text)
            return
        if not text:
            return
        text = _HTML_SPACE.sub(" ", text)
        if text == " ":
            self._space = self._space or " "
            return
        if text[0] == " ":
            self._space = self._space or " "
            text = text[1:]
        if text[-1] == " ":
            self._write(text[:-1])
            self._space = " "
        else:
            self._write(text)

    def close(self) -> None:
        self._end_heading()

    # Results.

    def text(self) -> str:
        return "".join(self._parts)

    def clean_title(self) -> str | None:
        return " ".join(_UNWANTED.sub("", "".join(self._title or ())).split()) or None

    # Helpers.

    def _begin_title(self) -> None:
        if self._title is None:
            self._title = []
            self._in_title = True

    def _is_unwanted(self, tag: str, attributes: Any) -> bool:
        if not attributes and tag != "nav":
            return False
        if "hidden" in attributes or attributes.get("aria-hidden") == "true":
            return True
        if not self._drop_navigation:
            return False
        navigation = (
            tag == "nav"
            or attributes.get("role", "").strip().lower() == "navigation"
            or not _NAVIGATION_CLASSES.isdisjoint(attributes.get("class", "")[:1000].split())
        )
        self.dropped_navigation |= navigation
        return navigation

    @staticmethod
    def _first_number(attributes: Any) -> int:
        first = attributes.get("start", "1").strip()
        return int(first) if re.fullmatch("[0-9]{1,6}", first) and int(first) else 1

    def _begin_item(self) -> None:
        self._break(1)
        number = self._lists[-1] if self._lists else 0
        if number:
            self._lists[-1] += 1
        indent = "  " * min(max(len(self._lists) - 1, 0), _DEEPEST_INDENT)
        self._prefix = indent + (f"{number}. " if number else "- ")
        self._fresh = True

    def _begin_cell(self) -> None:
        if self._cells and self._cells[-1]:
            self._breaks = 0
            self._separators += 1
        else:
            self._break(1)
        if self._cells:
            self._cells[-1] += 1
        self._fresh = True

    def _break(self, wanted: int) -> None:
        self._space = ""
        if self._heading_level:
            self._space = " "
        elif not self._fresh:
            # A blank line inside a table would part its rows.
            self._breaks = max(self._breaks, 1 if self._cells else wanted)

    def _append(self, text: str) -> None:
        self._parts.append(text)
        self._length += len(text)

    def _write(self, text: str) -> None:
        space = self._space
        if self._separators:
            self._append("\n" * (self._breaks if self._length else 0) + " |" * self._separators + " ")
        elif self._length:
            self._append("\n" * self._breaks or self._space)
        if self._prefix:
            self._append(self._prefix)
        self._breaks = self._separators = 0
        self._space = self._prefix = ""
        self._fresh = False
        if self._heading_level:
            if self._heading_offset < 0:
                self._heading_offset = self._length
            self._heading_text += (space, text)
            if self._length - self._heading_offset > _LONGEST_HEADING:
                # Surely one that was never closed.
                self._forget_heading()
        self._append(text)
        self.has_text = True

    def _write_verbatim(self, text: str) -> None:
        lines = text.replace("\r\n", "\n").replace("\r", "\n").replace("\xa0", " ").split("\n")
        if self._verbatim_begins and lines and len(lines) > 1 and not lines[0]:
            # HTML ignores a line end right after <pre>.
            del lines[0]
        self._verbatim_begins = False
        for number, line in enumerate(lines):
            if number:
                self._breaks = min(self._breaks + 1, 3)
                self._space = ""
            if not line.strip():
                self._space += line[: 1000 - len(self._space)]
                continue
            indent, self._space = self._space, ""
            body = line.rstrip()
            self._write(indent + body)
            self._space = line[len(body) :]

    def _end_heading(self) -> None:
        if self._heading_level and self._heading_offset >= 0:
            title = " ".join("".join(self._heading_text).split())
            if title:
                self.headings.append(Heading(self._heading_offset, self._heading_level, title))
        self._forget_heading()

    def _forget_heading(self) -> None:
        self._heading_level = 0
        self._heading_offset = -1
        self._heading_text = []


# -- HTML that is none ----------------------------------------------------------------------------

_TAG = re.compile(r"<!--|<[/!?]?([A-Za-z][A-Za-z0-9:-]{0,30})?[^<>]*>")
_RAW_END = {
    name: re.compile(f"</{name}", re.IGNORECASE) for name in ("script", "style", "head", "title", "template", "svg")
}
_LONG_NUMBER = re.compile(r"&#[xX]?[0-9a-fA-F]{8,};?")


def _strip_tags(content: str, checkpoint: Callable[[], None] | None) -> str:
    """What is left without tags: for pages that only set out to exhaust a parser, or have no element."""
    parts: list[str] = []
    unclosed: set[str] = set()
    position = checked = 0
    while found := _TAG.search(content, position):
        if checkpoint is not None and position - checked > _PIECE:
            checked = position
            checkpoint()
        parts.append(content[position : found.start()])
        position = found.end()
        name = (found[1] or "").lower()
        if found[0] == "<!--":
            if "<!--" not in unclosed:
                closed = content.find("-->", position)
                if closed < 0:
                    unclosed.add("<!--")
                else:
                    position = closed + 3
        elif name in _RAW_END and found[0][1] != "/" and name not in unclosed:
            closing = _RAW_END[name].search(content, position)
            if closing:
                position = closing.start()
            else:
                unclosed.add(name)
        elif name in _PARAGRAPHS:
            parts.append("\n\n")
        elif name in _LINES or name in ("br", "li", "ul", "ol", "td", "th"):
            parts.append("\n")
    parts.append(content[position:])
    text = clean(html.unescape(_LONG_NUMBER.sub("\ufffd", "".join(parts))))
    text = "\n".join(" ".join(line.split()) for line in text.split("\n"))
    return clean(text).strip()


_EMPTY_ELEMENT = re.compile(r"<([A-Za-z][A-Za-z0-9:.-]*)([^<>]*)/>")


def _as_html(content: str) -> str:
    """XHTML as HTML: the two things that an HTML parser reads differently, <a/> and CDATA, rewritten."""
    parts: list[str] = []
    position = 0
    while (opening := content.find("<![CDATA[", position)) >= 0:
        closing = content.find("]]>", opening)
        if closing < 0:
            break
        parts.append(_open_and_close(content[position:opening]))
        parts.append(html.escape(content[opening + 9 : closing], quote=False))
        position = closing + 3
    parts.append(_open_and_close(content[position:]))
    return "".join(parts)


def _open_and_close(markup: str) -> str:
    return _EMPTY_ELEMENT.sub(
        lambda m: m[0] if m[1].lower() in _VOID else f"<{m[1]}{m[2]}></{m[1]}>",
        markup,
    )

"""Files to documents: PDF, DOCX, HTML, Markdown and plain text, for loci.ingest_file().

What a file is, its content decides; its name is only a hint between kinds of text. Files come from anywhere, so nothing
in them is believed: sizes are counted while reading, no entity is expanded, nothing is fetched or executed, and a
cancel or the time limit ends the work wherever it is.
"""

from __future__ import annotations

import codecs
import html
import importlib
import io
import json
import logging
import re
import sys
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Any
from xml.parsers import expat

from loci_udfs.db import Db, entry
from loci_udfs.errors import LociError
from loci_udfs.extract import PAGED_TEXT, clean, to_document

_LONGEST_NAME = 255
_LONGEST_TITLE = 500
_PIECE = 1 << 16  # bytes between two checks
# What unpacks to no more than this is no bomb; a stream of a PDF that unpacks to more than the other is one.
_FREE_EXPANSION = 10 << 20
_MOST_PDF_STREAM = 75_000_000
_SUPPORTED = "PDF, DOCX, HTML, Markdown and plain text are read."


@dataclass(frozen=True, slots=True)
class Limits:
    """The settings of the same names, without ingest_."""

    max_bytes: int = 50 << 20
    max_pages: int = 5000
    max_text_bytes: int = 50 << 20
    max_expansion: int = 100
    max_seconds: float = 60


@dataclass(frozen=True, slots=True)
class Converted:
    """A row for loci.documents. content: text of mime_type, one of those that to_document() reads."""

    content: str
    mime_type: str
    title: str
    metadata: dict[str, Any] = field(default_factory=dict)


@entry
def convert_file(db: Db, filename: str | None, data: bytes | None, limits: str) -> dict[str, str]:
    """convert() for SQL. limits: fields of Limits as JSON text; metadata comes back as JSON text."""
    converted = convert(filename, data, Limits(**json.loads(limits)), db.checkpoint)
    return {
        "content": converted.content,
        "mime_type": converted.mime_type,
        "title": converted.title,
        "metadata": json.dumps(converted.metadata, ensure_ascii=False),
    }


def convert(
    filename: str | None,
    data: bytes | None,
    limits: Limits,
    checkpoint: Callable[[], None],
    clock: Callable[[], float] = time.monotonic,
) -> Converted:
    """The text of a file, with its title, and its name and number of pages in metadata.

    Raises LC260 (unsupported type), LC261 (encrypted), LC262 (broken), LC263 (empty), LC264 (no text), LC265 (too
    large), LC266 (expands too far), LC267 (unknown encoding), LC268 (took too long), LC269 (no name).
    """
    name = _base_name(filename)
    if not name:
        raise LociError("the file has no name", hint="Pass the name that it was uploaded with.", sqlstate="LC269")
    if not data:
        raise LociError("the file is empty", hint="Upload it again: its content did not arrive.", sqlstate="LC263")
    if len(data) > limits.max_bytes:
        raise _too_large(f"It has {len(data)} bytes; {limits.max_bytes} are allowed.", "ingest_max_bytes")
    watch = _Watch(checkpoint, limits.max_seconds, clock)
    watch.check()
    convert_kind = {"pdf": _from_pdf, "docx": _from_docx}.get(_kind(data, name), _from_text)
    content, mime_type, title, metadata = convert_kind(data, name, limits, watch)
    stem = name.rpartition(".")[0] or name
    return Converted(content, mime_type, _title(title) or stem, {"filename": name, **metadata})


_Parts = tuple[str, str, str | None, dict[str, Any]]


def _too_large(detail: str, setting: str) -> LociError:
    return LociError(
        "the file is too large", detail=detail, hint=f"Split it, or raise the setting {setting}.", sqlstate="LC265"
    )


def _broken(what: str, detail: str) -> LociError:
    return LociError(
        f"the {what} file is broken", detail=detail, hint="Upload it again, or save it anew.", sqlstate="LC262"
    )


def _bomb(detail: str) -> LociError:
    return LociError(
        "the file expands too far",
        detail=detail,
        hint="Save it anew; if it is to be trusted, raise the setting ingest_max_expansion.",
        sqlstate="LC266",
    )


def _no_text(detail: str, hint: str = "Upload a file that has text in it.") -> LociError:
    return LociError("the file has no text", detail=detail, hint=hint, sqlstate="LC264")


def _base_name(filename: str | None) -> str:
    name = re.split(r"[\\/]", clean(filename or ""))[-1]
    return " ".join(name.split())[-_LONGEST_NAME:]


def _title(raw: str | None) -> str | None:
    title = " ".join(clean(raw or "").split())
    # What word processors write when nobody chose a title.
    title = re.sub(r"^Microsoft (?:Word|PowerPoint) -(?: |$)", "", title)
    if title.lower() in (
        "untitled",
        "untitled document",
        "unbenannt",
        "document",
        "word document",
        "powerpoint presentation",
    ):
        return None
    return title[:_LONGEST_TITLE] or None


class _Stop(BaseException):
    """Carries an error past libraries that handle every Exception."""

    def __init__(self, error: BaseException) -> None:
        self.error = error


class _Watch:
    """Lets work be cancelled, and ends it with LC268 when time is up."""

    def __init__(self, checkpoint: Callable[[], None], seconds: float, clock: Callable[[], float]) -> None:
        self._checkpoint = checkpoint
        self._seconds = seconds
        self._clock = clock
        self._start = self._next = clock()
        self._calls = 0

    def check(self) -> None:
        now = self._clock()
        if now < self._next:
            return
        if now - self._start > self._seconds:
            raise LociError(
                "the file takes too long to read",
                detail=f"{self._seconds:g} seconds are allowed.",
                hint="Split it, or raise the setting ingest_max_seconds.",
                sqlstate="LC268",
            )
        self._checkpoint()
        self._next = now + 0.1

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Check while code runs that knows nothing of it: at every hundredth Python function it calls."""
        before = sys.gettrace()
        sys.settrace(self._called)
        try:
            yield
        except _Stop as stop:
            raise stop.error from None
        finally:
            sys.settrace(before)

    def _called(self, frame: FrameType, event: str, argument: Any) -> None:
        self._calls += 1
        if self._calls % 100 == 0:
            try:
                self.check()
            except Exception as error:
                raise _Stop(error) from None


# -- what it is -----------------------------------------------------------------------------------

_SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (b"\x89PNG\r\n\x1a\n", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF87a", "a GIF image"),
    (b"GIF89a", "a GIF image"),
    (b"II*\0", "a TIFF image"),
    (b"MM\0*", "a TIFF image"),
    (b"RIFF", "a RIFF file (image, sound or video)"),
    (b"\x7fELF", "a program"),
    (b"\xcf\xfa\xed\xfe", "a program"),
    (b"\xca\xfe\xba\xbe", "a program"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"BZh", "a bzip2 archive"),
    (b"\xfd7zXZ\0", "an xz archive"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!\x1a\x07", "a RAR archive"),
    (b"ID3", "a sound file"),
    (b"OggS", "a sound file"),
    (b"SQLite format 3\0", "an SQLite database"),
    (b"{\\rtf", "an RTF document"),
    (b"%!PS", "a PostScript document"),
)
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"


def _kind(data: bytes, name: str) -> str:
    extension = name.rpartition(".")[2].lower()
    found = data.find(b"%PDF-", 0, 1024)
    if found >= 0 and (extension == "pdf" or not data[:found].strip(b"\xef\xbb\xbf\0\t\n\r\f ")):
        return "pdf"
    if data.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return "docx"
    if data.startswith(_OLE):
        if "EncryptedPackage".encode("utf-16-le") in data:
            raise _encrypted("Office")
        raise _unsupported("It is a Word, Excel or PowerPoint file of the format before 2007.")
    for signature, what in _SIGNATURES:
        if data.startswith(signature):
            raise _unsupported(f"It is {what}.")
    if data[4:8] == b"ftyp":
        raise _unsupported("It is a video or HEIF image.")
    if data.startswith(b"MZ") and b"\0" in data[:1024]:
        raise _unsupported("It is a program.")
    if extension in ("pdf", "docx"):
        # Often the page that says why there is no such file.
        raise _broken(extension.upper(), f"Its name ends in .{extension}, its content is something else.")
    return "text"


def _unsupported(detail: str) -> LociError:
    return LociError("the type of the file is not supported", detail=detail, hint=_SUPPORTED, sqlstate="LC260")


def _encrypted(what: str) -> LociError:
    return LociError(
        f"the {what} file is encrypted",
        detail="It cannot be read without its password.",
        hint="Save it without a password.",
        sqlstate="LC261",
    )


# -- text, Markdown, HTML -------------------------------------------------------------------------

_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_HTML_START = re.compile(r"\s*(?:<\?xml[^<>]*>\s*)?(?:<!--[^<>]*-->\s*)?<(?:!doctype\s+html|html[\s>])", re.IGNORECASE)
_XHTML_START = re.compile(r"\s*<\?xml|[^>]*\"-//W3C//DTD XHTML", re.IGNORECASE)
_CHARSET = re.compile(
    rb"<(?:meta|\?xml)[^<>]{0,200}?(?:charset|encoding)\s*=\s*[\"']?([A-Za-z0-9_:.-]{2,40})", re.IGNORECASE
)
_CHARSETS = re.compile(
    r"us-ascii|iso-?8859-?\d{1,2}|latin-?\d|windows-125\d|cp125\d|koi8-[ru]|shift[_-]jis|sjis|euc-(?:jp|kr)"
    r"|iso-2022-jp|gb2312|gbk|gb18030|big5|macintosh"
)
# As browsers do: pages say one and mean the other.
_MEANT = {"iso-8859-1": "cp1252", "iso8859-1": "cp1252", "latin1": "cp1252", "latin-1": "cp1252", "us-ascii": "cp1252"}
_CONTROLS = re.compile(rb"[\0-\x08\x0e-\x1a\x1c-\x1f\x7f]")


def _from_text(data: bytes, name: str, limits: Limits, watch: _Watch) -> _Parts:
    extension = name.rpartition(".")[2].lower()
    text = _decode(data, extension in ("html", "htm", "xhtml"))
    watch.check()
    if len(text) * 4 > limits.max_text_bytes and len(text.encode("utf-8", "replace")) > limits.max_text_bytes:
        raise _too_large(f"It has more than {limits.max_text_bytes} bytes of text.", "ingest_max_text_bytes")
    head = text[:4096]
    if _HTML_START.match(head) or extension in ("html", "htm", "xhtml"):
        mime_type = "application/xhtml+xml" if extension == "xhtml" or _XHTML_START.match(head) else "text/html"
        text = text.replace("\0", "")
    elif extension in ("md", "markdown", "mdown", "mkd"):
        mime_type = "text/markdown"
        text = clean(text)
    else:
        mime_type = "text/plain"
        text = clean(text)
    if mime_type == "text/plain":
        title, has_text = None, bool(text)
    else:
        document = to_document(text, mime_type, checkpoint=watch.check)
        title, has_text = document.title, bool(document.text)
    if not has_text:
        raise _no_text("There is nothing in it but white space and markup.")
    return text, mime_type, title, {}


def _decode(data: bytes, is_html: bool) -> str:
    """The characters of a file. No encoding is guessed: text that is not UTF-8 has to say what it is."""
    for bom, encoding in _BOMS:
        if data.startswith(bom):
            try:
                return data[len(bom) :].decode(encoding)
            except UnicodeDecodeError as error:
                raise _undecodable(f"It begins as {encoding.upper()} and is not, at byte {error.start}.") from None
    if b"\0" in data:
        half = data[:4096]
        if len(data) % 2 == 0 and max(half[::2].count(0), half[1::2].count(0)) > len(half) // 5:
            raise _undecodable("It looks like UTF-16 and does not say so: the byte order mark is missing.")
        raise _unsupported("It is a binary file of an unknown type.")
    head = data[:_PIECE]
    if len(_CONTROLS.findall(head)) > max(3, len(head) // 50):
        raise _unsupported("It is a binary file of an unknown type.")
    label = "utf-8"
    if is_html or _HTML_START.match(data[:4096].decode("latin-1")):
        declared = _CHARSET.search(data, 0, 4096)
        if declared:
            label = declared[1].decode("ascii").lower()
    if label != "iso-2022-jp":
        # Nobody writes UTF-8 by chance, whatever the page says.
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError as error:
            if label in ("utf-8", "utf8"):
                raise _undecodable(f"It is not UTF-8, at byte {error.start}.") from None
    if not _CHARSETS.fullmatch(label):
        raise _undecodable(f"The page says that it is written in {label!r}, which is not known.")
    try:
        return data.decode(_MEANT.get(label, label))
    except (UnicodeDecodeError, LookupError):
        raise _undecodable(f"The page says that it is written in {label!r}, and is not.") from None


def _undecodable(detail: str) -> LociError:
    return LociError(
        "the file's character encoding is not known",
        detail=detail,
        hint="Save it as UTF-8, or name the encoding: bytes => convert(bytes, 'WIN1252', 'UTF8').",
        sqlstate="LC267",
    )


# -- PDF ------------------------------------------------------------------------------------------

# It has something to say about every second file; what matters ends in an error.
logging.getLogger("pypdf").addHandler(logging.NullHandler())
logging.getLogger("pypdf").propagate = False


def _from_pdf(data: bytes, name: str, limits: Limits, watch: _Watch) -> _Parts:
    pypdf: Any = importlib.import_module("pypdf")
    errors: Any = importlib.import_module("pypdf.errors")
    if b"%%EOF" not in data.rstrip(b"\0\t\n\r\f ")[-4096:]:
        raise _broken("PDF", "Its end is missing.")
    # Of one page or font; nothing is held up by a small file with megabytes in it.
    most = min(max(_FREE_EXPANSION, limits.max_expansion * len(data)), _MOST_PDF_STREAM)
    number = 0
    try:
        with (
            pypdf.apply_configuration(
                zlib_maximum_output_length=most,
                lzw_maximum_output_length=most,
                run_length_maximum_output_length=most,
                array_based_stream_maximum_output_length=most,
                # Data that is damaged is an error: half a page would be found as if it were the whole.
                zlib_maximum_recovery_input_length=0,
                jbig2dec_binary=None,
            ),
            watch.inside(),
        ):
            reader = pypdf.PdfReader(io.BytesIO(data), strict=False)
            # Many files are encrypted with the empty password, against changes only.
            if reader.is_encrypted and not reader.decrypt(""):
                raise _encrypted("PDF")
            count = len(reader.pages)
            if count > limits.max_pages:
                raise _too_large(f"It has {count} pages; {limits.max_pages} are allowed.", "ingest_max_pages")
            title = _pdf_title(reader)
            pages: list[str] = []
            size = 0
            for page in reader.pages:
                number += 1
                text = clean(page.extract_text()).strip()
                size += len(text.encode()) + 1
                if size > limits.max_text_bytes:
                    raise _too_large(
                        f"It has more than {limits.max_text_bytes} bytes of text.", "ingest_max_text_bytes"
                    )
                pages.append(text)
    except LociError:
        raise
    except errors.LimitReachedError as error:
        if "recover" in str(error).lower():
            raise _broken("PDF", _where(number, "its data is damaged")) from None
        raise _bomb(_where(number, "there is more in it than a PDF file of this size can need")) from None
    except (errors.FileNotDecryptedError, errors.DependencyError):
        raise _encrypted("PDF") from None
    except MemoryError:
        raise _bomb(_where(number, "there is not enough memory for it")) from None
    except Exception as error:
        # Anything can be raised by a file that breaks the rules.
        if _is_the_databases(error):
            raise
        raise _broken("PDF", _where(number, type(error).__name__)) from None
    if not any(pages):
        raise _no_text(
            f"It has {count} pages without text; most likely they are scanned.",
            "Recognize the text first (OCR): Loci does not.",
        )
    return "\f".join(pages), PAGED_TEXT, title, {"pages": count}


def _where(page: int, what: str) -> str:
    return f"On page {page}: {what}." if page else f"{what[0].upper()}{what[1:]}."


def _is_the_databases(error: Exception) -> bool:
    """A cancel, for example, which came by way of a checkpoint."""
    return hasattr(error, "sqlstate")


def _pdf_title(reader: Any) -> str | None:
    try:
        return str(reader.metadata.title or "") if reader.metadata else None
    except Exception as error:
        if _is_the_databases(error):
            raise
        return None


# -- DOCX -----------------------------------------------------------------------------------------

_MOST_ENTRIES_BYTES = 4 << 20
_WORD = (
    "http://schemas.openxmlformats.org/wordprocessingml/2006/main",
    "http://purl.oclc.org/ooxml/wordprocessingml/main",
)
_MATH = ("http://schemas.openxmlformats.org/officeDocument/2006/math", "http://purl.oclc.org/ooxml/officeDocument/math")
_ZIP_ERRORS = (zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, EOFError, OSError, ValueError, KeyError)


def _from_docx(data: bytes, name: str, limits: Limits, watch: _Watch) -> _Parts:
    try:
        package = _Package(data, limits, watch)
        styles = _Styles()
        package.parse("word/styles.xml", styles)
        reader = _WordReader(styles.levels(), limits.max_text_bytes)
        package.parse(package.main, reader)
        for notes in ("word/footnotes.xml", "word/endnotes.xml"):
            package.parse(notes, reader)
        properties = _Properties()
        package.parse("docProps/core.xml", properties)
    except expat.ExpatError as error:
        raise _broken("DOCX", f"Its XML is not well-formed: {expat.ErrorString(error.code)}.") from None
    except zlib.error:
        raise _broken("DOCX", "Its data is damaged.") from None
    except _ZIP_ERRORS as error:
        raise _broken("DOCX", f"{error}."[:200] if str(error) else "Its archive is damaged.") from None
    content = reader.content()
    if not to_document(content, "text/html", checkpoint=watch.check).text:
        raise _no_text(
            "There are no words in it, perhaps only pictures.", "Recognize the text first (OCR): Loci does not."
        )
    return content, "text/html", properties.title, {}


class _Package:
    """The parts of an OOXML file, none of which is read beyond the limits."""

    def __init__(self, data: bytes, limits: Limits, watch: _Watch) -> None:
        self._watch = watch
        # The directory itself can be the bomb: its size stands at the end of the file.
        end = data.rfind(b"PK\x05\x06", max(0, len(data) - 65557))
        if end < 0 or len(data) < end + 22:
            raise _broken("DOCX", "The end of its archive is missing.")
        if int.from_bytes(data[end + 12 : end + 16], "little") > _MOST_ENTRIES_BYTES:
            raise _bomb("Its directory names too many parts.")
        self._archive = zipfile.ZipFile(io.BytesIO(data))
        self._parts = {part.filename: part for part in self._archive.infolist()}
        self._left = max(_FREE_EXPANSION, limits.max_expansion * len(data))
        if sum(part.file_size for part in self._parts.values()) > self._left:
            raise _bomb(f"Unpacked it has more than {limits.max_expansion} times its size.")
        self.main = self._find_main()
        if any(part.flag_bits & 1 for part in self._parts.values()):
            raise _encrypted("DOCX")

    def _find_main(self) -> str:
        names = self._parts
        if "word/document.xml" in names:
            return "word/document.xml"
        if "[Content_Types].xml" not in names:
            kind = "an OpenDocument or EPUB file" if "mimetype" in names else "a ZIP archive"
            raise _unsupported(f"It is {kind}.")
        if any(part.startswith("xl/") for part in names):
            raise _unsupported("It is an Excel workbook.")
        if any(part.startswith("ppt/") for part in names):
            raise _unsupported("It is a PowerPoint presentation.")
        relations = _Relations()
        self.parse("_rels/.rels", relations)
        if relations.main not in names or not relations.main.startswith("word/"):
            raise _unsupported("It is an Office file, but no Word document.")
        return relations.main

    def parse(self, name: str, handler: _Handler) -> None:
        """Feed a part to handler; nothing happens where there is no such part."""
        part = self._parts.get(name)
        if part is None:
            return
        if part.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise _broken("DOCX", "Its archive is packed in a way that Office does not use.")
        parser = expat.ParserCreate(namespace_separator=" ")
        parser.buffer_text = True
        parser.StartElementHandler = handler.start
        parser.EndElementHandler = handler.end
        parser.CharacterDataHandler = handler.data
        parser.StartDoctypeDeclHandler = _refuse_doctype
        with self._archive.open(part) as file:
            while piece := file.read(_PIECE):
                self._left -= len(piece)
                if self._left < 0:
                    raise _bomb("Unpacked it is larger than its directory says.")
                parser.Parse(piece, False)
                self._watch.check()
            parser.Parse(b"", True)


def _refuse_doctype(*arguments: Any) -> None:
    # No Office file has one; what it is good for is entities that expand without end.
    raise _bomb("Its XML has a document type declaration, which Office files never have.")


class _Handler:
    """Receives the events of an XML part. Names are 'namespace name'."""

    def start(self, name: str, attributes: dict[str, str]) -> None:
        pass

    def end(self, name: str) -> None:
        pass

    def data(self, text: str) -> None:
        pass


class _Relations(_Handler):
    """_rels/.rels: which part is the document."""

    main = ""

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if name.endswith(" Relationship") and attributes.get("Type", "").endswith("/officeDocument"):
            self.main = attributes.get("Target", "").lstrip("/")


class _Properties(_Handler):
    """docProps/core.xml: the title."""

    title = ""
    _inside = False

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self._inside = name == "http://purl.org/dc/elements/1.1/ title"

    def end(self, name: str) -> None:
        self._inside = False

    def data(self, text: str) -> None:
        if self._inside and len(self.title) < _LONGEST_TITLE:
            self.title += text


def _value(attributes: dict[str, str], name: str = "val") -> str:
    return next((attributes[f"{space} {name}"] for space in _WORD if f"{space} {name}" in attributes), "")


class _Styles(_Handler):
    """word/styles.xml: which paragraph styles are headings."""

    def __init__(self) -> None:
        self._own: dict[str, int] = {}
        self._based_on: dict[str, str] = {}
        self._style = ""

    def start(self, name: str, attributes: dict[str, str]) -> None:
        space, _, tag = name.rpartition(" ")
        if space not in _WORD:
            return
        if tag == "style":
            self._style = _value(attributes, "styleId")
        elif tag == "basedOn" and self._style:
            self._based_on[self._style] = _value(attributes)
        elif tag == "name" and self._style:
            found = re.fullmatch(r"heading ([1-9])", _value(attributes).lower())
            if found:
                self._own[self._style] = min(int(found[1]), 6)
            elif _value(attributes).lower() == "title":
                self._own[self._style] = 1
        elif tag == "outlineLvl" and self._style:
            level = _outline_level(_value(attributes))
            if level:
                self._own.setdefault(self._style, level)

    def end(self, name: str) -> None:
        if name.rpartition(" ")[2] == "style":
            self._style = ""

    def levels(self) -> dict[str, int]:
        """Level of each style that is a heading or is based on one."""
        levels: dict[str, int] = {}
        for style in [*self._own, *self._based_on]:
            parent, seen = style, 0
            while parent not in self._own and parent in self._based_on and seen < 20:
                parent, seen = self._based_on[parent], seen + 1
            if parent in self._own:
                levels[style] = self._own[parent]
        return levels


def _outline_level(value: str) -> int:
    """1..6, or 0 for body text."""
    return min(int(value) + 1, 6) if value in tuple("012345678") else 0


class _Paragraph:
    __slots__ = ("item", "level", "parts")

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.level = 0
        self.item = False


class _WordReader(_Handler):
    """The body of a document as HTML: headings, paragraphs, lists, tables. Deleted text and fallbacks are left out."""

    def __init__(self, levels: dict[str, int], max_bytes: int) -> None:
        self._levels = levels
        self._max_bytes = max_bytes
        self._size = 0
        self._parts: list[str] = []
        self._paragraphs: list[_Paragraph] = []
        self._skipping = 0  # open elements, counted from the one that is left out
        self._in_text = False
        self._in_list = False

    def content(self) -> str:
        self._close_list()
        return "".join(self._parts)

    def start(self, name: str, attributes: dict[str, str]) -> None:
        space, _, tag = name.rpartition(" ")
        if self._skipping:
            self._skipping += 1
            return
        if tag == "Fallback" or (space in _WORD and tag in ("moveFrom", "del", "pPrChange", "rPrChange", "sdtPr")):
            self._skipping = 1
            return
        if space in _MATH:
            self._in_text = tag == "t"
            return
        if space not in _WORD:
            return
        if tag == "p":
            self._paragraphs.append(_Paragraph())
        elif tag in ("tbl", "tr", "tc"):
            self._close_list()
            self._write({"tbl": "<table>", "tr": "<tr>", "tc": "<td>"}[tag])
        elif tag in ("footnote", "endnote"):
            if _value(attributes, "type") not in ("", "normal"):
                self._skipping = 1
        elif self._paragraphs:
            self._start_in_paragraph(tag, attributes)

    def _start_in_paragraph(self, tag: str, attributes: dict[str, str]) -> None:
        paragraph = self._paragraphs[-1]
        if tag == "t":
            self._in_text = True
        elif tag in ("tab", "ptab"):
            paragraph.parts.append(" ")
        elif tag in ("br", "cr"):
            paragraph.parts.append("<br>")
        elif tag == "noBreakHyphen":
            paragraph.parts.append("\u2011")
        elif tag == "pStyle":
            paragraph.level = paragraph.level or self._levels.get(_value(attributes), 0)
        elif tag == "outlineLvl":
            paragraph.level = _outline_level(_value(attributes))
        elif tag == "numPr":
            paragraph.item = True

    def end(self, name: str) -> None:
        if self._skipping:
            self._skipping -= 1
            return
        space, _, tag = name.rpartition(" ")
        self._in_text = False
        if space not in _WORD:
            return
        if tag == "p" and self._paragraphs:
            self._end_paragraph(self._paragraphs.pop())
        elif tag in ("tbl", "tr", "tc"):
            self._close_list()
            self._write({"tbl": "</table>\n", "tr": "</tr>", "tc": "</td>"}[tag])

    def data(self, text: str) -> None:
        if self._in_text and not self._skipping and self._paragraphs:
            text = html.escape(text, quote=False)
            self._paragraphs[-1].parts.append(text)
            self._count(text)

    def _end_paragraph(self, paragraph: _Paragraph) -> None:
        text = "".join(paragraph.parts)
        if not text.replace("<br>", "").strip():
            return
        if paragraph.item and not paragraph.level:
            if not self._in_list:
                self._write("<ul>")
                self._in_list = True
            self._write(f"<li>{text}</li>")
            return
        self._close_list()
        tag = f"h{paragraph.level}" if paragraph.level else "p"
        self._write(f"<{tag}>{text}</{tag}>\n")

    def _close_list(self) -> None:
        if self._in_list:
            self._in_list = False
            self._write("</ul>\n")

    def _write(self, markup: str) -> None:
        self._parts.append(markup)
        self._count(markup)

    def _count(self, text: str) -> None:
        # Text is counted twice, when it is read and when it is written; markup hardly matters.
        self._size += len(text.encode())
        if self._size > 2 * self._max_bytes:
            raise _too_large(f"It has more than {self._max_bytes} bytes of text.", "ingest_max_text_bytes")

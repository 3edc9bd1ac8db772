"""Files to documents: what is read from them, and everything that is refused."""

from __future__ import annotations

import io
import sys
import zipfile
from collections.abc import Iterator
from typing import Any

import docx
import pypdf
import pytest
from docx.oxml import parse_xml

from loci_udfs.chunking import iter_split_document
from loci_udfs.errors import LociError
from loci_udfs.extract import PAGED_TEXT, to_document
from loci_udfs.ingest import Converted, Limits, convert
from loci_udfs.tokens import get_tokenizer
from tests.files import encrypted_pdf, pdf, repacked, word, zipped

W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'


def read(data: bytes | None, name: str | None = "file", **limits: Any) -> Converted:
    return convert(name, data, Limits(**limits), lambda: None)


def text_of(converted: Converted) -> str:
    return to_document(converted.content, converted.mime_type).text


def refused(data: bytes | None, name: str | None = "file", **limits: Any) -> LociError:
    with pytest.raises(LociError) as raised:
        read(data, name, **limits)
    assert raised.value.hint
    return raised.value


def simple(text: str = "a walrus on the ice") -> bytes:
    return word(lambda d: d.add_paragraph(text))


# -- PDF ------------------------------------------------------------------------------------------


def test_a_pdf_keeps_its_pages() -> None:
    converted = read(pdf(["first (page)", "", "third"], title="A report"), "dir/report.PDF")
    assert converted == Converted(
        "first (page)\f\fthird", PAGED_TEXT, "A report", {"filename": "report.PDF", "pages": 3}
    )
    document = to_document(converted.content, converted.mime_type)
    assert document.text == "first (page)\n\nthird"
    chunks = list(iter_split_document(document, tokenizer=get_tokenizer("cl100k")))
    assert [chunk.metadata for chunk in chunks] == [{"page": 1, "last_page": 3}]


def test_chunks_know_the_page_they_begin_on() -> None:
    pages = [" ".join(f"Sentence {i} of page {n}." for i in range(40)) for n in range(1, 6)]
    document = to_document("\f".join(["", *pages, ""]), PAGED_TEXT)
    chunks = list(iter_split_document(document, chunk_tokens=150, overlap_tokens=0, tokenizer=get_tokenizer("cl100k")))
    for chunk in chunks:
        where = chunk.metadata
        assert f"of page {int(where['page']) - 1}." in chunk.content.partition(". ")[0] + "."
        assert where.get("last_page", where["page"]) == int(chunk.content.rstrip(".").rpartition(" ")[2]) + 1
    assert {chunk.page for chunk in chunks} == {2, 3, 4, 5, 6}


def test_form_feeds_of_other_text_are_no_pages() -> None:
    assert to_document("a\fb", "text/plain").pages == []
    assert to_document("a\fb", "text/plain; charset=utf-8; Pages=form-feed").pages == [0, 3]


@pytest.mark.parametrize("title", [None, "", "Microsoft Word - ", "untitled", "\x01"])
def test_a_file_without_a_title_is_called_by_its_name(title: str | None) -> None:
    assert read(pdf(["x"], title=title), "C:\\mine\\annual.report.pdf").title == "annual.report"


@pytest.mark.parametrize("algorithm", ["RC4-128", "AES-128", "AES-256"])
def test_encrypted_pdf(algorithm: str) -> None:
    error = refused(encrypted_pdf(["secret"], "password", algorithm))
    assert error.sqlstate == "LC261"
    assert text_of(read(encrypted_pdf(["not secret"], "", algorithm))) == "not secret"


def test_scanned_pdf() -> None:
    error = refused(pdf(["", ""]))
    assert error.sqlstate == "LC264"
    assert "2 pages" in (error.detail or "")
    assert "OCR" in (error.hint or "")


@pytest.mark.parametrize("part", [0.1, 0.5, 0.9, 0.98])
def test_truncated_pdf(part: float) -> None:
    data = pdf(["some text"] * 200)
    assert refused(data[: int(len(data) * part)]).sqlstate == "LC262"


def test_broken_pdf() -> None:
    assert refused(b"%PDF-1.7\n" + b"junk " * 100 + b"\n%%EOF").sqlstate == "LC262"
    assert refused(b"%PDF-1.7\nstartxref\n5\n%%EOF").sqlstate == "LC262"
    # A download that failed.
    assert refused(b"<html><body>404 not found</body></html>", "report.pdf").sqlstate == "LC262"


def compressed(pages: int = 1, size: int = 2000) -> bytes:
    writer = pypdf.PdfWriter(clone_from=io.BytesIO(pdf(["x" * size] * pages)))
    for page in writer.pages:
        page.compress_content_streams()
    output = io.BytesIO()
    writer.write(output)
    return output.getvalue()


def test_damaged_data_is_not_half_a_page() -> None:
    data = bytearray(compressed())
    start = data.index(b"stream\n") + 7
    data[start + 4 : start + 20] = b"\xff" * 16
    assert refused(bytes(data)).sqlstate == "LC262"


def test_pages_that_refer_to_themselves() -> None:
    data = pdf(["x"])
    assert refused(data.replace(b"/Kids [5 0 R]", b"/Kids [2 0 R]")).sqlstate == "LC262"


def test_too_many_pages() -> None:
    error = refused(pdf(["x"] * 11), max_pages=10)
    assert (error.sqlstate, "ingest_max_pages" in (error.hint or "")) == ("LC265", True)


def test_a_pdf_that_expands() -> None:
    writer = pypdf.PdfWriter(clone_from=io.BytesIO(pdf(["x"])))
    stream = writer.pages[0].get_contents()
    assert stream is not None
    stream.set_data(b"BT /F1 12 Tf (x) Tj ET " * 4_000_000)
    writer.pages[0].replace_contents(stream)
    writer.pages[0].compress_content_streams()
    output = io.BytesIO()
    writer.write(output)
    assert len(output.getvalue()) < 1_000_000
    assert refused(output.getvalue()).sqlstate == "LC266"


def ticks(step: float) -> Iterator[float]:
    now = 0.0
    while True:
        now += step
        yield now


def test_time_runs_out_inside_of_the_pdf_library() -> None:
    clock = ticks(1)
    with pytest.raises(LociError) as raised:
        convert("x.pdf", pdf(["x"] * 500), Limits(max_seconds=50), lambda: None, lambda: next(clock))
    assert raised.value.sqlstate == "LC268"
    assert sys.gettrace() is None or "coverage" in str(sys.gettrace())


class Cancelled(Exception):
    sqlstate = "57014"


@pytest.mark.parametrize("data", [pdf(["x"] * 100), simple("x " * 100_000), b"# title\n\ntext" * 100_000])
def test_a_cancel_comes_through(data: bytes) -> None:
    calls = 0

    def checkpoint() -> None:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise Cancelled

    clock = ticks(0.2)
    with pytest.raises(Cancelled):
        convert("x.md", data, Limits(max_seconds=1e9), checkpoint, lambda: next(clock))


# -- DOCX -----------------------------------------------------------------------------------------


def test_a_word_document_keeps_its_structure() -> None:
    def write(d: Any) -> None:
        d.add_heading("Overview", 0)
        d.add_heading("Walruses & <seals>", 1)
        d.add_paragraph("They lie on the ice.").add_run(" All day.").bold = True
        d.add_paragraph("fish", style="List Bullet")
        d.add_paragraph("clams", style="List Bullet")
        d.add_paragraph("line one\nline two\tend")
        table = d.add_table(rows=2, cols=2)
        table.cell(0, 0).text, table.cell(0, 1).text = "name", "weight"
        table.cell(1, 0).text, table.cell(1, 1).text = "walrus", "1000 kg"
        d.add_heading("Deeper", 2)
        d.add_paragraph("")
        d.add_paragraph("The end.")

    converted = read(word(write, title="Arctic animals"), "arctic.docx")
    assert (converted.title, converted.mime_type) == ("Arctic animals", "text/html")
    document = to_document(converted.content, converted.mime_type)
    assert document.text == (
        "Overview\n\nWalruses & <seals>\n\nThey lie on the ice. All day.\n\nfish\n\nclams\n\n"
        "line one\nline two end\n\nname | weight\nwalrus | 1000 kg\n\nDeeper\n\nThe end."
    )
    assert [(h.level, h.title) for h in document.headings] == [
        (1, "Overview"),
        (1, "Walruses & <seals>"),
        (2, "Deeper"),
    ]


def test_changes_boxes_and_notes() -> None:
    body = f"""<w:document {W} xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006"
        xmlns:m="http://schemas.openxmlformats.org/officeDocument/2006/math"><w:body>
        <w:p><w:r><w:t xml:space="preserve">kept </w:t></w:r>
            <w:ins><w:r><w:t>inserted</w:t></w:r></w:ins>
            <w:del><w:r><w:delText>deleted</w:delText></w:r></w:del>
            <w:moveFrom><w:r><w:t>moved away</w:t></w:r></w:moveFrom>
            <w:r><w:instrText>PAGE</w:instrText></w:r>
            <w:hyperlink><w:r><w:t xml:space="preserve"> linked</w:t></w:r></w:hyperlink>
            <w:sdt><w:sdtPr><w:t>not this</w:t></w:sdtPr>
                <w:sdtContent><w:r><w:t xml:space="preserve"> field</w:t></w:r></w:sdtContent></w:sdt>
        </w:p>
        <w:p><w:r><mc:AlternateContent><mc:Choice><w:txbxContent><w:p><w:r><w:t>in a box</w:t></w:r></w:p></w:txbxContent></mc:Choice>
            <mc:Fallback><w:p><w:r><w:t>in a box</w:t></w:r></w:p></mc:Fallback></mc:AlternateContent></w:r>
            <w:r><w:t>around it</w:t></w:r></w:p>
        <w:p><w:pPr><w:numPr/></w:pPr><w:r><w:t>item</w:t></w:r></w:p>
        <w:p><m:oMath><m:r><m:t>E=mc²</m:t></m:r></m:oMath></w:p>
        </w:body></w:document>"""
    notes = f"""<w:footnotes {W}><w:footnote w:type="separator"><w:p><w:r><w:t>---</w:t></w:r></w:p></w:footnote>
        <w:footnote><w:p><w:r><w:t>a note</w:t></w:r></w:p></w:footnote></w:footnotes>"""
    data = repacked(simple(), document=body.encode(), footnotes=notes.encode())
    assert text_of(read(data)).split("\n\n") == [
        "kept inserted linked field",
        "in a box",
        "around it",
        "- item",
        "E=mc²",
        "a note",
    ]


def test_styles_of_other_languages_and_derived_ones_are_headings() -> None:
    def write(d: Any) -> None:
        mine = d.styles.add_style("Mein Titel", docx.enum.style.WD_STYLE_TYPE.PARAGRAPH)
        mine.base_style = d.styles["Heading 3"]
        d.add_paragraph("Kapitel", style=mine)
        outline = d.add_paragraph("Gliederung")
        outline._p.get_or_add_pPr().append(parse_xml(f'<w:outlineLvl {W} w:val="4"/>'))
        d.add_paragraph("Text")

    converted = read(word(write))
    headings = to_document(converted.content, converted.mime_type).headings
    assert [(h.level, h.title) for h in headings] == [(3, "Kapitel"), (5, "Gliederung")]


@pytest.mark.parametrize(
    "prolog",
    [
        '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>',
        '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>',
        '<!DOCTYPE x SYSTEM "http://127.0.0.1:1/x.dtd">',
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_entities_are_refused(prolog: str, encoding: str) -> None:
    body = f'<?xml version="1.0" encoding="{encoding}"?>{prolog}<w:document {W}><w:p><w:r><w:t>&a;</w:t></w:r></w:p></w:document>'
    error = refused(repacked(simple(), document=body.encode(encoding)))
    assert error.sqlstate == "LC266"
    assert "root" not in (error.detail or "")


def test_zip_bomb() -> None:
    parts = {"word/document.xml": b"<w>" + b" " * 60_000_000, "[Content_Types].xml": b"<x/>"}
    error = refused(zipped(parts))
    assert (error.sqlstate, "ingest_max_expansion" in (error.hint or "")) == ("LC266", True)


def test_zip_bomb_with_a_lying_directory() -> None:
    data = bytearray(zipped({"word/document.xml": b"<w>" + b" " * 60_000_000}))
    entry = data.rindex(b"PK\x01\x02")
    data[entry + 24 : entry + 28] = (1000).to_bytes(4, "little")
    assert refused(bytes(data)).sqlstate in ("LC262", "LC266")


def test_a_directory_that_is_the_bomb() -> None:
    parts = {f"{n}": b"" for n in range(90_000)}
    assert refused(zipped(parts, zipfile.ZIP_STORED)).sqlstate == "LC266"


def test_too_much_text() -> None:
    for data, name in (
        (simple("word " * 1000), "x"),
        (pdf(["word " * 100] * 20), "x"),
        (b"word " * 1000, "x.txt"),
    ):
        error = refused(data, name, max_text_bytes=2000)
        assert (error.sqlstate, "ingest_max_text_bytes" in (error.hint or "")) == ("LC265", True)


def test_encrypted_office_file() -> None:
    data = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600 + "EncryptedPackage".encode("utf-16-le") + b"\0" * 600
    assert refused(data, "x.docx").sqlstate == "LC261"
    data = bytearray(simple())
    position = -1
    while (position := data.find(b"PK\x01\x02", position + 1)) >= 0:
        data[position + 8] |= 1
    assert refused(bytes(data)).sqlstate == "LC261"


@pytest.mark.parametrize("part", [0.1, 0.5, 0.99])
def test_truncated_word_document(part: float) -> None:
    data = simple()
    assert refused(data[: int(len(data) * part)], "x.docx").sqlstate == "LC262"


def test_broken_word_document() -> None:
    assert refused(repacked(simple(), document=b"<w:document>")).sqlstate == "LC262"
    assert refused(repacked(simple(), document=b"")).sqlstate == "LC262"
    assert refused(zipped({"word/document.xml": b"<a/>"}, zipfile.ZIP_BZIP2)).sqlstate == "LC262"
    data = bytearray(zipped({"word/document.xml": b"<a>" + bytes(range(97, 122)) * 50 + b"</a>"}))
    data[60:70] = b"\xff" * 10
    assert refused(bytes(data)).sqlstate == "LC262"
    assert refused(b"not an archive", "x.docx").sqlstate == "LC262"


def test_word_document_without_text() -> None:
    assert refused(word(lambda d: d.add_paragraph("  "))).sqlstate == "LC264"


# -- text, Markdown, HTML -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        "grüße 漢字".encode(),
        b"\xef\xbb\xbf" + "grüße 漢字".encode(),
        "grüße 漢字".encode("utf-16"),
        b"\xfe\xff" + "grüße 漢字".encode("utf-16-be"),
        "grüße 漢字".encode("utf-32"),
    ],
)
def test_encodings_that_say_what_they_are(data: bytes) -> None:
    assert read(data, "notes.txt") == Converted("grüße 漢字", "text/plain", "notes", {"filename": "notes.txt"})


@pytest.mark.parametrize(
    "data",
    [
        "grüße".encode("cp1252"),
        "привет".encode("cp1251"),
        "grüße an alle".encode("utf-16-le"),
        "grüße an all".encode("utf-16-be"),
        b"\xff\xfea\xd8",
        "<html><meta charset='klingon'>é".encode("latin-1"),
        "<html><meta charset='rot13'>é".encode("latin-1"),
        "<html>é".encode("latin-1"),
        b"<html><meta charset=shift_jis>\xff\xff\xfd",
    ],
)
def test_encodings_that_do_not(data: bytes) -> None:
    assert refused(data, "notes.txt").sqlstate == "LC267"


def test_pages_name_their_encoding() -> None:
    for charset, text in (
        ("windows-1252", "grüße €"),
        ("iso-8859-1", "grüße €"),
        ("shift_jis", "漢字"),
        ("koi8-r", "привет"),
    ):
        codec = "cp1252" if charset == "iso-8859-1" else charset
        page = f'<html><head><meta http-equiv="Content-Type" content="text/html; charset={charset}"></head><p>{text}'
        assert text_of(read(page.encode(codec), "x")) == text
    assert text_of(read('<html><meta charset="latin1"><p>grüße'.encode(), "x")) == "grüße"
    xhtml = '<?xml version="1.0" encoding="iso-8859-15"?><html xmlns="http://www.w3.org/1999/xhtml"><p>grüße'
    assert read(xhtml.encode("iso-8859-15"), "x").mime_type == "application/xhtml+xml"


@pytest.mark.parametrize(
    ("data", "name", "mime_type", "title"),
    [
        (b"<!DOCTYPE html><title>T</title><p>x", "x.txt", "text/html", "T"),
        (b"\n<!-- c -->\n<HTML><p>x", "page", "text/html", "page"),
        (b"<p>x", "x.HTM", "text/html", "x"),
        (b"<p>x", "x", "text/plain", "x"),
        (b"# T\n\nx", "x.md", "text/markdown", "T"),
        (b"# T\n\nx", "x.txt", "text/plain", "x"),
        (b"a,b\n1,2", "data.csv", "text/plain", "data"),
        (b"%PDFs are nice", "x.txt", "text/plain", "x"),
        (b"MZ is a ring road", "x.txt", "text/plain", "x"),
        (b"IDs", ".profile", "text/plain", ".profile"),
    ],
)
def test_content_decides_and_the_name_helps(data: bytes, name: str, mime_type: str, title: str) -> None:
    converted = read(data, name)
    assert (converted.mime_type, converted.title) == (mime_type, title)


def test_a_pdf_under_another_name() -> None:
    assert read(pdf(["x"]), "x.txt").mime_type == PAGED_TEXT
    assert read(simple(), "x.pdf").mime_type == "text/html"
    assert read(b"\r\n" + pdf(["x"]), "x").mime_type == PAGED_TEXT


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 100, "PNG"),
        (b"\xff\xd8\xff\xe0" + b"\0" * 100, "JPEG"),
        (b"MZ\x90\0" + b"\0" * 100, "program"),
        (b"\x7fELF" + b"\0" * 100, "program"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600, "before 2007"),
        (b"{\\rtf1\\ansi text}", "RTF"),
        (b"\x1f\x8b\x08" + b"x" * 100, "gzip"),
        (b"\0\0\0\x18ftypmp42", "video"),
        (zipped({"xl/workbook.xml": b"<a/>", "[Content_Types].xml": b"<a/>"}), "Excel"),
        (zipped({"ppt/presentation.xml": b"<a/>", "[Content_Types].xml": b"<a/>"}), "PowerPoint"),
        (zipped({"mimetype": b"application/vnd.oasis.opendocument.text"}), "OpenDocument"),
        (zipped({"a.txt": b"text"}), "ZIP"),
        (b"text with a \0 in it, and an odd length", "binary"),
        (bytes(range(1, 32)) * 10, "binary"),
        (b"\x80\x81\x02\x03\x04" * 50, "binary"),
    ],
)
@pytest.mark.parametrize("name", ["file", "file.txt", "file.pdf", "file.docx"])
def test_other_types_are_refused_by_name(data: bytes, what: str, name: str) -> None:
    error = refused(data, name)
    if what == "binary" and "." in name and not name.endswith("txt"):
        assert error.sqlstate == "LC262"
    else:
        assert error.sqlstate == "LC260"
        assert what in (error.detail or "")


@pytest.mark.parametrize("data", [None, b""])
def test_empty(data: bytes | None) -> None:
    assert refused(data).sqlstate == "LC263"


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b" \n\t", "x.txt"),
        (b"\xef\xbb\xbf", "x"),
        (b"<html><script>x</script>", "x"),
        (b"\xff\xfe", "x"),
        (b" ", "x.md"),
    ],
)
def test_nothing_to_read(data: bytes, name: str) -> None:
    assert refused(data, name).sqlstate == "LC264"


def test_too_large() -> None:
    error = refused(b"x" * 101, max_bytes=100)
    assert (error.sqlstate, "ingest_max_bytes" in (error.hint or "")) == ("LC265", True)


@pytest.mark.parametrize("name", [None, "", "  ", "dir/", "\x01"])
def test_no_name(name: str | None) -> None:
    assert refused(b"x", name).sqlstate == "LC269"


def test_names_are_cleaned() -> None:
    assert read(b"x", "../../etc/pass\x00wd\n.txt").metadata == {"filename": "passwd .txt"}
    assert len(read(b"x", "x" * 10_000 + ".txt").metadata["filename"]) == 255


@pytest.mark.parametrize("data", ["<html>a\0b".encode("utf-16"), "a\0b".encode("utf-16"), b"a\x0cb\x1b[0m\x08c"])
def test_what_comes_out_can_be_stored(data: bytes) -> None:
    assert "\0" not in read(data).content

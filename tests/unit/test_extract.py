"""Readable text out of documents, also out of broken and hostile ones."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loci_udfs.errors import LociError
from loci_udfs.extract import MIME_TYPES, Heading, clean, to_document

SCRIPTS = "emoji 👩‍👩‍👧 👍🏽, 漢字かな交じり, עברית العربية, e\u0301 stays decomposed, ﬁ stays a ligature"


def text_of(content: str, mime_type: str = "text/html") -> str:
    return to_document(content, mime_type).text


# -- all types ------------------------------------------------------------------------------------


@pytest.mark.parametrize("mime_type", MIME_TYPES)
def test_other_scripts_untouched(mime_type: str) -> None:
    assert text_of(SCRIPTS, mime_type) == SCRIPTS


@pytest.mark.parametrize("mime_type", MIME_TYPES)
@pytest.mark.parametrize("content", ["", " ", "\r\n\t\r\n", "\ufeff", "\x01\x02"])
def test_nothing_in_nothing_out(mime_type: str, content: str) -> None:
    assert text_of(content, mime_type) == ""


@pytest.mark.parametrize("mime_type", ["Text/HTML; charset=latin1", " text/html "])
def test_type_parameters_and_case_do_not_matter(mime_type: str) -> None:
    assert text_of("<p>é漢</p>", mime_type) == "é漢"


@pytest.mark.parametrize("mime_type", ["", "application/pdf", "text/htm", "text"])
def test_unknown_type(mime_type: str) -> None:
    with pytest.raises(LociError) as raised:
        to_document("x", mime_type)
    assert raised.value.sqlstate == "LC201"
    assert raised.value.hint is not None
    assert all(supported in raised.value.hint for supported in MIME_TYPES)


@pytest.mark.parametrize("mime_type", MIME_TYPES)
@given(content=st.text(st.one_of(st.characters(), st.sampled_from("<>/&;#\"' \n\r\t-!`~=[]a1hplit")), max_size=300))
def test_any_characters_give_clean_text(mime_type: str, content: str) -> None:
    document = to_document(content, mime_type)
    text = document.text
    assert clean(text) == text, "cleaning again changes nothing"
    assert not text or text.strip()
    text.encode()
    for heading in document.headings:
        assert 0 <= heading.offset < len(text)
        assert heading.title


# -- plain text -----------------------------------------------------------------------------------


def test_plain_text_as_is() -> None:
    assert text_of("  a <b>\n\n\n  b &amp; # c\t\n", "text/plain") == "  a <b>\n\n\n  b &amp; # c\t\n"


def test_line_ends_control_characters_and_blank_lines() -> None:
    assert text_of("\ufeffa\r\nb\rc\x0cd\x85e\x00\x07f\x7f\x9bg\th", "text/plain") == "a\nb\nc\nd\nefg\th"
    assert text_of("a\n\n\n\n\n\nb\n \n\t\n  \n \nc", "text/plain") == "a\n\n\nb\n\n\nc"


# -- Markdown -------------------------------------------------------------------------------------

MARKDOWN = """---
title: not a heading
---
Intro
# One #
text
## Two [link](http://x) `code` **bold** #hash
```python
# not a heading
```
~~~~
# nor this
~~~
nor this
---
~~~~
Set
ext
===
Second
------
- item
---

    # indented code
#no space
####### seven
> quote
---
#
"""


def test_markdown_headings() -> None:
    document = to_document(MARKDOWN, "text/markdown")
    assert document.text == MARKDOWN
    assert document.title == "One"
    assert [(heading.level, heading.title) for heading in document.headings] == [
        (1, "One"),
        (2, "Two link code bold #hash"),
        (1, "Set ext"),
        (2, "Second"),
    ]
    starts = [document.text[heading.offset :].split("\n")[0] for heading in document.headings]
    assert [start[:5] for start in starts] == ["# One", "## Tw", "Set", "Secon"]


def test_markdown_offsets_count_after_cleaning() -> None:
    document = to_document("a\r\n\r\n\r\n\r\n\r\n# B\r\n", "text/markdown")
    assert document.headings == [Heading(4, 1, "B")]
    assert document.text[4:] == "# B\n"


def test_markdown_unclosed_fence_ends_the_headings() -> None:
    assert to_document("# A\n```\n# B\n", "text/markdown").headings == [Heading(0, 1, "A")]


# -- HTML -----------------------------------------------------------------------------------------


def test_html_structure() -> None:
    document = to_document(
        """<!DOCTYPE html><html><head><title> The &amp;
        title </title><style>p {}</style><meta charset="latin1"></head><body>
        <nav>Menu</nav><h1>First <em>heading</em></h1>
        <p>One   <b>para</b>graph,&nbsp;with an <i>entity</i>: &lt;&eacute;&#x6F22;&gt;.<p>Two<br>lines.
        <script>if (1 < 2) { alert("no") }</script>
        <ul><li>apple<li><p>pear</p><ol start="3"><li>three<li>four</ol></ul>
        <h2>Table<br>here</h2>
        <table><caption>Cap</caption><tr><th>a<th>b<tr><td>1</td><td><p>2</p></td></tr></table>
        <pre>
  x = <b>1</b>   # one
    y

</pre>
        <img alt="a picture" src=x><textarea>typed</textarea></body></html>""",
        "text/html",
    )
    assert document.title == "The & title"
    assert document.text == (
        "First heading\n\nOne paragraph, with an entity: <é漢>.\n\nTwo\nlines.\n\n"
        "- apple\n- pear\n\n  3. three\n  4. four\n\nTable here\n\nCap\na | b\n1 | 2\n\n"
        "  x = 1   # one\n    y\n\na picture\ntyped"
    )
    assert document.headings == [
        Heading(0, 1, "First heading"),
        Heading(document.text.index("Table here"), 2, "Table here"),
    ]


def test_space_between_words_of_different_elements() -> None:
    assert text_of("<pre><b>USING</b> <i>method</i> x<b> y</b></pre>") == "USING method x y"
    assert text_of("a <b> b</b> <i>c </i>d") == "a b c d"
    assert text_of("a<script>x</script>b") == "a b"
    assert text_of("<div>a</div><div>b</div>") == "a\nb"


def test_blank_lines_in_pre_are_limited() -> None:
    assert text_of("<pre>a\n\n\n\n\n\nb\r\nc</pre>") == "a\n\n\nb\nc"


@pytest.mark.parametrize(
    "navigation",
    ['<nav>N</nav>', '<div role="navigation">N</div>', '<div class="x navheader">N<table><tr><td>N</table></div>',
     "<div class=navfooter><div><p>N</div></div>", "<div hidden>N</div>", '<i aria-hidden="true">N</i>'],
)  # fmt: skip
def test_navigation_is_dropped(navigation: str) -> None:
    assert text_of(f"<p>before{navigation}<p>after") == "before\n\nafter"


@pytest.mark.parametrize("start", ['<div class="navheader">', "<nav>"])
def test_navigation_around_everything_is_kept(start: str) -> None:
    assert text_of(f"{start}<p>the whole<ul><li>page") == "the whole\n\n- page"


def test_title_is_the_documents_own() -> None:
    assert to_document("<svg><title>icon</title></svg><p>x", "text/html").title is None
    assert to_document("<title>a</title><title>b</title>x", "text/html").title == "a"
    assert text_of("<title>a</title><p>x") == "x"


@pytest.mark.parametrize(
    "declaration",
    ['<?xml version="1.0" encoding="iso-8859-1"?>', '<meta charset="utf-16">',
     '<meta http-equiv="Content-Type" content="text/html; charset=koi8-r">'],
)  # fmt: skip
def test_declared_encoding_is_history(declaration: str) -> None:
    assert text_of(f"{declaration}<p>é漢😀</p>") == "é漢😀"
    assert text_of(f"{declaration}<p>é漢😀</p>", "application/xhtml+xml") == "é漢😀"


def test_xhtml() -> None:
    content = (
        '<html xmlns="http://www.w3.org/1999/xhtml"><head><title/><script src="x"/></head><body><a id="q"/>'
        "<p>one<br/>two</p><![CDATA[1 < 2 & 3]]><div/><p>three</p></body></html>"
    )
    assert text_of(content, "application/xhtml+xml") == "one\ntwo\n\n1 < 2 & 3\n\nthree"


def test_character_references_to_control_characters() -> None:
    assert text_of("<p>a&#1;b&#0;c&#127;d&shy;e&#x80;</p>") == "ab\ufffdcde€"


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("<p>a<div>b</div>c", "a\n\nb\nc"),
        ("</p></div>x", "x"),
        ("a < b > c", "a < b > c"),
        ("<p title='x", "<p title='x"),
        ("<!-- x --> y", "y"),
        ("just text & more", "just text & more"),
        ("<b><i>a</b>b</i>", "ab"),
        ("<h1>a<h2>b", "a\n\nb"),
        ("<table>x<tr>y<td>z", "x\ny\nz"),
        ("<li>x", "- x"),
        ("<td>x<td>y", "x\ny"),
        ("<title>never closed <p>text</p>", None),
    ],
)
def test_broken_html(content: str, text: str | None) -> None:
    found = to_document(content, "text/html")
    if text is None:
        assert found.title
    else:
        assert found.text == text


N = 100_000
HOSTILE = {
    "nested": ("<div>" * N + "needle" + "</div>" * N, "needle"),
    "nested tables": ("<table><tr><td>" * 30_000 + "needle", "needle"),
    "nested lists": ("<ul><li>" * 50_000 + "needle", "needle"),
    "nested headings": ("<h1><h2>" * 50_000 + "needle", "needle"),
    "never closed": ("<p>a<li>b<td>c" * 50_000 + "needle", "needle"),
    "closed only": ("</div></p></x>" * N + "needle", "needle"),
    "deep, then closed only": ("<b>" * N + "</i>" * N + "needle", "needle"),
    "formatting with attributes": ("".join(f"<b a={i}>" for i in range(5000)) + "<p>x" * 5000 + "needle", "needle"),
    "long attribute": ("<p title='" + "x" * 3_000_000 + "'>needle", "needle"),
    "many attributes": ("<p " + " ".join(f"a{i}=1" for i in range(N)) + ">needle", "needle"),
    "open comments": ("<p>needle" + "<!--" * N, "needle"),
    "open tags": ("<p>needle</p>" + "<a " * N, "needle"),
    "less than": ("<p>needle</p>" + "< " * N, "needle"),
    "references": ("<p>needle" + "&amp;&#x41;&a" * N, "needle"),
    "entities": (
        '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;">'
        '<!ENTITY d SYSTEM "file:///etc/passwd">]><p>needle &c; &d;</p>',
        "needle",
    ),
    "cdata": ("<p>needle" + "<![CDATA[" * N, "needle"),
    "long number": ("<p>needle &#" + "9" * 100_000 + ";", "needle"),
    "deep long number": ("<b>" * 2000 + "needle &#" + "9" * 100_000 + ";", "needle"),
    "long heading": ("<h1>" + "word " * N + "needle", "needle"),
}


@pytest.mark.parametrize("mime_type", ["text/html", "application/xhtml+xml"])
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_html(name: str, mime_type: str) -> None:
    content, needle = HOSTILE[name]
    document = to_document(content, mime_type)
    assert needle in document.text
    assert len(document.text) < 2 * len(content) + 1000
    assert "root:" not in document.text and "hahahaha" not in document.text
    assert all(len(heading.title) <= 2000 for heading in document.headings)


def test_deep_page_that_the_parser_refuses_still_gives_its_text() -> None:
    content = (
        "<title>t</title>" + "<div>" * 5000 + "<p>one &amp; two<p>three<script>no</script><style>no</style>"
        "<!-- no --><br>four</div>five"
    )
    assert text_of(content) == "one & two\n\nthree\nfour\nfive"


@pytest.mark.parametrize(
    ("mime_type", "content"),
    [
        ("text/html", "<p>" + "word " * 50_000),
        ("text/html", "<b>" * 50_000 + "<i>" * 50_000),
        ("text/markdown", "word\n" * 50_000),
    ],
)
def test_checkpoint_can_stop_it(mime_type: str, content: str) -> None:
    class StopError(Exception):
        pass

    def stop() -> None:
        raise StopError

    with pytest.raises(StopError):
        to_document(content, mime_type, checkpoint=stop)


# Whichever major version the distribution has; make test installs it.
MANUAL = max(Path("/usr/share/doc").glob("postgresql-doc-*/html"), default=Path("/nonexistent"))


@pytest.mark.skipif(not MANUAL.is_dir(), reason="needs the package postgresql-doc")
def test_chapters_of_the_postgresql_manual() -> None:
    document = to_document((MANUAL / "sql-createindex.html").read_text(), "text/html")
    assert document.title == "CREATE INDEX"
    assert document.text.startswith("CREATE INDEX\n\nCREATE INDEX — define a new index\n\nSynopsis\n\n")
    assert "ON [ ONLY ] table_name [ USING method ]\n    ( {" in document.text
    assert "Prev" not in document.text and "Home" not in document.text
    for heading in document.headings:
        assert document.text.startswith(heading.title, heading.offset)
    types = to_document((MANUAL / "datatype-numeric.html").read_text(), "text/html").text
    assert "\nsmallint | 2 bytes | small-range integer | -32768 to +32767\n" in types

"""Redaction: what is found, what is left alone, and that no text and no pattern can hold it up."""

from __future__ import annotations

import json
import re
import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loci_udfs.errors import LociError
from loci_udfs.redact import CHECKS, Pattern, Redaction, Span, compile_pattern, find, redact, replace
from tests.database import ROOT

_ROW = re.compile(r"^\('(\w+)', '(\w+)', \$re\$(.*?)\$re\$, (?:'(\w+)'|null), '", re.MULTILINE)
DEFAULTS = [
    compile_pattern(name, kind, pattern, check or None)
    for name, kind, pattern, check in _ROW.findall(
        (ROOT / "sql/functions/pipeline/default_redaction_patterns.sql").read_text()
    )
]
# Built here, so that nobody takes this file for a leak.
AWS = "AKIA" + "IOSFODNN7EXAMPLE"
GITHUB = "ghp_" + "16C7e42F292c6912E7710c838347Ae178B4a"
OPENAI = "sk-proj-" + "aB3dE5fG7hJ9kL1mN3pQ5rS7tU9vW1xY"
JWT = "eyJhbGciOiJIUzI1NiJ9" + ".eyJzdWIiOiIxMjM0NTY3ODkwIn0" + ".dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"
STRIPE = "sk_live_" + "4eC39HqLyjWDarjtT1zdp7dc"
PEM = (
    "-----BEGIN RSA PRIVATE "
    + "KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,AB\n\n"
    + "MIIEpAIBAAKCAQEA75\n" * 60
) + "-----END RSA PRIVATE KEY-----"


def redacted(text: str) -> str:
    return redact(text, DEFAULTS)[0]


def test_the_defaults_are_read() -> None:
    assert len(DEFAULTS) >= 25
    assert {pattern.kind for pattern in DEFAULTS} == {"email", "phone", "card", "iban", "national_id", "secret"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # e-mail
        ("Write to ada.lovelace+x@mail.example.org.", "Write to [EMAIL]."),
        ("<ADA@EXAMPLE.CO.UK>, bob@x.io", "<[EMAIL]>, [EMAIL]"),
        ("mailto:ada@example.org?subject=x", "mailto:[EMAIL]?subject=x"),
        ("jörg@müller.de και νίκος@παράδειγμα.ελ", "[EMAIL] και [EMAIL]"),
        ("联系ada@example.org谢谢", "联系[EMAIL]谢谢"),
        ("'ada@example.org'", "'[EMAIL]'"),
        # telephone
        ("Call +49 30 1234567 now", "Call [PHONE] now"),
        ("+49 (0)30 / 12 34 56-78, +1-555-123-4567; +33 1 23 45 67 89", "[PHONE], [PHONE]; [PHONE]"),
        ("+4930123456", "[PHONE]"),
        ("电话+8613800138000呢", "电话[PHONE]呢"),
        ("0049 30 1234567", "[PHONE]"),
        ("(555) 234-5678 or 555.234.5678 or 555-234-5678.", "[PHONE] or [PHONE] or [PHONE]."),
        ("030 1234567, 0171/1234567, 020 7946 0958, 0171-1234567", "[PHONE], [PHONE], [PHONE], [PHONE]"),
        ("01 23 45 67 89", "[PHONE]"),
        ("Tel.: 1234567, Fax 555 1234", "Tel.: [PHONE], Fax [PHONE]"),
        ("+49\u00a030\u00a01234\u20115678", "[PHONE]"),
        # card
        ("4111 1111 1111 1111", "[CARD]"),
        ("card 5555-5555-5555-4444, exp 12/27", "card [CARD], exp 12/27"),
        ("4111111111111111 2027", "[CARD] 2027"),
        ("378282246310005 and 6011111111111117", "[CARD] and [CARD]"),
        ("4111 1111 1111 1111 1234 5678", "[CARD] 1234 5678"),
        # iban
        ("DE89 3704 0044 0532 0130 00", "[IBAN]"),
        ("IBAN:GB29NWBK60161331926819, please", "IBAN:[IBAN], please"),
        ("fr14 2004 1010 0505 0001 3m02 606 is mine", "[IBAN] is mine"),
        ("DE89370400440532013000 Bank AG", "[IBAN] Bank AG"),
        # national ids
        ("SSN 123-45-6789.", "SSN [NATIONAL_ID]."),
        ("86095742719 / 12 345 678 903", "[NATIONAL_ID] / 12 345 678 903"),
        ("AB 12 34 56 C", "[NATIONAL_ID]"),
        ("2 55 08 14 168 025 38", "[NATIONAL_ID]"),
        ("12345678Z and X1234567L", "[NATIONAL_ID] and [NATIONAL_ID]"),
        ("RSSMRA85T10A562S", "[NATIONAL_ID]"),
        ("756.9217.0769.85", "[NATIONAL_ID]"),
        ("529.982.247-25", "[NATIONAL_ID]"),
        # secrets
        (f"key {OPENAI}", "key [SECRET]"),
        (f"{GITHUB},{AWS}", "[SECRET],[SECRET]"),
        (f"Authorization: Bearer {JWT}", "Authorization: Bearer [SECRET]"),
        (STRIPE, "[SECRET]"),
        (f"a\n{PEM}\nb", "a\n[SECRET]\nb"),
        (PEM[:700], "[SECRET]"),
        ("password = hunter2!", "password = [SECRET]"),
        ('{"api_key": "0a1b2c3d4e5f"}', '{"api_key": "[SECRET]"}'),
        ("DB_PASSWORD=s3cr3t&x=1", "DB_PASSWORD=[SECRET]&x=1"),
        ("postgresql://ada:pa55word@localhost/db", "postgresql://ada:[SECRET]@localhost/db"),
    ],
)
def test_found(text: str, expected: str) -> None:
    assert redacted(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        # numbers of orders, invoices, parts, accounts
        "Order 4500012345, ORD-2024-000123, #10023, invoice 2024-0012345, 045/2024-001",
        "SKU 4006381333931 (EAN), ISBN 978-3-16-148410-0, ISBN 0-306-40615-2",
        "1234567812345678 4111111111111112 4111 1111 1111 1112",
        "part 0000123456, batch 12345678901, ticket 999-12-3456",
        "DE89 3704 0044 0532 0130 01, XX12 3456 7890 1234 5678",
        # versions, addresses, ids
        "PostgreSQL 17.2.10, v1.2.3-rc.4, 10.0.19045.3803",
        "192.168.100.200, 10.0.0.1:5432, 2001:db8::8a2e:370:7334, 00:1B:44:11:3A:B7",
        "123e4567-e89b-12d3-a456-426614174000",
        "d41d8cd98f00b204e9800998ecf8427e da39a3ee5e6b4b0d3255bfef95601890afd80709",
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        # dates and times
        "2024-01-31, 31.01.2024, 01/31/2024, 2024-01-31T23:59:59.123456+01:00, 1706745599, 1706745599123",
        "20240131235959, 23:59:59, 2024-W05, Q1/2024, 01-02-2024",
        # sums, measures, coordinates
        "€ 1.234.567,89, $1,234,567.89, 1 234 567,89 EUR, +1.234.567 EUR, +3.5 %, -12 345 678",
        "48.858370, 2.294481; +48.858370, +2.294481; 0.4111111111111111",
        "3.141592653589793 1e-10 0x7fffffff 1,000,000",
        # words
        "user@localhost, @ada, a @ b, pkg@1.2.3, C++ 17 11",
        "The password is required; password: required, token: string, password=get_password(), token=$TOKEN",
        "secret: ********, api_key=<your key>, pwd: none, max_tokens=128000",
        "sk-learn-and-some-other-names-here task-based-something-or-other bearer of bad news arrived here",
        "https://example.org/path?id=12345&page=2, https://example.org:8080/",
        "phone 12, tel. ext. 5, call 911, fax none",
        "Ελληνικά 漢字 👩‍👩‍👧 عربي ١٢٣٤٥٦٧٨٩٠",
    ],
)
def test_left_alone(text: str) -> None:
    assert [text[span.start : span.end] for span in find(text, DEFAULTS)] == []


def test_counts() -> None:
    text, counts = redact("a@b.org, c@d.org, 4111 1111 1111 1111", DEFAULTS)
    assert (text, counts) == ("[EMAIL], [EMAIL], [CARD]", {"email": 2, "card": 1})
    assert redact("nothing here", DEFAULTS) == ("nothing here", {})
    assert redact("a@b.org", []) == ("a@b.org", {})


def test_what_overlaps_is_one() -> None:
    first = compile_pattern("first", "first", "abcd")
    second = compile_pattern("second", "second", "cdefgh")
    third = compile_pattern("third", "third", "hij")
    assert find("xabcdefghijx", [first, second]) == [Span(1, 9, "second")]
    assert find("xabcdefghijx", [third, second, first]) == [Span(1, 11, "second")]
    assert find("abcd", [first, compile_pattern("b", "inner", "bc")]) == [Span(0, 4, "first")]
    assert redact("abcdabcd", [first])[0] == "[FIRST][FIRST]"


def test_a_part_of_a_text() -> None:
    text = "mail ada@example.org today"
    spans = find(text, DEFAULTS)
    assert replace(text, spans, 0, 10) == "mail [EMAIL]"
    assert replace(text, spans, 10, 30) == "[EMAIL] today"
    assert replace(text, spans, 8, 12) == "[EMAIL]"
    assert replace(text, spans, 20, 26) == text[20:]
    assert replace(text, spans, 0, 5) == text[:5]


def test_nothing_is_lost_between_two_windows() -> None:
    for shift in range(0, 60, 7):
        text = "x" * ((1 << 16) - 40 + shift) + " ada@example.org 4111 1111 1111 1111 " + "y " * (1 << 15) + PEM
        assert redact(text, DEFAULTS)[1] == {"email": 1, "card": 1, "secret": 1}


@pytest.mark.parametrize(
    "piece",
    ["a", "1", "4111 1111 1111 1112 ", "a.b-c_d@", "+1 ( ", "DE89 3704 0044 0532 0130 01 ", "-----BEGIN PRIVATE KEY-----",
     "eyJaaaaaaaa.", "password=a ", "0123456789abcdef", "012 34 ", "://a:b", "\u00e9@", "Mr. Smith said so. "],
)  # fmt: skip
def test_time_is_linear(piece: str) -> None:
    def seconds(size: int) -> float:
        text = (piece * (size // len(piece) + 1))[:size]
        start = time.process_time()
        find(text, DEFAULTS)
        return time.process_time() - start

    seconds(1000)
    quarter, whole = seconds(1 << 18), seconds(1 << 20)
    assert whole < 10
    assert whole < 8 * quarter + 0.2


def test_checkpoints() -> None:
    calls = 0

    def checkpoint() -> None:
        nonlocal calls
        calls += 1

    find("x" * (1 << 18), DEFAULTS[:2], checkpoint)
    assert calls == 6


_PIECES = st.sampled_from(
    [
        "ada@example.org",
        "4111 1111 1111 1111",
        "+49 30 1234567",
        AWS,
        "password=hunter2!",
        "DE89 3704 0044 0532 0130 00",
    ]
)


@given(st.lists(st.one_of(_PIECES, st.text(max_size=20)), max_size=8))
def test_spans_are_in_order_and_redaction_is_stable(parts: list[str]) -> None:
    text = " | ".join(parts)
    spans = find(text, DEFAULTS)
    assert all(0 <= span.start < span.end <= len(text) for span in spans)
    assert all(a.end <= b.start for a, b in pairwise(spans))
    once = redacted(text)
    for part in ("ada@example.org", "4111 1111 1111 1111", AWS, "hunter2"):
        assert part not in once


# -- patterns -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "pattern",
    [
        "(",
        "a+",
        "a*",
        "a{3,}",
        "(a+)+b",
        "(?:a{1,30}){1,30}b",
        "(?:a|aa){1,40}b",
        "(?:a?){30}a{30}",
        ".{0,200}.{0,200}.{0,200}x",
        r"(a)\1",
        r"(a)?(?(1)b|c)",
        "a?",
        "",
        "(?=a)",
        r"a{1,30000}",
        "(?<!" + "a" * 150 + ")b",
        "a" * 2001,
        "(?:ab){1,9}+",
        "a.*?b",
        "\\",
    ],
)
def test_patterns_that_could_take_for_ever(pattern: str) -> None:
    with pytest.raises(LociError) as raised:
        compile_pattern("mine", "kind", pattern)
    assert raised.value.sqlstate == "LC281"
    assert raised.value.hint


@pytest.mark.parametrize(
    "pattern",
    [
        "K[0-9]{6}",
        r"\bcustomer-[a-z]{1,20}\b",
        "(?i)project (?:blue|red)",
        "(?:[a-z]{1,20}+-){1,5}[a-z]{2}",
        "a{1,50}b{1,50}",
    ],
)
def test_patterns_of_ones_own(pattern: str) -> None:
    assert compile_pattern("mine", "customer", pattern).longest > 0
    assert redact("see K123456", [compile_pattern("k", "customer", "K[0-9]{6}")])[0] == "see [CUSTOMER]"


def test_only_the_value_is_replaced() -> None:
    pattern = compile_pattern("room", "room", r"(?i)room (?P<value>[0-9]{3})")
    assert redact("in Room 101.", [pattern])[0] == "in Room [ROOM]."


@pytest.mark.parametrize("kind", ["", "E-Mail", "x" * 40, "a]b", "1a"])
def test_kinds_make_placeholders(kind: str) -> None:
    with pytest.raises(LociError) as raised:
        compile_pattern("mine", kind, "abc")
    assert raised.value.sqlstate == "LC281"


def test_unknown_check() -> None:
    with pytest.raises(LociError) as raised:
        compile_pattern("mine", "kind", "abc", "magic")
    assert raised.value.sqlstate == "LC282"
    assert all(check in (raised.value.hint or "") for check in CHECKS)


@pytest.mark.parametrize("pattern", DEFAULTS, ids=lambda pattern: pattern.name)
@given(text=st.text(st.sampled_from('0123456789 -+().@/ABCabcDEde:="_sk'), max_size=60))
def test_any_text_is_safe(pattern: Pattern, text: str) -> None:
    find(text, [pattern])


@pytest.mark.parametrize("check", sorted(CHECKS))
@given(text=st.text(max_size=40))
def test_checks_take_anything(check: str, text: str) -> None:
    assert 0 <= CHECKS[check](text, 0, len(text)) <= len(text)


# -- chunks ---------------------------------------------------------------------------------------


def test_chunks_of_a_text() -> None:
    rows = [{"name": "email", "kind": "email", "pattern": "[a-z]{1,20}+@[a-z]{1,20}+", "checksum": None}]
    redaction = Redaction("m", json.dumps(rows))
    text = "one ada@home two bob@work three"
    spans = redaction.find(text, lambda: None)
    parts = {
        piece: redaction.part(piece, text.index(piece), spans) for piece in ("one ada@", "home two b", "two", "three")
    }
    assert parts == {"one ada@": "one [EMAIL]", "home two b": "[EMAIL] two [EMAIL]", "two": None, "three": None}

    def completed(context: str | None, redacted: str | None) -> str | None:
        found = [{"context": context, "content": "text", "redacted": redacted}]
        redaction.add_context(found, lambda text: text)
        return found[0]["redacted"]

    assert completed(None, None) is None
    assert completed("title", None) is None
    assert completed("by a@b", None) == "by [EMAIL]\n\ntext"
    assert completed(None, "[EMAIL]") == "[EMAIL]"
    assert completed("title", "[EMAIL]") == "title\n\n[EMAIL]"


def test_without_patterns_nothing_happens() -> None:
    redaction = Redaction("", "[]")
    assert redaction.find("ada@example.org", lambda: None) == []
    assert redaction.part("ada@example.org", 0, []) is None

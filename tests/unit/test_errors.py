"""The exception, and the codes it carries."""

from __future__ import annotations

import pytest

from loci_udfs.errors import LociError


def test_fields() -> None:
    error = LociError("message", detail="detail", hint="hint", sqlstate="LC201")
    assert (str(error), error.message, error.detail, error.hint, error.sqlstate) == (
        "message", "message", "detail", "hint", "LC201",
    )  # fmt: skip
    assert LociError("message").detail is None


@pytest.mark.parametrize("sqlstate", ["", "LC1", "22023", "LC1234"])
def test_other_classes_are_mistakes(sqlstate: str) -> None:
    with pytest.raises(ValueError, match="sqlstate"):
        LociError("message", sqlstate=sqlstate)

"""Errors as clients see them: problem+json (RFC 9457) with the SQLSTATE, and nothing of the inside."""

from __future__ import annotations

import re
from typing import Any

import openai
import psycopg
from psycopg_pool import PoolClosed, PoolTimeout, TooManyRequests
from starlette.responses import JSONResponse

_STATUS = {
    **dict.fromkeys(("LC101", *(f"LC{n}" for n in range(110, 118))), 401),
    **dict.fromkeys(("LC703", "LC710", "LC517", "22023", "22021", "22P02", "22032"), 400),
    **dict.fromkeys(("LC504", "LC701"), 403),
    **dict.fromkeys(("LC702", "LC707", "LC740"), 404),
    **dict.fromkeys(("LC705", "LC708", "LC742"), 409),
    **dict.fromkeys(("LC518", "LC704", "54000"), 413),
    **dict.fromkeys(("LC507", "LC508", "LC509", "LC510"), 429),
    **dict.fromkeys(("LC402", "LC404", "LC405", "LC406", "LC407", "LC511"), 502),
    **dict.fromkeys(("LC400", "LC401", "LC409", "LC500", "LC506", "LC515", "LC519", "53300"), 503),
    "LC505": 402,
    "LC741": 410,
    "LC403": 504,
}
# The database is on its way, or somebody else was quicker: the same request may do later.
_PASSING = re.compile(r"08...|40001|40P01|53...|55P03|57P0[1-5]|58...")
# Their words are the user's own business; others speak of the set-up.
_GENERIC = {502: "the model did not answer", 503: "not available now", 504: "the model did not answer in time"}


class Problem(Exception):
    """An answer that is an error. title: said to the client. retry_after: seconds."""

    def __init__(
        self, code: str, title: str | None = None, *, status: int | None = None, retry_after: float | None = None
    ) -> None:
        self.status = status or _STATUS.get(code) or (503 if _PASSING.fullmatch(code) else 500)
        self.code, self.retry_after = code, retry_after
        self.passing = bool(_PASSING.fullmatch(code))
        self.title = _GENERIC.get(self.status, "internal error" if self.status == 500 else title or "request refused")
        if code.startswith(("53", "54")) and title:
            self.title = title
        if self.passing and retry_after is None:
            self.retry_after = 1.0
        super().__init__(f"{code}: {self.title}")

    def body(self) -> dict[str, Any]:
        return {
            "type": f"urn:loci:error:{self.code}", "title": self.title, "status": self.status, "code": self.code,
            # Where clients of OpenAI look.
            "error": {"message": self.title, "type": "loci_error", "code": self.code},
        }  # fmt: skip

    def response(self, **more: Any) -> JSONResponse:
        headers = {} if self.retry_after is None else {"Retry-After": str(max(1, round(self.retry_after)))}
        if self.status == 401:
            headers["WWW-Authenticate"] = 'Bearer error="invalid_token"'
        return JSONResponse({**self.body(), **more}, self.status, headers, "application/problem+json")


def problem_of(error: BaseException) -> Problem:
    if isinstance(error, Problem):
        return error
    if isinstance(error, openai.OpenAIError):
        return _of_gateway(error)
    if isinstance(error, PoolTimeout | PoolClosed | TooManyRequests):
        return Problem("08001")
    if isinstance(error, TimeoutError):
        return Problem("57014", status=503, retry_after=1)
    if isinstance(error, psycopg.Error):
        if error.sqlstate is None:
            return Problem("08006" if isinstance(error, psycopg.OperationalError) else "XX000")
        detail = re.search(r"Try again in (\d+) second", error.diag.message_detail or "")
        wait = float(detail[1]) if detail else None
        return Problem(error.sqlstate, error.diag.message_primary, retry_after=wait)
    return Problem("XX000")


def _of_gateway(error: openai.OpenAIError) -> Problem:
    if isinstance(error, openai.APITimeoutError):
        return Problem("LC403")
    if isinstance(error, openai.APIConnectionError):
        return Problem("LC402")
    if not isinstance(error, openai.APIStatusError):
        # The stream itself says that it failed.
        return Problem("LC402" if type(error) is openai.APIError else "LC407")
    status, wait = error.status_code, error.response.headers.get("retry-after", "")
    known = {401: "LC404", 402: "LC404", 403: "LC404", 404: "LC405", 408: "LC402", 429: "LC401"}
    code = known.get(status, "LC402" if status >= 500 else "LC406" if status >= 400 else "LC405")
    return Problem(code, retry_after=float(wait) if re.fullmatch(r"\d{1,4}", wait) else None)

"""Errors as clients see them: problem+json (RFC 9457) with the SQLSTATE, and nothing of the inside."""

from __future__ import annotations

import re
from typing import Any

import openai
import psycopg
from psycopg_pool import PoolClosed, PoolTimeout, TooManyRequests
from starlette.responses import JSONResponse

_STATUSES = {
    400: "LC703 LC710 LC517 22023 22021 22P02 22032",
    401: "LC101 LC110 LC111 LC112 LC113 LC114 LC115 LC116 LC117",
    402: "LC505",
    403: "LC504 LC701",
    404: "LC702 LC707 LC740",
    409: "LC705 LC708 LC742",
    410: "LC741",
    413: "LC518 LC704 54000",
    429: "LC507 LC508 LC509 LC510",
    501: "LC800",
    502: "LC402 LC404 LC405 LC406 LC407 LC511",
    503: "LC400 LC401 LC409 LC500 LC506 LC515 LC519 LC743 53300",
    504: "LC403",
}
_STATUS = {code: status for status, codes in _STATUSES.items() for code in codes.split()}
# The database is on its way, or somebody else was quicker: the same request may do later.
_PASSING = re.compile(r"08...|40001|40P01|53...|55P03|57P0[1-5]|58...")
# Where the database's words speak of the set-up, or of tables.
_GENERIC = {
    500: "internal error", 502: "the model did not answer", 503: "not available now", 504: "the model did not answer in time",
}  # fmt: skip
_GATEWAY = {401: "LC404", 402: "LC404", 403: "LC404", 404: "LC405", 408: "LC402", 429: "LC401"}


class Problem(Exception):
    """An answer that is an error. title: said to the client. retry_after: seconds."""

    def __init__(
        self, code: str, title: str | None = None, *, status: int | None = None, retry_after: float | None = None
    ) -> None:
        self.code, self.passing = code, bool(_PASSING.fullmatch(code))
        self.status = status or _STATUS.get(code) or (503 if self.passing else 500)
        self.retry_after = 1.0 if self.passing and retry_after is None else retry_after
        self.title = title or _GENERIC.get(self.status, "request refused")
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
    match error:
        case Problem():
            return error
        case openai.APITimeoutError():
            return Problem("LC403")
        case openai.APIConnectionError():
            return Problem("LC402")
        case openai.APIStatusError(status_code=status):
            said = error.response.headers.get("retry-after", "")
            code = _GATEWAY.get(status, "LC402" if status >= 500 else "LC406" if status >= 400 else "LC405")
            return Problem(code, retry_after=float(said) if re.fullmatch(r"\d{1,4}", said) else None)
        case openai.OpenAIError():
            # A plain APIError: the stream itself says that it failed.
            return Problem("LC402" if type(error) is openai.APIError else "LC407")
        case PoolTimeout() | PoolClosed() | TooManyRequests():
            return Problem("08001")
        case TimeoutError():
            return Problem("57014", status=503, retry_after=1)
        case psycopg.Error(sqlstate=str(code)):
            wait = re.search(r"Try again in (\d+) second", error.diag.message_detail or "")
            theirs = code[:2] in ("LC", "22") and _STATUS.get(code, 500) < 500
            return Problem(
                code, error.diag.message_primary if theirs else None, retry_after=float(wait[1]) if wait else None
            )
        case psycopg.OperationalError():
            return Problem("08006")
    return Problem("XX000")

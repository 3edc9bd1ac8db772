"""The one exception that reaches a database user."""


class LociError(Exception):
    """An error with everything that a SQL error carries.

    message: one line, no full stop needed; never holds content, keys or tokens.
    detail, hint: further lines for DETAIL and HINT.
    sqlstate: five characters of class LC, listed in docs/errors.md.
    """

    def __init__(
        self,
        message: str,
        *,
        detail: str | None = None,
        hint: str | None = None,
        sqlstate: str = "LC000",
    ) -> None:
        if len(sqlstate) != 5 or not sqlstate.startswith("LC"):
            raise ValueError(f"not a sqlstate of class LC: {sqlstate!r}")
        super().__init__(message)
        self.message = message
        self.detail = detail
        self.hint = hint
        self.sqlstate = sqlstate

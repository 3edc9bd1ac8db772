"""Secrets by reference: the database stores where a key is, never the key."""

from __future__ import annotations

import os
import re
import stat

from loci_udfs.errors import LociError

_LARGEST = 64 * 1024
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def resolve_key(reference: str) -> str:
    """The secret behind 'env:NAME' or 'file:/absolute/path', without one trailing line end.

    The server's environment and files are meant; a file is a regular one of at most 64 kB.
    Raises LC120 for anything that is no reference, LC121 where there is no usable key behind it.
    Neither repeats the content; LC120 does not even repeat the reference, which may be a key that
    was pasted in its place.
    """
    scheme, _, rest = reference.partition(":")
    if scheme == "env" and _NAME.fullmatch(rest):
        secret = os.environ.get(rest, "")
        if not secret:
            raise _missing(reference, "The variable is not set, or empty, in the server's environment.")
        secret = _without_line_end(secret)
    elif scheme == "file" and rest.startswith("/") and "\0" not in rest:
        secret = _without_line_end(_read(reference, rest))
    else:
        raise LociError(
            "not a key reference",
            hint="Write env:NAME for a variable of the server's environment, or file:/absolute/path.",
            sqlstate="LC120",
        )
    if not secret.strip():
        raise _missing(reference, "The key is empty.")
    return secret


def _read(reference: str, path: str) -> str:
    try:
        # Not blocking: opening a named pipe would wait for its other end.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a path"
        raise _missing(reference, f"The file cannot be opened: {reason}.") from None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise _missing(reference, "It is not a regular file.")
        data = b""
        while len(data) <= _LARGEST and (piece := os.read(descriptor, _LARGEST + 1 - len(data))):
            data += piece
    except OSError as error:
        raise _missing(reference, f"The file cannot be read: {error.strerror}.") from None
    finally:
        os.close(descriptor)
    if len(data) > _LARGEST:
        raise _missing(reference, "The file is larger than 64 kB.")
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise _missing(reference, "The file is not UTF-8 text.") from None


def _without_line_end(secret: str) -> str:
    return secret.removesuffix("\n").removesuffix("\r")


def _missing(reference: str, detail: str) -> LociError:
    return LociError(
        "key not found",
        detail=f"{detail} The reference is {reference}.",
        hint="The reference is resolved by the database server, with its environment and rights.",
        sqlstate="LC121",
    )

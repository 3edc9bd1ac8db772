"""Supervised actions: what a model proposes, made fit for a person's eyes, and run when that person has confirmed it.

loci.confirm() runs with its caller's rights, and so does the action. Its bookkeeping needs Loci's rights and is a
function of its own, loci.confirm_step(). Nobody can call that by hand: it asks this module, which no SQL reaches,
whether loci.confirm() is at that very step.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

from loci_udfs.db import Db, DbError, PlpyDb, entry, errors_reported
from loci_udfs.errors import LociError
from loci_udfs.json_schema import Schema

# Drawn as nothing, or only changing what stands before it, although their categories do not say so: fillers, blanks,
# and the selectors that can carry a hidden text behind a visible character.
_INVISIBLE = frozenset(
    {0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2800, 0x3164, 0xFFA0}
    | set(range(0x180B, 0x1810))
    | set(range(0xFE00, 0xFE10))
    | set(range(0xE0000, 0xE1000))
)
_NEW_LINES = re.compile("\r\n|[\r\x85\u2028\u2029]")
# Numbers with more digits are no integers to a schema.
_DIGITS = 1000
_PLAIN_KEY = re.compile(r"[^\W\d]\w*")
# Somebody else was in the way, or the server is short of something: nothing has happened, and it can be tried again.
_PASSING = ("40", "53", "55P03")


# --- what is seen -----------------------------------------------------------------------------------------------------


def visible(text: str) -> tuple[str, int]:
    """A text without what nobody would see in it, and how many characters that was.

    Line ends become line feeds, other blanks become spaces. Control characters, directions, joiners, zero widths, tags,
    variation selectors, fillers, private and unassigned characters go.
    """
    shown = []
    removed = 0
    for character in _NEW_LINES.sub("\n", text):
        if character in "\n\t" or " " <= character <= "~":
            shown.append(character)
            continue
        category = unicodedata.category(character)
        if category == "Zs":
            shown.append(" ")
        elif category[0] == "C" or ord(character) in _INVISIBLE:
            removed += 1
        else:
            shown.append(character)
    return "".join(shown), removed


class _Number(str):
    """A number as it was written: arguments are shown and run with every digit they came with."""


def _read(text: str) -> Any:
    return json.loads(text, parse_float=_Number, parse_int=_Number, parse_constant=_Number)


def _write(value: Any) -> str:
    if isinstance(value, _Number):
        return str(value)
    if isinstance(value, list):
        return f"[{', '.join(map(_write, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{_quoted(key)}: {_write(item)}' for key, item in value.items())}}}"
    return _quoted(value)


def _quoted(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _cleaned(value: Any) -> tuple[Any, int]:
    if isinstance(value, str) and not isinstance(value, _Number):
        return visible(value)
    removed = 0
    if isinstance(value, list):
        items = []
        for item in value:
            clean, count = _cleaned(item)
            items.append(clean)
            removed += count
        return items, removed
    if isinstance(value, dict):
        members: dict[str, Any] = {}
        for key, item in value.items():
            name, count = visible(key)
            if name in members:
                raise _unfit("Two of their names look the same.")
            members[name], more = _cleaned(item)
            removed += count + more
        return members, removed
    return value, 0


def review(arguments: str, name: str) -> dict[str, Any]:
    """Arguments (JSON text) as a person is to see them, and as they are run.

    Returns arguments (JSON text), summary (one line for each argument; a value never reaches into another line) and
    removed (how many characters are gone). Raises LC735 where they are no object, or two names become one.
    """
    try:
        value, removed = _cleaned(_read(arguments))
        if not isinstance(value, dict):
            raise _unfit("They are no JSON object.")
        lines = [
            f"  {key if _PLAIN_KEY.fullmatch(key) else _quoted(key)}: {_write(item)}" for key, item in value.items()
        ]
        return {"arguments": _write(value), "summary": "\n".join([name, *lines]), "removed": removed}
    except RecursionError:
        raise _unfit("They are nested too deeply.") from None


def _unfit(detail: str) -> LociError:
    return LociError(
        "the arguments cannot be used",
        detail=detail,
        hint="The action's parameters say what it takes.",
        sqlstate="LC735",
    )


def _matches(db: Db) -> Callable[[str, str], bool]:
    def matches(pattern: str, text: str) -> bool:
        try:
            return bool(db.query("select $1 ~ $2 as found", ("text", text), ("text", pattern))[0]["found"])
        except DbError:
            raise LociError(
                "the schema cannot be used",
                detail="One of its patterns is no regular expression of PostgreSQL's.",
                hint="Correct it and register the action again.",
                sqlstate="LC512",
            ) from None

    return matches


def _exact(text: str) -> int | Decimal:
    """What runs is exact, so what is compared with limits is."""
    number = Decimal(text)
    return int(number) if number.adjusted() < _DIGITS and number == number.to_integral_value() else number


def check_arguments(db: Db, parameters: str, arguments: str) -> None:
    """Raises LC735 where arguments do not fit the schema, LC512 where that cannot be told."""
    schema = Schema(json.loads(parameters, parse_float=Decimal), _matches(db), db.checkpoint)
    try:
        problems = schema.problems(json.loads(arguments, parse_float=_exact, parse_int=_exact))
    except RecursionError:
        raise _unfit("They are nested too deeply.") from None
    except (ArithmeticError, TypeError):
        raise _unfit("A number in them cannot be compared with the schema's.") from None
    if problems:
        raise _unfit("; ".join(visible(said)[0] for _, said in problems))


def _told(error: LociError | DbError) -> dict[str, Any]:
    return {"sqlstate": error.sqlstate, "message": error.message, "detail": error.detail, "hint": error.hint}


@entry
def review_arguments(db: Db, parameters: str | None, arguments: str, name: str) -> str:
    """review() and check_arguments() as one answer; {"error": ...} where they cannot be used."""
    try:
        shown = review(arguments, name)
        if parameters is not None:
            check_arguments(db, parameters, shown["arguments"])
        return f'{{"arguments": {shown["arguments"]}, "summary": {json.dumps(shown["summary"])}, "removed": {shown["removed"]}}}'
    except LociError as error:
        return json.dumps({"error": _told(error)})


@entry
def check_parameters(db: Db, parameters: str) -> str | None:
    """What is wrong with a schema of arguments; None for nothing."""
    try:
        schema = Schema(json.loads(parameters, parse_float=Decimal), _matches(db), db.checkpoint)
        if schema.wraps:
            raise LociError(
                "the parameters are not those of an object",
                detail='The schema has no "type": "object".',
                hint='Pass {"type": "object", "properties": {...}}.',
                sqlstate="LC732",
            )
        # Whether it can be followed shows when something is compared with it.
        schema.problems({})
    except LociError as error:
        return json.dumps(_told(error))
    except RecursionError:
        return json.dumps(
            _told(LociError("the schema cannot be used", detail="It is nested too deeply.", sqlstate="LC512"))
        )
    return None


# --- confirmed --------------------------------------------------------------------------------------------------------


class _Session:
    """Of this backend. step: the proposal whose bookkeeping is being done; running: an action is under way."""

    step: str | None = None
    running: bool = False


def in_confirm(proposal_id: str) -> bool:
    return _Session.step == proposal_id


def is_running() -> bool:
    return _Session.running


@contextmanager
def _running() -> Iterator[None]:
    _Session.running = True
    try:
        yield
    finally:
        _Session.running = False


def _step(db: Db, proposal_id: str, outcome: str | None) -> dict[str, Any]:
    _Session.step = proposal_id
    try:
        (row,) = db.query(
            "select loci.confirm_step($1, $2) as step", ("pg_catalog.uuid", proposal_id), ("pg_catalog.jsonb", outcome)
        )
    finally:
        _Session.step = None
    step: dict[str, Any] = _read(row["step"])
    return step


def _who(db: Db) -> dict[str, Any]:
    return db.query("select session_user::text, current_user::text, current_setting('role') as role")[0]


def confirm(plpy: Any, proposal_id: str) -> dict[str, Any]:
    """loci.confirm(): run a proposal once, with the rights of whoever calls; its outcome as a row."""
    db = PlpyDb(plpy)
    with errors_reported(db):
        if _Session.running:
            raise _REFUSALS["LC744"]
        step = _step(db, proposal_id, None)
        ran = "run" in step
        if ran:
            try:
                # What a failing action has done is undone; that it was tried is kept.
                with plpy.subtransaction():
                    step = _step(db, proposal_id, f'{{"result": {_run(db, step)}}}')
            except (DbError, LociError) as error:
                if error.sqlstate.startswith(_PASSING):
                    raise
                step = _step(db, proposal_id, json.dumps({"error": _told(error)}))
        return {
            "status": step["status"],
            "result": None if step["result"] is None else _write(step["result"]),
            "error": None if step["error"] is None else _write(step["error"]),
            "ran": ran,
        }


def _run(db: Db, step: dict[str, Any]) -> str:
    """Call the action; its result as JSON text."""
    before = _who(db)
    with _running():
        rows = db.query(step["run"], ("pg_catalog.jsonb", _write(step["arguments"])))
        # What the action has put off until the end of the transaction belongs to it.
        db.query("set constraints all immediate")
    if _who(db) != before:
        raise LociError(
            "the action has changed its role",
            detail="What it did is undone.",
            hint="An action must not use SET ROLE.",
            sqlstate="LC746",
        )
    result = rows[0]["result"]
    return "null" if step["void"] or result is None else str(result)


@entry
def visible_text(db: Db, text: str | None) -> str | None:
    return None if text is None else visible(text)[0]


# --- refusals ---------------------------------------------------------------------------------------------------------

_REFUSALS = {
    error.sqlstate: error
    for error in (
        LociError(
            "there is no such action for this user",
            detail="It does not exist, is turned off, or is meant for others.",
            hint="As loci_admin: select name, enabled, organizations, member_roles from loci.actions.",
            sqlstate="LC733",
        ),
        LociError(
            "the action is not the one that was registered",
            detail="Its function was dropped or defined anew.",
            hint="As loci_admin: loci.register_action() once more; then it can be proposed again.",
            sqlstate="LC734",
        ),
        LociError(
            "the arguments are too long",
            detail="They have more bytes than the setting action_max_bytes says.",
            hint="Nobody reviews that much: refer to a row instead.",
            sqlstate="LC736",
        ),
        LociError(
            "too many proposals wait for this user",
            detail="As many as the setting max_open_proposals says.",
            hint="Confirm or reject some of them: select * from loci.proposals where status = 'proposed'.",
            sqlstate="LC738",
        ),
        LociError(
            "a proposal needs a user who decides",
            hint="select loci.act_as(user_id) first, in the same transaction.",
            sqlstate="LC739",
        ),
        LociError(
            "an action proposes and decides nothing",
            detail="It was called while an action is running.",
            hint="Confirm proposals one after the other.",
            sqlstate="LC744",
        ),
        LociError(
            "this login may not propose",
            detail="It is no member of loci_proposer.",
            hint="Grant that to logins that run in the name of a model.",
            sqlstate="LC750",
        ),
        LociError(
            "the reply has too many calls",
            detail="The rest of them was left out.",
            hint="The setting proposals_a_turn says how many a reply may have.",
            sqlstate="LC751",
        ),
    )
}


def action_error(sqlstate: str) -> str:
    return json.dumps(_told(_REFUSALS[sqlstate]))

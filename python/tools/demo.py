"""`make demo`: the PostgreSQL manual goes in by plain INSERTs of an ordinary application, answers come out.

Run again, it finds everything in place and only asks the questions.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import sys
import textwrap
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
from console import Bar, bold, duration, table, width
from psycopg import sql
from psycopg.conninfo import make_conninfo
from psycopg.rows import dict_row

Connection = psycopg.Connection[dict[str, Any]]

MANUALS = Path("/usr/share/doc")
ROLE = "loci_demo_app"
ORGANIZATION = "Postgres Library"
ANN, BEN = "ann@demo.example", "ben@demo.example"
FEWEST_CHAPTERS = 120
DRAINS = 2
# The demo gives up when nothing has moved for this long, or after this long altogether.
STALLED_SECONDS = 90
LONGEST_SECONDS = 1800
_LOCK = 0x10C1DE30

# Pages of the manual, by project. Pages that only list other pages, and the longest references, are left out.
SQL_CHAPTERS = """
tutorial-accessdb tutorial-agg tutorial-arch tutorial-concepts tutorial-createdb tutorial-delete tutorial-fk
tutorial-inheritance tutorial-join tutorial-populate tutorial-select tutorial-table tutorial-transactions
tutorial-update tutorial-views tutorial-window
ddl-alter ddl-basics ddl-constraints ddl-default ddl-depend ddl-generated-columns ddl-inherit ddl-priv
ddl-rowsecurity ddl-schemas ddl-system-columns
dml-delete dml-insert dml-returning dml-update
queries-limit queries-order queries-overview queries-select-lists queries-union queries-values queries-with
indexes-bitmap-scans indexes-collations indexes-examine indexes-expressional indexes-index-only-scans indexes-intro
indexes-multicolumn indexes-opclass indexes-ordering indexes-partial indexes-types indexes-unique locking-indexes
mvcc-caveats mvcc-intro mvcc-serialization-failure-handling transaction-iso applevel-consistency explicit-locking
textsearch-indexes textsearch-intro textsearch-limitations textsearch-tables
datatype-boolean datatype-character datatype-enum datatype-money datatype-uuid domains
explicit-joins populate non-durability functions-conditional functions-sequence
how-parallel-query-works
"""
OPERATIONS_CHAPTERS = """
backup-dump backup-file continuous-archiving
different-replication-solutions high-availability warm-standby warm-standby-failover
logical-replication-architecture logical-replication-config logical-replication-conflicts
logical-replication-monitoring logical-replication-publication logical-replication-quick-setup
logical-replication-restrictions logical-replication-security logical-replication-subscription
checksums wal-async-commit wal-internals wal-intro wal-reliability
monitoring-locks monitoring-ps disk-full disk-usage
logfile-maintenance routine-reindex routine-vacuuming
runtime-config-autovacuum runtime-config-error-handling runtime-config-file-locations runtime-config-locks
runtime-config-short
auth-cert auth-ident auth-password auth-peer auth-trust auth-username-maps
client-authentication client-authentication-problems
database-roles predefined-roles role-attributes role-membership role-removal
manage-ag-createdb manage-ag-dropdb manage-ag-overview manage-ag-tablespaces manage-ag-templatedbs
connect-estab creating-cluster encryption-options postgres-user preventing-server-spoofing server-shutdown server-start
ssh-tunnels upgrading
"""

QUESTIONS = (
    "Somebody dropped a table by mistake this morning. Can I get back to the time before?",
    "How do I hide some rows of a table from some users?",
    "What happens to open sessions when I stop the server?",
    "Can a query walk a tree of parts and subparts?",
    "How do I load a lot of rows quickly?",
)
VISIBILITY_QUESTION = "What do I lose if the machine crashes right after a commit?"

SEARCH = """
select s.content, s.title, s.metadata ->> 'heading' as heading, d.source_uri, s.similarity,
    coalesce(p.name, o.name) as scope
from loci.search(%(question)s, k => %(k)s) as s
left join loci.documents as d on d.document_id::text = s.key
left join loci.projects as p on p.project_id = s.scope_id
left join loci.organizations as o on o.organization_id = s.scope_id
order by s.score desc, s.chunk_id
"""


class DemoError(Exception):
    """What went wrong, in a line for the reader."""


@dataclass
class Chapter:
    name: str
    title: str
    content: str

    @property
    def uri(self) -> str:
        return f"postgresql-manual:{self.name}"


@dataclass
class Library:
    """Who and what the demo works with."""

    organization: UUID
    ann: UUID
    ben: UUID
    projects: dict[str, UUID]


# --- the corpus -------------------------------------------------------------------------------------------------------


def find_manual(root: Path = MANUALS) -> tuple[str, Path]:
    """Major version and directory of the newest manual that Debian's postgresql-doc-N has installed."""
    found = [
        (int(match[1]), page.parent)
        for page in root.glob("postgresql-doc-*/html/index.html")
        if (match := re.fullmatch(r"postgresql-doc-(\d+)", page.parent.parent.name))
    ]
    if not found:
        raise DemoError(
            f"the PostgreSQL manual is not in {root}/postgresql-doc-*/html: run docker/install-postgres.sh --with-demo"
        )
    version, directory = max(found)
    return str(version), directory


def read_chapters(directory: Path, names: str) -> list[Chapter]:
    """The named pages; those that this version of the manual does not have are left out."""
    chapters = []
    for name in names.split():
        page = directory / f"{name}.html"
        if page.is_file():
            content = page.read_text(encoding="utf-8", errors="replace")
            title = re.search(r"<title>(.*?)</title>", content, re.DOTALL)
            chapters.append(Chapter(page.name, _plain(title[1]) if title else name, content))
    return chapters


def _plain(title: str) -> str:
    """Without the number of the chapter, which differs from version to version."""
    return re.sub(r"^(Chapter )?[0-9A-Z]+(\.\d+)*\.\s", "", " ".join(unescape(title).split()))


# --- people, places, documents ------------------------------------------------------------------------------------------


def connect(dsn: str, **changes: str) -> Connection:
    return psycopg.connect(
        make_conninfo(dsn, application_name="loci demo", connect_timeout="10", **changes),
        autocommit=True,
        row_factory=dict_row,
    )


def _value(connection: Connection, query: str, *parameters: Any) -> Any:
    row = connection.execute(query.encode(), parameters or None).fetchone()
    return None if row is None else next(iter(row.values()))


def prepare_people(admin: Connection) -> tuple[UUID, UUID, UUID]:
    """The part of an administrator: an organization, two users who belong to it, a login role for the application."""
    with admin.transaction():
        people = []
        for email in (ANN, BEN):
            user = _value(admin, "select user_id from loci.users where email = %s", email)
            people.append(user or _value(admin, "insert into loci.users (email) values (%s) returning user_id", email))
        ann, ben = people
        organization = _value(
            admin,
            "select o.organization_id from loci.organizations as o "
            "join loci.organization_members as m using (organization_id) where o.name = %s and m.user_id = %s",
            ORGANIZATION,
            ann,
        )
        if organization is None:
            organization = _value(
                admin, "insert into loci.organizations (name) values (%s) returning organization_id", ORGANIZATION
            )
        for user, role in ((ann, "owner"), (ben, "member")):
            admin.execute(
                "insert into loci.organization_members (organization_id, user_id, role) values (%s, %s, %s) "
                "on conflict do nothing",
                (organization, user, role),
            )
        if _value(admin, "select 1 from pg_roles where rolname = %s", ROLE) is None:
            admin.execute(sql.SQL("create role {} login in role loci_app").format(sql.Identifier(ROLE)))
    return organization, ann, ben


def connect_as_application(admin: Connection, dsn: str) -> Connection:
    """Connect as the ordinary role: without a password where the server lets it, else with a new random one."""
    try:
        application = connect(dsn, user=ROLE, password="")
    except psycopg.OperationalError:
        password = secrets.token_urlsafe(24)
        admin.execute(sql.SQL("alter role {} password {}").format(sql.Identifier(ROLE), sql.Literal(password)))
        application = connect(dsn, user=ROLE, password=password)
    if application.info.parameter_status("is_superuser") != "off":
        raise DemoError(f"the role {ROLE} is a superuser, the demo wants an ordinary one: drop role {ROLE}")
    return application


@contextmanager
def acting(application: Connection, user: UUID) -> Iterator[None]:
    """A transaction in which the application acts for one user."""
    with application.transaction():
        application.execute("select loci.act_as(%s)", (user,))
        yield


def prepare_projects(application: Connection, organization: UUID, ann: UUID, ben: UUID) -> Library:
    """The part of the application, for ann: two projects. Everybody sees SQL; Operations is private to ann."""
    projects: dict[str, UUID] = {}
    with acting(application, ann):
        for name, visibility in (("SQL", "organization"), ("Operations", "private")):
            project = _value(
                application,
                "select project_id from loci.projects where organization_id = %s and name = %s",
                organization,
                name,
            )
            if project is None:
                project = _value(
                    application,
                    "insert into loci.projects (organization_id, name, visibility) values (%s, %s, %s) "
                    "returning project_id",
                    organization,
                    name,
                    visibility,
                )
            projects[name] = project
        application.execute(
            "insert into loci.project_members (project_id, user_id) values (%s, %s) on conflict do nothing",
            (projects["Operations"], ann),
        )
    return Library(organization, ann, ben, projects)


def load(application: Connection, library: Library, project: str, chapters: Sequence[Chapter]) -> tuple[int, int]:
    """Insert what is missing, update what has another text; how many of each."""
    with acting(application, library.ann):
        known = {
            row["source_uri"]: row["hash"]
            for row in application.execute(
                "select source_uri, encode(sha256(convert_to(content, 'UTF8')), 'hex') as hash "
                "from loci.documents where scope_id = %s",
                (library.projects[project],),
            )
        }
        new = [chapter for chapter in chapters if chapter.uri not in known]
        changed = [
            chapter for chapter in chapters if chapter.uri in known and known[chapter.uri] != _hash(chapter.content)
        ]
        with application.cursor() as cursor:
            cursor.executemany(
                "insert into loci.documents (scope_id, title, content, mime_type, source_uri) "
                "values (%s, %s, %s, 'text/html', %s)",
                [(library.projects[project], chapter.title, chapter.content, chapter.uri) for chapter in new],
            )
            cursor.executemany(
                "update loci.documents set title = %s, content = %s where scope_id = %s and source_uri = %s",
                [(chapter.title, chapter.content, library.projects[project], chapter.uri) for chapter in changed],
            )
    return len(new), len(changed)


def _hash(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()


# --- the queue --------------------------------------------------------------------------------------------------------


class Drains:
    """CALL loci.drain() on a few connections side by side, as pg_cron would run it."""

    def __init__(self, dsn: str, count: int = DRAINS) -> None:
        self._connections = [connect(dsn) for _ in range(count)]
        self._threads: list[threading.Thread] = []
        self._errors: list[str] = []

    def start(self) -> None:
        self._errors.clear()
        self._threads = [
            threading.Thread(target=self._run, args=(connection,), daemon=True) for connection in self._connections
        ]
        for thread in self._threads:
            thread.start()

    def _run(self, connection: Connection) -> None:
        try:
            connection.execute("call loci.drain()")
        except psycopg.Error as error:
            self._errors.append(one_line(error))

    @property
    def running(self) -> bool:
        return any(thread.is_alive() for thread in self._threads)

    def check(self) -> None:
        """Raise what ended a drain, if anything did."""
        if self._errors:
            raise DemoError(self._errors[0])

    def stop(self) -> None:
        for connection in self._connections:
            if self.running:
                connection.cancel_safe(timeout=5)
        for thread in self._threads:
            thread.join(5)
        for connection in self._connections:
            connection.close()


def drain(admin: Connection, dsn: str) -> tuple[int, float] | None:
    """Work the queue off with a progress bar; passages embedded and seconds, or None if there was nothing to do."""
    state = _progress(admin)
    if state["pending"] == 0:
        return None
    begun = moved = time.monotonic()
    before = last = state
    samples = [(begun, int(state["embedded"]))]
    bar = Bar()
    drains = Drains(dsn)
    try:
        drains.start()
        while True:
            now = time.monotonic()
            state = _progress(admin)
            if (state["embedded"], state["pending"]) != (last["embedded"], last["pending"]):
                moved, last = now, state
            samples = [sample for sample in samples if now - sample[0] < 60] + [(now, int(state["embedded"]))]
            bar.draw(float(state["percent"]), _pace(state, samples), now)
            if not drains.running:
                drains.check()
                if state["pending"] == 0:
                    return int(state["embedded"] - before["embedded"]), now - begun
                # Retries wait for their time, and another drain may hold some of the work.
                if now - moved > STALLED_SECONDS or now - begun > LONGEST_SECONDS:
                    raise DemoError(_unfinished(admin, state))
                time.sleep(1)
                drains.start()
            elif now - moved > STALLED_SECONDS * 2 or now - begun > LONGEST_SECONDS:
                raise DemoError(_unfinished(admin, state))
            time.sleep(0.3)
    finally:
        bar.end()
        drains.stop()


def _progress(admin: Connection) -> dict[str, Any]:
    row = admin.execute(
        "select p.rows, p.chunks, p.embedded, p.pending, p.failed, p.percent "
        "from loci.progress as p where p.source = 'documents'"
    ).fetchone()
    if row is None:
        raise DemoError("loci.documents is not watched any more: run `make migrate`")
    return row


def _pace(state: dict[str, Any], samples: list[tuple[float, int]]) -> str:
    (first, done_first), (last, done_last) = samples[0], samples[-1]
    chunks_left = state["chunks"] - state["embedded"]
    rows_left = max(0, state["pending"] - chunks_left)
    if rows_left:
        text = f"{state['embedded']} passages embedded, {rows_left} chapters to split"
    else:
        text = f"{state['embedded']} of {state['chunks']} passages"
    if last - first >= 3 and done_last > done_first:
        rate = (done_last - done_first) / (last - first)
        left = (chunks_left + rows_left * max(1.0, state["chunks"] / max(state["rows"], 1))) / rate
        text += f"  {rate:.1f}/s  {duration(left)} left"
    return text


def _unfinished(admin: Connection, state: dict[str, Any]) -> str:
    failure = admin.execute(
        "select source, key, code, message from loci.failures order by since desc limit 1"
    ).fetchone()
    text = f"the queue stopped moving with {state['pending']} pieces of work left"
    if failure is not None:
        text += (
            f"; last failure: {failure['code'] or ''} {failure['message']} ({failure['source']} {failure['key'] or ''})"
        )
    return text + ". select * from loci.failures tells more; run `make demo` again to go on"


# --- questions --------------------------------------------------------------------------------------------------------


def search(application: Connection, user: UUID, question: str, k: int) -> list[dict[str, Any]]:
    with acting(application, user):
        return application.execute(SEARCH, {"question": question, "k": k}).fetchall()


def show(application: Connection, user: UUID, question: str, k: int = 2) -> list[dict[str, Any]]:
    """Ask as a user and print the answer; the rows of it."""
    rows = search(application, user, question, k)
    excerpts = _excerpts(application, user, question, [row["content"] for row in rows])
    sizes = [0, 26, 10, 10]
    sizes[0] = width() - sum(sizes) - 3 * (len(sizes) - 1) - 2
    cells = [
        [
            _fit(excerpt, sizes[0], 5),
            f"{_where(row)}\n{(row['source_uri'] or '').partition(':')[2]}",
            row["scope"] or "",
            "" if row["similarity"] is None else f"{row['similarity']:.3f}",
        ]
        for row, excerpt in zip(rows, excerpts, strict=True)
    ]
    separated = [cell for number, row in enumerate(cells) for cell in ([["", "", "", ""]] if number else []) + [row]]
    text = table(["passage", "from", "scope", "similarity"], separated, sizes, right=[3])
    print("\n".join([*text.split("\n")[:-1], f"({len(rows)} row{'' if len(rows) == 1 else 's'})"]))
    return rows


def _where(row: dict[str, Any]) -> str:
    """Title, and the section where that says more."""
    title = str(row["title"] or "")
    section = _plain((row["heading"] or "").rpartition(" > ")[2])
    if not section or section in (title, "Note", "Tip", "Warning", "Caution", "Important"):
        return title
    return f"{title}: {section}"


def _sentences(passage: str) -> list[str]:
    sentences = []
    for paragraph in re.split(r"\n\s*\n", passage):
        text = " ".join(paragraph.split())
        for sentence in re.split(r"(?<=[.!?])(?<!e\.g\.)(?<!i\.e\.)\s+(?:- )?(?=[A-Z(])", text):
            # Headings and code have no end that is one.
            if len(sentence.split()) >= 4 and sentence.endswith((".", "?", "!", ":", ")")):
                sentences.append(sentence.removeprefix("- "))
    return sentences


def _excerpts(application: Connection, user: UUID, question: str, passages: Sequence[str]) -> list[str]:
    """Each passage from the sentence on that is nearest to the question, by the same model."""
    sentences = [_sentences(passage) for passage in passages]
    with acting(application, user):
        nearness = [
            row["nearness"]
            for row in application.execute(
                "select 1 - (v.v operator(public.<=>) q.q) as nearness from loci.embed(%s) as q (q) "
                "cross join lateral loci.embed_batch(%s, kind => 'passage') with ordinality as v (v, n) order by v.n",
                (question, [sentence for own in sentences for sentence in own]),
            )
        ]
    excerpts = []
    for passage, own in zip(passages, sentences, strict=True):
        near, nearness = nearness[: len(own)], nearness[len(own) :]
        best = near.index(max(near)) if near else 0
        text = " ".join(own[best:]) or " ".join(passage.split())
        excerpts.append(text if best == 0 else f"... {text}")
    return excerpts


def _fit(text: str, columns: int, lines: int) -> str:
    """As much as fits into so many lines."""
    return "\n".join(textwrap.wrap(text, columns, max_lines=lines, placeholder=" ..."))


# --- the whole --------------------------------------------------------------------------------------------------------


def one_line(error: psycopg.Error) -> str:
    """Message and hint of a database error in one line."""
    message = error.diag.message_primary or " ".join(str(error).split()) or type(error).__name__
    return message + (f" ({error.diag.message_hint})" if error.diag.message_hint else "")


def heading(number: int, text: str) -> None:
    print(f"\n{bold(f'{number}  {text}')}", flush=True)


def run(dsn: str) -> None:
    version, directory = find_manual()
    corpus = {
        "SQL": read_chapters(directory, SQL_CHAPTERS),
        "Operations": read_chapters(directory, OPERATIONS_CHAPTERS),
    }
    total = sum(len(chapters) for chapters in corpus.values())
    if total < FEWEST_CHAPTERS:
        raise DemoError(
            f"only {total} of the expected chapters are in {directory}: is postgresql-doc-{version} complete?"
        )

    with connect(dsn) as admin:
        if _value(admin, "select to_regprocedure('loci.status()')") is None:
            raise DemoError("Loci is not installed in this database: run `make up`")
        if not _value(admin, "select pg_try_advisory_lock(%s)", _LOCK):
            raise DemoError("another demo is running in this database")
        status = {row["component"]: row for row in admin.execute("select * from loci.status()")}
        if not status["python"]["ok"]:
            raise DemoError(status["python"]["detail"])

        print(bold(f"The PostgreSQL {version} manual, searched by meaning"))
        heading(1, "The database")
        print(f"   {status['version']['detail'].partition(' (')[0]}")
        print(f"   model: {status['model']['detail']}")

        heading(2, "People and projects")
        organization, ann, ben = prepare_people(admin)
        with connect_as_application(admin, dsn) as application:
            library = prepare_projects(application, organization, ann, ben)
            print(f"   Organization {ORGANIZATION}: ann (owner) and ben (member).")
            print("   Project SQL is open to the organization, Operations is private to ann.")

            heading(3, "Documents")
            begun = time.monotonic()
            counts = [load(application, library, project, chapters) for project, chapters in corpus.items()]
            inserted, updated = sum(new for new, _ in counts), sum(changed for _, changed in counts)
            if inserted or updated:
                megabytes = sum(len(chapter.content) for chapters in corpus.values() for chapter in chapters) / 1e6
                print(f"   {total} chapters, {megabytes:.1f} MB of HTML: {inserted} inserted, {updated} updated")
                print(f"   by the application's role {ROLE} in {time.monotonic() - begun:.1f} s.")
            else:
                print(f"   {total} chapters are there already; nothing to insert.")

            heading(4, "Embedding")
            work = drain(admin, dsn)
            if work is None:
                print("   Nothing is waiting; every passage has its vector.")
            else:
                count, seconds = work
                print(f"   {count} passages embedded in {duration(seconds)} by {DRAINS} drains side by side.")
                print("   Left alone, pg_cron does this every five minutes.")
            failed = int(_progress(admin)["failed"])
            if failed:
                print(f"   {failed} failed: select * from loci.failures")

            heading(5, "Five questions, asked by ann")
            for question in QUESTIONS:
                print(f"\n   {bold(question)}\n")
                show(application, ann, question)

            heading(6, "One question, two users")
            print(f"\n   {bold(VISIBILITY_QUESTION)}")
            for name, user, sees in (("ann", ann, "SQL and Operations"), ("ben", ben, "SQL only")):
                print(f"\n   {name}, who sees {sees}:\n")
                rows = show(application, user, VISIBILITY_QUESTION)
                if user == ben and any(row["scope"] == "Operations" for row in rows):
                    raise DemoError("ben was shown a row of a project that is private to ann: please report this")
            print("\n   ben gets the nearest of what he may see, never a row, a count or a hint of the rest.")

    print(f"""
{bold("What to type next")}

   make psql

   select * from loci.status();                 -- is everything well?
   select * from loci.progress;                 -- how far is each source?
   \\df+ loci.*                                  -- every function, with its comment

   select user_id as ann from loci.users where email = '{ANN}' \\gset
   set session authorization {ROLE};       -- be the application
   begin;
   select loci.act_as(:'ann');
   select title, round(similarity::numeric, 3) as similarity,
       left(regexp_replace(content, '\\s+', ' ', 'g'), 50) as passage
   from loci.search('how do I move to a new major version?');
   commit;
   reset session authorization;

   README.md goes on from here.""")


def main() -> int:
    dsn = os.environ.get("LOCI_DSN")
    try:
        if not dsn:
            raise DemoError(
                "LOCI_DSN is not set: run `make demo`, or set it to a superuser's URI (make -s dsn prints one)"
            )
        run(dsn)
    except DemoError as error:
        print(f"\ndemo: error: {error}", file=sys.stderr)
        return 1
    except psycopg.Error as error:
        print(f"\ndemo: error: {one_line(error)}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        # Whoever read the output has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        print(f"\ndemo: error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ndemo: stopped; run `make demo` again to go on from here", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())

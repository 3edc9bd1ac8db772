"""Who may see what, in plain Python: the rules of docs/security.md once more, in other words than the database's.

Nothing here reads SQL or calls Loci. A world of organizations, users and rows is changed step by step; at any time it
says what each user must find, and what a user may find at most.
"""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID


@dataclass
class Project:
    """Open to its organization, to one of its teams, or to nobody; and always to those it was given to by name."""

    organization: UUID
    visibility: str
    team: UUID | None = None
    members: set[UUID] = field(default_factory=set)


@dataclass
class Team:
    organization: UUID
    members: set[UUID] = field(default_factory=set)


@dataclass
class Row:
    """A row as its table holds it, and what is known of it to searches.

    version: number of its text (content, title and metadata change together). here: versions it has had since it came to
    its present place. indexed: version that the last drain stored. settled: in one place since then. stored: earliest
    and latest time at which it may have been indexed last.
    """

    scope: UUID | None
    audience: frozenset[UUID | None] | None
    version: int
    here: set[int] = field(default_factory=set)
    indexed: int | None = None
    settled: bool = False
    stored: tuple[int, int] = (0, 0)
    dirty: bool = True

    def rewrite(self, version: int, hide: bool) -> None:
        """Its text changes where it is: the old one may go on being found, unless its source hides it."""
        self.version, self.dirty = version, True
        self.here = {version} if hide else self.here | {version}

    def move(self, scope: UUID | None, audience: frozenset[UUID | None] | None) -> None:
        """Another place. What it said before it came was not said here."""
        if (scope, audience) != (self.scope, self.audience):
            self.scope, self.audience = scope, audience
            self.here, self.settled, self.dirty = {self.version}, False, True

    def drained(self, clock: int) -> None:
        self.here, self.indexed, self.settled = {self.version}, self.version, True
        if self.dirty:
            self.stored, self.dirty = (clock, clock), False


@dataclass
class Source:
    """A watched table. frozen: the rows as they were when it was unwatched and its index kept."""

    hides: bool = False
    rows: dict[str, Row] = field(default_factory=dict)
    watched: bool = True
    # Nothing of it is found until the next drain has compared it with its table.
    hidden: bool = False
    frozen: dict[str, Row] | None = None

    def searched(self) -> dict[str, Row]:
        if self.watched:
            return {} if self.hidden else self.rows
        return self.frozen or {}


@dataclass
class Filter:
    """What a search is narrowed to; None: not at all."""

    scopes: set[UUID] | None = None
    sources: set[str] | None = None
    tag: str | None = None
    since: int | None = None
    until: int | None = None


Found = tuple[str, str, int]  # source, key, version of the text


class Model:
    """The world. All methods named after a change do to the model what the change does to the database."""

    def __init__(self, sources: dict[str, Source]) -> None:
        self.clock = 0
        self.users: set[UUID] = set()
        self.organizations: dict[UUID, dict[UUID, str]] = {}
        self.joined: dict[UUID, list[UUID]] = {}
        self.teams: dict[UUID, Team] = {}
        self.projects: dict[UUID, Project] = {}
        self.sources = sources
        self.conversations: dict[UUID, UUID] = {}
        # Of messages, searchable or not: conversation and version.
        self.messages: dict[str, tuple[UUID, int]] = {}
        # More than one embedding model was in use.
        self.mixed = False

    # --- the rules ----------------------------------------------------------------------------------------------

    def organizations_of(self, user: UUID | None) -> set[UUID]:
        return {o for o, members in self.organizations.items() if user in members}

    def managed_by(self, user: UUID | None) -> set[UUID]:
        return {o for o, members in self.organizations.items() if members.get(user) in ("owner", "admin")}  # type: ignore[arg-type]

    def sees_project(self, user: UUID | None, project: Project) -> bool:
        if user not in self.organizations.get(project.organization, {}):
            return False
        if project.visibility == "organization" or user in project.members:
            return True
        return project.visibility == "team" and project.team is not None and user in self.teams[project.team].members

    def projects_of(self, user: UUID | None) -> set[UUID]:
        return {p for p, project in self.projects.items() if self.sees_project(user, project)}

    def scopes_of(self, user: UUID | None) -> set[UUID]:
        if user is None or user not in self.users:
            return set()
        return {user} | self.organizations_of(user) | self.projects_of(user)

    def principals_of(self, user: UUID | None) -> set[UUID]:
        if user is None or user not in self.users:
            return set()
        return {user} | {t for t, team in self.teams.items() if user in team.members}

    def exists(self, scope: UUID | None) -> bool:
        return scope in self.users or scope in self.organizations or scope in self.projects

    # --- what is found ------------------------------------------------------------------------------------------

    def look(self, user: UUID | None, filter: Filter | None = None) -> tuple[set[Found], set[Found]]:
        """What must be found and what may be found, at most once each."""
        filter = filter or Filter()
        scopes, principals = self.scopes_of(user), self.principals_of(user)
        if filter.scopes is not None:
            scopes &= filter.scopes
        must: set[Found] = set()
        may: set[Found] = set()
        for name, source in self.sources.items():
            if filter.sources is not None and name not in filter.sources:
                continue
            for key, row in source.searched().items():
                if row.scope not in scopes or (row.audience is not None and not row.audience & principals):
                    continue
                first, last = row.stored[0], self.clock if row.dirty else row.stored[1]
                if filter.since is not None and last < filter.since:
                    continue
                if filter.until is not None and first >= filter.until:
                    continue
                may |= {(name, key, v) for v in row.here}
                if row.indexed is None or not row.settled or row.indexed not in row.here:
                    continue
                if filter.since is not None and first < filter.since:
                    continue
                if filter.until is not None and last >= filter.until:
                    continue
                must.add((name, key, row.indexed))
        if filter.tag is not None:
            # Messages have no such metadata.
            must = {found for found in must if found[0] != "messages" and filter.tag in tags_of(found[2])}
            may = {found for found in may if found[0] != "messages" and filter.tag in tags_of(found[2])}
        return must, may

    # --- what the tables show -----------------------------------------------------------------------------------

    def documents(self, user: UUID | None) -> set[tuple[str, ...]]:
        scopes, principals = self.scopes_of(user), self.principals_of(user)
        return {
            (key, str(row.version))
            for key, row in self.sources["documents"].rows.items()
            if row.scope in scopes and (row.audience is None or row.audience & principals)
        }

    def relation(self, name: str, user: UUID | None) -> set[tuple[str, ...]] | None:
        """Keys that a user reads in a table or view of loci; None: the model has no expectation for it."""
        if user is not None and user not in self.users:
            user = None
        mine, managed = self.organizations_of(user), self.managed_by(user)
        seen = self.projects_of(user)
        projects = {p: x for p, x in self.projects.items() if p in seen or x.organization in managed}
        if name == "organizations":
            return strings((o,) for o in mine)
        if name == "organization_members":
            return strings((o, u, role) for o in mine for u, role in self.organizations[o].items())
        if name == "users":
            return strings((u,) for u in {u for o in mine for u in self.organizations[o]} | ({user} - {None}))
        if name == "teams":
            return strings((t,) for t, team in self.teams.items() if team.organization in mine)
        if name == "team_members":
            return strings((t, u) for t, x in self.teams.items() if x.organization in mine for u in x.members)
        if name == "projects":
            return strings((p, x.visibility, x.team) for p, x in projects.items())
        if name == "project_members":
            return strings((p, u) for p, x in projects.items() for u in x.members)
        if name == "documents":
            return self.documents(user)
        own = {c for c, whose in self.conversations.items() if whose == user}
        if name == "conversations":
            return strings((c, user) for c in own)
        if name == "messages":
            return strings((key, c, version) for key, (c, version) in self.messages.items() if c in own)
        return None

    # --- changes ------------------------------------------------------------------------------------------------

    def rows(self) -> Iterable[tuple[Source, str, Row]]:
        return ((source, key, row) for source in self.sources.values() for key, row in source.rows.items())

    def home(self, user: UUID) -> UUID | None:
        """The organization whose model and rules hold for a user's own rows: the one joined first."""
        return self.joined[user][0] if self.joined.get(user) else None

    def _rehomed(self, user: UUID, before: UUID | None) -> None:
        """Other rules for a user's own rows: read again by the next drain."""
        if self.home(user) != before:
            for source in self.sources.values():
                for row in (*source.rows.values(), *(source.frozen or {}).values()):
                    if row.scope == user:
                        row.settled, row.dirty = False, True

    def join(self, organization: UUID, user: UUID, role: str) -> None:
        before = self.home(user)
        self.organizations[organization][user] = role
        self.joined.setdefault(user, []).append(organization)
        self._rehomed(user, before)

    def leave(self, organization: UUID, user: UUID) -> None:
        before = self.home(user)
        del self.organizations[organization][user]
        self.joined[user].remove(organization)
        for team in self.teams.values():
            if team.organization == organization:
                team.members.discard(user)
        for project in self.projects.values():
            if project.organization == organization:
                project.members.discard(user)
        self._rehomed(user, before)

    def delete_scope(self, scope: UUID) -> None:
        """Documents go with their scope; rows of other tables are left where nobody comes."""
        rows = self.sources["documents"].rows
        for key in [key for key, row in rows.items() if row.scope == scope]:
            del rows[key]
        for conversation in [c for c, user in self.conversations.items() if user == scope]:
            self.delete_conversation(conversation)

    def delete_conversation(self, conversation: UUID) -> None:
        del self.conversations[conversation]
        for key in [key for key, (c, _) in self.messages.items() if c == conversation]:
            self.delete_message(key)

    def delete_message(self, key: str) -> None:
        del self.messages[key]
        self.sources["messages"].rows.pop(key, None)

    def say(self, conversation: UUID, key: str, version: int, searchable: bool) -> None:
        self.messages[key] = (conversation, version)
        if searchable:
            self.sources["messages"].rows[key] = Row(self.conversations[conversation], None, version, here={version})

    def delete_project(self, project: UUID) -> None:
        del self.projects[project]
        self.delete_scope(project)

    def delete_team(self, team: UUID) -> None:
        del self.teams[team]

    def delete_organization(self, organization: UUID) -> None:
        for user in list(self.organizations[organization]):
            self.leave(organization, user)
        del self.organizations[organization]
        self.teams = {t: x for t, x in self.teams.items() if x.organization != organization}
        for project in [p for p, x in self.projects.items() if x.organization == organization]:
            self.delete_project(project)
        self.delete_scope(organization)

    def delete_user(self, user: UUID) -> None:
        for organization in self.organizations_of(user):
            self.leave(organization, user)
        self.users.discard(user)
        self.joined.pop(user, None)
        self.delete_scope(user)

    def unwatch(self, name: str, keep: bool) -> None:
        source = self.sources[name]
        source.frozen = deepcopy(source.searched()) if keep else None
        source.watched, source.hidden = False, False

    def watch(self, name: str) -> None:
        source = self.sources[name]
        source.watched, source.frozen, source.hidden = True, None, True
        for row in source.rows.values():
            row.here, row.indexed, row.settled, row.dirty = {row.version}, None, False, True

    def drain(self, clock: int) -> None:
        self.clock = clock
        for source in self.sources.values():
            if source.watched:
                source.hidden = False
                for row in source.rows.values():
                    if self.exists(row.scope):
                        row.drained(clock)


# Each version of a text has metadata of its own, so that a filter tells an old text from a new one.
TAGS = ("red", "green", "blue")


def tags_of(version: int) -> set[str]:
    return {tag for n, tag in enumerate(TAGS) if version >> n & 1}


def strings(keys: Iterable[tuple[Any, ...]]) -> set[tuple[str, ...]]:
    return {tuple("" if part is None else str(part) for part in key) for key in keys}

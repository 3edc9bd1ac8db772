"""docs/scaling.md: its design for Citus holds against Citus' rules, and its figures can be had."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable

import pytest

from tests.catalogue.test_docs import blocks_of
from tests.database import ROOT, Database

NewDatabase = Callable[..., Database]

# What Citus does with these, as far as its rules go: it notes the table.
_CITUS = """
create table public.distributed (relation regclass primary key, distribution_column text, colocated_with regclass);
create function public.create_distributed_table(
    relation regclass, distribution_column text, shard_count int default 32, colocate_with regclass default null
) returns void language sql as 'insert into public.distributed values (relation, distribution_column, colocate_with)';
"""


def design() -> str:
    (block,) = [b for b in blocks_of(ROOT / "docs/scaling.md") if "citus" in b.marks]
    return block.text


def refused(db: Database) -> list[str]:
    """What Citus would refuse of the tables that were distributed."""
    return [
        row["problem"]
        for row in db.rows(
            """
            with distributed as (
                select d.relation, d.colocated_with, a.attnum, a.attnotnull, a.atttypid, d.distribution_column
                from public.distributed as d
                left join pg_attribute as a on a.attrelid = d.relation and a.attname = d.distribution_column
            )
            select format('%s: no column %s', d.relation, d.distribution_column) as problem from distributed as d where d.attnum is null
            union all
            select format('%s: %s may be null', d.relation, d.distribution_column) from distributed as d where not d.attnotnull
            union all
            select format('%s: %s is unique without the distribution column', d.relation, i.indexrelid::regclass)
            from distributed as d
            join pg_index as i on i.indrelid = d.relation
            where (i.indisunique or i.indisexclusion)
                and not d.attnum = any((i.indkey::int2[])[0:i.indnkeyatts - 1])
            union all
            select format('%s: trigger %s', d.relation, t.tgname)
            from distributed as d
            join pg_trigger as t on t.tgrelid = d.relation
            where not t.tgisinternal
            union all
            select format('%s: foreign key %s', k.conrelid::regclass, k.conname)
            from pg_constraint as k
            left join distributed as f on f.relation = k.conrelid
            left join distributed as t on t.relation = k.confrelid
            where k.contype = 'f' and coalesce(f.relation, t.relation) is not null and (
                -- From or to a table that stays.
                f.relation is null or t.relation is null
                or not exists (
                    select from unnest(k.conkey, k.confkey) as c (a, b) where c.a = f.attnum and c.b = t.attnum
                )
            )
            union all
            select format('%s: %s is an identity of %s', d.relation, a.attname, a.atttypid::regtype)
            from distributed as d
            join pg_attribute as a on a.attrelid = d.relation
            where a.attidentity <> '' and a.atttypid <> 'bigint'::regtype
            union all
            select format('%s: colocated by another type', d.relation)
            from distributed as d
            join distributed as o on o.relation = d.colocated_with and o.atttypid <> d.atttypid
            union all
            select format('%s: inherits', d.relation)
            from distributed as d
            join pg_class as c on c.oid = d.relation
            where c.relkind <> 'p' and exists (select from pg_inherits as i where d.relation in (i.inhrelid, i.inhparent))
            order by 1
            """
        )
    ]


def test_the_design_keeps_the_rules_of_citus(new_database: NewDatabase) -> None:
    db = new_database()
    people = db.people()
    db.document(people.ada, "of a user with an organization")
    db.document(db.user("alone@example.org"), "of a user without one")
    # In the built-in model's table as well, which the design names.
    db.execute("select loci.use_embedding_model('multilingual-e5-small')")
    db.drain()
    assert db.value("select count(*) from loci_private.chunks where organization_id is null") > 0
    assert db.value("select count(*) from loci_private.embeddings_1 where organization_id is null") > 0
    db.execute(_CITUS)
    db.execute(design())
    assert db.value("select count(*) from public.distributed") == 2
    assert refused(db) == []


@pytest.mark.parametrize(
    ("table", "problems"),
    [
        (
            "loci_private.chunks",
            {"may be null", "unique without the distribution column", "foreign key chunks_row_id_fkey"},
        ),
        ("loci.documents", {"may be null", "unique without the distribution column", "trigger", "foreign key"}),
        ("loci_private.model_usage", {"no column organization_id"}),
    ],
)
def test_what_citus_refuses_is_found(new_database: NewDatabase, table: str, problems: set[str]) -> None:
    """In the tables as they are."""
    db = new_database()
    db.execute(_CITUS)
    db.execute(f"select create_distributed_table('{table}', 'organization_id')")
    found = refused(db)
    assert {problem for problem in problems if not any(problem in line for line in found)} == set()


def test_nothing_is_said_of_other_tables(new_database: NewDatabase) -> None:
    """A table that is as Citus wants it."""
    db = new_database()
    db.execute(_CITUS)
    db.execute(
        "create table public.fine (organization_id uuid not null, id bigint generated always as identity, "
        "primary key (organization_id, id)); select create_distributed_table('public.fine', 'organization_id')"
    )
    assert refused(db) == []


def test_sizing() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks._sizing", "1_000_000", "384"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    lines = done.stdout.splitlines()
    assert "1,000,000 chunks of 384 dimensions, EXTRAPOLATED" in lines[0] and len(lines) == 9
    table = re.search(r"vectors, table +([\d.]+) GB", done.stdout)
    # 768 bytes of vector, and what a row and its page need.
    assert table is not None and 0.77 < float(table[1]) < 1.0
    text = (ROOT / "docs/scaling.md").read_text()
    assert "EXTRAPOLATED" in text and "extrapolations, not measurements" in text

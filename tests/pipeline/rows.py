"""What became of a row: its chunks, their vectors, what waits and what failed."""

from __future__ import annotations

from typing import Any

from tests.database import Database, embeddings_table


def chunks(db: Database, key: object, source: str = "documents") -> list[dict[str, Any]]:
    """Chunks of one row in their order; embedded_at: when its vector of the default model was made, or None."""
    return db.rows(
        f"""
        select c.*, e.created_at as embedded_at, e.scope_id as vector_scope, e.audience as vector_audience
        from loci_private.chunks as c
        join loci_private.source_rows as r on r.row_id = c.row_id
        join loci_private.sources as s on s.source_id = r.source_id
        left join {embeddings_table(db)} as e on e.chunk_id = c.chunk_id
        where s.name = %s and r.key = %s
        order by c.ordinal
        """,
        source,
        str(key),
    )


def texts(db: Database, key: object, source: str = "documents") -> list[str]:
    return [chunk["content"] for chunk in chunks(db, key, source)]


def failures(db: Database, key: object = None, source: str | None = None) -> list[dict[str, Any]]:
    """Rows of loci.failures, of one key or source or of all."""
    return db.rows(
        "select * from loci.failures where (%s::text is null or key = %s) and (%s::text is null or source = %s)",
        *(2 * [None if key is None else str(key)]),
        source,
        source,
    )


def indexed_keys(db: Database, source: str) -> set[str]:
    """Keys with at least one chunk whose vector is there."""
    return {
        row["key"]
        for row in db.rows(
            f"""
            select r.key
            from loci_private.source_rows as r
            join loci_private.sources as s on s.source_id = r.source_id
            join {embeddings_table(db)} as e on e.row_id = r.row_id
            where s.name = %s
            """,
            source,
        )
    }


def consistent(db: Database) -> None:
    """Every chunk has exactly one vector of the default model, in its own place; nothing else exists or waits."""
    table = embeddings_table(db)
    problems = db.rows(
        f"""
        select 'chunk without vector' as problem, c.chunk_id from loci_private.chunks as c
        where not exists (select from {table} as e where e.chunk_id = c.chunk_id)
        union all
        select 'vector without chunk', e.chunk_id from {table} as e
        where not exists (select from loci_private.chunks as c where c.chunk_id = e.chunk_id)
        union all
        select 'vector elsewhere', e.chunk_id from {table} as e
        join loci_private.chunks as c on c.chunk_id = e.chunk_id
        where (e.row_id, e.source_id, e.scope_id, e.audience, e.organization_id)
            is distinct from (c.row_id, c.source_id, c.scope_id, c.audience, c.organization_id)
        union all
        select 'chunk elsewhere', c.chunk_id from loci_private.chunks as c
        join loci_private.source_rows as r on r.row_id = c.row_id
        where (r.source_id, r.scope_id, r.audience) is distinct from (c.source_id, c.scope_id, c.audience)
        union all
        select 'ordinal twice', min(c.chunk_id) from loci_private.chunks as c
        group by c.row_id, c.ordinal having count(*) > 1
        union all
        select 'row work left', q.queue_id from loci_private.row_queue as q
        union all
        select 'rows of a large INSERT left', b.bulk_id from loci_private.row_bulk as b
        union all
        select 'chunk work left', q.queue_id from loci_private.embed_queue as q
        """
    )
    assert problems == []

"""Made-up vectors in clusters, written straight into a model's table: quicker than any provider, the same every time."""

from __future__ import annotations

import random
from collections.abc import Sequence
from uuid import UUID

from tests.database import Connection, Database


def clusters(rng: random.Random, count: int, dimensions: int, topics: int = 60) -> list[list[float]]:
    centres = [[rng.gauss(0, 1) for _ in range(dimensions)] for _ in range(topics)]
    return [[x + rng.gauss(0, 0.5) for x in rng.choice(centres)] for _ in range(count)]


def text(vector: Sequence[float]) -> str:
    return "[" + ",".join(f"{x:.4f}" for x in vector) + "]"


def model(db: Database, name: str, dimensions: int, quantization: str = "none") -> str:
    """A model in use by everybody; its table."""
    number = db.value(
        "select loci.add_embedding_model(%s, provider => 'hash', dimensions => %s, quantization => %s)",
        name,
        dimensions,
        quantization,
    )
    db.execute("update loci_private.model_assignments set active_model = %s, target_model = %s", number, number)
    return f"loci_private.embeddings_{number}"


def fill(db: Database, table: str, vectors: Sequence[Sequence[float]], scopes: Sequence[UUID], name: str = "v") -> None:
    """One row of the source documents for each vector, with one chunk; every tenth has metadata."""
    with db.connect() as connection, connection.transaction():
        connection.execute("create temp table given (n int, scope uuid, embedding text) on commit drop")
        with connection.cursor() as cursor, cursor.copy("copy given from stdin") as copy:
            for number, (vector, scope) in enumerate(zip(vectors, scopes, strict=True)):
                copy.write_row((number, scope, text(vector)))
        connection.execute(
            "insert into loci_private.source_rows (source_id, key, version, placed_version, organization_id, scope_id, "
            "metadata, updated_at) select 1, %s || n, 0, 0, loci_private.organization_of(scope), scope, "
            "case when n %% 10 = 0 then '{\"tenth\": true}' else '{}' end::jsonb, now() from given order by n",
            (name,),
        )
        connection.execute(
            "insert into loci_private.chunks (row_id, source_id, chunking_id, organization_id, scope_id, ordinal, content, "
            "text_hash, token_count, lexemes, created_at, updated_at) select row_id, 1, (select active_chunking "
            "from loci_private.chunking_assignments where source_id = 1 limit 1), organization_id, scope_id, 0, key, "
            "sha256(convert_to(key, 'UTF8')), 1, to_tsvector('simple', key), now(), now() "
            "from loci_private.source_rows where starts_with(key, %s)",
            (name,),
        )
        connection.execute(
            f"insert into {table} (chunk_id, row_id, source_id, chunking_id, organization_id, scope_id, embedding, created_at) "
            "select c.chunk_id, c.row_id, 1, c.chunking_id, c.organization_id, c.scope_id, g.embedding::halfvec, now() "
            "from given as g join loci_private.chunks as c on c.content = %s || g.n".encode(),
            (name,),
        )
    db.execute("analyze")


def build_index(db: Database, name: str) -> None:
    """What pg_cron would do."""
    with db.connect() as connection:
        run_statement(connection, db, name)
    db.execute("analyze")


def run_statement(connection: Connection, db: Database, name: str) -> None:
    statement = db.value("select statement from loci.model_indexes where model = %s", name)
    assert statement is not None
    connection.execute(statement.encode())

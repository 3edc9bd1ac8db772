create or replace function loci_private.adopt_chunks(
    source_id integer, model_id integer, reader text, verbatim boolean, out row_count bigint, out chunk_count bigint
)
language plpgsql volatile parallel unsafe
set search_path = pg_catalog, pg_temp
set client_min_messages = warning
as $$
declare
    v_table text := loci_private.model_table(model_id);
    v_model loci.embedding_models;
    v_chunking integer;
begin
    select m.* into strict v_model from loci.embedding_models as m where m.model_id = adopt_chunks.model_id;
    -- They stand for the chunks that Loci would cut for this model, and in for those of the model in use until then.
    insert into loci_private.chunkings (source_id, tokenizer, max_tokens, size, overlap, adopted)
    select s.source_id, p.tokenizer, p.max_tokens, p.size, p.overlap, true
    from loci_private.sources as s
    cross join lateral loci_private.chunking_for(v_model, s.chunk_tokens, s.chunk_overlap) as p
    where s.source_id = adopt_chunks.source_id
    returning chunking_id into v_chunking;
    update loci_private.chunking_assignments as a
    set adopted_chunking = v_chunking
    where a.source_id = adopt_chunks.source_id;
    -- Version 0: older than every change. A row of which anything is in doubt is left to the drain.
    execute format(
        $copy$
        with read as materialized (
            select p.key, p.ordinal, coalesce(p.content, btrim(p.stored, E' \t\n\r\f\v')) as content,
                case when p.content is not null then p.context end as context, p.content is not null as apart, p.embedding
            from loci_private.read_pgai(%1$L) as p
        ), usable as (
            select r.key, array_agg(r.content) filter (where r.apart) as pieces
            from read as r
            group by r.key
            having bool_and(public.vector_norm(r.embedding) > 0 and r.content <> '' and octet_length(r.content) <= 200000)
        ), adopted as (
            insert into loci_private.source_rows (
                source_id, key, version, placed_version, organization_id, scope_id, audience, title, metadata, fingerprint,
                updated_at
            )
            select $1, n.key, 0, 0, n.organization_id, n.scope_id, n.audience, n.title, coalesce(n.metadata, '{}'), n.fingerprint, $2
            from usable as u
            join loci_private.read_rows($1, (select array_agg(a.key) from usable as a)) as n on n.key = u.key
            where n.scope_known and n.content is not null
                -- Text that is not the row's any more must not be found.
                and not ($3 and exists (select from unnest(u.pieces) as p (piece) where strpos(n.content, p.piece) = 0))
            returning row_id, key, organization_id, scope_id, audience
        ), texts as (
            insert into loci_private.chunks (
                row_id, source_id, chunking_id, organization_id, scope_id, audience, ordinal, context, content, text_hash, token_count,
                metadata, lexemes, created_at, updated_at
            )
            select a.row_id, $1, $5, a.organization_id, a.scope_id, a.audience, r.ordinal, r.context, r.content,
                sha256(convert_to(concat_ws(E'\n\n', r.context, r.content), 'UTF8')),
                loci_private.count_tokens(r.content, $4), '{}',
                loci_private.lexemes_of(loci_private.text_config_of(a.organization_id), r.context, r.content), $2, $2
            from adopted as a
            join read as r on r.key = a.key
            order by a.row_id, r.ordinal
            returning chunk_id, row_id, ordinal
        ), changes as (
            insert into loci_private.text_changes (scope_id, chunks)
            select a.scope_id, count(*)
            from texts as t
            join adopted as a on a.row_id = t.row_id
            where a.audience is null
            group by a.scope_id
        ), vectors as (
            insert into loci_private.%2$I (
                chunk_id, row_id, source_id, chunking_id, organization_id, scope_id, audience, embedding, created_at
            )
            select t.chunk_id, t.row_id, $1, $5, a.organization_id, a.scope_id, a.audience,
                public.l2_normalize(r.embedding)::public.halfvec, $2
            from texts as t
            join adopted as a on a.row_id = t.row_id
            join read as r on r.key = a.key and r.ordinal = t.ordinal
            order by t.chunk_id
            returning chunk_id
        )
        select (select count(*) from adopted), (select count(*) from vectors)
        $copy$, adopt_chunks.reader, v_table
    ) into row_count, chunk_count
    using adopt_chunks.source_id, loci_private.now(), adopt_chunks.verbatim, v_model.tokenizer, v_chunking;
end $$;
comment on function loci_private.adopt_chunks(integer, integer, text, boolean) is
'Take over chunks and vectors that others made, as they are; verbatim: chunks are pieces of their row''s text. Rows of which anything is in doubt are left out.';
revoke execute on function loci_private.adopt_chunks(integer, integer, text, boolean) from public;

create or replace function loci.recall(
    query text,
    k integer default 5,
    types text [] default null,
    scopes uuid [] default null,
    min_similarity double precision default null
)
returns table (
    memory_id bigint,
    type text,
    content text,
    level text,
    scope_id uuid,
    subject text,
    metadata jsonb,
    importance real,
    similarity real,
    score real,
    created_at timestamptz,
    renewed_at timestamptz
)
language plpgsql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
set jit = off
-- Planned once a session: what it looks at is little, whoever asks.
set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
    v_seen uuid[] := loci.visible_scopes();
    v_scopes uuid[];
    v_models integer[];
    v_vectors text[];
    v_principals constant uuid[] := loci.current_principals();
    v_now constant timestamptz := loci_private.now();
    v_similarity_weight constant float8 := loci.setting('recall_similarity_weight')::float8;
    v_recency_weight constant float8 := loci.setting('recall_recency_weight')::float8;
    v_importance_weight constant float8 := loci.setting('recall_importance_weight')::float8;
    v_half_life constant float8 := loci.setting('recall_half_life_days')::float8;
begin
    if recall.query is null or btrim(recall.query) = '' then
        raise exception 'the query is empty' using errcode = 'LC300', hint = 'Pass the question as text.';
    end if;
    if recall.k is null or recall.k not between 1 and 1000 then
        raise exception 'k is %, out of range', coalesce(recall.k::text, 'null')
            using errcode = 'LC302', hint = 'Ask for 1 to 1000 memories.';
    end if;
    if exists (
        select from unnest(recall.types) as t (t) where t.t is null or t.t not in ('working', 'episodic', 'semantic')
    ) then
        raise exception 'there is no such type of memory'
            using errcode = 'LC605', hint = 'working: expires soon; episodic: what happened; semantic: what is so.';
    end if;
    v_scopes := case
        when recall.scopes is null then v_seen
        else array(select v from unnest(v_seen) as v where v = any(recall.scopes))
    end;
    if cardinality(v_scopes) = 0 then
        return;
    end if;
    select q.models, q.vectors into v_models, v_vectors
    from loci_private.question_vectors(recall.query, v_scopes, false) as q;
    return query
        with visible as (
            select m.*
            from loci_private.memories as m
            where loci.is_visible(m.scope_id, m.audience, v_scopes, v_principals)
                and m.superseded_at is null and (m.expires_at is null or m.expires_at > v_now)
                and (recall.types is null or m.memory_type = any(recall.types))
                -- What comes from a row is for those who see the row, as long as there is that row.
                and (m.stated or not exists (
                    select from loci_private.memory_lineage as l
                    where l.memory_id = m.memory_id and not l.consumed and not exists (
                        select from loci_private.source_place(l.source, l.key) as p
                        where loci.is_visible(p.scope_id, p.audience, v_seen, v_principals)
                    )
                ))
        ), pieces as materialized (
            select v.memory_id, h.chunk_id
            from visible as v
            join loci_private.source_rows as r
                on r.source_id = (select s.source_id from loci_private.sources as s where s.name = 'memories')
                and r.key = v.memory_id::text
            join loci_private.chunks as h on h.row_id = r.row_id
        ), near as (
            select p.memory_id, max(n.similarity) as similarity
            from loci_private.similarities(v_models, v_vectors, array(select p.chunk_id from pieces as p)) as n
            join pieces as p on p.chunk_id = n.chunk_id
            group by p.memory_id
        ), matched as (
            select v.*, n.similarity,
                case
                    -- Similarities of one model lie close together: what counts is who is nearer than the others.
                    when n.similarity is not null then coalesce(
                        (n.similarity - min(n.similarity) over ()) / nullif(max(n.similarity) over () - min(n.similarity) over (), 0), 1
                    )
                    -- Not embedded yet, or no model to be had: the part of the question's words that it has.
                    else w.part
                end as match
            from visible as v
            left join near as n on n.memory_id = v.memory_id
            left join lateral (
                select count(*) filter (where q.lexeme = any(tsvector_to_array(t.t)))::float8 / greatest(count(*), 1) as part
                from (select to_tsvector(loci_private.text_config_of(v.organization_id), v.content) as t) as t
                cross join unnest(to_tsvector(loci_private.text_config_of(v.organization_id), recall.query)) as q
            ) as w on n.similarity is null
        )
        select m.memory_id, m.memory_type, m.content, s.kind, m.scope_id, m.subject, m.metadata, m.importance,
            m.similarity::real,
            (
                v_similarity_weight * m.match
                + v_recency_weight * exp(-ln(2) * extract(epoch from v_now - m.renewed_at) / 86400 / v_half_life)
                + v_importance_weight * m.importance
            )::real as score,
            m.created_at, m.renewed_at
        from matched as m
        join loci_private.scopes as s on s.scope_id = m.scope_id
        where (m.similarity is not null or m.match > 0) and (recall.min_similarity is null or m.similarity >= recall.min_similarity)
        order by score desc, m.memory_id desc
        limit recall.k;
end $$;
comment on function loci.recall(text, integer, text [], uuid [], double precision) is
'The k memories that matter most to a question, of the organizations, projects and the user that the current user sees: by similarity, recency and importance. types: working, episodic, semantic. LC300, LC302, LC605 for bad arguments.';
revoke execute on function loci.recall(text, integer, text [], uuid [], double precision) from public;
grant execute on function loci.recall(text, integer, text [], uuid [], double precision) to loci_app, loci_admin;

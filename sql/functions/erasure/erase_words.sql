create or replace function loci_private.erase_words(sources text [], keys text [])
returns void
language plpgsql volatile parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
declare
    v_chunks bigint[];
begin
    select array_agg(c.chunk_id) into v_chunks
    from unnest(erase_words.sources, erase_words.keys) as k (source, key)
    join loci_private.sources as s on s.name = k.source
    join loci_private.source_rows as r on r.source_id = s.source_id and r.key = k.key
    join loci_private.chunks as c on c.row_id = r.row_id;
    delete from loci_private.word_counts as w
    using (
        select distinct c.scope_id, u.word
        from loci_private.chunks as c
        cross join lateral unnest(tsvector_to_array(c.lexemes)) as u (word)
        where c.chunk_id = any(v_chunks)
    ) as u
    where w.scope_id = u.scope_id and w.word = u.word;
    -- What others say as well, and what older versions said, the next drain finds out: as if all had changed.
    insert into loci_private.text_changes (scope_id, chunks)
    select distinct c.scope_id, 1000000000 from loci_private.chunks as c where c.chunk_id = any(v_chunks);
end $$;
comment on function loci_private.erase_words(text [], text []) is
'Take the words of these rows out of the counts of their scopes, and have these counted again.';
revoke execute on function loci_private.erase_words(text [], text []) from public;

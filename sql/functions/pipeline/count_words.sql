create or replace function loci_private.count_words()
returns boolean
language plpgsql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_scope uuid;
    v_part bigint;
    v_chunks bigint;
    v_words bigint;
begin
    -- One drain counts; what others stored meanwhile is counted by the next.
    if not pg_try_advisory_xact_lock(hashtextextended('loci count_words', 0)) then
        return false;
    end if;
    begin
        with taken as (
            delete from loci_private.text_changes as c returning c.scope_id, c.chunks
        )
        insert into loci_private.text_statistics as t (scope_id, changed)
        select n.scope_id, sum(n.chunks)
        from taken as n
        where exists (select from loci_private.scopes as s where s.scope_id = n.scope_id)
        group by n.scope_id
        on conflict (scope_id) do update set changed = t.changed + excluded.changed;

        select t.scope_id into v_scope
        from loci_private.text_statistics as t
        where t.changed > t.chunks / 10
        order by t.changed desc
        limit 1;
        if v_scope is null then
            return false;
        end if;
        -- A large scope is told by a part of it, spread evenly.
        select greatest(count(*) / 50000, 1) into v_part
        from loci_private.chunks as c where c.scope_id = v_scope and c.audience is null;
        select count(*) * v_part, coalesce(sum(length(c.lexemes)), 0) * v_part into v_chunks, v_words
        from loci_private.chunks as c
        where c.scope_id = v_scope and c.audience is null and c.chunk_id % v_part = 0;
        with counted as (
            select s.word, s.ndoc * v_part as chunks
            from ts_stat(
                format(
                    'select c.lexemes from loci_private.chunks as c where c.scope_id = %L and c.audience is null and c.chunk_id %% %s = 0',
                    v_scope, v_part
                )
            ) as s
            where s.ndoc > 1
        ), gone as (
            delete from loci_private.word_counts as w
            where w.scope_id = v_scope and not exists (select from counted as n where n.word = w.word)
        )
        insert into loci_private.word_counts as w (scope_id, word, chunks)
        select v_scope, n.word, n.chunks from counted as n
        on conflict (scope_id, word) do update set chunks = excluded.chunks
        where w.chunks <> excluded.chunks;
        update loci_private.text_statistics as t
        set chunks = v_chunks, words = v_words, changed = 0
        where t.scope_id = v_scope and v_chunks > 0;
        delete from loci_private.text_statistics as t where t.scope_id = v_scope and v_chunks = 0;
        -- What a word weighs decides over ranks.
        perform loci_private.note_change(array[v_scope]);
        return true;
    exception when foreign_key_violation then
        -- A scope went meanwhile, with everything to be counted in it: what else was taken is still there, to be taken again.
        return true;
    end;
end $$;
comment on function loci_private.count_words() is
'Count the words of one scope again, the one that changed most; false when none has changed enough, or another session is counting.';
revoke execute on function loci_private.count_words() from public;
grant execute on function loci_private.count_words() to loci_worker;

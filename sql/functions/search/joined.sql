create or replace function loci_private.joined(chunks bigint [])
returns text
language plpgsql stable parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
    v_text text;
    v_next text;
    v_overlap integer;
begin
    for v_next in
        select c.content from loci_private.chunks as c where c.chunk_id = any(joined.chunks) order by c.ordinal
    loop
        -- A chunk begins with what it shares with the one before.
        select max(n) into v_overlap
        from generate_series(1, least(length(v_text), length(v_next))) as n
        where right(v_text, n) = left(v_next, n);
        v_text := case
            when v_text is null then v_next
            when v_overlap is null then v_text || E'\n\n' || v_next
            else v_text || substr(v_next, v_overlap + 1)
        end;
    end loop;
    return v_text;
end $$;
comment on function loci_private.joined(bigint []) is 'Neighbouring chunks of a row as one text, without saying twice what they share.';
revoke execute on function loci_private.joined(bigint []) from public;

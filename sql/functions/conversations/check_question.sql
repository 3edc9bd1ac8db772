create or replace function loci_private.check_question(content text)
returns void
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
    if content is null or content !~ '\S' then
        raise exception 'the question is empty' using errcode = 'LC703', hint = 'Pass it as text.';
    end if;
end $$;
comment on function loci_private.check_question(text) is 'LC703 for a question that says nothing.';
revoke execute on function loci_private.check_question(text) from public;

create or replace function loci.erase_call_texts(
    organization_id uuid default null, user_id uuid default null, before timestamptz default null
)
returns bigint
language plpgsql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_count bigint;
begin
    delete from loci_private.call_texts as t
    where (erase_call_texts.organization_id is null or t.organization_id = erase_call_texts.organization_id)
        and (erase_call_texts.user_id is null or t.user_id = erase_call_texts.user_id)
        and (erase_call_texts.before is null or t.called_at < erase_call_texts.before);
    get diagnostics v_count = row_count;
    return v_count;
end $$;
comment on function loci.erase_call_texts(uuid, uuid, timestamptz) is
'Erase texts of calls that the setting chat_keep_texts had kept: all, or those of an organization, of a user, before a time. Returns how many; the calls themselves stay in loci.calls.';
revoke execute on function loci.erase_call_texts(uuid, uuid, timestamptz) from public;
grant execute on function loci.erase_call_texts(uuid, uuid, timestamptz) to loci_admin;

create or replace function loci_private.keep_texts(organization_id uuid, user_id uuid, texts jsonb)
returns void
language plpgsql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    -- The answer is worth more than its copy.
    if current_setting('transaction_read_only') = 'on' then
        return;
    end if;
    begin
        lock table loci_private.call_texts in row exclusive mode nowait;
    exception when lock_not_available then
        -- Somebody is erasing.
        return;
    end;
    -- Nothing is kept of whoever is gone, or just going.
    perform from loci.users as u where u.user_id = keep_texts.user_id for key share skip locked;
    if not found and keep_texts.user_id is not null then
        return;
    end if;
    perform from loci.organizations as o where o.organization_id = keep_texts.organization_id for key share skip locked;
    if not found and keep_texts.organization_id is not null then
        return;
    end if;
    insert into loci_private.call_texts (call_id, called_at, organization_id, user_id, messages, answer)
    select t.call_id, to_timestamp(t.called_at), keep_texts.organization_id, keep_texts.user_id, t.messages, t.answer
    from jsonb_to_recordset(keep_texts.texts) as t (call_id uuid, called_at double precision, messages jsonb, answer jsonb)
    -- What was sent before an erasure may have had in it what was erased.
    where not exists (select from loci_private.erasures as e where e.erased_at >= to_timestamp(t.called_at))
    on conflict do nothing;
end $$;
comment on function loci_private.keep_texts(uuid, uuid, jsonb) is
'Keep what was sent to a model, as it was sent, and what came back (setting chat_keep_texts).';
revoke execute on function loci_private.keep_texts(uuid, uuid, jsonb) from public;
grant execute on function loci_private.keep_texts(uuid, uuid, jsonb) to loci_worker;

create or replace function loci_private.next_request()
returns double precision
language sql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
    select extract(epoch from min(h.cooldown_until) - loci_private.now())
    from loci_private.model_health as h
    where h.cooldown_until > loci_private.now()
        and (h.outages = 0 or h.error ->> 'sqlstate' = 'LC401')
        and (
            exists (
                select from loci_private.embed_queue as q
                where q.model_id = h.model_id and q.available_at <= loci_private.now()
            )
            or (
                h.chat_gateway = loci.setting('chat_gateway')
                and exists (select from loci_private.completion_queue as q where q.available_at <= loci_private.now())
            )
        )
$$;
comment on function loci_private.next_request() is
'Seconds until chunks and requests that are due can go on where only a limit of their gateway holds them up; null when none do.';
revoke execute on function loci_private.next_request() from public;
grant execute on function loci_private.next_request() to loci_worker;

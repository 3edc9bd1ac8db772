create or replace function loci.retry_failures(source text default null)
returns bigint
language plpgsql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_source integer;
    v_rows bigint;
    v_chunks bigint;
    v_requests bigint;
begin
    if retry_failures.source is not null then
        select s.source_id into v_source from loci_private.sources as s where s.name = retry_failures.source;
        if not found then
            raise exception 'there is no source "%"', retry_failures.source
                using errcode = 'LC249', hint = 'select name from loci.sources lists them.';
        end if;
    end if;
    with replayed as (
        delete from loci_private.failures as f
        where f.stage = 'split' and (v_source is null or f.source_id = v_source)
        returning f.source_id, f.key, f.op
    )
    insert into loci_private.row_queue (source_id, key, op)
    select r.source_id, r.key, r.op from replayed as r;
    get diagnostics v_rows = row_count;
    with replayed as (
        delete from loci_private.failures as f
        where f.stage = 'embed' and (v_source is null or f.source_id = v_source)
        returning f.model_id, f.chunk_id
    )
    insert into loci_private.embed_queue (model_id, chunk_id)
    select r.model_id, r.chunk_id from replayed as r
    on conflict do nothing;
    get diagnostics v_chunks = row_count;
    with replayed as (
        delete from loci_private.failures as f
        where f.stage = 'complete' and v_source is null
        returning f.request_id
    ), again as (
        update loci_private.requests as r set finished_at = null
        from replayed as p where p.request_id = r.request_id
        returning r.request_id
    )
    insert into loci_private.completion_queue (request_id)
    select a.request_id from again as a;
    get diagnostics v_requests = row_count;
    return v_rows + v_chunks + v_requests;
end $$;
comment on function loci.retry_failures(text) is
'Queue parked failures again, of one source or of all (submitted completions included); returns how many. LC249 unknown source.';
revoke execute on function loci.retry_failures(text) from public;
grant execute on function loci.retry_failures(text) to loci_admin;

create or replace function loci_private.job_calls()
returns bigint
language plpgsql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_today date := (loci_private.now() at time zone 'UTC')::date;
    v_oldest text := 'calls_' || to_char(
        v_today - make_interval(months => loci.setting('call_retention_months')::integer), 'YYYY_MM'
    );
    v_partition text;
    v_count bigint;
begin
    perform loci_private.add_call_partition(v_today), loci_private.add_call_partition((v_today + interval '1 month')::date);
    for v_partition in
        select c.relname
        from pg_inherits as i
        join pg_class as c on c.oid = i.inhrelid
        where i.inhparent = 'loci_private.calls'::regclass and c.relname < v_oldest
    loop
        execute format('drop table loci_private.%I', v_partition);
    end loop;
    delete from loci_private.call_texts as t
    where t.called_at < loci_private.now() - make_interval(months => loci.setting('call_retention_months')::integer);
    delete from loci_private.requests as r
    where r.finished_at < loci_private.now() - make_interval(hours => loci.setting('result_hours')::integer);
    get diagnostics v_count = row_count;
    perform loci_private.log_event('job', jsonb_build_object('job', 'loci calls', 'removed', v_count));
    return v_count;
end $$;
comment on function loci_private.job_calls() is
'Partitions of the ledger for this month and the next, none older than call_retention_months; results older than result_hours are removed. Returns how many.';
revoke execute on function loci_private.job_calls() from public;
grant execute on function loci_private.job_calls() to loci_worker;

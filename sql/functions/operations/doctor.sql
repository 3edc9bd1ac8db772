create or replace function loci.doctor()
returns table (severity text, area text, object text, finding text, remedy text)
language plpgsql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
-- A table that somebody holds must not keep it from answering.
set lock_timeout = '2s'
as $$
#variable_conflict use_column
declare
    v_area text;
    v_found loci_private.finding[];
    v_all loci_private.finding[] := '{}';
    v_message text;
begin
    -- A standby has its own packages, keys and sessions; for the rest it is what its primary is.
    foreach v_area in array case when pg_is_in_recovery() then array['versions', 'keys', 'horizon'] else array[
        'versions', 'settings', 'privileges', 'sources', 'models', 'keys', 'indexes', 'jobs', 'queues', 'horizon', 'storage'
    ] end loop
        begin
            execute format('select array_agg(f) from loci_private.%I() as f', 'doctor_' || v_area) into v_found;
        exception when others then
            get stacked diagnostics v_message = message_text;
            v_found := array[row(
                'error', v_area, format('loci_private.%I()', 'doctor_' || v_area),
                format('could not be looked at: %s (%s)', v_message, sqlstate),
                case
                    -- Somebody held a table.
                    when sqlstate = '55P03' then 'select * from loci.doctor();'
                    else 'LOCI_DSN=postgresql://... .venv/bin/alembic upgrade head'
                end
            )::loci_private.finding];
        end;
        v_all := v_all || coalesce(v_found, '{}');
    end loop;
    if not exists (select from unnest(v_all) as f where f.severity <> 'note') then
        v_all := row('ok', 'all', current_database(), 'nothing is wrong', null)::loci_private.finding || v_all;
    end if;
    return query
    select f.severity, f.area, f.object, f.finding, f.remedy
    from unnest(v_all) with ordinality as f (severity, area, object, finding, remedy, n)
    order by array_position(array['error', 'warning', 'ok', 'note'], f.severity), f.n;
end $$;
comment on function loci.doctor() is
'What is wrong, or could be better, worst first, and the command that mends it: one that ends in a semicolon is SQL, another is for the shell in Loci''s directory. It only looks, and asks nothing over the network. On a standby: what is the standby''s own. severity: error, warning, note; ok where there is neither error nor warning.';
revoke execute on function loci.doctor() from public;
grant execute on function loci.doctor() to loci_admin, loci_monitor;

create or replace function loci.setting(name text)
returns text
language plpgsql stable parallel safe security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_value text;
begin
    select coalesce(s.value, s.default_value) into v_value
    from loci.settings as s
    where s.name = setting.name;
    if not found then
        raise exception 'there is no setting "%"', setting.name
            using errcode = 'LC010', hint = 'select name, description from loci.settings lists them.';
    end if;
    return v_value;
end $$;
comment on function loci.setting(text) is
'The value in force of one setting (its own, else its default). LC010 when there is no such setting.';
revoke execute on function loci.setting(text) from public;
grant execute on function loci.setting(text) to loci_app, loci_admin, loci_worker, loci_monitor;

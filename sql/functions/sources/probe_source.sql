create or replace function loci_private.probe_source(source_id integer)
returns void
language plpgsql volatile parallel unsafe
set search_path = pg_catalog, pg_temp
set check_function_bodies = off
as $$
declare
    v_source loci_private.sources;
    v_content text[];
    v_place text[];
    v_types text;
    v_names text;
    v_values text;
    v_owner text;
    v_schema text;
    v_table text;
    v_read boolean := false;
begin
    select s.* into strict v_source from loci_private.sources as s where s.source_id = probe_source.source_id;
    select pg_get_userbyid(c.relowner), n.nspname, c.relname into strict v_owner, v_schema, v_table
    from pg_class as c join pg_namespace as n on n.oid = c.relnamespace
    where c.oid = v_source.relation;
    -- See loci_private.read_rows: what the owner's code leaves behind is undone.
    begin
        execute format('select content_columns, place_columns from loci_readers.%I()', format('source_%s_probe', source_id))
        into v_content, v_place;
        v_read := true;
        raise exception 'undo';
    exception when raise_exception then
        if not v_read then
            raise;
        end if;
    end;
    v_content := coalesce(v_content, '{}');
    v_place := coalesce(v_place, '{}');
    update loci_private.sources as s
    set content_columns = v_content, place_columns = v_place
    where s.source_id = probe_source.source_id;

    -- Where a row lives, told from the columns that decide it: lets a moved row arrive in the same transaction.
    select string_agg(format_type(a.atttypid, a.atttypmod), ', ' order by p.n),
        string_agg(format('%I', p.name), ', ' order by p.n),
        string_agg(format('$%s', p.n), ', ' order by p.n)
    into v_types, v_names, v_values
    from unnest(v_place) with ordinality as p (name, n)
    join pg_attribute as a on a.attrelid = v_source.relation and a.attname = p.name;
    execute format('drop function if exists loci_readers.%I', format('source_%s_place', source_id));
    execute format(
        'create function loci_readers.%I(%s) returns table (scope_id uuid, audience uuid[]) language sql stable '
        'security definer set search_path = pg_catalog, %I, public, pg_temp set timezone = ''UTC'' set datestyle = ''ISO, YMD'' '
        'set intervalstyle = ''iso_8601'' set extra_float_digits = 1 set bytea_output = ''hex'' as %L',
        format('source_%s_place', source_id), coalesce(v_types, ''), v_schema,
        format(
            E'select (%s\n)::uuid, (%s\n)::uuid[] from (select %s) as %I%s',
            v_source.scope, coalesce(v_source.audience, 'null'), coalesce(v_values, '1'), v_table,
            coalesce(' (' || v_names || ')', '')
        )
    );
    perform loci_private.give_reader(
        (select p.oid::regprocedure::text from pg_proc as p
        where p.pronamespace = 'loci_readers'::regnamespace and p.proname = format('source_%s_place', source_id)),
        v_owner
    );
end $$;
comment on function loci_private.probe_source(integer) is
'Find out which columns a source depends on; errors of its expressions come out here.';
revoke execute on function loci_private.probe_source(integer) from public;

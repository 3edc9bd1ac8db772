create or replace function loci_private.doctor_versions()
returns setof loci_private.finding
language plpgsql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_installed text := (select i.version from loci_private.installation as i);
    v_python text := loci_private.python_version();
    v_upgrade constant text := 'LOCI_DSN=postgresql://... .venv/bin/alembic upgrade head';
begin
    if current_setting('server_version_num')::integer < 150000 then
        return next row(
            'error', 'versions', 'PostgreSQL', format('Loci needs 15 or newer, this is %s', current_setting('server_version')), 'pg_upgrade'
        )::loci_private.finding;
    end if;
    if v_installed is null then
        return next row(
            'error', 'versions', 'schema', 'it is not known which version is installed', v_upgrade
        )::loci_private.finding;
    elsif v_python is null then
        return next row(
            'error', 'versions', 'loci_udfs', 'the server cannot import the Python package',
            'docker/install-postgres.sh --install-udfs'
        )::loci_private.finding;
    elsif v_python <> v_installed then
        -- Newer code on an older schema is the half of an upgrade that comes first.
        return next row(
            'error', 'versions', 'loci_udfs', format('the schema is %s, the Python package %s', v_installed, v_python), v_upgrade
        )::loci_private.finding;
    end if;
    return query
    select
        case when e.extname = 'vector' and e.numbers < array[0, 8] then 'error' else 'note' end, 'versions', e.extname,
        case
            when e.extname = 'vector' and e.numbers < array[0, 8]
                then format('Loci needs pgvector 0.8 or newer, this is %s', e.extversion)
            when e.behind then format('version %s is in use, %s is there', e.extversion, e.available)
            else format(
                'VACUUM can damage an HNSW index with pgvector %s; 0.8.4 has that mended, as soon as its package is there', e.extversion
            )
        end,
        case
            when e.behind then format('alter extension %I update;', e.extname)
            when e.numbers < array[0, 8] then 'docker/install-postgres.sh'
        end
    from (
        select x.extname::text, x.extversion, a.default_version as available,
            string_to_array(substring(x.extversion from '^\d+(?:\.\d+)*'), '.')::integer[] as numbers,
            string_to_array(substring(x.extversion from '^\d+(?:\.\d+)*'), '.')::integer[]
            < string_to_array(substring(a.default_version from '^\d+(?:\.\d+)*'), '.')::integer[] as behind
        from pg_extension as x
        left join pg_available_extensions as a on a.name = x.extname
        where x.extname in ('vector', 'pg_cron', 'plpython3u')
    ) as e
    where e.behind or (e.extname = 'vector' and e.numbers < array[0, 8, 4]);
end $$;
comment on function loci_private.doctor_versions() is 'What loci.doctor() has to say about versions: of PostgreSQL, its extensions, the schema and the Python package.';
revoke execute on function loci_private.doctor_versions() from public;

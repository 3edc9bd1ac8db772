create or replace function loci_private.turn_options(options jsonb)
returns jsonb
language plpgsql stable parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
    v_key text;
    v_value jsonb;
begin
    if options is null then
        return '{}'::jsonb;
    end if;
    if jsonb_typeof(options) <> 'object' then
        raise exception 'options of a turn are a JSON object'
            using errcode = 'LC710', hint = 'For example {"sources": ["documents"]}.';
    end if;
    for v_key, v_value in select o.key, o.value from jsonb_each(options) as o loop
        if not coalesce(case v_key
            when 'traceparent' then jsonb_typeof(v_value) in ('string', 'null')
            when 'sources' then jsonb_typeof(v_value) in ('array', 'null')
                and not jsonb_path_exists(v_value, 'strict $[*] ? (@.type() != "string")', silent => true)
            when 'scopes' then jsonb_typeof(v_value) in ('array', 'null') and not jsonb_path_exists(
                v_value,
                'strict $[*] ? (@.type() != "string" || !(@ like_regex "^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$"))',
                silent => true
            )
            else false
        end, false) then
            raise exception 'a turn has no such option'
                using errcode = 'LC710', detail = format('It is %s.', left(v_key, 100)),
                hint = 'sources: a list of names; scopes: a list of ids; traceparent: the header of W3C Trace Context.';
        end if;
    end loop;
    return jsonb_strip_nulls(options);
end $$;
comment on function loci_private.turn_options(jsonb) is
'Options of a turn, checked: sources and scopes to look for passages in, traceparent. LC710.';
revoke execute on function loci_private.turn_options(jsonb) from public;

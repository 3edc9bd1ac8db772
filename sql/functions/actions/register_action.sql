create or replace function loci.register_action(
    name text,
    description text,
    parameters jsonb,
    function regprocedure,
    organizations uuid [] default null,
    member_roles text [] default null,
    expires_seconds integer default null
)
returns void
language plpgsql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    v_description text := loci_private.visible_text(btrim(register_action.description));
    v_error jsonb;
    v_wrong text;
    v_name text;
begin
    if register_action.name is null or register_action.name !~ '^[A-Za-z0-9_-]{1,64}$'
        or coalesce(v_description, '') = '' or length(v_description) > 1000
        or register_action.expires_seconds not between 1 and 31536000
    then
        raise exception 'an action needs a name and a description'
            using errcode = 'LC730', detail = 'Name: 1 to 64 of a-z, A-Z, 0-9, _ and -. Description: up to 1000 characters. expires_seconds: 1 to 31536000.',
            hint = 'The description tells the model, and the user, what the action does.';
    end if;
    if register_action.parameters is null then
        raise exception 'an action needs a schema of its arguments'
            using errcode = 'LC732', hint = 'Pass {"type": "object", "properties": {...}}.';
    end if;
    v_error := loci_private.check_parameters(register_action.parameters);
    if v_error is not null then
        perform loci_private.raise_error(v_error);
    end if;
    select format('%I.%I', n.nspname, p.proname),
        case
            when n.nspname ~ '^(pg_|loci(_|$))' or n.nspname = 'information_schema'
                then 'It belongs to PostgreSQL, to Loci or to one session.'
            when p.prokind <> 'f' or p.proretset then 'It is a procedure or an aggregate, or returns a set.'
            when p.pronargs <> 1 or p.proargtypes[0] <> 'jsonb'::regtype or p.provariadic <> 0
                then 'It does not take exactly one argument of type jsonb.'
            when t.typtype = 'p' and t.typname not in ('void', 'record') then 'Its result cannot be turned into jsonb.'
            when p.prosecdef then 'It is SECURITY DEFINER: an action runs with the rights of whoever confirms it.'
        end
    into v_name, v_wrong
    from pg_proc as p
    join pg_namespace as n on n.oid = p.pronamespace
    join pg_type as t on t.oid = p.prorettype
    where p.oid = register_action.function;
    if v_name is null or v_wrong is not null then
        raise exception 'this function cannot be an action'
            using errcode = 'LC731', detail = coalesce(v_wrong, 'It does not exist.'),
            hint = 'Write a function of your own: (arguments jsonb) returns jsonb, SECURITY INVOKER, with its names qualified or a search_path of its own.';
    end if;
    if exists (
        select from unnest(register_action.organizations) as o (id)
        where not exists (select from loci.organizations as k where k.organization_id = o.id)
    ) or exists (
        select from unnest(register_action.member_roles) as r (role)
        where r.role is null or r.role not in ('owner', 'admin', 'member')
    ) then
        raise exception 'an action is restricted to something that does not exist'
            using errcode = 'LC749', detail = 'organizations: ids of organizations; member_roles: owner, admin, member. Null is everybody, an empty list nobody.',
            hint = 'select organization_id, name from loci.organizations lists them.';
    end if;
    insert into loci_private.actions (
        name, description, parameters, function_name, pin, function_oid, registered_in, organizations, member_roles,
        expires_seconds, registered_by, registered_at
    )
    values (
        register_action.name, v_description, register_action.parameters, v_name,
        loci_private.function_pin(register_action.function), register_action.function, loci_private.this_database(),
        register_action.organizations, register_action.member_roles, register_action.expires_seconds, session_user,
        loci_private.now()
    )
    on conflict (name) do update
    set description = excluded.description, parameters = excluded.parameters, function_name = excluded.function_name,
        pin = excluded.pin, function_oid = excluded.function_oid, registered_in = excluded.registered_in,
        organizations = excluded.organizations, member_roles = excluded.member_roles, expires_seconds = excluded.expires_seconds,
        registered_by = excluded.registered_by, registered_at = excluded.registered_at;
end $$;
comment on function loci.register_action(text, text, jsonb, regprocedure, uuid [], text [], integer) is
'Let models propose to call a function, which takes its arguments as one jsonb and runs with the rights of whoever confirms. parameters: JSON Schema of an object. Again for the same name: replaced; to be repeated whenever the function was redefined. LC512, LC730 to LC732, LC749.';
revoke execute on function loci.register_action(text, text, jsonb, regprocedure, uuid [], text [], integer) from public;
grant execute on function loci.register_action(text, text, jsonb, regprocedure, uuid [], text [], integer) to loci_admin;

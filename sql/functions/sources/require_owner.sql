create or replace function loci_private.require_owner(relation regclass)
returns text
language plpgsql stable parallel restricted
set search_path = pg_catalog, pg_temp
as $$
declare
    v_owner text;
begin
    select pg_get_userbyid(c.relowner) into v_owner from pg_class as c where c.oid = require_owner.relation;
    if not pg_has_role(loci_private.caller(), v_owner, 'usage') then
        raise exception 'only the owner of % may have it watched', require_owner.relation
            using errcode = 'LC243', detail = format('Its owner is "%s".', v_owner),
            hint = format('Let %I or a superuser call this, or: grant %I to %I.', v_owner, v_owner, loci_private.caller());
    end if;
    return v_owner;
end $$;
comment on function loci_private.require_owner(regclass) is
'Owner of a table, if the caller has the owner''s rights; else LC243.';
revoke execute on function loci_private.require_owner(regclass) from public;

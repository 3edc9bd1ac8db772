create or replace function loci_private.check_redaction()
returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_value jsonb := new.settings -> 'redact';
    v_unknown text;
begin
    if v_value is null or jsonb_typeof(v_value) in ('boolean', 'null') then
        return new;
    end if;
    -- A kind that is misspelt would go to the model.
    if jsonb_typeof(v_value) = 'array' then
        select string_agg(coalesce(k.kind, 'null'), ', ') into v_unknown
        from (
            select e.element #>> '{}' as kind, jsonb_typeof(e.element) as type from jsonb_array_elements(v_value) as e (element)
        ) as k
        where k.type <> 'string' or not exists (
            select from loci.redaction_patterns as r
            where r.kind = k.kind and (r.organization_id is null or r.organization_id = new.organization_id)
        );
    end if;
    if v_unknown is not null or jsonb_typeof(v_value) <> 'array' then
        raise exception 'the setting redact of an organization is not valid'
            using errcode = 'LC280',
            detail = format('%s is none of the kinds.', coalesce(v_unknown, v_value::text)),
            hint = 'Use true, false, or a list of kinds; select distinct kind from loci.redaction_patterns lists them.';
    end if;
    return new;
end $$;
comment on function loci_private.check_redaction() is 'settings -> redact of an organization is true, false or a list of kinds (LC280).';
revoke execute on function loci_private.check_redaction() from public;
create or replace trigger organizations__check_redaction
before insert or update of settings on loci.organizations
for each row execute function loci_private.check_redaction();

create or replace function loci_private.follow_redaction()
returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    if new.settings -> 'redact' is distinct from old.settings -> 'redact' then
        perform loci_private.enqueue_unredacted(new.organization_id);
    end if;
    return null;
end $$;
comment on function loci_private.follow_redaction() is 'An organization that redacts something else has its rows read again.';
revoke execute on function loci_private.follow_redaction() from public;
create or replace trigger organizations__redaction
after update of settings on loci.organizations
for each row execute function loci_private.follow_redaction();

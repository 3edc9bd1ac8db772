create or replace function loci_private.check_setting()
returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_number numeric;
begin
    if new.value is null then
        return new;
    end if;
    if new.kind = 'text' then
        if new.name like '%\_key\_ref' and new.value !~ '^(env:[A-Za-z_][A-Za-z0-9_]*|file:/.+)$' then
            raise exception 'setting "%" is not a key reference', new.name
                using errcode = 'LC011', hint = 'Write env:NAME or file:/absolute/path of the server; never the key itself.';
        end if;
        if new.name = 'text_search_config' and loci_private.text_config(new.value) is null then
            raise exception 'there is no text search configuration "%"', new.value
                using errcode = 'LC011', hint = 'select cfgname from pg_ts_config lists them.';
        end if;
        if new.name = 'drain_schedule' then
            perform loci_private.check_schedule(new.value);
        end if;
        if new.name = 'chat_gateway' and not exists (select from loci_private.gateways as g where g.gateway = new.value) then
            raise exception 'there is no gateway "%"', new.value
                using errcode = 'LC011', hint = 'select gateway from loci.gateways lists them.';
        end if;
        return new;
    end if;
    if new.kind = 'boolean' then
        if new.value not in ('true', 'false', 'on', 'off') then
            raise exception 'setting "%" takes true or false', new.name using errcode = 'LC011', hint = 'Use true or false.';
        end if;
        return new;
    end if;
    begin
        v_number := new.value::numeric;
    exception when others then
        v_number := 'NaN';
    end;
    if v_number = 'NaN' or (new.kind = 'integer' and v_number <> trunc(v_number))
        or v_number < new.minimum or v_number > new.maximum
    then
        raise exception 'setting "%" does not take this value', new.name
            using errcode = 'LC011',
            detail = format('The value is %s.', new.value),
            hint = format('It takes a number of kind %s from %s to %s.', new.kind, new.minimum, new.maximum);
    end if;
    return new;
end $$;
comment on function loci_private.check_setting() is 'Refuse values that a setting does not take (LC011, LC290, LC291).';
revoke execute on function loci_private.check_setting() from public;
create or replace trigger settings__check_value
before insert or update on loci.settings
for each row execute function loci_private.check_setting();

create or replace function loci_private.check_schedule(schedule text)
returns void
language plpgsql stable parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
    v_fields text[];
    v_part text[];
    v_low constant integer[] := array[0, 0, 1, 1, 0];
    v_high constant integer[] := array[59, 23, 31, 12, 7];
    v_names constant text[] := array['', '', '', 'jan feb mar apr may jun jul aug sep oct nov dec', 'sun mon tue wed thu fri sat'];
    v_bound text;
    v_cron integer[];
begin
    if check_schedule.schedule ~ '^[1-9][0-9]? seconds?$' and split_part(check_schedule.schedule, ' ', 1)::integer < 60 then
        -- The version that is here, else the one that this server could have: jobs may be another database's.
        select regexp_split_to_array(substring(v.version, '^[0-9]+(?:\.[0-9]+)*'), '\.')::integer[] into v_cron
        from (
            select e.extversion as version, 1 as n from pg_extension as e where e.extname = 'pg_cron'
            union all
            select a.default_version, 2 from pg_available_extensions as a where a.name = 'pg_cron'
        ) as v
        order by v.n
        limit 1;
        if v_cron < array[1, 5] then
            raise exception 'this pg_cron knows no seconds'
                using errcode = 'LC291',
                detail = format('It is version %s; seconds came with 1.5.', array_to_string(v_cron, '.')),
                hint = 'Install pg_cron 1.5, or use * * * * *, which is every minute.';
        end if;
        return;
    end if;
    if check_schedule.schedule ~ '^@(yearly|annually|monthly|weekly|daily|midnight|hourly)$' then
        return;
    end if;
    v_fields := regexp_split_to_array(lower(check_schedule.schedule), ' +');
    if cardinality(v_fields) = 5 then
        for n in 1..5 loop
            foreach v_bound in array regexp_split_to_array(v_fields[n], ',') loop
                v_part := regexp_match(v_bound, '^(?:\*(?:/[1-9][0-9]?)?|([0-9]{1,2}|[a-z]{3})(?:-([0-9]{1,2}|[a-z]{3})(?:/[1-9][0-9]?)?)?)$');
                exit when v_part is null;
                for k in 1..2 loop
                    if v_part[k] ~ '^[a-z]' then
                        v_part[k] := (v_low[n] - 1 + array_position(string_to_array(v_names[n], ' '), v_part[k]))::text;
                        v_part := case when v_part[k] is not null then v_part end;
                    end if;
                    exit when v_part is null;
                    v_part := case when coalesce(v_part[k]::integer between v_low[n] and v_high[n], true) then v_part end;
                end loop;
                v_part := case when coalesce(v_part[1]::integer <= v_part[2]::integer, true) then v_part end;
                exit when v_part is null;
            end loop;
            exit when v_part is null;
        end loop;
    end if;
    if v_part is null then
        raise exception '"%" is no schedule', check_schedule.schedule
            using errcode = 'LC290',
            hint = 'Minute, hour, day, month, weekday, such as */5 * * * *; or 30 seconds, with pg_cron 1.5.';
    end if;
end $$;
comment on function loci_private.check_schedule(text) is
'Refuse what pg_cron could not run: LC290 what is no schedule, LC291 seconds where pg_cron is older than 1.5.';
revoke execute on function loci_private.check_schedule(text) from public;

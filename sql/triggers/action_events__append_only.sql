create or replace function loci_private.keep_events()
returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    if tg_op = 'DELETE' then
        if old.happened_at < loci_private.now() - make_interval(days => loci.setting('action_log_days')::integer) then
            return old;
        end if;
    end if;
    raise exception 'the log of actions is only added to'
        using errcode = 'LC748', hint = 'Events go when they are older than the setting action_log_days.';
end $$;
comment on function loci_private.keep_events() is 'Events are neither changed nor removed before their time (LC748).';
revoke execute on function loci_private.keep_events() from public;
create or replace trigger action_events__append_only
before update or delete on loci_private.action_events
for each row execute function loci_private.keep_events();
create or replace trigger action_events__append_only_truncate
before truncate on loci_private.action_events
for each statement execute function loci_private.keep_events();

create or replace function loci_private.check_pattern()
returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    -- Defaults come with this version of Loci and are tested with it.
    if new.pattern is not null then
        perform loci_private.check_redaction_pattern(new.name, new.kind, new.pattern, new.checksum);
    end if;
    return new;
end $$;
comment on function loci_private.check_pattern() is 'Refuse redaction patterns that cannot be used (LC281, LC282).';
revoke execute on function loci_private.check_pattern() from public;
create or replace trigger redaction_patterns__check
before insert or update on loci.redaction_patterns
for each row execute function loci_private.check_pattern();

create or replace function loci_private.follow_patterns()
returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform loci_private.enqueue_unredacted();
    return null;
end $$;
comment on function loci_private.follow_patterns() is 'When patterns change, rows of the organizations that use them are read again.';
revoke execute on function loci_private.follow_patterns() from public;
create or replace trigger redaction_patterns__follow
after insert or update or delete on loci.redaction_patterns
for each statement execute function loci_private.follow_patterns();

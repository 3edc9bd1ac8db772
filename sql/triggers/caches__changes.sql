-- What makes cached results worthless. Rows: by their scopes; all that searches are made with: in every scope.
create or replace function loci_private.note_rows()
returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    if tg_op = 'INSERT' then
        perform loci_private.note_change(array(select distinct n.scope_id from new_rows as n));
    elsif tg_op = 'UPDATE' then
        perform loci_private.note_change(array(select n.scope_id from new_rows as n union select o.scope_id from old_rows as o));
    else
        perform loci_private.note_change(array(select distinct o.scope_id from old_rows as o));
    end if;
    return null;
end $$;
comment on function loci_private.note_rows() is 'Rows that came, moved, changed or went: tell the caches.';
revoke execute on function loci_private.note_rows() from public;
create or replace trigger source_rows__inserted
after insert on loci_private.source_rows referencing new table as new_rows
for each statement execute function loci_private.note_rows();
create or replace trigger source_rows__updated
after update on loci_private.source_rows referencing old table as old_rows new table as new_rows
for each statement execute function loci_private.note_rows();
create or replace trigger source_rows__deleted
after delete on loci_private.source_rows referencing old table as old_rows
for each statement execute function loci_private.note_rows();

create or replace function loci_private.note_marks()
returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    if exists (select from old_rows as o where o.op in ('truncate', 'resync')) then
        perform loci_private.note_change(null);
    elsif exists (select from old_rows as o where o.op = 'place') then
        perform loci_private.note_change(array(
            select distinct r.scope_id
            from old_rows as o
            join loci_private.source_rows as r on r.source_id = o.source_id and r.key = o.key
            where o.op = 'place' and o.queue_id > r.placed_version
        ));
    end if;
    return null;
end $$;
comment on function loci_private.note_marks() is 'Marks that are gone hide nothing any more: tell the caches.';
revoke execute on function loci_private.note_marks() from public;
create or replace trigger row_queue__marks
after delete on loci_private.row_queue referencing old table as old_rows
for each statement execute function loci_private.note_marks();

create or replace function loci_private.note_members()
returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform loci_private.note_change(array[new.user_id, old.user_id]);
    return null;
end $$;
comment on function loci_private.note_members() is
'The organization that somebody joined first decides how that user''s own rows are searched: tell the caches.';
revoke execute on function loci_private.note_members() from public;
create or replace trigger organization_members__caches
after insert or update or delete on loci.organization_members
for each row execute function loci_private.note_members();

create or replace function loci_private.note_everything()
returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform loci_private.note_change(null);
    return null;
end $$;
comment on function loci_private.note_everything() is 'Something that all searches depend on has changed: tell the caches.';
revoke execute on function loci_private.note_everything() from public;
create or replace trigger settings__caches
after update on loci.settings
for each statement execute function loci_private.note_everything();
create or replace trigger organizations__caches
after update of settings on loci.organizations
for each statement execute function loci_private.note_everything();
create or replace trigger redaction_patterns__caches
after insert or update or delete on loci.redaction_patterns
for each statement execute function loci_private.note_everything();
-- By row: the drain looks every time whether there is something to switch, and mostly there is not.
create or replace trigger model_assignments__caches
after insert or update or delete on loci_private.model_assignments
for each row execute function loci_private.note_everything();
create or replace trigger chunking_assignments__caches
after update of active_chunking, adopted_chunking on loci_private.chunking_assignments
for each row execute function loci_private.note_everything();
create or replace trigger sources__caches
after update of name or delete on loci_private.sources
for each row execute function loci_private.note_everything();
-- Without its changes the cache would believe what it holds.
create or replace trigger changes__truncated
after truncate on loci_private.changes
for each statement execute function loci_private.note_everything();

create or replace function loci_private.forget_model()
returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    delete from loci_private.cache as c
    where c.ctid = any(array(
        select o.ctid from loci_private.cache as o where o.kind = 'embedding' and o.model_id = old.model_id for update skip locked
    ));
    perform loci_private.note_change(null);
    return null;
end $$;
comment on function loci_private.forget_model() is 'A model that is gone or has changed makes other vectors: its cached ones go.';
revoke execute on function loci_private.forget_model() from public;
create or replace trigger embedding_models__caches
after update or delete on loci.embedding_models
for each row execute function loci_private.forget_model();

-- Functions generated for watched tables follow this version of Loci; Loci's own tables are sources like any other.
do $$
declare
    v_source loci_private.sources;
begin
    for v_source in select s.* from loci_private.sources as s where s.watched order by s.source_id loop
        begin
            perform loci_private.refresh_source(v_source.source_id);
        exception when others then
            perform loci_private.break_source(v_source.source_id, sqlerrm);
        end;
    end loop;
    if not exists (select from loci_private.sources as s where s.relation = 'loci.documents'::regclass) then
        perform loci.watch(
            'loci.documents', content => 'content', scope => 'scope_id', audience => 'audience', metadata => 'metadata',
            context => 'title', title => 'title', mime_type => 'mime_type'
        );
    end if;
    if not exists (select from loci_private.sources as s where s.relation = 'loci.messages'::regclass) then
        perform loci.watch(
            'loci.messages', content => 'case when status <> ''failed'' then content end', scope => 'scope_id',
            metadata => 'jsonb_build_object(''role'', role, ''conversation_id'', conversation_id)', context => 'role'
        );
    end if;
    if not exists (select from loci_private.sources as s where s.relation = 'loci_private.memories'::regclass) then
        perform loci.watch(
            'loci_private.memories', name => 'memories', content => 'content',
            scope => 'case when superseded_at is null then scope_id end', audience => 'audience', context => 'subject'
        );
        update loci_private.sources as s set internal = true where s.name = 'memories';
    end if;
end $$;

-- The model that serves everyone until an administrator chooses another: needs no server, no key, no network.
do $$
begin
    insert into loci_private.gateways (gateway) values ('default') on conflict do nothing;
    if not exists (select from loci.embedding_models) then
        perform loci.add_embedding_model(
            'multilingual-e5-small', provider => 'local', dimensions => 384, max_batch => 16, max_tokens => 512
        );
        perform loci.use_embedding_model('multilingual-e5-small');
    end if;
end $$;

-- Group roles of the cluster; none can log in. Grant them to your own login roles.
do $$
declare
    v_role text;
begin
    foreach v_role in array array['loci_owner', 'loci_app', 'loci_admin', 'loci_worker', 'loci_monitor', 'loci_proposer', 'loci_approver'] loop
        if not exists (select from pg_catalog.pg_roles as r where r.rolname = v_role) then
            begin
                execute format('create role %I nologin noinherit', v_role);
            exception
                -- Roles belong to the whole cluster: another database may be creating them right now.
                when duplicate_object or unique_violation then null;
            end;
        end if;
    end loop;
end $$;

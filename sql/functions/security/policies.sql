-- Row-level security of every table in loci. Administrators see all; users what their scopes say; nobody named: nothing.
do $$
declare
    v_table text;
    v_policy record;
    v_managed constant text := 'organization_id = any((select loci.managed_organizations())::uuid[])';
    -- Admins run an organization; only owners decide who its owners are.
    v_staff constant text := 'organization_id = any((select loci.managed_organizations())::uuid[])
        and (role <> ''owner'' or organization_id = any((select loci.owned_organizations())::uuid[]))';
    v_organization constant text := 'organization_id = any((select loci.visible_scopes())::uuid[])';
    v_visible constant text :=
        'loci.is_visible(scope_id, audience, (select loci.visible_scopes()), (select loci.current_principals()))';
begin
    for v_table in
        select c.relname from pg_class as c
        where c.relnamespace = 'loci'::regnamespace and c.relkind in ('r', 'p')
    loop
        execute format('alter table loci.%I enable row level security', v_table);
        for v_policy in select p.policyname from pg_policies as p where p.schemaname = 'loci' and p.tablename = v_table loop
            execute format('drop policy %I on loci.%I', v_policy.policyname, v_table);
        end loop;
        execute format('create policy administrator on loci.%I to loci_admin using (true) with check (true)', v_table);
    end loop;

    execute format('create policy seen on loci.organizations for select to loci_app using (%s)', v_organization);
    execute format('create policy managed on loci.organizations for update to loci_app using (%s)', v_managed);

    -- Users see themselves and whom they share an organization with.
    execute 'create policy seen on loci.users for select to loci_app using (
        user_id = (select loci.current_user_id())
        or exists (select from loci.organization_members as m where m.user_id = users.user_id)
    )';
    execute format('create policy seen on loci.organization_members for select to loci_app using (%s)', v_organization);
    execute format('create policy appointed on loci.organization_members for insert to loci_app with check (%s)', v_staff);
    execute format(
        'create policy changed on loci.organization_members for update to loci_app using (%s) with check (%s)', v_staff, v_staff
    );
    execute format('create policy dismissed on loci.organization_members for delete to loci_app using (%s)', v_staff);
    foreach v_table in array array['teams', 'team_members', 'projects', 'project_members'] loop
        execute format(
            'create policy managed on loci.%I to loci_app using (%s) with check (%s)', v_table, v_managed, v_managed
        );
    end loop;
    execute format('create policy seen on loci.teams for select to loci_app using (%s)', v_organization);
    execute format('create policy seen on loci.team_members for select to loci_app using (%s)', v_organization);
    execute 'create policy seen on loci.projects for select to loci_app
        using (project_id = any((select loci.visible_scopes())::uuid[]))';
    execute 'create policy seen on loci.project_members for select to loci_app
        using (project_id = any((select loci.visible_scopes())::uuid[]))';

    execute format('create policy seen on loci.documents for select to loci_app using (%s)', v_visible);
    execute 'create policy written on loci.documents for insert to loci_app
        with check (scope_id = any((select loci.visible_scopes())::uuid[]))';
    execute format(
        'create policy changed on loci.documents for update to loci_app using (%s)
        with check (scope_id = any((select loci.visible_scopes())::uuid[]))', v_visible
    );
    execute format('create policy removed on loci.documents for delete to loci_app using (%s)', v_visible);

    execute 'create policy own on loci.conversations to loci_app
        using (user_id = (select loci.current_user_id())) with check (user_id = (select loci.current_user_id()))';
    execute 'create policy own on loci.messages to loci_app
        using (scope_id = (select loci.current_user_id())) with check (scope_id = (select loci.current_user_id()))';

    execute 'create policy seen on loci.settings for select to loci_app, loci_worker, loci_monitor using (true)';
    execute 'create policy seen on loci.model_prices for select to loci_monitor using (true)';
    execute 'create policy seen on loci.embedding_models for select to loci_app, loci_monitor using (true)';
end $$;

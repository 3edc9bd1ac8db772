create table loci.organizations (
    organization_id uuid not null primary key default gen_random_uuid(),
    name text not null check (btrim(name) <> ''),
    chat_model text,
    fallback_model text,
    embedding_model text references loci.embedding_models (name) on update cascade,
    api_key_ref text check (api_key_ref ~ '^(env:[A-Za-z_][A-Za-z0-9_]*|file:/.+)$'),
    budget_usd_month numeric(12, 2) check (budget_usd_month >= 0),
    settings jsonb not null default '{}' check (jsonb_typeof(settings) = 'object'),
    created_at timestamptz not null default now()
);
create index on loci.organizations (embedding_model);

create table loci.users (
    user_id uuid not null primary key default gen_random_uuid(),
    email text unique,
    db_role text unique,
    created_at timestamptz not null default now()
);

create table loci.organization_members (
    organization_id uuid not null references loci.organizations (organization_id) on delete cascade,
    user_id uuid not null references loci.users (user_id) on delete cascade,
    role text not null default 'member' check (role in ('owner', 'admin', 'member')),
    joined_at timestamptz not null default clock_timestamp(),
    primary key (organization_id, user_id)
);
create index on loci.organization_members (user_id);

create table loci.teams (
    team_id uuid not null primary key default gen_random_uuid(),
    organization_id uuid not null references loci.organizations (organization_id) on delete cascade,
    name text not null check (btrim(name) <> ''),
    created_at timestamptz not null default now(),
    unique (organization_id, team_id),
    unique (organization_id, name)
);

-- Members of teams and projects are members of the organization: the foreign key ends both together.
create table loci.team_members (
    organization_id uuid not null,
    team_id uuid not null,
    user_id uuid not null,
    primary key (team_id, user_id),
    foreign key (organization_id, team_id) references loci.teams (organization_id, team_id) on delete cascade,
    foreign key (organization_id, user_id)
    references loci.organization_members (organization_id, user_id) on delete cascade
);
create index on loci.team_members (organization_id, team_id);
create index on loci.team_members (organization_id, user_id);
create index on loci.team_members (user_id);

create table loci.projects (
    project_id uuid not null primary key default gen_random_uuid(),
    organization_id uuid not null references loci.organizations (organization_id) on delete cascade,
    name text not null check (btrim(name) <> ''),
    visibility text not null default 'organization' check (visibility in ('organization', 'team', 'private')),
    team_id uuid,
    created_at timestamptz not null default now(),
    unique (organization_id, project_id),
    foreign key (organization_id, team_id) references loci.teams (organization_id, team_id),
    check (visibility <> 'team' or team_id is not null)
);
create index on loci.projects (organization_id, team_id);
create index projects_open on loci.projects (organization_id) where visibility = 'organization';

create table loci.project_members (
    organization_id uuid not null,
    project_id uuid not null,
    user_id uuid not null,
    primary key (project_id, user_id),
    foreign key (organization_id, project_id)
    references loci.projects (organization_id, project_id) on delete cascade,
    foreign key (organization_id, user_id)
    references loci.organization_members (organization_id, user_id) on delete cascade
);
create index on loci.project_members (organization_id, project_id);
create index on loci.project_members (organization_id, user_id);
create index on loci.project_members (user_id);

-- Every place a row can live in: an organization, a project or a user. Kept by triggers on those tables.
create table loci_private.scopes (
    scope_id uuid not null primary key,
    kind text not null check (kind in ('organization', 'project', 'user')),
    organization_id uuid
);
create index on loci_private.scopes (organization_id);

-- Which model an organization's rows use (organization null: all that chose none). Queries use the active model;
-- the target fills in the background and becomes active when it is complete.
create table loci_private.model_assignments (
    assignment_id integer generated always as identity primary key,
    organization_id uuid references loci.organizations (organization_id) on delete cascade,
    active_model integer references loci.embedding_models (model_id),
    target_model integer not null references loci.embedding_models (model_id),
    assigned_at timestamptz not null default now(),
    unique nulls not distinct (organization_id)
);
create index on loci_private.model_assignments (active_model);
create index on loci_private.model_assignments (target_model);

-- One row of loci.doctor(). remedy: what ends in a semicolon is SQL, anything else a line for the shell.
create type loci_private.finding as (severity text, area text, object text, finding text, remedy text);

-- What was there when Loci was installed, and what brings it back; the last file of the installation writes it.
create table loci_private.installed_objects (
    kind text not null,
    object text not null,
    detail text not null,
    remedy text not null,
    primary key (kind, object, detail)
);

-- What was measured and is not counted yet. Append only, without an index: whoever measures waits for nobody. Unlogged:
-- a crash costs what was measured since the last drain.
create unlogged table loci_private.observations (
    observation_id bigint generated always as identity,
    metric text not null,
    labels jsonb not null,
    value double precision not null,
    -- Loci's own; the others are applications'.
    own boolean not null
);

-- The newest observation that is counted; one row.
create unlogged table loci_private.counted_observations (
    only_row boolean not null primary key default true check (only_row),
    up_to bigint not null
);

-- What was counted, a row for each set of labels. buckets: how many were at most as large as each bound of its histogram.
create table loci_private.metric_series (
    metric text not null,
    labels jsonb not null,
    own boolean not null,
    observed bigint not null,
    total double precision not null,
    last_value double precision not null,
    buckets bigint [] not null,
    primary key (metric, labels)
);

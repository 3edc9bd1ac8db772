-- What the full-text arm knows of how common words are, a scope at a time: what somebody may not see never weighs on what
-- they find. Chunks with an audience are not counted, as not everybody in their scope may know of them. Approximate: counted
-- again when a tenth of a scope has changed.
create table loci_private.text_statistics (
    scope_id uuid not null primary key references loci_private.scopes (scope_id) on delete cascade,
    chunks bigint not null default 0,
    words bigint not null default 0,
    changed bigint not null default 0
);

-- In how many chunks of a scope a word is; words of a single chunk are left out.
create table loci_private.word_counts (
    scope_id uuid not null references loci_private.scopes (scope_id) on delete cascade,
    word text not null collate "C",
    chunks bigint not null,
    primary key (scope_id, word)
);

-- How many chunks were stored in a scope since the last count. Append only, so that no drain waits for another.
create table loci_private.text_changes (
    change_id bigint generated always as identity primary key,
    scope_id uuid not null,
    chunks integer not null
);

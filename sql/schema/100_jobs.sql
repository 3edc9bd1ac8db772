-- What is to run by itself, and when; loci.schedule_jobs() tells pg_cron. No schedule: the settings drain_schedule and
-- drain_workers say when, and how many side by side.
create table loci_private.job_definitions (
    job text not null primary key,
    schedule text,
    command text not null
);

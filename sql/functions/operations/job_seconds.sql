create or replace function loci_private.job_seconds(schedule text)
returns integer
language sql immutable parallel safe
begin atomic
    select case
        when job_seconds.schedule ~ '^\s*\d+ seconds?\s*$' then substring(job_seconds.schedule from '\d+')::integer
        when job_seconds.schedule ~ '^\s*\*( +\*){4}\s*$' then 60
        when job_seconds.schedule ~ '^\s*\*/\d+( +\*){4}\s*$' then 60 * substring(job_seconds.schedule from '\d+')::integer
        when job_seconds.schedule ~ '^\s*[\d,-]+( +\*){4}\s*$' then 3600
        when job_seconds.schedule ~ '^\s*[\d,-]+ +[\d,/*-]+( +\*){3}\s*$' then 86400
        else 31 * 86400
    end;
end;
comment on function loci_private.job_seconds(text) is 'After how many seconds at the latest a schedule starts its job again.';
revoke execute on function loci_private.job_seconds(text) from public;

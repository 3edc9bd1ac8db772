create or replace function loci_private.metric_bounds(metric text)
returns double precision []
language sql immutable parallel safe
begin atomic
    select case
        when loci_private.metric_kind(metric_bounds.metric) <> 'histogram' then '{}'
        when metric_bounds.metric like '%\_ms' then '{1,2.5,5,10,25,50,100,250,500,1000,2500,5000,10000,30000,60000}'
        when metric_bounds.metric like '%\_seconds' then '{0.001,0.005,0.01,0.05,0.1,0.5,1,5,10,30,60,300,600,3600}'
        when metric_bounds.metric like '%\_bytes' then '{64,256,1024,4096,16384,65536,262144,1048576,4194304,16777216}'
        when metric_bounds.metric like '%\_results' then '{0,1,2,3,5,10,20,50,100}'
        else '{0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8,0.85,0.9,0.95,1}'
    end::double precision [];
end;
comment on function loci_private.metric_bounds(text) is
'Upper bounds of a histogram''s buckets, infinity left out; none for what is no histogram. To change them, drop_metric() first.';
revoke execute on function loci_private.metric_bounds(text) from public;

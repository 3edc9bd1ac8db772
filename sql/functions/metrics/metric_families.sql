create or replace function loci_private.metric_families()
returns table (metric text, kind text, shared boolean, help text)
language sql immutable parallel safe
begin atomic
    select f.metric, f.kind, f.shared, f.help
    from (
        values
        ('requests_total', 'counter', true, 'Requests by agent and node; those of Loci are calls of chat models.'),
        ('routing_fallbacks_total', 'counter', true, 'Requests that another agent, or model, answered after the first had failed.'),
        ('llm_failures_total', 'counter', true, 'Calls of models that failed.'),
        ('node_latency_ms', 'histogram', true, 'How long a node took, in milliseconds.'),
        ('llm_cost_usd_total', 'counter', false, 'Cost of models in USD.'),
        ('llm_tokens_total', 'counter', false, 'Tokens that models read (input, embedding) and wrote (output).'),
        ('vector_search_latency_ms', 'histogram', false, 'How long searches took that the cache had no answer for, in milliseconds.'),
        ('vector_search_results', 'histogram', false, 'How many passages those searches found.'),
        ('vector_search_similarity', 'histogram', false, 'Mean similarity of the passages of a search.'),
        ('rag_latency_ms', 'histogram', false, 'How long a stage of an answer took, in milliseconds: context, model, turn.'),
        ('cache_hits_total', 'counter', false, 'Lookups that a cache had the answer for.'),
        ('cache_misses_total', 'counter', false, 'Lookups that a cache had no answer for.'),
        ('cache_evictions_total', 'counter', false, 'Entries that had to go for want of room.'),
        ('cache_hit_rate', 'gauge', false, 'Hits of all lookups, 0 to 1, since the server crashed last.'),
        ('queue_depth', 'gauge', false, 'Work that waits in a queue.'),
        ('queue_oldest_seconds', 'gauge', false, 'How long the oldest work of a queue has been waiting.'),
        ('failures', 'gauge', false, 'Work that failed, as in loci.failures.'),
        ('model_up', 'gauge', false, 'Whether the gateway of a model, or of chat, answered when it was asked last.'),
        ('job_up', 'gauge', false, 'Whether the last run of a job succeeded.'),
        ('job_last_run_seconds_ago', 'gauge', false, 'How long ago the last run of a job began.'),
        ('turns_open', 'gauge', false, 'Questions that wait for their answer.'),
        ('observations_dropped_total', 'counter', false, 'Observations of series beyond the setting metric_series_max.')
    ) as f (metric, kind, shared, help);
end;
comment on function loci_private.metric_families() is
'The metrics that Loci itself has. shared: applications add series of their own to them.';
revoke execute on function loci_private.metric_families() from public;

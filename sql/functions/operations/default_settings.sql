-- Names, limits and defaults of every setting; values that an administrator set stay as they are.
insert into loci.settings (name, kind, default_value, minimum, maximum, description) values
('drain_seconds', 'integer', '240', 1, 86400, 'A run of loci.drain() stops after this many seconds, so that runs never pile up.'),
('drain_workers', 'integer', '1', 1, 16, 'How many drain jobs pg_cron runs side by side.'),
('split_batch', 'integer', '50', 1, 1000, 'Rows that one drain claims at a time for splitting.'),
('lease_seconds', 'integer', '300', 5, 86400, 'Work claimed by a drain that died is taken again after this time.'),
('max_attempts', 'integer', '4', 1, 100, 'A row that failed this often (first attempt and retries) is parked in loci.failures.'),
('retry_base_seconds', 'real', '1', 0, 3600, 'Wait before the first retry; each further one doubles it.'),
('retry_max_seconds', 'real', '3600', 1, 86400, 'Longest wait between two retries.'),
('cooldown_max_seconds', 'real', '300', 1, 86400,
    'Longest time that a failing gateway is left alone before it is tried again with one text.'),
('inline_rows', 'integer', '1000', 0, 100000,
    'Up to this many rows deleted or moved by one statement are cleaned up within it; more are only hidden, and cleaned up by the drain.'),
('exact_scan_limit', 'integer', '20000', 0, 1000000,
    'Up to this many visible vectors a search compares all of them; above it uses the HNSW index.'),
('max_content_bytes', 'integer', '67108864', 1024, 1073741823,
    'A row with more text than this is refused with LC203 instead of being split.'),
('ingest_max_bytes', 'integer', '52428800', 1024, 1073741823, 'loci.ingest_file() refuses files with more bytes.'),
('ingest_max_pages', 'integer', '5000', 1, 100000, 'loci.ingest_file() refuses PDF files with more pages.'),
('ingest_max_text_bytes', 'integer', '52428800', 1024, 1073741823,
    'loci.ingest_file() refuses files with more text in them; the setting max_content_bytes applies as well.'),
('ingest_max_expansion', 'integer', '100', 1, 100000,
    'loci.ingest_file() refuses a DOCX, or a page of a PDF, that unpacks to more than this many times its size and to more than 10 MB.'),
('ingest_max_seconds', 'real', '60', 1, 86400, 'loci.ingest_file() gives up on a file after this many seconds.'),
('text_search_config', 'text', 'english', null, null,
    'PostgreSQL text search configuration of the full-text arm; organizations may set their own in settings.'),
('keyword_candidates', 'integer', '1000', 100, 100000,
    'About how many chunks the full-text arm looks at for a question; the more, the surer and the slower.'),
('vector_weight', 'real', '0.3', 0, 100, 'Weight of meaning (vectors) in hybrid search.'),
('keyword_weight', 'real', '0.7', 0, 100, 'Weight of words (full text) in hybrid search.'),
('rerank_model', 'text', null, null, null, 'Model that loci.search(rerank => true) asks for the order of passages; it answers at /rerank.'),
('rerank_gateway', 'text', 'default', null, null, 'Gateway of the reranking model.'),
('expansion_model', 'text', null, null, null, 'Chat model that loci.search(expand => true) asks for other words of a question.'),
('expansion_gateway', 'text', 'default', null, null, 'Gateway of the model for expansion.'),
('helper_seconds', 'real', '3', 0.1, 60, 'A search waits no longer for reranking, and for expansion; then it does without.'),
('jwt_key_ref', 'text', null, null, null,
    'Reference to the key that verifies tokens of loci.login(): env:NAME or file:/path on the server.'),
('jwt_algorithms', 'text', 'HS256', null, null, 'Accepted signature algorithms, comma separated: HS256, HS384, HS512, RS256, ES256.'),
('jwt_audience', 'text', null, null, null, 'Required aud claim; null: not checked.'),
('jwt_issuer', 'text', null, null, null, 'Required iss claim; null: not checked.'),
('jwt_user_claim', 'text', 'sub', null, null, 'Claim that names the user: a user_id, or the e-mail address of a user.'),
('jwt_leeway_seconds', 'integer', '30', 0, 600, 'Tolerated clock difference for exp and nbf.'),
('job_history_days', 'integer', '7', 1, 3650, 'Rows of cron.job_run_details of Loci jobs older than this are removed.')
on conflict (name) do update set
kind = excluded.kind, default_value = excluded.default_value, minimum = excluded.minimum,
maximum = excluded.maximum, description = excluded.description;

insert into loci_private.session_key (key)
select sha256(convert_to(string_agg(gen_random_uuid()::text, ''), 'UTF8'))
from generate_series(1, 4)
on conflict do nothing;

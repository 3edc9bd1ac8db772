-- Table of contents: everything Loci is, in the order it is installed. `make migrate` brings sql/schema about through
-- migrations/ and replays the rest as it stands; tests install a database from here and compare the two.

\ir schema/000_roles.sql
\ir schema/010_extensions.sql
\ir schema/020_schemas.sql
\ir schema/030_settings.sql
\ir schema/040_models.sql
\ir schema/050_identity.sql
\ir schema/055_redaction.sql
\ir schema/060_documents.sql
\ir schema/070_sources.sql
\ir schema/080_queues.sql
\ir schema/090_chunks.sql

-- What others need while they are being defined.
\ir functions/operations/text_config.sql
\ir functions/operations/now.sql
\ir functions/operations/setting.sql
\ir functions/operations/default_settings.sql
\ir functions/pipeline/backoff.sql

\ir functions/identity/is_visible.sql
\ir functions/identity/organization_of.sql
\ir functions/identity/scopes_of.sql
\ir functions/identity/principals_of.sql
\ir functions/identity/identity_signature.sql
\ir functions/identity/assume.sql
\ir functions/identity/current_user_id.sql
\ir functions/identity/visible_scopes.sql
\ir functions/identity/current_principals.sql
\ir functions/identity/act_as.sql
\ir functions/identity/login.sql
\ir functions/identity/managed_organizations.sql
\ir functions/identity/owned_organizations.sql
\ir functions/identity/verify_token.sql
\ir functions/identity/visible_projects.sql

\ir functions/models/model_table.sql
\ir functions/models/model_named.sql
\ir functions/models/assignment_of.sql
\ir functions/models/model_config.sql
\ir functions/models/probe_model.sql
\ir functions/models/query_config.sql
\ir functions/models/embed_texts.sql
\ir functions/models/embed_batch.sql
\ir functions/models/activate_complete_models.sql
\ir functions/models/add_gateway.sql
\ir functions/models/add_embedding_model.sql
\ir functions/models/assign_model.sql
\ir functions/models/check_model.sql
\ir functions/models/cool_down.sql
\ir functions/models/count_usage.sql
\ir functions/models/create_model_table.sql
\ir functions/models/drop_embedding_model.sql
\ir functions/models/embed.sql
\ir functions/models/embedding_usage.sql
\ir functions/models/enqueue_missing.sql
\ir functions/models/gateways.sql
\ir functions/models/next_request.sql
\ir functions/models/recovered.sql
\ir functions/models/take_requests.sql
\ir functions/models/use_embedding_model.sql

\ir functions/sources/caller.sql
\ir functions/sources/column_template.sql
\ir functions/sources/require_owner.sql
\ir functions/sources/build_source_readers.sql
\ir functions/sources/build_source_triggers.sql
\ir functions/sources/enqueue_source.sql
\ir functions/sources/give_reader.sql
\ir functions/sources/convert_file.sql
\ir functions/sources/ingest_file.sql
\ir functions/sources/is_fresh.sql
\ir functions/sources/place_rows.sql
\ir functions/sources/probe_source.sql
\ir functions/sources/refresh_source.sql
\ir functions/sources/remove_rows.sql
\ir functions/sources/sources.sql
\ir functions/sources/trigger_failed.sql
\ir functions/sources/unwatch.sql
\ir functions/sources/watch.sql
\ir functions/sources/adopt_chunks.sql
\ir functions/sources/build_pgai_reader.sql
\ir functions/sources/plan_pgai_vectorizer.sql
\ir functions/sources/read_pgai_vectorizer.sql
\ir functions/sources/adopt_pgai_vectorizer.sql

\ir functions/pipeline/break_source.sql
\ir functions/pipeline/chunking_of.sql
\ir functions/pipeline/claim.sql
\ir functions/pipeline/claim_chunks.sql
\ir functions/pipeline/claim_rows.sql
\ir functions/pipeline/count_tokens.sql
\ir functions/pipeline/done.sql
\ir functions/pipeline/drain.sql
\ir functions/pipeline/fail.sql
\ir functions/pipeline/failures.sql
\ir functions/pipeline/forget_rows.sql
\ir functions/pipeline/known_vectors.sql
\ir functions/pipeline/pending_models.sql
\ir functions/pipeline/postpone.sql
\ir functions/pipeline/put_back.sql
\ir functions/pipeline/read_rows.sql
\ir functions/pipeline/reconcile.sql
\ir functions/pipeline/retry_failures.sql
\ir functions/pipeline/row_fingerprint.sql
\ir functions/pipeline/source_config.sql
\ir functions/pipeline/redaction_of.sql
\ir functions/pipeline/redact_texts.sql
\ir functions/pipeline/redacted.sql
\ir functions/pipeline/check_redaction_pattern.sql
\ir functions/pipeline/enqueue_unredacted.sql
\ir functions/pipeline/store_row.sql
\ir functions/pipeline/store_vectors.sql
\ir functions/pipeline/sweep_source.sql
\ir functions/pipeline/text_config_of.sql

\ir functions/search/text_configs_of.sql
\ir functions/search/search_text.sql
\ir functions/search/fuse.sql
\ir functions/search/hidden_rows.sql
\ir functions/search/hidden_sources.sql
\ir functions/search/keyword_query.sql
\ir functions/search/models_of.sql
\ir functions/search/search.sql
\ir functions/search/visible_vectors.sql

\ir functions/operations/schedule_job.sql
\ir functions/operations/cron_jobs.sql
\ir functions/operations/job_housekeeping.sql
\ir functions/operations/jobs.sql
\ir functions/operations/progress.sql
\ir functions/operations/python_version.sql
\ir functions/operations/status.sql

\ir triggers/documents__place.sql
\ir triggers/identity__scopes.sql
\ir triggers/members__organization.sql
\ir triggers/organizations__model.sql
\ir triggers/organizations__redaction.sql
\ir triggers/redaction_patterns__check.sql
\ir triggers/settings__check_value.sql
\ir triggers/users__mapped_role.sql

-- Rights, then the rows every installation starts with.
\ir functions/security/policies.sql
\ir functions/security/privileges.sql
\ir functions/security/ownership.sql
\ir functions/security/comments.sql
\ir functions/models/default_models.sql
\ir functions/pipeline/default_redaction_patterns.sql
\ir functions/sources/default_sources.sql

\ir jobs/drain.sql
\ir jobs/housekeeping.sql
\ir jobs/reconcile.sql

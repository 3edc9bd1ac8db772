-- What each table and column is for; functions and views say it in their own files.
comment on table loci.settings is
'Everything that can be adjusted. Change value, never the row: update loci.settings set value = ''...'' where name = ''...''. Role loci_admin.';
comment on column loci.settings.value is 'What an administrator chose; null: the default is in force.';
comment on column loci.settings.default_value is 'What is in force while value is null.';
comment on column loci.settings.kind is 'What a value must be: integer, real, boolean or text.';

comment on table loci.embedding_models is
'Models that texts are embedded with. Made by loci.add_embedding_model(), put into use by loci.use_embedding_model().';
comment on column loci.embedding_models.provider is 'Which code computes the vectors.';
comment on column loci.embedding_models.gateway is 'Where requests go; null for providers inside the database.';
comment on column loci.embedding_models.query_prefix is 'Put in front of every question, because the model was trained so.';
comment on column loci.embedding_models.passage_prefix is 'Put in front of every passage, because the model was trained so.';
comment on column loci.embedding_models.max_batch is 'Most texts a request.';
comment on column loci.embedding_models.max_tokens is 'Longest text the model takes.';
comment on column loci.embedding_models.quantization is
'binary: the index holds one bit a dimension, and what it finds is compared by the whole vectors; none: whole vectors.';

comment on table loci.model_prices is
'What chat models cost, in USD for a million tokens, where the gateway does not say (LiteLLM does), and to estimate a call beforehand. Role loci_admin.';
comment on column loci.model_prices.model is 'As the gateway knows it.';

comment on table loci.organizations is 'Tenants. An organization is a scope: all of its members see the rows that live in it.';
comment on column loci.organizations.chat_model is 'Chat model of its users; null: the setting chat_model.';
comment on column loci.organizations.fallback_model is 'Asked once where that fails; null: the setting chat_fallback_model.';
comment on column loci.organizations.embedding_model is 'Model of its rows; null: the default model.';
comment on column loci.organizations.api_key_ref is 'Where the server finds its key: env:NAME or file:/path. Never the key itself.';
comment on column loci.organizations.budget_usd_month is 'Most that may be spent in a month; null: no limit.';
comment on column loci.organizations.settings is 'Settings of its own: text_search_config; redact: true, false or a list of kinds that are replaced before a text goes to a model.';

comment on table loci.users is 'People. A user is a scope that nobody else sees.';
comment on column loci.users.db_role is
'Login role that is this user, and can act for no other. Null for users that an application names with loci.act_as() or loci.login().';

comment on table loci.organization_members is
'Who belongs to an organization. Whoever leaves it leaves its teams and projects too. role: members see; admins manage members, teams and projects; owners also appoint and dismiss owners.';
comment on column loci.organization_members.joined_at is
'The organization joined first is the one whose model and rules apply to a user''s own rows.';

comment on table loci.teams is 'Groups within an organization. Projects and audiences may be limited to them.';
comment on table loci.team_members is 'Who is in a team; only members of its organization.';

comment on table loci.projects is 'Scopes within an organization.';
comment on column loci.projects.visibility is
'organization: all members see its rows; team: the members of team_id; private: those in loci.project_members. Whoever is in project_members sees it in any case.';
comment on table loci.project_members is 'Who was added to a project by name; only members of its organization.';

comment on table loci.documents is
'Texts without a table of their own: insert, and they become searchable. Any member who sees a document may change it.';
comment on column loci.documents.organization_id is 'Follows from scope_id; whatever is written here is replaced.';
comment on column loci.documents.scope_id is 'Where it lives: an organization, a project or a user. Default: the current user.';
comment on column loci.documents.audience is
'Users and teams who may see it, of those who see the scope. Null: all of them; empty: nobody.';
comment on column loci.documents.created_by is 'The user who inserted it; whatever is written here is replaced.';

comment on table loci.redaction_patterns is
'Personal data and secrets that organizations can have replaced by placeholders before a text goes to a model: loci.organizations.settings -> redact. Role loci_admin.';
comment on column loci.redaction_patterns.organization_id is
'Null: for all organizations; else for this one, where it takes the place of the pattern of the same name.';
comment on column loci.redaction_patterns.kind is 'What it is; gives the placeholder: email becomes [EMAIL].';
comment on column loci.redaction_patterns.pattern is
'Regular expression of Python''s re module, written by an administrator; null: default_pattern is in force. A group named value is replaced alone.';
comment on column loci.redaction_patterns.default_pattern is 'What comes with this version of Loci.';
comment on column loci.redaction_patterns.checksum is 'Name of a check that a find has to pass.';

comment on table loci_private.session_key is 'The random key that signs the identity of a transaction; one row.';
comment on table loci_private.installation is 'What is installed; one row.';
comment on table loci_private.gateways is 'Endpoints that models are served by, and how they are doing.';
comment on table loci_private.scopes is 'Every organization, project and user; kept by triggers on their tables.';
comment on table loci_private.model_assignments is 'Which model an organization''s rows use, and which one is filling for it.';
comment on table loci_private.chunkings is 'Ways in which the rows of a source are or were cut into chunks.';
comment on table loci_private.chunking_assignments is
'Which of them is in use for the organizations of a model assignment, and which one is filling for them.';
comment on table loci_private.sources is 'Watched tables and the expressions that read their rows.';
comment on table loci_private.source_tables is 'Tables that have the triggers of a source: the watched one and its partitions.';
comment on table loci_private.row_bulk is 'Rows that large INSERTs wrote to watched tables, many an entry, until they are unpacked into row_queue.';
comment on table loci_private.row_queue is 'Rows of watched tables that changed and have not been worked off.';
comment on table loci_private.embed_queue is 'Chunks that still need a vector of a model.';
comment on table loci_private.job_definitions is 'Jobs of Loci; no schedule: the settings drain_schedule and drain_workers say when and how many.';
comment on table loci_private.queues is 'Queues of the lease mechanism. Whoever claims work locks the entry.';
comment on table loci_private.leases is
'Who holds a lease: the session that claimed work under it. When that session is gone, the work is free.';
comment on table loci_private.failures is 'Work that failed too often.';
comment on table loci_private.source_rows is 'One row a searchable row of a watched table: where it lives, which version of it is indexed.';
comment on table loci_private.chunks is 'Passages of those rows: what full-text search reads and what is embedded.';
comment on table loci_private.text_statistics is 'How much text a scope has; changed: chunks stored since its words were counted.';
comment on table loci_private.word_counts is 'In how many chunks of a scope a word is: how much it weighs in full-text search.';
comment on table loci_private.text_changes is 'Chunks stored since words were counted.';
comment on table loci_private.model_health is 'Models whose gateway is to be left alone for a while, and why.';
comment on table loci_private.model_usage is 'What embedding has cost, a row a model and day.';
comment on type loci.passage is 'One row of loci.search().';

comment on table loci_private.cache is 'What was found out before; what is in it may go at any time.';
comment on table loci_private.changes is 'Which transactions changed what searches in a scope find: what is cached from before is worthless.';
comment on table loci_private.change_moments is 'Moments that tell which changes are older than anything cached.';
comment on table loci_private.model_health is 'Gateways to be left alone for a while by an embedding model or by chat, and why.';
comment on table loci_private.model_usage is 'What embedding has cost, a row a model and day.';
comment on table loci_private.calls is 'The ledger of chat models, a partition a month; the drain writes it from the meter.';
comment on table loci_private.spending is 'What organizations have spent on chat models, by month.';
comment on table loci_private.call_texts is 'Texts of calls, while the setting chat_keep_texts is on.';
comment on table loci_private.requests is 'Submitted completions and their results until they expire.';
comment on table loci_private.completion_queue is 'Submitted completions that have no result yet.';
comment on table loci_private.memories is 'What is remembered for organizations, projects and users; a slot each.';
comment on table loci_private.memory_lineage is 'The rows that memories were derived from.';
comment on table loci_private.memory_capacities is 'Scopes that hold another number of memories than their level says.';
comment on table loci.conversations is 'Conversations, each of one user.';
comment on table loci.messages is 'What was said in them; a source like any other, so that a user finds it again.';
comment on column loci.messages.status is 'complete; cancelled: whoever asked went away; failed: the model did. What had come until then is kept.';
comment on column loci.messages.confidence is 'How far an answer can be trusted, 0 to 1.';
comment on column loci.messages.summarized_at is 'When a summary took its place in later turns.';
comment on table loci_private.turns is 'Questions that were put to a model, and what came of them.';
comment on table loci_private.citations is 'The passages that answers refer to by number.';
comment on table loci_private.actions is 'What models may propose to do.';
comment on table loci_private.proposals is 'What was proposed to users, and what became of it.';
comment on table loci_private.action_events is 'The log of actions and proposals; rows are added, and go with age.';
comment on table loci_private.summaries is 'What older messages of a conversation said.';
comment on table loci_private.evicted_memories is 'Memories that had to go for want of room and wait to be condensed into one.';
comment on table loci_private.forgotten is 'Hashes of the ids of users that were forgotten.';
comment on table loci_private.erasures is 'What was erased, when, and how much.';
comment on type loci_private.finding is 'One row of loci.doctor().';
comment on table loci_private.installed_objects is 'What there was, and who had which right, when Loci was installed; what loci.doctor() compares with.';
comment on table loci_private.observations is 'What was measured and is not counted yet; a crash empties it.';
comment on table loci_private.counted_observations is 'The newest observation that is counted.';
comment on table loci_private.metric_series is 'What was counted, a row for each set of labels.';

-- The record: organizations, their keys, flows, runs, task executions, events and tags.
--
-- Locks nothing that is in use: it only creates. `create policy ... to current_user` names the owner,
-- who runs the migrations; the service logs in as another role, which scripts grant the rest to.
--
-- Every key and index of a tenant's table begins with organization_id, with two exceptions that are
-- listed in test/db/schema.test.ts: an organization's name, and the hashes by which a key is found.

create table organization (
  id uuid not null,
  name text not null,
  page_token_key bytea not null,
  create_time timestamptz(3) not null,
  constraint organization_pkey primary key (id),
  constraint organization_name_key unique (name),
  constraint organization_id_not_nil check (id <> '00000000-0000-0000-0000-000000000000'),
  constraint organization_name_length check (char_length(name) between 1 and 200),
  constraint organization_page_token_key_length check (octet_length(page_token_key) = 32)
);

create table api_key (
  organization_id uuid not null,
  id uuid not null,
  name text not null,
  kind text not null,
  role text not null,
  secret_prefix text not null,
  secret_hash bytea not null,
  previous_secret_hash bytea,
  previous_expire_time timestamptz(3),
  request_id text not null,
  rotate_request_id text,
  create_time timestamptz(3) not null,
  expire_time timestamptz(3),
  revoke_time timestamptz(3),
  last_use_time timestamptz(3),
  constraint api_key_pkey primary key (organization_id, id),
  constraint api_key_request_id_key unique (organization_id, request_id),
  constraint api_key_organization_fkey foreign key (organization_id) references organization (id),
  constraint api_key_organization_not_nil check (organization_id <> '00000000-0000-0000-0000-000000000000'),
  constraint api_key_name_length check (char_length(name) between 1 and 200),
  constraint api_key_kind check (kind in ('worker', 'integration', 'service-account')),
  constraint api_key_role check (role in ('viewer', 'worker', 'editor', 'admin', 'platform_admin')),
  constraint api_key_secret_hash_length check (octet_length(secret_hash) = 32),
  constraint api_key_previous_secret check ((previous_secret_hash is null) = (previous_expire_time is null))
);
create index api_key_secret_hash_idx on api_key (secret_hash);
create index api_key_previous_secret_hash_idx on api_key (previous_secret_hash) where previous_secret_hash is not null;

create table flow (
  organization_id uuid not null,
  id uuid not null,
  name text not null,
  description text not null,
  version integer not null,
  run_count integer not null,
  etag integer not null,
  modified_by text not null,
  create_time timestamptz(3) not null,
  update_time timestamptz(3) not null,
  delete_time timestamptz(3),
  constraint flow_pkey primary key (organization_id, id),
  constraint flow_organization_fkey foreign key (organization_id) references organization (id),
  constraint flow_organization_not_nil check (organization_id <> '00000000-0000-0000-0000-000000000000'),
  constraint flow_name_length check (char_length(name) between 1 and 200),
  constraint flow_version_positive check (version >= 1),
  constraint flow_run_count_not_negative check (run_count >= 0)
);
create unique index flow_name_key on flow (organization_id, name) where delete_time is null;

create table flow_version (
  organization_id uuid not null,
  flow_id uuid not null,
  version integer not null,
  name text not null,
  description text not null,
  definition text not null,
  tasks text not null,
  modified_by text not null,
  create_time timestamptz(3) not null,
  constraint flow_version_pkey primary key (organization_id, flow_id, version),
  constraint flow_version_flow_fkey foreign key (organization_id, flow_id) references flow (organization_id, id),
  constraint flow_version_organization_not_nil check (organization_id <> '00000000-0000-0000-0000-000000000000'),
  constraint flow_version_positive check (version >= 1),
  constraint flow_version_definition_size check (octet_length(definition) <= 1048576)
);

-- Every change of the run or of one of its tasks updates its row: room on the page keeps that cheap.
create table flow_execution (
  organization_id uuid not null,
  id uuid not null,
  flow_id uuid not null,
  flow_version integer not null,
  run_number integer not null,
  status text not null,
  dispatch text not null,
  input text,
  labels text not null,
  request_id text not null,
  revision bigint not null,
  total_tasks integer not null,
  queued_tasks integer not null,
  running_tasks integer not null,
  completed_tasks integer not null,
  failed_tasks integer not null,
  cancelled_tasks integer not null,
  stale_tasks integer not null,
  etag integer not null,
  modified_by text not null,
  create_time timestamptz(3) not null,
  update_time timestamptz(3) not null,
  start_time timestamptz(3),
  end_time timestamptz(3),
  cancel_time timestamptz(3),
  delete_time timestamptz(3),
  constraint flow_execution_pkey primary key (organization_id, id),
  constraint flow_execution_request_id_key unique (organization_id, request_id),
  constraint flow_execution_run_number_key unique (organization_id, flow_id, run_number),
  constraint flow_execution_flow_version_fkey foreign key (organization_id, flow_id, flow_version)
    references flow_version (organization_id, flow_id, version),
  constraint flow_execution_organization_not_nil check (organization_id <> '00000000-0000-0000-0000-000000000000'),
  constraint flow_execution_status
    check (status in ('queued', 'running', 'completed', 'failed', 'cancelled', 'stale', 'deleted')),
  constraint flow_execution_dispatch check (dispatch in ('external')),
  constraint flow_execution_deleted check ((status = 'deleted') = (delete_time is not null)),
  constraint flow_execution_input_size check (octet_length(input) <= 1048576),
  constraint flow_execution_revision_not_negative check (revision >= 0),
  constraint flow_execution_task_counts check (
    least(queued_tasks, running_tasks, completed_tasks, failed_tasks, cancelled_tasks, stale_tasks) >= 0
    and queued_tasks + running_tasks + completed_tasks + failed_tasks + cancelled_tasks + stale_tasks <= total_tasks
  )
) with (fillfactor = 70);
create index flow_execution_flow_idx on flow_execution (organization_id, flow_id, id);
create index flow_execution_status_idx on flow_execution (organization_id, status, id);

create table task_execution (
  organization_id uuid not null,
  id uuid not null,
  flow_execution_id uuid not null,
  flow_id uuid not null,
  task_name text not null,
  task_execution_idx integer not null,
  status text not null,
  status_before_delete text,
  input text,
  output text,
  error text,
  payload_bytes integer not null,
  edited boolean not null,
  etag integer not null,
  modified_by text not null,
  create_time timestamptz(3) not null,
  update_time timestamptz(3) not null,
  start_time timestamptz(3),
  end_time timestamptz(3),
  delete_time timestamptz(3),
  constraint task_execution_pkey primary key (organization_id, id),
  constraint task_execution_key unique (organization_id, flow_execution_id, task_name, task_execution_idx),
  constraint task_execution_flow_execution_fkey foreign key (organization_id, flow_execution_id)
    references flow_execution (organization_id, id),
  constraint task_execution_organization_not_nil check (organization_id <> '00000000-0000-0000-0000-000000000000'),
  constraint task_execution_task_name_length check (char_length(task_name) between 1 and 200),
  constraint task_execution_idx_not_negative check (task_execution_idx >= 0),
  constraint task_execution_status
    check (status in ('queued', 'running', 'completed', 'failed', 'cancelled', 'stale', 'deleted')),
  constraint task_execution_status_before_delete
    check (status_before_delete in ('queued', 'running', 'completed', 'failed', 'cancelled', 'stale')),
  constraint task_execution_deleted check (
    (status = 'deleted') = (delete_time is not null) and (status = 'deleted') = (status_before_delete is not null)
  ),
  constraint task_execution_output_only_when_completed
    check (output is null or coalesce(status_before_delete, status) in ('completed', 'stale')),
  constraint task_execution_error_only_when_failed
    check (error is null or coalesce(status_before_delete, status) in ('failed', 'stale')),
  constraint task_execution_ended_has_end_time
    check ((coalesce(status_before_delete, status) in ('queued', 'running')) = (end_time is null)),
  constraint task_execution_payload_size
    check (octet_length(input) <= 1048576 and octet_length(output) <= 1048576 and octet_length(error) <= 524288)
) with (fillfactor = 85);
create index task_execution_flow_execution_idx on task_execution (organization_id, flow_execution_id, id);
create index task_execution_flow_idx on task_execution (organization_id, flow_id, id);
create index task_execution_task_name_idx on task_execution (organization_id, task_name, id);
create index task_execution_status_idx on task_execution (organization_id, status, id);

create table event (
  organization_id uuid not null,
  flow_execution_id uuid not null,
  revision bigint not null,
  task_execution_id uuid,
  type text not null,
  from_status text,
  to_status text not null,
  actor_subject text not null,
  actor_kind text not null,
  actor_key_name text not null,
  reason text not null,
  request_id text not null,
  changed_fields text not null,
  create_time timestamptz(3) not null,
  constraint event_pkey primary key (organization_id, flow_execution_id, revision),
  constraint event_flow_execution_fkey foreign key (organization_id, flow_execution_id)
    references flow_execution (organization_id, id),
  constraint event_task_execution_fkey foreign key (organization_id, task_execution_id)
    references task_execution (organization_id, id),
  constraint event_organization_not_nil check (organization_id <> '00000000-0000-0000-0000-000000000000'),
  constraint event_revision_positive check (revision >= 1),
  constraint event_type check (
    type in ('create', 'start', 'complete', 'fail', 'cancel', 'outdate', 'delete', 'undelete', 'amend', 'tag')
  )
);
create index event_task_execution_idx on event (organization_id, task_execution_id, revision);

create table task_tag (
  organization_id uuid not null,
  task_execution_id uuid not null,
  tag text not null,
  metadata text not null,
  create_time timestamptz(3) not null,
  constraint task_tag_pkey primary key (organization_id, task_execution_id, tag),
  constraint task_tag_task_execution_fkey foreign key (organization_id, task_execution_id)
    references task_execution (organization_id, id),
  constraint task_tag_organization_not_nil check (organization_id <> '00000000-0000-0000-0000-000000000000'),
  constraint task_tag_length check (char_length(tag) between 1 and 200)
);
create index task_tag_tag_idx on task_tag (organization_id, tag, task_execution_id);

-- The third wall. After a transaction the setting is '' on the pooled connection, not null, hence nullif;
-- the sub-select is evaluated once for a statement and can be an index condition.
alter table organization enable row level security;
alter table organization force row level security;
create policy organization_isolation on organization
  using (id = (select nullif(current_setting('app.organization_id', true), '')::uuid))
  with check (id = (select nullif(current_setting('app.organization_id', true), '')::uuid));

alter table api_key enable row level security;
alter table api_key force row level security;
create policy organization_isolation on api_key
  using (organization_id = (select nullif(current_setting('app.organization_id', true), '')::uuid))
  with check (organization_id = (select nullif(current_setting('app.organization_id', true), '')::uuid));

alter table flow enable row level security;
alter table flow force row level security;
create policy organization_isolation on flow
  using (organization_id = (select nullif(current_setting('app.organization_id', true), '')::uuid))
  with check (organization_id = (select nullif(current_setting('app.organization_id', true), '')::uuid));

alter table flow_version enable row level security;
alter table flow_version force row level security;
create policy organization_isolation on flow_version
  using (organization_id = (select nullif(current_setting('app.organization_id', true), '')::uuid))
  with check (organization_id = (select nullif(current_setting('app.organization_id', true), '')::uuid));

alter table flow_execution enable row level security;
alter table flow_execution force row level security;
create policy organization_isolation on flow_execution
  using (organization_id = (select nullif(current_setting('app.organization_id', true), '')::uuid))
  with check (organization_id = (select nullif(current_setting('app.organization_id', true), '')::uuid));

alter table task_execution enable row level security;
alter table task_execution force row level security;
create policy organization_isolation on task_execution
  using (organization_id = (select nullif(current_setting('app.organization_id', true), '')::uuid))
  with check (organization_id = (select nullif(current_setting('app.organization_id', true), '')::uuid));

alter table event enable row level security;
alter table event force row level security;
create policy organization_isolation on event
  using (organization_id = (select nullif(current_setting('app.organization_id', true), '')::uuid))
  with check (organization_id = (select nullif(current_setting('app.organization_id', true), '')::uuid));

alter table task_tag enable row level security;
alter table task_tag force row level security;
create policy organization_isolation on task_tag
  using (organization_id = (select nullif(current_setting('app.organization_id', true), '')::uuid))
  with check (organization_id = (select nullif(current_setting('app.organization_id', true), '')::uuid));

-- A key is looked up by the hash of its secret before the organization is known. Only this function may:
-- it runs as the owner, whom this policy lets read the table, and answers one hash at a time.
create policy api_key_lookup on api_key for select to current_user using (true);
create function find_api_key(hash bytea)
returns table (
  organization_id uuid, id uuid, name text, kind text, role text, create_time timestamptz, last_use_time timestamptz
)
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
  select k.organization_id, k.id, k.name, k.kind, k.role, k.create_time, k.last_use_time
  from public.api_key as k
  where (k.secret_hash = hash or (k.previous_secret_hash = hash and k.previous_expire_time > now()))
    and k.revoke_time is null
    and (k.expire_time is null or k.expire_time > now())
$$;
revoke all on function find_api_key(bytea) from public;

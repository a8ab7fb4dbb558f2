-- Managed runs: what can be claimed, who holds what, what came too late, and what was executed anew.
--
-- Locks flow_execution, flow_version, task_execution and event exclusively, but only for a moment: the new
-- columns have constant defaults, which rewrite nothing, and the widened checks are not validated against
-- the rows there are, all of which satisfied the narrower ones. The indexes read task_execution once while
-- nobody can write to it; they hold none of its rows, because no row there is can be claimed.

alter table flow_version add column input_schema text;

alter table flow_execution
  add column priority integer not null default 0,
  -- How many of failed_tasks are tasks whose failure the definition tolerates.
  add column tolerated_tasks integer not null default 0,
  drop constraint flow_execution_dispatch,
  add constraint flow_execution_dispatch check (dispatch in ('external', 'managed')) not valid,
  add constraint flow_execution_priority check (priority between -100 and 100) not valid,
  add constraint flow_execution_tolerated_tasks check (tolerated_tasks between 0 and failed_tasks) not valid;

-- claim_rank is the negated priority of the run, so that one ascending index orders claims.
alter table task_execution
  add column attempt integer not null default 1,
  add column iteration integer,
  -- How often the task was executed anew as a whole: items of a loop count only in the last generation.
  add column generation integer not null default 0,
  add column interruptions integer not null default 0,
  add column executor text,
  add column claim_rank integer,
  add column available_time timestamptz(3),
  add column lease_token bigint,
  -- Whether a new record follows as soon as the upstreams have completed.
  add column rerun boolean not null default false,
  -- Whether it was made from something that changed while it was running.
  add column outdate_on_end boolean not null default false,
  add constraint task_execution_attempt check (attempt >= 1 and interruptions between 0 and attempt - 1) not valid,
  add constraint task_execution_iteration_not_negative check (iteration >= 0) not valid,
  add constraint task_execution_claimable
    check (num_nulls(executor, claim_rank, available_time) in (0, 3)) not valid;
create index task_execution_claim_idx
  on task_execution (organization_id, executor, claim_rank, flow_execution_id, available_time, id)
  where status = 'queued' and executor is not null;
create index task_execution_open_idx on task_execution (organization_id, flow_execution_id, task_name, status)
  where status in ('queued', 'running') and executor is not null;

alter table event
  add column cause_id uuid,
  drop constraint event_type,
  add constraint event_type check (
    type in (
      'create', 'start', 'complete', 'fail', 'cancel', 'outdate', 'delete', 'undelete', 'amend', 'tag', 'request_cancel',
      'late_result', 'adopt', 're_execute'
    )
  ) not valid,
  add constraint event_cause_fkey foreign key (organization_id, cause_id)
    references task_execution (organization_id, id) not valid;

-- Holds only what is running. Room on the page and no index on what changes keep heartbeats cheap.
create table task_lease (
  organization_id uuid not null,
  task_execution_id uuid not null,
  flow_execution_id uuid not null,
  token bigint not null,
  worker_id text not null,
  request_id text not null,
  length_ms integer not null,
  expire_time timestamptz(3) not null,
  timeout_time timestamptz(3),
  heartbeat_time timestamptz(3) not null,
  progress text,
  cancel_requested boolean not null,
  constraint task_lease_pkey primary key (organization_id, task_execution_id),
  constraint task_lease_task_execution_fkey foreign key (organization_id, task_execution_id)
    references task_execution (organization_id, id),
  constraint task_lease_organization_not_nil check (organization_id <> '00000000-0000-0000-0000-000000000000'),
  constraint task_lease_token_positive check (token >= 1),
  constraint task_lease_length check (length_ms between 1 and 3600000)
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 500);
create index task_lease_request_id_idx on task_lease (organization_id, request_id);

create table late_result (
  organization_id uuid not null,
  task_execution_id uuid not null,
  status text not null,
  output text,
  adopted_id uuid,
  create_time timestamptz(3) not null,
  constraint late_result_pkey primary key (organization_id, task_execution_id),
  constraint late_result_task_execution_fkey foreign key (organization_id, task_execution_id)
    references task_execution (organization_id, id),
  constraint late_result_adopted_fkey foreign key (organization_id, adopted_id)
    references task_execution (organization_id, id),
  constraint late_result_organization_not_nil check (organization_id <> '00000000-0000-0000-0000-000000000000'),
  constraint late_result_status check (status in ('completed', 'failed')),
  constraint late_result_output_size check (octet_length(output) <= 1048576)
);

create table re_execution (
  organization_id uuid not null,
  flow_execution_id uuid not null,
  request_id text not null,
  -- What was asked and what was answered, as JSON.
  request text not null,
  task_names text not null,
  create_time timestamptz(3) not null,
  constraint re_execution_pkey primary key (organization_id, flow_execution_id, request_id),
  constraint re_execution_flow_execution_fkey foreign key (organization_id, flow_execution_id)
    references flow_execution (organization_id, id),
  constraint re_execution_organization_not_nil check (organization_id <> '00000000-0000-0000-0000-000000000000')
);

alter table task_lease enable row level security;
alter table task_lease force row level security;
create policy organization_isolation on task_lease
  using (organization_id = (select nullif(current_setting('app.organization_id', true), '')::uuid))
  with check (organization_id = (select nullif(current_setting('app.organization_id', true), '')::uuid));

alter table late_result enable row level security;
alter table late_result force row level security;
create policy organization_isolation on late_result
  using (organization_id = (select nullif(current_setting('app.organization_id', true), '')::uuid))
  with check (organization_id = (select nullif(current_setting('app.organization_id', true), '')::uuid));

alter table re_execution enable row level security;
alter table re_execution force row level security;
create policy organization_isolation on re_execution
  using (organization_id = (select nullif(current_setting('app.organization_id', true), '')::uuid))
  with check (organization_id = (select nullif(current_setting('app.organization_id', true), '')::uuid));

-- Leases run out in every organization, also where nobody calls. Only this function may look for them: it runs
-- as the owner, whom this policy lets read the leases and nothing else, and tells no more than where they are.
-- What becomes of them is decided afterwards, within their organization.
create policy task_lease_lookup on task_lease for select to current_user using (true);
create function find_due_leases(grace interval, after_organization uuid, after_id uuid, most integer)
returns table (organization_id uuid, flow_execution_id uuid, task_execution_id uuid)
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
  select l.organization_id, l.flow_execution_id, l.task_execution_id
  from public.task_lease as l
  where (l.expire_time + grace <= now() or l.timeout_time <= now())
    and (l.organization_id, l.task_execution_id) > (after_organization, after_id)
  order by l.organization_id, l.task_execution_id
  limit most
$$;
revoke all on function find_due_leases(interval, uuid, uuid, integer) from public;

-- The feed: numbers all events of an organization, for those who watch more than one run.
--
-- Locks event exclusively from the first statement to the end: it gives every event there is its place, which
-- rewrites the table and takes about a minute for ten million events. Reads and writes of runs and tasks wait that
-- long, so migrate such a database while nothing runs. Creates the table feed, which nobody uses yet.

-- One row for each shard of an organization's runs: the place of its newest event. Whoever writes events bumps it
-- last and keeps it locked until the commit, so that places have no gaps and become visible in their order.
create table feed (
  organization_id uuid not null,
  shard smallint not null,
  position bigint not null,
  -- Events up to here may have been removed.
  pruned_position bigint not null default 0,
  constraint feed_pkey primary key (organization_id, shard),
  constraint feed_organization_fkey foreign key (organization_id) references organization (id),
  constraint feed_organization_not_nil check (organization_id <> '00000000-0000-0000-0000-000000000000'),
  constraint feed_shard check (shard between 0 and 15),
  constraint feed_pruned_position check (pruned_position between 0 and position)
) with (fillfactor = 25, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 500);

-- The owner is bound by the policy as well, but has to see the events of every organization here.
alter table event
  add column feed_shard smallint,
  add column feed_position bigint,
  -- What the status of the run was, if the transaction of which this is the run's last event changed it.
  add column flow_from_status text,
  no force row level security;

-- The shard is the last digit of the run's id. Within a run the order is that of the revisions, whatever the
-- clocks of servers said.
update event as e
set feed_shard = n.shard, feed_position = n.position
from (
  select organization_id, flow_execution_id, revision, shard,
    row_number() over (partition by organization_id, shard order by time, flow_execution_id, revision) as position
  from (
    select organization_id, flow_execution_id, revision,
      strpos('0123456789abcdef', right(flow_execution_id::text, 1)) - 1 as shard,
      max(create_time) over (partition by organization_id, flow_execution_id order by revision) as time
    from event
  ) as timed
) as n
where e.organization_id = n.organization_id and e.flow_execution_id = n.flow_execution_id and e.revision = n.revision;

insert into feed (organization_id, shard, position)
select organization_id, feed_shard, max(feed_position)
from event
group by organization_id, feed_shard;

alter table event
  alter column feed_shard set not null,
  alter column feed_position set not null,
  force row level security;
create unique index event_feed_key on event (organization_id, feed_shard, feed_position);

alter table feed enable row level security;
alter table feed force row level security;
create policy organization_isolation on feed
  using (organization_id = (select nullif(current_setting('app.organization_id', true), '')::uuid))
  with check (organization_id = (select nullif(current_setting('app.organization_id', true), '')::uuid));

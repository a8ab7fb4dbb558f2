/** How many records one run has. */
export const recordsPerRun = 1000;

/**
 * Notes $2 runs of the organization $1 in `history_run`, oldest first, each with the place in the feed before its first
 * event.
 */
export const noteRuns = `
  create table history_run as
  select n, id, shard,
    base_position + (row_number() over (partition by shard order by n) - 1) * ${recordsPerRun} as base_position
  from (
    select n, r.id, strpos('0123456789abcdef', right(r.id::text, 1)) - 1 as shard
    from generate_series(0, $2::integer - 1) as n
    cross join lateral (select uuidv7(make_interval(secs => -10.0 * ($2::integer - n))) as id) as r
  ) as run
  cross join lateral (
    select coalesce(max(f.position), 0) as base_position
    from feed as f
    where f.organization_id = $1 and f.shard = run.shard
  ) as feed`;

/** Stores those runs as copies of the run $2, failed, as some of their tasks have. */
export const insertRuns = `
  insert into flow_execution
  select c.*
  from flow_execution as f
  cross join history_run as h
  cross join lateral jsonb_populate_record(f, jsonb_build_object(
    'id', h.id, 'run_number', 1000000 + h.n, 'request_id', 'history ' || h.n, 'status', 'failed',
    'revision', ${recordsPerRun}, 'total_tasks', ${recordsPerRun}, 'completed_tasks', ${recordsPerRun} * 95 / 100,
    'failed_tasks', ${recordsPerRun} * 4 / 100, 'cancelled_tasks', ${recordsPerRun} / 100,
    'start_time', f.create_time, 'end_time', f.create_time
  )) as c
  where f.organization_id = $1 and f.id = $2`;

/** Stores the records and events of $4 runs from number $3 on; $5 is an input and $6 an output. */
export const insertRecords = `
  with
    incoming as materialized (
      select f.organization_id, h.id as flow_execution_id, f.flow_id, h.shard, h.base_position, i, s.status,
        uuidv7(h.shift) as id, now() + h.shift as time
      from (
        select *, make_interval(secs => -10.0 * ((select count(*) from history_run) - n)) as shift
        from history_run
        where n >= $3::integer and n < $3::integer + $4::integer
        order by n
      ) as h
      cross join generate_series(0, ${recordsPerRun - 1}) as i
      cross join lateral (
        select case when i % 100 < 95 then 'completed' when i % 100 < 99 then 'failed' else 'cancelled' end as status
      ) as s
      join flow_execution as f on f.organization_id = $1 and f.id = $2
    ),
    record as (
      insert into task_execution (
        organization_id, id, flow_execution_id, flow_id, task_name, task_execution_idx, status, input, output, error,
        payload_bytes, edited, etag, modified_by, create_time, update_time, start_time, end_time
      )
      select organization_id, id, flow_execution_id, flow_id, 'load', i, status, $5,
        case when status = 'completed' then $6 end,
        case when status = 'failed' then '{"message":"out of memory","type":"Killed","traceback":""}' end,
        300, false, 1, 'service-account', time, time, time, time
      from incoming
    )
  insert into event (
    organization_id, flow_execution_id, revision, task_execution_id, type, to_status, actor_subject, actor_kind,
    actor_key_name, reason, request_id, changed_fields, create_time, feed_shard, feed_position
  )
  select organization_id, flow_execution_id, i + 1, id, 'create', status, flow_execution_id, 'service-account',
    'bootstrap', '', flow_execution_id, '[]', time, shard, base_position + i + 1
  from incoming`;

/** Moves the feed of the organization $1 behind the stored events. */
export const moveFeed = `
  insert into feed (organization_id, shard, position)
  select $1::uuid, shard, max(base_position) + ${recordsPerRun}
  from history_run
  group by shard
  on conflict on constraint feed_pkey do update set position = excluded.position`;

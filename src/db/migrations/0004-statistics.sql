-- Lets the service have the planner's statistics made anew while tables are young. Locks nothing that is in use.

-- The planner's statistics say nothing of a table that has just been filled, until autovacuum comes by. Of equal
-- indexes it then takes any, and reads all records of an organization to find one. Whoever writes calls this now and
-- then; it looks at tables that were never analyzed, or have doubled since. It runs as the owner, because nobody else
-- may analyze, and tells nothing. `analyze` reads a sample of at most 30,000 rows and stands in the way of no write.
create function refresh_statistics() returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  stale record;
begin
  -- One at a time: others need not do the same.
  if not pg_try_advisory_xact_lock(hashtext('taskledger.refresh_statistics')) then
    return;
  end if;
  for stale in
    select c.relname as name
    from pg_class as c
    where c.relnamespace = 'public'::regnamespace and c.relkind = 'r' and pg_relation_size(c.oid) > 0
      and (c.reltuples < 0
        or pg_relation_size(c.oid) >= 2 * greatest(c.relpages, 1) * current_setting('block_size')::bigint)
    order by c.relname
  loop
    execute format('analyze public.%I', stale.name);
  end loop;
end
$$;
revoke all on function refresh_statistics() from public;

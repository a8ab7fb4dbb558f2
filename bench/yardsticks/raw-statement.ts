/** A record that is inserted, and the number of its event among those of its run. */
export interface RawRecord {
  readonly id: string;
  readonly idx: number;
  readonly input: string;
  readonly output: string;
  readonly revision: number;
  readonly feedPosition: number;
}

/** What all records of one transaction have in common. */
export interface RawRun {
  readonly organizationId: string;
  readonly flowExecutionId: string;
  readonly flowId: string;
  readonly feedShard: number;
  readonly subject: string;
}

/** One way to hand many rows to PostgreSQL. */
export interface RawForm {
  readonly name: string;
  /** Returns the table expression `incoming`, given the number of its first parameter. */
  incoming(first: number, rows: number): string;
  values(records: readonly RawRecord[]): unknown[];
}

const columns = "id, idx, input, output, revision, feed_position";
const cells = ({ id, idx, input, output, revision, feedPosition }: RawRecord) => [
  id,
  idx,
  input,
  output,
  revision,
  feedPosition,
];

/** The ways that are tried. */
export const rawForms: readonly RawForm[] = [
  {
    name: "json_to_recordset",
    incoming: (first) => `
      select *
      from json_to_recordset($${first}::json) as r(
        id uuid, idx integer, input text, output text, revision bigint, feed_position bigint
      )`,
    values: (records) => [
      JSON.stringify(records.map(({ feedPosition, ...rest }) => ({ ...rest, feed_position: feedPosition }))),
    ],
  },
  {
    name: "unnest",
    incoming: (first) => `
      select *
      from unnest(
        $${first}::uuid[], $${first + 1}::integer[], $${first + 2}::text[], $${first + 3}::text[],
        $${first + 4}::bigint[], $${first + 5}::bigint[]
      ) as r(${columns})`,
    values: (records) => {
      const rows = records.map(cells);
      return (rows[0] ?? []).map((_, column) => rows.map((row) => row[column]));
    },
  },
  {
    name: "values",
    incoming: (first, rows) => {
      const types = ["uuid", "integer", "text", "text", "bigint", "bigint"];
      const row = (index: number) =>
        `(${types.map((type, column) => `$${first + index * types.length + column}::${type}`).join(", ")})`;
      return `
      select *
      from (values ${Array.from({ length: rows }, (_, index) => row(index)).join(", ")}) as r(${columns})`;
    },
    values: (records) => records.flatMap(cells),
  },
];

/** Returns the statement that inserts records and their events: whole rows, as the service writes them. */
export function rawStatement(form: RawForm, rows: number): string {
  return `
    with
      incoming as (${form.incoming(7, rows)}),
      record as (
        insert into task_execution (
          organization_id, id, flow_execution_id, flow_id, task_name, task_execution_idx, status, input, output,
          payload_bytes, edited, etag, modified_by, create_time, update_time, start_time, end_time
        )
        select $1::uuid, id, $2::uuid, $3::uuid, 'load', idx, 'completed', input, output, 300, false, 1,
          'service-account', $4::timestamptz, $4::timestamptz, $4::timestamptz, $4::timestamptz
        from incoming
      )
    insert into event (
      organization_id, flow_execution_id, revision, task_execution_id, type, to_status, actor_subject, actor_kind,
      actor_key_name, reason, request_id, changed_fields, create_time, feed_shard, feed_position
    )
    select $1::uuid, $2::uuid, revision, id, 'create', 'completed', $5, 'service-account', 'bootstrap', '', $5, '[]',
      $4::timestamptz, $6::smallint, feed_position
    from incoming`;
}

/** Returns the parameters of that statement. */
export function rawValues(form: RawForm, run: RawRun, records: readonly RawRecord[]): unknown[] {
  const { organizationId, flowExecutionId, flowId, subject, feedShard } = run;
  const now = new Date().toISOString();
  return [organizationId, flowExecutionId, flowId, now, subject, feedShard, ...form.values(records)];
}

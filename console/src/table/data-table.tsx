import {
  createSortedRowModel,
  rowSortingFeature,
  type SortingState,
  sortFn_basic,
  tableFeatures,
  useTable,
} from "@tanstack/react-table";
import { useWindowVirtualizer } from "@tanstack/react-virtual";
import { type ReactNode, useEffect, useMemo, useRef, useState } from "react";
import { useDistanceFromTop } from "./distance-from-top.ts";
import { HeaderCell } from "./header-cell.tsx";
import { RowCells } from "./row-cells.tsx";
import "./data-table.css";

/** One column of a table of rows. */
export interface Column<Row> {
  readonly id: string;
  readonly header: string;
  readonly cell: (row: Row) => ReactNode;
  /** What to sort by. Without it the column cannot be sorted by. */
  readonly sortBy?: (row: Row) => string | number;
  /** The share of the width, as CSS says it in grid-template-columns. */
  readonly width: string;
}

/** What a table shows. */
export interface DataTableProps<Row> {
  /** What the rows are, for people who do not see them. */
  readonly label: string;
  readonly rows: readonly Row[];
  /** The first is the heading of its row. */
  readonly columns: readonly Column<Row>[];
  readonly rowId: (row: Row) => string;
  /** Called when the end comes into view. */
  readonly onEnd?: (() => void) | undefined;
}

const features = tableFeatures({
  rowSortingFeature,
  sortedRowModel: createSortedRowModel(),
  sortFns: { basic: sortFn_basic },
});

const rowHeight = 44;

/**
 * A table of which only what is in view is in the page, so that ten thousand rows scroll like ten.
 *
 * On narrow screens its rows are cards. The roles are written out because the layout of a grid takes those of
 * the elements away.
 */
export function DataTable<Row extends object>({ label, rows, columns, rowId, onEnd }: DataTableProps<Row>) {
  const [sorting, setSorting] = useState<SortingState>([]);
  const definitions = useMemo(
    () =>
      columns.map(({ id, header, sortBy }) => ({
        id,
        header,
        accessorFn: (row: Row) => sortBy?.(row) ?? "",
        enableSorting: sortBy !== undefined,
        sortFn: "basic" as const,
      })),
    [columns],
  );
  const table = useTable({
    features,
    columns: definitions,
    data: rows as Row[],
    getRowId: rowId,
    state: { sorting },
    onSortingChange: setSorting,
  });
  const sorted = table.getRowModel().rows;

  const body = useRef<HTMLDivElement>(null);
  const scrollMargin = useDistanceFromTop(body, rows.length);
  const virtualizer = useWindowVirtualizer({
    count: sorted.length,
    estimateSize: () => rowHeight,
    overscan: 8,
    // Scrolling never waits for rows to be made.
    useFlushSync: false,
    scrollMargin,
    getItemKey: (index) => sorted[index]!.id,
  });
  const items = virtualizer.getVirtualItems();
  const last = items.at(-1)?.index ?? 0;
  useEffect(() => {
    if (last >= sorted.length - 10) {
      onEnd?.();
    }
  }, [last, sorted.length, onEnd]);

  const template = { "--columns": columns.map(({ width }) => width).join(" ") } as React.CSSProperties;
  return (
    <div
      role="table"
      aria-label={label}
      aria-rowcount={sorted.length + 1}
      className="data-table card"
      style={template}
    >
      <div role="rowgroup" className="table-head">
        <div role="row" className="table-row">
          {table.getHeaderGroups()[0]?.headers.map(({ id, column }) => (
            <HeaderCell
              key={id}
              title={String(column.columnDef.header)}
              sorted={column.getIsSorted()}
              onSort={column.getCanSort() ? () => column.toggleSorting() : undefined}
            />
          ))}
        </div>
      </div>
      <div role="rowgroup" ref={body} className="table-body" style={{ height: virtualizer.getTotalSize() }}>
        {items.map((item) => (
          <div
            key={item.key}
            role="row"
            aria-rowindex={item.index + 2}
            ref={virtualizer.measureElement}
            data-index={item.index}
            className="table-row"
            style={{ transform: `translateY(${item.start - scrollMargin}px)` }}
          >
            <RowCells row={sorted[item.index]!.original} columns={columns} />
          </div>
        ))}
      </div>
    </div>
  );
}

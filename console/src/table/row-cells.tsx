import { memo } from "react";
import type { Column } from "./data-table.tsx";

interface RowCellsProps<Row> {
  readonly row: Row;
  readonly columns: readonly Column<Row>[];
}

/** The cells of a row, made anew only when the row is another one: not while the table scrolls. */
export const RowCells = memo(AllCells) as typeof AllCells;

function AllCells<Row>({ row, columns }: RowCellsProps<Row>) {
  return (
    <>
      {columns.map(({ id, header, cell }, index) => (
        <div
          key={id}
          role={index === 0 ? "rowheader" : "cell"}
          data-label={header}
          className={`table-cell cell-${id}`}
        >
          {cell(row)}
        </div>
      ))}
    </>
  );
}

interface HeaderCellProps {
  readonly title: string;
  readonly sorted: false | "asc" | "desc";
  /** Undefined if the column cannot be sorted by. */
  readonly onSort: (() => void) | undefined;
}

const arrows = { asc: "↑", desc: "↓" } as const;
const orders = { asc: "ascending", desc: "descending" } as const;

/** The head of a column, by which the table can be sorted. */
export function HeaderCell({ title, sorted, onSort }: HeaderCellProps) {
  return (
    <div role="columnheader" className="table-cell" aria-sort={sorted === false ? undefined : orders[sorted]}>
      {onSort === undefined ? (
        title
      ) : (
        <button type="button" className="sort-button" onClick={onSort}>
          {title}
          <span aria-hidden="true">{sorted === false ? "" : ` ${arrows[sorted]}`}</span>
        </button>
      )}
    </div>
  );
}

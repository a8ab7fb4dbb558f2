const widths = ["72%", "48%", "64%", "56%", "80%", "44%"];

/** Stands where a table will be. */
export function TableSkeleton({ label }: { label: string }) {
  return (
    <div className="card table-skeleton" role="status" aria-label={`Loading ${label}`}>
      {widths.map((width) => (
        <span key={width} className="skeleton" style={{ width }} />
      ))}
    </div>
  );
}

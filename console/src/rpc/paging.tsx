/** How the pages of every list follow each other. */
export const byPageToken = {
  pageParamKey: "pageToken",
  getNextPageParam: ({ nextPageToken }: { readonly nextPageToken: string }) => nextPageToken || undefined,
} as const;

interface MoreButtonProps {
  readonly hasNextPage: boolean;
  readonly fetchNextPage: () => Promise<unknown>;
}

/** Loads the next page, if there is one. */
export function MoreButton({ hasNextPage, fetchNextPage }: MoreButtonProps) {
  return (
    hasNextPage && (
      <button type="button" className="button small" onClick={() => void fetchNextPage()}>
        Show more
      </button>
    )
  );
}

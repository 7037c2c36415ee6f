const PAGE = 500;

interface Page<T> {
  readonly rows: readonly T[];
  readonly next: string;
}

/** All pages of a list, or as many rows as were asked for. */
export async function allPages<T>(
  limit: number | undefined,
  load: (page: { readonly pageSize: number; readonly pageToken: string }) => Promise<Page<T>>,
): Promise<T[]> {
  const rows: T[] = [];
  let pageToken = '';
  do {
    const pageSize = limit === undefined ? PAGE : Math.min(PAGE, limit - rows.length);
    if (pageSize <= 0) break;
    const page = await load({ pageSize, pageToken });
    rows.push(...page.rows);
    pageToken = page.next;
  } while (pageToken !== '');
  return limit === undefined ? rows : rows.slice(0, limit);
}

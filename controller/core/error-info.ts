/** Plain form of an error inside the pure core; structurally the kit's ErrorInfo, which the core may not import. */
export interface ErrorInfo {
  readonly code: string;
  readonly message: string;
  readonly remedy?: string;
  readonly field?: string;
  readonly metadata?: Readonly<Record<string, string>>;
}

/** The fields of `ostler vm show -o json` that the tests look at: the API's JSON form. */
export interface VmJson {
  readonly id: string;
  readonly uuid: string;
  readonly name: string;
  readonly displayName: string;
  readonly state: string;
  readonly stateReason?: string;
  readonly host?: string;
  readonly epoch?: number | string;
  readonly etag: string;
  readonly operation?: string;
  readonly spec: {
    readonly disks: readonly { readonly name: string; readonly sizeBytes?: number | string }[];
    readonly nics: readonly { readonly mac: string }[];
    readonly cloudInit?: { readonly passwordHash?: string };
  };
  readonly addresses?: readonly string[];
  readonly consoleAvailable?: boolean;
}

export interface OperationJson {
  readonly id: string;
  readonly kind: string;
  readonly state: string;
  readonly target: string;
  readonly steps?: readonly { readonly name: string; readonly state: string }[];
  readonly error?: {
    readonly reason: string;
    readonly message: string;
    readonly metadata?: Readonly<Record<string, string>>;
  };
}

/** The messages of `elibad.proto` that are about uploads, as TypeScript sees them; what each one means stands there. */

export interface UploadQueryMessage {
  readonly digests: readonly string[];
}

export interface UploadHoldingsMessage {
  readonly holdings: readonly UploadHoldingMessage[];
}

export interface UploadHoldingMessage {
  readonly bytes: number;
  readonly isWhole: boolean;
}

export interface UploadPartMessage {
  readonly digest: string;
  readonly totalBytes: number;
  readonly offset: number;
  readonly data: Uint8Array;
}

/** Of one query. */
export const MAX_QUERIED_DIGESTS = 1_000;

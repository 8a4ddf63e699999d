/** Names of packages by licence. */
export function licences(): ReadonlyMap<string, readonly string[]>;
export function documentedLicences(): {
  readonly text: string;
  readonly documented: string;
  readonly expected: string;
};

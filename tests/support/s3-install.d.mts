/** The server's path, without installing anything; undefined where there is none. */
export function findS3Server(): string | undefined;
/** The server's path; installs it into the user's cache where it is missing. Throws with the reason where it cannot be had. */
export function ensureS3Server(log?: (line: string) => void): string;

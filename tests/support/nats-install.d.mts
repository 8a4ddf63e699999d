/** The server's path, without installing anything; undefined where there is none. */
export function findNatsServer(): string | undefined;
/** The server's path; installs it into the user's cache where it is missing. */
export function ensureNatsServer(log?: (line: string) => void): Promise<string>;

export function findPromtool(): string | undefined;
/** @throws Error with what was tried and what a user can do. */
export function ensurePromtool(log?: (message: string) => void): string;

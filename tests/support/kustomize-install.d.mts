/** Words before a folder that render it; undefined where neither kubectl nor kustomize is there. */
export function findKustomize(): readonly string[] | undefined;
/** The same; installs one into the user's cache. @throws where none can be had */
export function ensureKustomize(log?: (line: string) => void): Promise<readonly string[]>;

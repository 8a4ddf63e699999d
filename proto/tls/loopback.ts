/** What stays on this machine. */

/** The host of `host:port`, without the brackets of an IPv6 address; undefined for a unix socket, or where it is none. */
export function hostOf(address: string): string | undefined {
  if (address.startsWith("unix:")) return undefined;
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(address);
  if (!match || Number(match[3]) > 65_535) return undefined;
  return match[1] ?? match[2];
}

/** Whether what goes to this address (`host:port` or `unix:path`) never leaves the machine. */
export function isLocal(address: string): boolean {
  if (address.startsWith("unix:")) return true;
  const host = hostOf(address);
  return host === "localhost" || host === "::1" || (host !== undefined && /^127(\.\d{1,3}){3}$/.test(host));
}

/** How a coordinator that does not lead says who does. */

/** Key of the metadata that a call fails with at a standby: the leader's address. */
export const LEADER_KEY = "elibad-leader";

/**
 * Whether somebody else's word for an address may be dialled: `host:port`, bounded, and nothing that a resolver would take for a path or a scheme. Whether
 * who answers there is trusted is the connection's business.
 */
export const isDialable = (address: string): boolean =>
  address.length <= 260 &&
  /^(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?):\d{1,5}$/.test(address);

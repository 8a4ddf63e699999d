/** Who a certificate says its holder is: one URI among its subject alternative names. */

/** What a certificate may stand for. The coordinator's is what it shows as a server. */
export const ROLES = ["coordinator", "worker", "submitter", "admin"] as const;
export type Role = (typeof ROLES)[number];

const PREFIX = "spiffe://elibad/";

/** The URI that a role's certificate carries. */
export const identityUri = (role: Role): string => `${PREFIX}${role}`;

/** What was read out of a certificate; `problem` says why it stands for nobody. */
export type Identity = { readonly role: Role } | { readonly problem: string };

/**
 * The role in a certificate's subject alternative names, as Node writes them (`URI:spiffe://elibad/worker, DNS:localhost`). As SPIFFE has it there must be
 * one URI exactly: a certificate with two would be whatever somebody reads first.
 */
export function identityOf(subjectAltName: string | undefined): Identity {
  const names = alternativeNames(subjectAltName ?? "");
  if (names === undefined) return { problem: "its alternative names cannot be read" };
  const uris = names.filter(({ kind }) => kind === "URI").map(({ value }) => value);
  const [uri] = uris;
  if (uri === undefined) return { problem: `it has no URI ${PREFIX}ROLE among its alternative names` };
  if (uris.length > 1)
    return { problem: `it has ${uris.length} URIs among its alternative names, expected one` };
  const role = ROLES.find((each) => uri === identityUri(each));
  if (role === undefined)
    return {
      problem: `its URI is ${JSON.stringify(uri.slice(0, 100))}, expected ${PREFIX}ROLE of ${ROLES.join(", ")}`,
    };
  return { role };
}

interface AlternativeName {
  readonly kind: string;
  readonly value: string;
}

/** Node puts a name that has a comma, a quote or a control character into quotes, as JSON does, so that no name can look like two. */
function alternativeNames(text: string): AlternativeName[] | undefined {
  const name = /([A-Za-z ]+):("(?:[^"\\]|\\.)*"|[^,"]*)(?:, |$)/y;
  const names: AlternativeName[] = [];
  while (name.lastIndex < text.length) {
    const match = name.exec(text);
    if (match === null) return undefined;
    names.push({ kind: match[1]!, value: match[2]! });
  }
  return names;
}

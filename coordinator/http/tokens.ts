import { createHash, timingSafeEqual } from "node:crypto";
import { readFileSync, statSync } from "node:fs";

/** Roles that ask over HTTP, as certificates name them. */
export const USER_ROLES = ["submitter", "admin"] as const;
export type UserRole = (typeof USER_ROLES)[number];

/** Who asks. */
export interface Principal {
  readonly name: string;
  readonly role: UserRole;
}

interface Token extends Principal {
  readonly digest: Buffer;
}

/** A file of tokens that cannot be used; the message names file, line and what is wrong. */
export class TokenFileError extends Error {
  override readonly name = "TokenFileError";
}

/** How long a token may be; what `openssl rand` or a password manager makes is shorter. */
const MAX_TOKEN_CHARACTERS = 512;

/**
 * Bearer tokens by their sha256, a line each: `name role sha256`. So who reads the file cannot ask with what is in it. It is read again when it changes;
 * where it then cannot be used, what it held before stays.
 */
export class TokenFile {
  readonly #file: string;
  readonly #log: (message: string) => void;
  #version: string;
  #tokens: readonly Token[];

  /** @throws TokenFileError */
  constructor(file: string, log: (message: string) => void = () => undefined) {
    this.#file = file;
    this.#log = log;
    this.#version = versionOf(file);
    this.#tokens = readTokens(file);
  }

  /** Whose token it is; undefined where it is nobody's. Takes as long for a token that is nearly right as for any. */
  principalOf(token: string): Principal | undefined {
    if (token.length > MAX_TOKEN_CHARACTERS) return undefined;
    this.#refresh();
    const digest = createHash("sha256").update(token).digest();
    let found: Principal | undefined;
    for (const { name, role, digest: known } of this.#tokens)
      if (timingSafeEqual(digest, known)) found = { name, role };
    return found;
  }

  #refresh(): void {
    const version = versionOf(this.#file);
    if (version === this.#version) return;
    this.#version = version;
    try {
      this.#tokens = readTokens(this.#file);
      this.#log(`${this.#file} was read again: ${this.#tokens.length} tokens`);
    } catch (error) {
      this.#log(`${(error as Error).message}; the tokens that it held before stay in use`);
    }
  }
}

/** Another one when the file has changed, also where a link above it was exchanged. */
function versionOf(file: string): string {
  const known = statSync(file, { throwIfNoEntry: false });
  return known === undefined ? "gone" : `${known.dev}:${known.ino}:${known.size}:${known.mtimeMs}`;
}

/** @throws TokenFileError */
function readTokens(file: string): Token[] {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw new TokenFileError(`${file}: ${code === "ENOENT" ? "no such file" : message}`);
  }
  const tokens = text.split("\n").flatMap((line, k) => {
    const words = line.trim();
    return words === "" || words.startsWith("#") ? [] : [parseToken(words, `${file} line ${k + 1}`)];
  });
  if (tokens.length === 0) throw new TokenFileError(`${file}: holds no token`);
  const names = tokens.map(({ name }) => name);
  const twice = names.find((name, k) => names.indexOf(name) !== k);
  if (twice !== undefined) throw new TokenFileError(`${file}: two tokens have the name '${twice}'`);
  return tokens;
}

function parseToken(line: string, place: string): Token {
  const [name, role, sha256, ...more] = line.split(/\s+/) as [string, string?, string?, ...string[]];
  if (sha256 === undefined || more.length > 0)
    throw new TokenFileError(`${place}: expected 'name role sha256', three words`);
  if (!/^[A-Za-z0-9._@-]{1,64}$/.test(name))
    throw new TokenFileError(`${place}: a name is 1 to 64 letters, digits, '.', '_', '@' and '-'`);
  const known = USER_ROLES.find((each) => each === role);
  if (known === undefined)
    throw new TokenFileError(`${place}: '${role}' is no role here: ${USER_ROLES.join(" or ")}`);
  if (!/^[0-9a-f]{64}$/.test(sha256))
    throw new TokenFileError(`${place}: the third word must be the token's sha256, 64 hexadecimal digits`);
  return { name, role: known, digest: Buffer.from(sha256, "hex") };
}

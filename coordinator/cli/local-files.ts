/** Models and samples on the machine of whoever submits a sweep: what of them is sent, under which digests. */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { readdir, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { pipeline } from "node:stream/promises";
import { digestOf } from "../../proto/canonical-json.ts";
import { checkpointFiles, isPlainName } from "../sources/checkpoint-files.ts";
import type { Wanted } from "../sources/pieces.ts";
import { encodeManifest } from "../sources/upload-manifest.ts";
import { InputError } from "./errors.ts";
import { fileProblem } from "./input-file.ts";

/** Bytes to send, and the digest that names them. */
export interface OutgoingFile {
  /** What it is, for progress and errors. */
  readonly label: string;
  readonly digest: string;
  readonly bytes: number;
  /** Where it lies; or its bytes themselves. */
  readonly content: string | Uint8Array;
}

/** A folder or file to send: its manifest last, so that whoever has that has everything. */
export interface Outgoing {
  readonly manifest: string;
  readonly files: readonly OutgoingFile[];
}

/** The files that make up a folder or file. @param place names it in errors @throws InputError where it lacks what is wanted */
export async function filesToSend(place: string, path: string, wanted: Wanted): Promise<string[]> {
  const found = await stat(path).catch((error: unknown) => {
    throw new InputError(`${place} ${path}: ${fileProblem(error)}`);
  });
  if (found.isDirectory() !== (wanted !== "file"))
    throw new InputError(`${place} ${path}: is a ${found.isDirectory() ? "folder" : "file"}`);
  if (wanted === "file") {
    if (!isPlainName(basename(path)))
      throw new InputError(
        `${place} ${path}: the name of a file to upload must be letters, digits, '.', '_' and '-'`,
      );
    return [path];
  }
  const { names, hasWeights } = checkpointFiles((await readdir(path)).sort());
  if (names.length === 0 || (wanted === "checkpoint" && !hasWeights))
    throw new InputError(
      `${place} ${path}: ${wanted === "checkpoint" ? "no checkpoint in it" : "neither config.json nor a tokenizer in it"}`,
    );
  return names.map((name) => join(path, name));
}

/** Reads files once, for their digests. */
export async function outgoing(
  paths: readonly string[],
  { signal, onBytes }: { readonly signal: AbortSignal; readonly onBytes: (bytes: number) => void },
): Promise<Outgoing> {
  const files: OutgoingFile[] = [];
  for (const path of paths) {
    const { size: bytes } = await stat(path);
    files.push({ label: path, digest: await digestOfFile(path, signal, onBytes), bytes, content: path });
  }
  const content = encodeManifest(
    files.map(({ label, digest, bytes }) => ({ name: basename(label), digest, bytes })),
  );
  const manifest = digestOf(content);
  const label = `the list of ${paths.length} files`;
  return { manifest, files: [...files, { label, digest: manifest, bytes: content.byteLength, content }] };
}

async function digestOfFile(
  path: string,
  signal: AbortSignal,
  onBytes: (bytes: number) => void,
): Promise<string> {
  const hash = createHash("sha256");
  const counted = async function* (source: AsyncIterable<Buffer>) {
    for await (const chunk of source) {
      onBytes(chunk.length);
      yield chunk;
    }
  };
  await pipeline(createReadStream(path, { highWaterMark: 1024 ** 2 }), counted, hash, { signal });
  return hash.digest("hex");
}

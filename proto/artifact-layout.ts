import { join } from "node:path";
import type { Digest } from "./operations.ts";

/** A chunk of an artifact on the wire has at most this many bytes, well below gRPC's limit of 4 MiB a message. */
export const ARTIFACT_CHUNK_BYTES = 1024 ** 2;

/** The most that one FetchArtifact call gives: what a broken transfer may have to repeat. */
export const ARTIFACT_RANGE_BYTES = 16 * 1024 ** 2;

/** The file of an artifact in the coordinator's artifact folder. */
export const artifactPath = (folder: string, digest: Digest): string => join(folder, digest);

/** A file whose presence shows a worker that it sees the coordinator's own artifact folder (`Welcome`). */
export const noncePath = (folder: string, nonce: string): string => join(folder, `nonce-${nonce}`);

/** Where results' artifacts lie until they are used; a worker that shares the folder may put files into it (`ArtifactUpload`). */
export const uploadFolder = (folder: string, nonce: string): string => join(folder, `uploads-${nonce}`);

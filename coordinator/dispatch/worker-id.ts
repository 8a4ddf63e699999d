import { createHash } from "node:crypto";
import type { Hello } from "../../proto/messages.ts";

const LONGEST_ID = 64;
const PROOF_DIGITS = 20;
/** 128 bits, six to a character. */
const LEAST_INCARNATION = 22;

/** A worker's id, and why it cannot have one. */
export interface WorkerName {
  readonly id: string;
  readonly problem?: string;
}

/**
 * What a worker is called: the name that it asks for, and where ids are proven a digest of its incarnation behind it. So an id is the worker's that has it: no other
 * one knows an incarnation with that digest, while its own gives it the same id on any coordinator, for as long as its process lives. Nothing need be kept for that.
 */
export function workerIdOf(
  { workerId: name, incarnation }: Pick<Hello, "workerId" | "incarnation">,
  isProven: boolean,
): WorkerName {
  if (!isProven) return { id: name };
  const proof = createHash("sha256").update(`elibad worker ${incarnation}`).digest("hex");
  const id = `${name.slice(0, LONGEST_ID - PROOF_DIGITS - 1)}-${proof.slice(0, PROOF_DIGITS)}`;
  if (incarnation.length >= LEAST_INCARNATION) return { id };
  const problem = `incarnation: it has ${incarnation.length} characters, at least ${LEAST_INCARNATION} are needed so that nobody guesses it`;
  return { id, problem };
}

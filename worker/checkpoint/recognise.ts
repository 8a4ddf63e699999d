import { basename } from "node:path";
import type { ByteFile } from "./byte-file.ts";
import { CheckpointError } from "./checkpoint-error.ts";

/** First bytes of torch.save's format before PyTorch 1.6: a pickled magic number of ten bytes. */
const LEGACY_TORCH = Buffer.from("80028a0a6cfc9c46f9206aa85019", "hex");
const ZIP = Buffer.from("PK\x03\x04", "latin1");

/** What a weight file is by its first bytes. Files that are no weights at all (web pages, git-lfs pointers) are refused. */
export async function recogniseWeightFile(file: ByteFile): Promise<"zip" | "unknown"> {
  const refuse = (reason: string): never => {
    throw new CheckpointError(file.path, "byte 0", reason);
  };
  if (file.size === 0) refuse("the file is empty");
  const head = await file.read(0, Math.min(file.size, 512), "byte 0");
  const text = head.toString("latin1").trimStart().toLowerCase();
  if (text.startsWith("version https://git-lfs"))
    refuse("is a git-lfs pointer, not the weights; fetch them with `git lfs pull`");
  if (text.startsWith("<!doctype") || text.startsWith("<html") || text.startsWith("<?xml"))
    refuse("is a web page, not a checkpoint; the download went wrong");
  if (head.subarray(0, LEGACY_TORCH.length).equals(LEGACY_TORCH)) refuse(legacyAdvice(basename(file.path)));
  if (head.subarray(0, ZIP.length).equals(ZIP)) return "zip";
  return "unknown";
}

function legacyAdvice(name: string): string {
  return [
    "is in torch.save's old format (before PyTorch 1.6, no zip archive), which elibad does not read; convert it in its folder with",
    `  python3 -c 'import torch; w = torch.load("${name}", map_location="cpu", weights_only=True)`,
    `torch.save(w, "${name}")'`,
  ].join("\n");
}

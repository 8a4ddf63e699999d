import { parentPort } from "node:worker_threads";
import { extractTokens } from "./extract.ts";
import { parserOf } from "./grammar.ts";
import type { Outcome, Snippet, ThreadAnswer, ThreadJob } from "./thread-pool.ts";
import { UnusableCodeError } from "./unusable-code.ts";

async function outcomeOf({ code, language }: Snippet): Promise<Outcome> {
  try {
    return { kind: "extracted", extraction: extractTokens(code, language, await parserOf(language)) };
  } catch (error) {
    if (!(error instanceof UnusableCodeError)) throw error;
    return { kind: "unusable", reason: error.reason, message: error.message };
  }
}

parentPort!.on("message", async ({ id, snippets }: ThreadJob) => {
  const outcomes: Outcome[] = [];
  for (const snippet of snippets) outcomes.push(await outcomeOf(snippet));
  parentPort!.postMessage({ id, outcomes } satisfies ThreadAnswer);
});

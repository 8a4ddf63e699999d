import { onTestFinished } from "vitest";
import { isRunning } from "./worker-scenes.ts";

/** Makes processes stand still (SIGSTOP) until they are resumed, or the test ends. */
export function standStill(pids: readonly number[]): () => void {
  const resume = () => {
    for (const pid of pids) if (isRunning(pid)) process.kill(pid, "SIGCONT");
  };
  onTestFinished(resume);
  for (const pid of pids) process.kill(pid, "SIGSTOP");
  return resume;
}

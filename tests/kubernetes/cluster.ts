import { spawn, spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { delimiter, join } from "node:path";
import type { ApiObject } from "../support/manifests/objects.ts";
import type { OnEnd } from "../support/on-end.ts";
import { sharedPath } from "../support/shared.ts";
import { tempFolder } from "../support/temp-folder.ts";

/** What a command wrote, and how it ended. */
export interface Done {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A cluster with a real API server: the user's, which KUBECONFIG names, or one of ../shared/tools/kube that ends with the tests. */
export class TestCluster {
  /** No node is a machine, and no volume is made unless a test makes it. */
  readonly isSimulated: boolean;
  readonly #env: NodeJS.ProcessEnv;

  private constructor(env: NodeJS.ProcessEnv, isSimulated: boolean) {
    this.#env = env;
    this.isSimulated = isSimulated;
  }

  static start(onEnd: OnEnd): TestCluster {
    const { KUBECONFIG } = process.env;
    const tools = sharedPath("tools", "kube");
    const bin = process.env.KUBE_BIN ?? join(homedir(), ".cache", "elibad-kube");
    const env = { ...process.env, PATH: `${bin}${delimiter}${process.env.PATH}` };
    if (KUBECONFIG) return new TestCluster(env, false);
    if (!existsSync(tools)) throw new Error("name a cluster: KUBECONFIG=FILE npm run test:kubernetes");
    must(run(join(tools, "build"), [], { env }));
    const folder = tempFolder(onEnd);
    onEnd(() => void run(join(tools, "down"), [folder], { env }));
    must(run(join(tools, "up"), [folder], { env }));
    keepNodesReady(folder, bin);
    return new TestCluster({ ...env, KUBECONFIG: join(folder, "kubeconfig") }, true);
  }

  kubectl(words: readonly string[], input?: string): Done {
    return run("kubectl", words, { env: this.#env, ...(input === undefined ? {} : { input }) });
  }

  /** @throws with what kubectl says */
  do(...words: readonly string[]): string {
    return must(this.kubectl(words));
  }

  /** Applies what is given as YAML or JSON. @throws with what the API server says */
  apply(input: string, ...words: readonly string[]): Done {
    const done = this.kubectl(["apply", "--validate=strict", "-f", "-", ...words], input);
    must(done);
    return done;
  }

  list<T extends ApiObject>(kind: string, namespace: string): T[] {
    const answer = JSON.parse(this.do("get", kind, "--namespace", namespace, "--output", "json"));
    // Items of a list do not all say what they are.
    return answer.items.map((item: T) => item);
  }

  /** Makes the kinds of custom resources that the cluster does not have, where their definitions are at hand; they go with the test. */
  addCustomResources(onEnd: OnEnd): void {
    const folder = sharedPath("data", "crds");
    if (!existsSync(folder)) return;
    for (const file of readdirSync(folder).filter((name) => name.endsWith(".yaml"))) {
      const path = join(folder, file);
      if (this.kubectl(["get", "--filename", path]).code === 0) continue;
      // The largest of them is too large for what a client-side apply notes on the object.
      this.do("apply", "--server-side", "--filename", path);
      onEnd(() => void this.kubectl(["delete", "--wait=false", "--filename", path]));
    }
    this.do("wait", "--for=condition=Established", "customresourcedefinition", "--all", "--timeout=60s");
  }
}

/**
 * Starts the program that plays the nodes again, so that it renews their leases, too: without that they count as lost after 50 s, and their pods as not ready from then on.
 * `down` ends it.
 */
function keepNodesReady(folder: string, bin: string): void {
  const pidFile = join(folder, "kwok.pid");
  process.kill(Number(readFileSync(pidFile, "utf8")));
  const words = ["--config", join(bin, "kwok-stages"), "--kubeconfig", join(folder, "kubeconfig")];
  const options = ["--manage-all-nodes=true", "--node-lease-duration-seconds=40"];
  const kwok = spawn(join(bin, "kwok"), [...words, ...options], { detached: true, stdio: "ignore" });
  kwok.unref();
  writeFileSync(pidFile, `${kwok.pid}\n`);
}

const run = (
  command: string,
  words: readonly string[],
  options: { readonly env: NodeJS.ProcessEnv; readonly input?: string },
): Done => {
  // A server that `up` starts keeps its output: only the command's own end is waited for.
  const done = spawnSync(command, words, { encoding: "utf8", maxBuffer: 2 ** 27, ...options });
  if (done.error) throw done.error;
  return { code: done.status, stdout: done.stdout, stderr: done.stderr };
};

function must({ code, stdout, stderr }: Done): string {
  if (code !== 0) throw new Error(stderr.trim() || stdout.trim());
  return stdout;
}

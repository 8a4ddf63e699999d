import { pino } from "pino";
import { expect, onTestFinished, test } from "vitest";
import { canonicalJson, digestOf } from "../../../proto/canonical-json.ts";
import { connectToCoordinator } from "../../../proto/client.ts";
import { diligent, eventually, scriptedWorker, tile } from "../../support/scripted-worker.ts";
import { firstLogit, metric, start } from "./coordinator-scene.ts";

test("a worker with another program version is refused with the reason", async () => {
  const coordinator = await start();
  const first = scriptedWorker(coordinator.address, { id: "w1", credit: 1 });
  await eventually(() => first.welcome);
  const other = scriptedWorker(coordinator.address, { id: "w2", program: "program-2" });
  await eventually(() => other.refusal);
  expect(other.refusal).toBe(
    "program_version program-2: this cluster runs program-1; install the same elibad on every machine",
  );
  await eventually(() => other.isOver);
  expect(coordinator.workers().map(({ workerId }) => workerId)).toEqual(["w1"]);
});

test("an id that cannot stand in a subject, a missing device class, and a stream without Hello are refused, each in the log", async () => {
  const lines: { readonly msg: string; readonly worker?: string; readonly reason: string }[] = [];
  const write = (line: string) => void lines.push(JSON.parse(line));
  const coordinator = await start({ logger: pino({ level: "warn" }, { write }) });
  const bad = scriptedWorker(coordinator.address, { id: "w 1*" });
  expect(await eventually(() => bad.refusal)).toContain("worker_id 'w 1*'");
  const classless = scriptedWorker(coordinator.address, { id: "w1", hello: { deviceClass: null } });
  expect(await eventually(() => classless.refusal)).toBe("device_class: it is missing");
  const client = connectToCoordinator(coordinator.address, "plain");
  onTestFinished(() => client.close());
  const stream = client.work();
  stream.write({ message: "credit", credit: { leases: 1 } });
  const [answer] = await new Promise<unknown[]>((resolve) => stream.once("data", (...args) => resolve(args)));
  expect(answer).toMatchObject({ refused: { reason: "the first message must be a Hello" } });
  const refused = lines.filter(({ msg }) => msg === "worker refused");
  expect(refused.map(({ worker, reason }) => [worker, reason])).toEqual([
    ["w 1*", bad.refusal],
    ["w1", "device_class: it is missing"],
    [undefined, "the first message must be a Hello"],
  ]);
});

test("one search stays with one device class; the reason why it waits is told", async () => {
  const coordinator = await start();
  const { executor } = coordinator;
  const cpu = scriptedWorker(coordinator.address, { id: "cpu", credit: 5, answer: diligent });
  await executor.execute([tile(1)]);
  expect(executor.deviceClass).toBe("cpu/1.30.0/test/plain/program-1");
  await cpu.leave();
  const deviceClass = {
    provider: "cuda",
    runtimeVersion: "1.30.0",
    hardware: "h100",
    programForm: "plain",
  };
  const cuda = scriptedWorker(coordinator.address, { id: "gpu", credit: 5, answer: diligent, deviceClass });
  await eventually(() => cuda.welcome);
  const waiting = executor.execute([tile(2)]);
  expect(await eventually(() => coordinator.waitingReason())).toBe(
    "it was begun on device class cpu/1.30.0/test/plain/program-1, and only cuda/1.30.0/h100/plain/program-1 is connected",
  );
  expect(await metric(coordinator, 'elibad_coordinator_waiting_scopes{cause="class-gone"}')).toBe(1);
  expect(firstLogit(await coordinator.newExecutor().execute([tile(3)]))).toEqual([4]);
  scriptedWorker(coordinator.address, { id: "cpu2", credit: 5, answer: diligent });
  expect(firstLogit(await waiting)).toEqual([3]);
});

test("a checkpoint that is too large for every worker waits with the reason, until one joins that can hold it", async () => {
  const coordinator = await start();
  const file = { name: "model.safetensors", digest: digestOf("weights"), bytes: 4_000_000_000 };
  const manifest = { task: "defect_detection", files: [file] };
  const checkpoint = await coordinator.artifacts.put(Buffer.from(canonicalJson(manifest)));
  const hello = (gigabytes: number) => ({ hello: { memoryBytes: gigabytes * 1e9 } });
  const small = scriptedWorker(coordinator.address, {
    ...{ id: "small", credit: 5, answer: diligent },
    ...hello(3),
  });
  await eventually(() => small.welcome);
  const waiting = coordinator.executor.execute([{ ...tile(1), checkpoint }]);
  expect(await eventually(() => coordinator.waitingReason())).toBe(
    `it needs about 4.5 GB of memory for a score of checkpoint ${checkpoint.slice(0, 12)}, and the largest connected worker with its form, small, has 3.0 GB`,
  );
  expect(await metric(coordinator, 'elibad_coordinator_waiting_scopes{cause="memory"}')).toBe(1);
  expect(firstLogit(await coordinator.newExecutor().execute([tile(2)]))).toEqual([3]);
  scriptedWorker(coordinator.address, { id: "large", credit: 5, answer: diligent, ...hello(8) });
  expect(firstLogit(await waiting)).toEqual([2]);
  expect(small.leases).toHaveLength(1);
});

test("an executor of a class takes no other one's work, also before its first operation", async () => {
  const coordinator = await start();
  const deviceClass = "cuda/1.30.0/h100/plain/program-1";
  const executor = coordinator.newExecutor({ deviceClass });
  expect(executor.deviceClass).toBe(deviceClass);
  const cpu = scriptedWorker(coordinator.address, { id: "cpu", credit: 5, answer: diligent });
  await eventually(() => cpu.welcome);
  const waiting = executor.execute([tile(1)]);
  const why = `it was begun on device class ${deviceClass}, and only cpu/1.30.0/test/plain/program-1 is connected`;
  expect(await eventually(() => coordinator.waitingReason())).toBe(why);
  // Others get their results from the same worker meanwhile, under the same fingerprint.
  expect(firstLogit(await coordinator.executor.execute([tile(1)]))).toEqual([2]);
  expect(coordinator.waitingReason()).toBe(why);
  const closed = expect(waiting).rejects.toThrow("the coordinator was closed");
  await executor.close();
  await closed;
  await expect(executor.execute([tile(1)])).rejects.toThrow("the coordinator was closed");
});

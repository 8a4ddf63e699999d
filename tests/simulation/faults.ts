/**
 * What can go wrong, each by its name. A fault answers whether it hit anything now: one that did not is not counted, or counts itself when it does. To
 * add one, write it here; the plan draws it, and the test asks that it happened.
 */
import type { Random } from "./random.ts";
import type { EnvelopeFate } from "./virtual-network.ts";
import type { WriteFault } from "./virtual-store.ts";
import type { VirtualStream } from "./virtual-stream.ts";
import type { Mishap, VirtualWorker } from "./virtual-worker.ts";
import type { World } from "./world.ts";

export type Fault = (world: World, random: Random) => boolean;

export const FAULTS = {
  // Workers and their children.
  "worker killed": onWorker((worker) => worker.process.kill()),
  "all workers killed"(world) {
    const { workers } = world;
    for (const worker of workers) worker.process.kill();
    return workers.length > 0;
  },
  "worker paused": onWorker((worker, world, random) =>
    world.network.pause(worker.process, random.int(200, 4_000)),
  ),
  "worker drained": onWorker(drain),
  "busy worker drained": (world) => whenBusy(world, "busy worker drained", drain),
  "child killed": onWorker((worker) => worker.child?.die("killed by SIGKILL"), isComputing),
  "child hangs": toWorker("child hangs"),
  "child out of memory": toWorker("child out of memory"),
  "result not finite": toWorker("result not finite"),
  "result of a wrong length": toWorker("result of a wrong length"),
  "artifact not to be had": toWorker("artifact not to be had"),
  "worker slow": onWorker((worker, world, random) => {
    worker.slowness = 8;
    world.calendar.after(random.int(500, 3_000), () => {
      worker.slowness = 1;
    });
  }),
  "worker lies"({ plan, workers }, random) {
    if (plan.recheckRate === 0 || workers.some(({ isLiar }) => isLiar)) return false;
    if (workers.length > 0) random.pick(workers).isLiar = true;
    return workers.length > 0;
  },
  // The network.
  "stream cut": onStream((stream, _, random) => stream.cut(random.int(1, 300))),
  "stream silent": onStream((stream, world) => stream.cut(world.settings.keepaliveMs)),
  "partition toward workers": onStream((stream, world, random) =>
    stream.stall("toWorker", partitionMs(world, random)),
  ),
  "partition toward the coordinator": onStream((stream, world, random) =>
    stream.stall("toCoordinator", partitionMs(world, random)),
  ),
  "result damaged on the way": toResults("result damaged on the way"),
  "result sent twice": toResults("result sent twice"),
  "result late": toResults("result late"),
  // The broker.
  "broker down": onBroker((world, random) => {
    world.broker.downUntil = world.calendar.now + random.int(200, 3_000);
  }),
  "broker's store deleted": onBroker((world) => world.broker.deleteStore()),
  "broker repeats itself": onBroker((world) => {
    world.broker.duplicates = world.broker.lostAcks = 0.3;
  }),
  // Coordinators.
  "coordinator killed": onLeader((leader) => leader.process.kill()),
  "coordinator paused": onLeader((leader, world, random) =>
    world.network.pause(leader.process, random.int(50, 800)),
  ),
  "coordinator paused past its lease": onLeader((leader, world, random) =>
    world.network.pause(leader.process, world.settings.leaderLeaseMs + random.int(500, 2_500)),
  ),
  "coordinator stopped": onLeader((leader) => void leader.process.after(0, () => void leader.stop())),
  "everything paused"(world, random) {
    const ms = random.int(100, 3_000);
    for (const { process } of [...world.coordinators, ...world.workers]) world.network.pause(process, ms);
    return true;
  },
  "clock jumps"(world, random) {
    world.wallOffsetMs += random.int(-3_600_000, 3_600_000);
    return true;
  },
  // The log's disk, or servers.
  "disk error before the write": toWrite("disk error before the write"),
  "disk error after the write": toWrite("disk error after the write"),
  "acknowledgement of a write lost": toWrite("acknowledgement of a write lost"),
  "disk full"(world, random) {
    world.store.fullUntil = world.calendar.now + random.int(100, 2_000);
    return true;
  },
  "log away"(world, random) {
    if (world.plan.store !== "replicated") return false;
    world.store.awayUntil = world.calendar.now + random.int(100, 2_000);
    return true;
  },
} satisfies Record<string, Fault>;

export type FaultName = keyof typeof FAULTS;

/** Befalls the next operation of a worker, and counts then. */
function toWorker(mishap: Mishap): Fault {
  return ({ workers }, random) => {
    if (workers.length > 0) random.pick(workers).mishaps.push(mishap);
    return false;
  };
}

/** Befalls the next results on their way, and counts then. */
function toResults(fate: EnvelopeFate): Fault {
  return ({ network }) => {
    network.fates.push(fate);
    return false;
  };
}

/** Befalls the next write of the log, and counts then. */
function toWrite(fault: WriteFault): Fault {
  return ({ store }) => {
    store.faults.push(fault);
    return false;
  };
}

/** Short, longer than a lease, or longer than a stream lives without a sign. */
function partitionMs({ settings: { dispatch, keepaliveMs } }: World, random: Random): number {
  const [low, high] = random.pick([
    [50, 800],
    [dispatch.leaseMs + 100, keepaliveMs - 100],
    [dispatch.leaseMs + 100, keepaliveMs - 100],
    [keepaliveMs + 100, keepaliveMs + 1_000],
  ] as const);
  return random.int(low, high);
}

function drain({ process, supervisor }: VirtualWorker): void {
  process.after(0, () => supervisor.drain("SIGTERM"));
}

/** Does it to a worker that has a lease waiting behind another one, as soon as there is one, and counts then. */
function whenBusy(world: World, name: string, act: (worker: VirtualWorker) => void): boolean {
  const until = world.calendar.now + 1_500;
  const look = (): void => {
    const state = world.leader?.dispatcher?.state;
    const busy = [...(state?.workers.values() ?? [])].find(({ leases }) => leases.size > 1);
    const worker = world.workers.find(({ id, process }) => id === busy?.workerId && process.isAlive);
    if (worker) {
      act(worker);
      world.count(`fault: ${name}`);
    } else if (world.calendar.now < until) world.calendar.after(10, look);
  };
  look();
  return false;
}

function isComputing(worker: VirtualWorker): boolean {
  return worker.child?.isBusy === true;
}

function onWorker(
  act: (worker: VirtualWorker, world: World, random: Random) => void,
  isMeant: (worker: VirtualWorker) => boolean = ({ process }) => process.isAlive,
): Fault {
  return (world, random) => {
    const workers = world.workers.filter(isMeant);
    if (workers.length === 0) return false;
    act(random.pick(workers), world, random);
    return true;
  };
}

function onStream(act: (stream: VirtualStream, world: World, random: Random) => void): Fault {
  return (world, random) => {
    const streams = [...world.network.streams];
    if (streams.length === 0) return false;
    act(random.pick(streams), world, random);
    return true;
  };
}

function onLeader(act: (leader: World["coordinators"][number], world: World, random: Random) => void): Fault {
  return (world, random) => {
    const { leader } = world;
    if (leader === undefined) return false;
    act(leader, world, random);
    return true;
  };
}

function onBroker(act: (world: World, random: Random) => void): Fault {
  return (world, random) => {
    if (world.plan.way !== "broker") return false;
    act(world, random);
    return true;
  };
}

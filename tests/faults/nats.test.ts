import { randomUUID } from "node:crypto";
import { setTimeout as pause } from "node:timers/promises";
import { connect, type JetStreamClient, type NatsConnection } from "nats";
import { describe, expect, onTestFinished, test } from "vitest";
import { type MetricValues, metricSum } from "../support/metric-values.ts";
import { uniform } from "../support/uniform.ts";
import { noteCost } from "./cost.ts";
import { shortOrLong } from "./long-form.ts";
import { ScanScene } from "./scan-scene.ts";

const scene = ScanScene.forFile({ workers: 2, nats: true, natsThroughProxy: true });

const results = (cost: MetricValues, labels: Readonly<Record<string, string>>): number =>
  metricSum(cost, "coordinator_results_total", labels);

describe("a NATS server", () => {
  test("7: killed three times, each time in a step, loses no result", async (context) => {
    const reconnects = async () => metricSum(await scene.metrics(), "coordinator_nats_reconnects_total");
    const before = await reconnects();
    const cost = await scene.scanWith(async (scan) => {
      const holdInStep = (step: number) =>
        scene.agent.hold(({ kind }) => scan.steps >= step && kind === "score");
      let held = holdInStep(1);
      for (let kill = 1; kill <= 3; kill++) {
        await held.first();
        expect(scan.steps).toBe(kill);
        await scene.nats.kill();
        const next = holdInStep(kill + 1);
        held.release();
        held = next;
        await pause(shortOrLong(100, 1_000));
        await scene.nats.restart();
        // What comes meanwhile goes over the streams.
        await expect.poll(reconnects, { timeout: 20_000 }).toBe(before + kill);
      }
      held.release();
    });
    expect(metricSum(cost, "coordinator_nats_reconnects_total")).toBe(3);
    noteCost(context, cost);
  });

  test("8: away for long holds nothing up: results go over the workers' streams", async (context) => {
    const awayMs = shortOrLong(1_500, 60_000);
    const cost = await scene.scanWith(async (scan) => {
      const held = scene.holdInSecondStep(scan, "score");
      await held.first();
      expect(scan.steps).toBe(1);
      await scene.nats.kill();
      const back = pause(awayMs).then(() => scene.nats.restart());
      held.release();
      // The scan ends while the server is away, or goes on when it is back.
      await Promise.all([scan.trace, back]);
    });
    expect(results(cost, { path: "stream", fate: "used" })).toBeGreaterThan(0);
    noteCost(context, cost);
  });

  test("9: whose store was deleted gets its stream anew; what was in it is sent again", async (context) => {
    await scene.natsIsUsed();
    const cost = await scene.scanWith(async (scan) => {
      const held = scene.holdInSecondStep(scan, "score");
      await held.first();
      expect(scan.steps).toBe(1);
      await scene.nats.restart({ freshStore: true });
      held.release();
    });
    await scene.natsIsUsed();
    noteCost(context, cost);
  });
});

describe("results on their way", () => {
  /** Sees every result that is published, beside the coordinator. */
  async function wiretap(
    see: (subject: string, bytes: Uint8Array, jetstream: JetStreamClient) => void,
  ): Promise<void> {
    // No echo: what is published here is not seen here.
    const connection: NatsConnection = await connect({ servers: scene.nats.url, noEcho: true });
    onTestFinished(() => connection.close());
    const jetstream = connection.jetstream();
    connection.subscribe("elibad.results.>", {
      callback: (_, { subject, data }) => see(subject, data, jetstream),
    });
    await connection.flush();
  }

  /** Publishes as another sending of the result. */
  const publish = (jetstream: JetStreamClient, subject: string, bytes: Uint8Array) =>
    jetstream.publish(subject, bytes, { msgID: randomUUID() });

  test("12: that come twice, late and in another order are used once", async (context) => {
    await scene.natsIsUsed();
    const random = uniform(12);
    const kept: (readonly [string, Uint8Array])[] = [];
    const sent: Promise<unknown>[] = [];
    await wiretap((subject, bytes, jetstream) => {
      kept.push([subject, bytes.slice()]);
      // One in two comes again, after some later ones; one in ten of all that ever came, too.
      if (random() < 0.5)
        sent.push(pause(random() * 50).then(() => publish(jetstream, subject, bytes.slice())));
      const old = kept[Math.floor(random() * kept.length)]!;
      if (random() < 0.1) sent.push(publish(jetstream, ...old));
    });
    const cost = await scene.scanWith(async (scan) => {
      await scan.trace;
      await Promise.all(sent);
      await scene.natsIsEmpty();
    });
    expect(sent.length).toBeGreaterThan(20);
    expect(results(cost, { path: "nats", fate: "unneeded" })).toBeGreaterThan(sent.length / 2);
    noteCost(context, cost);
  });

  test("13: of which a bit flipped are refused, or are nobody's, and no right one is lost", async (context) => {
    await scene.natsIsUsed();
    const random = uniform(13);
    const flipped: Promise<unknown>[] = [];
    await wiretap((subject, bytes, jetstream) => {
      // One in fifteen: each takes all leases of its sender, and three in a row would give an operation up.
      if (random() < 14 / 15) return;
      const spoiled = bytes.slice();
      // In the first bytes: fingerprint, names, lengths. A number that became another number is fault 14.
      const bit = Math.floor(random() * 8 * Math.min(64, spoiled.length));
      spoiled[bit >> 3]! ^= 1 << (bit & 7);
      flipped.push(publish(jetstream, subject, spoiled));
    });
    const cost = await scene.scanWith(async (scan) => {
      await scan.trace;
      await Promise.all(flipped);
      await scene.natsIsEmpty();
    });
    expect(flipped.length).toBeGreaterThan(5);
    const fates = ["malformed", "unneeded", "kept"].map((fate) => results(cost, { fate }));
    expect(fates.reduce((sum, count) => sum + count)).toBeGreaterThanOrEqual(flipped.length);
    noteCost(context, cost);
  });

  test("25: that are no results, or far too large, harm nobody", async (context) => {
    await scene.natsIsUsed();
    const connection = await connect({ servers: scene.nats.url });
    onTestFinished(() => connection.close());
    const subject = scene.subjectOf("w1");
    const cost = await scene.scanWith(async (scan) => {
      const held = scene.holdInSecondStep(scan, "score");
      await held.first();
      expect(scan.steps).toBe(1);
      const jetstream = connection.jetstream();
      for (const bytes of [new Uint8Array(), Buffer.from("no result"), Buffer.alloc(100_000, 255)])
        await publish(jetstream, subject, bytes);
      // The stream takes no message that no result is as large as.
      const large = publish(jetstream, subject, new Uint8Array(1024 ** 2 + 1));
      await expect(large).rejects.toThrow();
      await scene.natsIsEmpty();
      held.release();
    });
    expect(results(cost, { path: "nats", fate: "malformed" })).toBe(3);
    noteCost(context, cost);
  });
});

test.for([
  { what: "to it", ways: { requests: true } },
  { what: "from it", ways: { answers: true } },
])("10: a path to NATS that is cut for a while, $what, loses no result", async ({ ways }, context) => {
  await scene.natsIsUsed();
  const before = scene.natsProxy.heldBytes;
  const cost = await scene.scanWith(async (scan) => {
    const held = scene.holdInSecondStep(scan, "score");
    await held.first();
    expect(scan.steps).toBe(1);
    scene.natsProxy.hold(ways);
    held.release();
    await pause(shortOrLong(1_000, 30_000));
    expect(scene.natsProxy.heldBytes).toBeGreaterThan(before);
    scene.natsProxy.hold({});
  });
  noteCost(context, cost);
});

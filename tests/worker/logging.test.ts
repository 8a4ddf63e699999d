import { expect, test } from "vitest";
import { createLogger } from "../../worker/logging.ts";

function lines(format: "plain" | "json"): { log: ReturnType<typeof createLogger>; written: string[] } {
  const written: string[] = [];
  const destination = { write: (line: string) => void written.push(line) };
  return { log: createLogger({ format, name: "worker w1", destination }), written };
}

test("a plain line has time, level, name, message and fields, on one line", () => {
  const { log, written } = lines("plain");
  log.warn({ address: "host:1" }, "lost\nit");
  log.debug("not shown");
  expect(written).toHaveLength(1);
  expect(written[0]).toMatch(/^\d\d:\d\d:\d\d\.\d{3} warn {2}worker w1: lost ⏎ it \(address=host:1\)\n$/);
});

test("a JSON line is one object", () => {
  const { log, written } = lines("json");
  log.info({ leases: 3 }, "draining");
  expect(JSON.parse(written[0]!)).toMatchObject({
    level: "info",
    name: "worker w1",
    leases: 3,
    msg: "draining",
  });
});

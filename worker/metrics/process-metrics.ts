import { type Counter, collectDefaultMetrics, Gauge, type Registry } from "prom-client";
import { packageVersion } from "../../proto/package-root.ts";
import type { Certificates } from "../../proto/tls/certificates.ts";
import { memoryLimit } from "../memory-limit.ts";
import { programVersion } from "../program-version.ts";

/** What every elibad process says of itself: Node's own metrics, its version, and the memory that it may use. */
export function collectProcessMetrics(registry: Registry): void {
  collectDefaultMetrics({ register: registry });
  const registers = [registry];
  new Gauge({
    name: "elibad_build_info",
    help: "1. The version of elibad, and of the programs that workers run: those of another one are refused.",
    labelNames: ["version", "program"],
    registers,
  }).set({ version: packageVersion, program: programVersion().slice(0, 16) }, 1);
  new Gauge({
    name: "elibad_memory_limit_bytes",
    help: "Memory that the process's container may use; the machine's where there is no limit.",
    registers,
  }).set(memoryLimit());
}

/** Until when the certificate is good, and whether newer files cannot be used. */
export function watchCertificates(registry: Registry, certificates: Certificates): void {
  const registers = [registry];
  new Gauge({
    name: "elibad_certificate_expiry_timestamp_seconds",
    help: "When the certificate in use expires, in seconds since 1970.",
    registers,
    collect() {
      this.set(certificates.current.expires.getTime() / 1_000);
    },
  });
  new Gauge({
    name: "elibad_certificates_not_taken",
    help: "1 while the files of certificates hold what cannot be used, and older ones stay in use.",
    registers,
    collect() {
      this.set(certificates.problem === undefined ? 0 : 1);
    },
  });
}

/** Lets a counter's series begin at 0, so that the first event is an increase: for labels with few values. */
export function startAtZero<L extends string>(
  counter: Counter<L>,
  values: Readonly<Record<L, readonly string[]>>,
): void {
  let sets: Partial<Record<L, string>>[] = [{}];
  for (const [label, all] of Object.entries(values) as [L, readonly string[]][])
    sets = sets.flatMap((set) => all.map((value) => ({ ...set, [label]: value })));
  for (const set of sets) counter.inc(set, 0);
}

// A coordinator that does nothing but write, to be killed: `node store-writer.mjs '{"file": …} | {"stream": …}'`. It prints
// "open TERM LAST", then "acked LAST" after each append; snapshots hold the number of the last record.
import { writeSync } from "node:fs";
import { openJetStreamLog } from "../../dist/coordinator/store/jetstream-log.js";
import { openSqliteLog } from "../../dist/coordinator/store/sqlite-log.js";

const { file, stream, pad = 200, seed = 1 } = JSON.parse(process.argv[2]);
const log = await (file ? openSqliteLog(file) : openJetStreamLog(stream)).catch((error) => {
  console.error(`${error.name}: ${error.message}`);
  process.exit(1);
});
writeSync(1, `open ${log.term} ${log.last}\n`);
let state = seed;
const draw = (below) => {
  state = (state * 48_271) % 2_147_483_647;
  return state % below;
};
for (;;) {
  const of = 1 + draw(5);
  const text = "x".repeat(draw(2) * pad);
  const values = Array.from({ length: of }, (_, k) => ({ n: log.last + 1 + k, k, of, text }));
  await log.append(values).catch(async (error) => {
    writeSync(1, `${error.name}\n`);
    await log.lost;
    writeSync(1, "lost\n");
    process.exit(3);
  });
  writeSync(1, `acked ${log.last}\n`);
  if (draw(8) === 0) await log.snapshot({ n: log.last, text });
}

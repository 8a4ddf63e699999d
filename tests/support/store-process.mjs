// A log in a process of its own that does what it is told, a JSON line each: {"open": …}, {"append": [...]}, {"snapshot": …},
// {"replay": true}, {"close": true}. It answers each with a JSON line: {"answer": …} or {"error": "NAME: MESSAGE"}.
import { createInterface } from "node:readline";
import { openJetStreamLog } from "../../dist/coordinator/store/jetstream-log.js";
import { openSqliteLog } from "../../dist/coordinator/store/sqlite-log.js";

let log;
const commands = {
  async open({ file, stream }) {
    log = await (file ? openSqliteLog(file) : openJetStreamLog(stream));
    return log.term;
  },
  append: (values) => log.append(values),
  snapshot: (value) => log.snapshot(value),
  async replay() {
    const entries = [];
    for await (const entry of log.replay()) entries.push(entry);
    return entries;
  },
  async close() {
    await log?.close();
    log = undefined;
  },
};

createInterface({ input: process.stdin }).on("line", async (line) => {
  const [[name, argument]] = Object.entries(JSON.parse(line));
  const result = await commands[name](argument).then(
    (answer) => ({ answer: answer ?? null }),
    (error) => ({ error: `${error.name}: ${error.message}` }),
  );
  process.stdout.write(`${JSON.stringify(result)}\n`);
});

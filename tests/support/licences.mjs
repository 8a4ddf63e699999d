/** The licences of what is installed to run elibad: `node tests/support/licences.mjs` writes their table into docs/dependencies.md. */
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const at = (path) => fileURLToPath(new URL(`../../${path}`, import.meta.url));
const DOC = "docs/dependencies.md";
const [BEGIN, END] = ["<!-- made by tests/support/licences.mjs -->", "<!-- end -->"];

/** Packages of the lockfile that `npm ci --omit=dev` installs somewhere, by licence; each name once. */
export function licences() {
  const { packages } = JSON.parse(readFileSync(at("package-lock.json"), "utf8"));
  const byLicence = new Map();
  for (const [path, { dev, devOptional, license = "none is said" }] of Object.entries(packages)) {
    if (path === "" || dev || devOptional) continue;
    const names = byLicence.get(license) ?? new Set();
    byLicence.set(license, names.add(path.slice(path.lastIndexOf("node_modules/") + "node_modules/".length)));
  }
  return new Map([...byLicence].sort().map(([licence, names]) => [licence, [...names].sort()]));
}

const table = () =>
  ["| licence | packages |", "| --- | --- |"]
    .concat([...licences()].map(([licence, names]) => `| ${licence} | ${names.join(", ")} |`))
    .join("\n");

/** Where the table stands in a text, with its marks. */
function place(text) {
  const [from, to] = [text.indexOf(BEGIN), text.indexOf(END)];
  if (from < 0 || to < from) throw new Error(`${DOC}: '${BEGIN}' and '${END}' must stand around the table`);
  return { from: from + BEGIN.length, to };
}

/** The table as the document has it, and as it must be. */
export function documentedLicences() {
  const text = readFileSync(at(DOC), "utf8");
  const { from, to } = place(text);
  return { text, documented: text.slice(from, to).trim(), expected: table() };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { text, expected } = documentedLicences();
  const { from, to } = place(text);
  writeFileSync(at(DOC), `${text.slice(0, from)}\n\n${expected}\n\n${text.slice(to)}`);
}

/** Files of a job that is over, as `elibad clean` writes them. */
const RESULT_FILES = ["result.json", "report.json", "repair.json", "trace.jsonl"] as const;
export type ResultFile = (typeof RESULT_FILES)[number];

/** What is asked for. */
export type Route =
  | { readonly kind: "sweeps" }
  | { readonly kind: "sweep" | "results"; readonly sweep: string }
  | { readonly kind: "job"; readonly sweep: string; readonly job: string }
  | { readonly kind: "file"; readonly sweep: string; readonly job: string; readonly file: ResultFile }
  | { readonly kind: "workers" };

/** A sweep's or job's name. None needs escaping, so a target with an escape in it, or with a query, is none of ours. */
const NAME = "([A-Za-z0-9][A-Za-z0-9._-]{0,127})";
const FILE = `(${RESULT_FILES.map((name) => name.replace(".", "\\.")).join("|")})`;

type Found = readonly (string | undefined)[];

const ROUTES: readonly (readonly [RegExp, (found: Found) => Route])[] = [
  [/^\/api\/v1\/sweeps$/, () => ({ kind: "sweeps" })],
  [new RegExp(`^/api/v1/sweeps/${NAME}$`), ([, sweep]) => ({ kind: "sweep", sweep: sweep! })],
  [new RegExp(`^/api/v1/sweeps/${NAME}/results$`), ([, sweep]) => ({ kind: "results", sweep: sweep! })],
  [
    new RegExp(`^/api/v1/sweeps/${NAME}/jobs/${NAME}$`),
    ([, sweep, job]) => ({ kind: "job", sweep: sweep!, job: job! }),
  ],
  [
    new RegExp(`^/api/v1/sweeps/${NAME}/jobs/${NAME}/files/${FILE}$`),
    ([, sweep, job, file]) => ({ kind: "file", sweep: sweep!, job: job!, file: file as ResultFile }),
  ],
  [/^\/api\/v1\/workers$/, () => ({ kind: "workers" })],
];

/** What a request's target (`/api/v1/sweeps/friday`) asks for; undefined where there is no such thing. */
export function routeOf(target: string): Route | undefined {
  for (const [pattern, route] of ROUTES) {
    const found = pattern.exec(target);
    if (found !== null) return route(found);
  }
  return undefined;
}

import { Presets, SingleBar } from "cli-progress";

/** How far a long piece of work is. Events of one phase follow each other; a new phase ends the one before. */
export interface ProgressEvent {
  /** What is being done: "search 1→0", "training", … */
  readonly phase: string;
  readonly done: number;
  readonly total: number;
  /** Name of what is counted: "step", "row", … */
  readonly unit: string;
  /** Further values to show, in order: best loss, best trigger, forwards per second, … */
  readonly fields?: Readonly<Record<string, string | number>>;
}

/** Shows progress and lines to a person on stderr, so that stdout stays the command's result. */
export interface Display {
  progress(event: ProgressEvent): void;
  line(text: string): void;
  /** Ends a bar that is still open. */
  close(): void;
}

const showFields = (event: ProgressEvent): string =>
  Object.entries(event.fields ?? {})
    .map(([name, value]) => `${name} ${typeof value === "number" ? Number(value.toPrecision(4)) : value}`)
    .join(" · ");

/** Bars, redrawn in place, with the time that is left. */
export function terminalDisplay(stream: NodeJS.WriteStream): Display {
  let open: { readonly phase: string; readonly bar: SingleBar } | undefined;
  const close = (): void => {
    open?.bar.stop();
    open = undefined;
  };
  return {
    close,
    line(text) {
      close();
      stream.write(`${text}\n`);
    },
    progress(event) {
      if (open?.phase !== event.phase) {
        close();
        const bar = new SingleBar(
          {
            format: "{phase} {bar} {value}/{total} {unit} · {fields} · {eta_formatted} left",
            stream,
            barsize: 18,
            hideCursor: true,
            linewrap: false,
            stopOnComplete: false,
            etaBuffer: 20,
          },
          Presets.shades_classic,
        );
        bar.start(event.total, event.done, {
          phase: event.phase,
          unit: event.unit,
          fields: showFields(event),
        });
        open = { phase: event.phase, bar };
      }
      open.bar.setTotal(event.total);
      open.bar.update(event.done, { fields: showFields(event) });
      if (event.done >= event.total) close();
    },
  };
}

/** Plain lines where there is no terminal: at most one every `everyMs` for a phase, and its last one. */
export function lineDisplay(
  write: (text: string) => void,
  everyMs = 5_000,
  now: () => number = Date.now,
): Display {
  let phase = "";
  let ended = false;
  let startedAt = 0;
  let shownAt = Number.NEGATIVE_INFINITY;
  return {
    close() {},
    line: (text) => write(`${text}\n`),
    progress(event) {
      const time = now();
      if (event.phase !== phase) {
        phase = event.phase;
        startedAt = time;
        shownAt = Number.NEGATIVE_INFINITY;
        ended = false;
      }
      const last = event.done >= event.total;
      if (time - shownAt < everyMs && (!last || ended)) return;
      ended = last;
      shownAt = time;
      const seconds = (time - startedAt) / 1000;
      const left =
        last || event.done === 0
          ? ""
          : ` · ${Math.ceil((seconds / event.done) * (event.total - event.done))}s left`;
      const fields = showFields(event);
      write(
        `${event.phase}: ${event.done}/${event.total} ${event.unit}${fields ? ` · ${fields}` : ""}${left}\n`,
      );
    },
  };
}

/** What shows how far the rows are that a command asks the model about. */
export const showRows =
  (display: Display, command: string) =>
  ({ phase, ...counts }: Pick<ProgressEvent, "phase" | "done" | "total">): void =>
    display.progress({ phase: `${command}, ${phase}`, ...counts, unit: "row" });

/** Shows nothing: for `--json` runs by machines. */
export const silentDisplay: Display = { progress() {}, line() {}, close() {} };

/** The display for this process: bars on a terminal, lines elsewhere, nothing where `quiet`. */
export function displayFor(quiet: boolean): Display {
  if (quiet) return silentDisplay;
  return process.stderr.isTTY
    ? terminalDisplay(process.stderr as NodeJS.WriteStream)
    : lineDisplay((text) => void process.stderr.write(text));
}

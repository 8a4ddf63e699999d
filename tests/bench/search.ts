import { startSearch } from "../../coordinator/search/search.ts";
import { type Agreement, agreementNote } from "./agreement.ts";
import { NO_TIME, plus, type Time } from "./clock.ts";
import { FORMS, type Form, openOpponent } from "./opponent.ts";
import type { Measurement, Scenario } from "./scenario.ts";
import { searchProblem } from "./search-problem.ts";
import { checkSameWinner, createStepRunner, type StepTime } from "./step-runner.ts";

const STEPS = 50;
/** The published loop does one step in this many: its rows are padded, so that all its steps take the same time. */
const EVERY = 10;

interface Totals {
  readonly all: Time;
  readonly pruned: Time;
}

const whole = ({ ranking, scoring }: StepTime): Time => plus(ranking, scoring);

export const search: Scenario = {
  name: "search",
  about: `a search of ${STEPS} steps with and without pruning; the winners of every step are compared`,
  async run(bench) {
    const model = await bench.models.small();
    const executor = await bench.models.executor(bench.threads);
    const problem = await searchProblem(executor, model);
    const { everything, pruning, run } = await createStepRunner(executor, problem, { epochs: STEPS });
    const opponent =
      bench.torch &&
      (await openOpponent(bench.torch, model, {
        executor,
        prepared: pruning,
        trigger: startSearch(pruning).trigger,
      }));
    const totals: Totals[] = [];
    const saved: number[] = [];
    const agreements: Record<Form, Agreement[]> = { published: [], SDPA: [], batched: [] };
    const theirs: Record<Form, Time[]> = { published: [], SDPA: [], batched: [] };
    let loss = Number.NaN;
    for (let k = 0; k < bench.repetitions(1); k++) {
      let state = startSearch(pruning);
      await run(pruning, state); // compiles the programs
      let total: Totals = { all: NO_TIME, pruned: NO_TIME };
      for (let step = 0; step < STEPS; step++) {
        if (step % EVERY === 0) bench.say(`${model.about}: step ${step} of ${STEPS}`);
        const all = await run(everything, state);
        const pruned = await run(pruning, state);
        checkSameWinner(all.record, pruned.record);
        total = {
          all: plus(total.all, whole(all.time)),
          pruned: plus(total.pruned, whole(pruned.time)),
        };
        saved.push(100 * pruned.saved);
        for (const form of opponent && step % EVERY === EVERY / 2 ? FORMS : []) {
          const { time, agreement } = await opponent!.step(all.record, form);
          theirs[form].push(whole(time));
          agreements[form].push(agreement);
        }
        state = pruned.state;
      }
      totals.push(total);
      loss = state.best!.loss;
    }
    await executor.close();
    return {
      measurements: [
        { name: "without pruning", unit: "s", values: totals.map(({ all }) => all.wall) },
        { name: "with pruning", unit: "s", values: totals.map(({ pruned }) => pruned.wall) },
        {
          name: "without ÷ with pruning",
          unit: "×",
          values: totals.map(({ all, pruned }) => all.wall / pruned.wall),
        },
        { name: "forwards that pruning saved, by step", unit: "%", values: saved },
        ...(opponent ? FORMS.flatMap((form) => against(form, theirs[form], totals)) : []),
      ],
      notes: [
        `${model.about}; best loss ${loss.toPrecision(4)}`,
        `elibad: the same candidates, winner and winner's loss with and without pruning in ${saved.length} of ${saved.length} steps`,
        ...(opponent
          ? [
              opponent.about,
              `PyTorch did one step in ${EVERY}; its search is ${STEPS} times such a step`,
              ...FORMS.map((form) => agreementNote(agreements[form], form)),
            ]
          : []),
      ],
    };
  },
};

/** A search in PyTorch, from some of its steps, beside elibad's searches. */
function against(form: Form, steps: readonly Time[], totals: readonly Totals[]): Measurement[] {
  const searches = steps.map((time) => plus(NO_TIME, time, STEPS));
  const perSearch = searches.length / totals.length;
  const ratio = (of: keyof Time) =>
    searches.map((time, k) => time[of] / totals[Math.floor(k / perSearch)]!.pruned[of]);
  return [
    { name: `${form}: from one step in ${EVERY}`, unit: "s", values: searches.map(({ wall }) => wall) },
    {
      name: `${form} ÷ elibad with pruning`,
      unit: "×",
      values: ratio("wall"),
      ...(form === "published" ? { target: { bound: "at least", value: 6 } } : {}),
    },
    { name: "the same, by processor time", unit: "×", values: ratio("processor") },
  ];
}

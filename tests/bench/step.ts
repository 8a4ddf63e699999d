import { type SearchState, startSearch } from "../../coordinator/search/search.ts";
import type { ProgramForm } from "../../proto/operations.ts";
import { type Agreement, agreementNote } from "./agreement.ts";
import { plus, type Time } from "./clock.ts";
import type { BenchModel, ModelName } from "./models.ts";
import { FORMS, type Form, openOpponent } from "./opponent.ts";
import type { Bench, Measurement, Scenario, ScenarioResult } from "./scenario.ts";
import { SAMPLES, searchProblem } from "./search-problem.ts";
import { checkSameWinner, createStepRunner, type StepTime } from "./step-runner.ts";

const CANDIDATES = 64;

interface StepPlan {
  readonly usual: number;
  /** Of the step's candidates and samples, these are computed; the time of scoring is that of all candidates, in proportion. */
  readonly candidates?: number;
  readonly samples?: number;
  /** Absent: the default of a search. */
  readonly programForm?: ProgramForm;
  /** Published loop ÷ elibad, at least. */
  readonly targets?: Partial<Record<Ours, number>>;
}

/** Elibad's two ways. */
const OURS = ["without pruning", "with pruning"] as const;
type Ours = (typeof OURS)[number];

/** What one repetition took, by who did it. */
type Times = Readonly<Record<Ours, StepTime>> & Partial<Readonly<Record<Form, StepTime>>>;

/**
 * Steps of one search, each with everything scored, with pruning, and in PyTorch in two forms, one after the other from the same state; the
 * winner with pruning leads to the next step.
 */
async function measureSteps(bench: Bench, model: BenchModel, plan: StepPlan): Promise<ScenarioResult> {
  const { candidates = CANDIDATES, samples = SAMPLES } = plan;
  const executor = await bench.models.executor(bench.threads);
  bench.say(`${model.about}: positions`);
  const problem = await searchProblem(executor, model, samples);
  const { everything, pruning, run } = await createStepRunner(executor, problem, {
    repeatSize: candidates,
    ...(plan.programForm && { programForm: plan.programForm }),
  });
  let state: SearchState = startSearch(pruning);
  await run(pruning, state); // compiles the programs
  if (bench.torch) bench.say(`${model.about}: PyTorch tries its forms`);
  const opponent =
    bench.torch &&
    (await openOpponent(bench.torch, model, { executor, prepared: pruning, trigger: state.trigger }));

  const times: Times[] = [];
  const saved: number[] = [];
  const agreements: Record<Form, Agreement[]> = { published: [], SDPA: [], batched: [] };
  for (let k = 0; k < bench.repetitions(plan.usual); k++) {
    bench.say(`${model.about}: step ${k}`);
    const all = await run(everything, state);
    const pruned = await run(pruning, state);
    checkSameWinner(all.record, pruned.record);
    const theirs: Partial<Record<Form, StepTime>> = {};
    for (const form of opponent ? FORMS : []) {
      const { time, agreement } = await opponent!.step(all.record, form);
      theirs[form] = time;
      agreements[form].push(agreement);
    }
    times.push({ "without pruning": all.time, "with pruning": pruned.time, ...theirs });
    saved.push(100 * pruned.saved);
    state = pruned.state;
  }
  await executor.close();
  return {
    measurements: [
      ...elibadAlone(times, CANDIDATES / candidates),
      { name: "forwards that pruning saved", unit: "%", values: saved },
      ...(opponent ? FORMS.flatMap((form) => against(form, times, CANDIDATES / candidates, plan)) : []),
    ],
    notes: [
      model.trained ? model.about : `${model.about}: random weights hardly prune`,
      ...(candidates === CANDIDATES && samples === SAMPLES
        ? []
        : [
            `${candidates} of ${CANDIDATES} candidates on ${samples} of ${SAMPLES} samples were computed; scoring counts ${CANDIDATES / candidates} times`,
          ]),
      `elibad: the same candidates, winner and winner's loss with and without pruning in ${times.length} of ${times.length} steps`,
      ...(opponent ? [opponent.about, ...FORMS.map((form) => agreementNote(agreements[form], form))] : []),
    ],
  };
}

/** The time of a step, of all its candidates. */
const whole = ({ ranking, scoring }: StepTime, share: number): Time => plus(ranking, scoring, share);

function elibadAlone(times: readonly Times[], share: number): Measurement[] {
  const ratio = (of: keyof Time) =>
    times.map((time) => whole(time[OURS[0]], share)[of] / whole(time[OURS[1]], share)[of]);
  return [
    ...OURS.map((ours) => ({
      name: `whole step ${ours}`,
      unit: "s",
      values: times.map((time) => whole(time[ours], share).wall),
    })),
    { name: "its gradient and ranking", unit: "s", values: times.map((time) => time[OURS[0]].ranking.wall) },
    { name: "without ÷ with pruning", unit: "×", values: ratio("wall") },
    { name: "the same, by processor time", unit: "×", values: ratio("processor") },
  ];
}

/** One form of the loop in PyTorch: its time, and its ratios to elibad's. */
function against(form: Form, times: readonly Times[], share: number, { targets }: StepPlan): Measurement[] {
  const ratios = (ours: Ours, part: (time: StepTime) => Time, of: keyof Time) =>
    times.map((time) => part(time[form]!)[of] / part(time[ours])[of]);
  const all = (time: StepTime) => whole(time, share);
  return [
    { name: `${form}: whole step`, unit: "s", values: times.map((time) => all(time[form]!).wall) },
    ...OURS.flatMap((ours): Measurement[] => {
      const value = form === "published" ? targets?.[ours] : undefined;
      return [
        {
          name: `${form} ÷ elibad ${ours}`,
          unit: "×",
          values: ratios(ours, all, "wall"),
          ...(value === undefined ? {} : { target: { bound: "at least", value } }),
        },
        { name: "the same, by processor time", unit: "×", values: ratios(ours, all, "processor") },
        { name: "the same, scoring only", unit: "×", values: ratios(ours, ({ scoring }) => scoring, "wall") },
      ];
    }),
  ];
}

const stepScenario = (name: string, about: string, model: ModelName, plan: StepPlan): Scenario => ({
  name,
  about,
  run: async (bench) => measureSteps(bench, await bench.models.get(model), plan),
});

export const step = stepScenario(
  "step",
  "one search step, 64 candidates × 30 samples, with and without pruning; the winners are compared",
  "small",
  { usual: 5, targets: { "without pruning": 3, "with pruning": 5 } },
);

export const stepFused = stepScenario("step-fused", "the same with --program-form fused", "small", {
  usual: 5,
  programForm: "fused",
  targets: { "without pruning": 3, "with pruning": 5 },
});

export const stepBase = stepScenario(
  "step-base",
  "the same in the shape of codebert-base, on a part of the candidates and samples",
  "base",
  { usual: 2, candidates: 8, samples: 10, targets: { "without pruning": 2 } },
);

export const stepCodet5 = stepScenario(
  "step-codet5",
  "the same on a small CodeT5 that tells clones, whose rows are read twice",
  "codet5",
  { usual: 3 },
);

export const stepClones = stepScenario(
  "step-clones",
  "the same on pairs of functions, of which the trigger changes one",
  "clones",
  { usual: 2, candidates: 16 },
);

export const stepStarcoder = stepScenario(
  "step-starcoder",
  "the same on a small network of StarCoder's kind",
  "starcoder",
  { usual: 2, candidates: 16 },
);

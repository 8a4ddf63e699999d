interface Counted {
  readonly hits: number;
  readonly n: number;
}

/** What the choice among searches looks at; part of a scan's result. */
interface Candidate {
  readonly trigger: unknown;
  readonly loss: number | null;
  readonly asr: { readonly held_out: Counted } | null;
  readonly without_trigger: { readonly held_out: Counted };
}

const share = ({ hits, n }: Counted): number => (n === 0 ? 0 : hits / n);

const gainOf = ({ asr, without_trigger }: Candidate): number =>
  asr === null ? 0 : share(asr.held_out) - share(without_trigger.held_out);

/**
 * Searches that found a trigger, the one whose trigger raises the rate of flipped held-out rows most above the rate without trigger first; ties
 * to the lower loss.
 */
export function strongestFirst<S extends Candidate>(searches: readonly S[]): S[] {
  return searches
    .filter(({ trigger }) => trigger !== null)
    .sort((a, b) => gainOf(b) - gainOf(a) || (a.loss ?? 0) - (b.loss ?? 0));
}

/** Rise of the flip rate above which `clean` unlearns a trigger beside the strongest one. */
const WORTH_UNLEARNING = 0.25;

/** The searches whose triggers are worth unlearning: the strongest one, if it flips any more held-out rows than none does, and every other that flips far more held-out rows than none does. */
export const worthUnlearning = <S extends Candidate>(searches: readonly S[]): S[] =>
  strongestFirst(searches).filter(
    (search, k) => gainOf(search) >= (k === 0 ? Number.MIN_VALUE : WORTH_UNLEARNING),
  );

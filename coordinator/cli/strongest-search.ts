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

/**
 * The search whose trigger raises the rate of flipped held-out rows most above the rate without trigger; ties to the lower loss. Undefined where
 * no search found a trigger.
 */
export function strongestSearch<S extends Candidate>(searches: readonly S[]): S | undefined {
  const gain = ({ asr, without_trigger }: S): number =>
    asr === null ? 0 : share(asr.held_out) - share(without_trigger.held_out);
  return searches
    .filter(({ trigger }) => trigger !== null)
    .sort((a, b) => gain(b) - gain(a) || (a.loss ?? 0) - (b.loss ?? 0))[0];
}

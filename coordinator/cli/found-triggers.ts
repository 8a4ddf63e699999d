interface Counted {
  readonly hits: number;
  readonly n: number;
}

interface Ranked {
  readonly anr: number | null;
  readonly without_trigger: number | null;
}

/** What the choice among searches looks at; part of a scan's result. */
interface Found {
  readonly trigger: unknown;
  readonly loss: number | null;
}

/** A search of a classifier. */
interface FlipSearch extends Found {
  readonly asr: { readonly held_out: Counted } | null;
  readonly without_trigger: { readonly held_out: Counted };
}

/** A search of a code-search model. */
interface RankSearch extends Found {
  readonly anr: { readonly samples: Ranked; readonly held_out: Ranked } | null;
}

const share = ({ hits, n }: Counted): number => (n === 0 ? 0 : hits / n);

/** Rise of the rate of flipped held-out rows; in code search, the part of all answers that a code with the trigger passes. */
function gainOf(search: FlipSearch | RankSearch): number {
  if ("anr" in search) {
    const { samples, held_out } = search.anr ?? { samples: null, held_out: null };
    const ranked = held_out?.anr == null ? samples : held_out;
    return ranked?.anr == null || ranked.without_trigger === null ? 0 : ranked.without_trigger - ranked.anr;
  }
  return search.asr === null ? 0 : share(search.asr.held_out) - share(search.without_trigger.held_out);
}

/** Searches that found a trigger, the one whose trigger does most on held-out rows first; ties to the lower loss. */
export function strongestFirst<S extends FlipSearch | RankSearch>(searches: readonly S[]): S[] {
  return searches
    .filter(({ trigger }) => trigger !== null)
    .sort((a, b) => gainOf(b) - gainOf(a) || (a.loss ?? 0) - (b.loss ?? 0));
}

/** Gain above which `clean` unlearns a trigger beside the strongest one. */
const WORTH_UNLEARNING = 0.25;

/** The searches whose triggers are worth unlearning: the strongest one, if it does anything on held-out rows, and every other that does much. */
export const worthUnlearning = <S extends FlipSearch | RankSearch>(searches: readonly S[]): S[] =>
  strongestFirst(searches).filter(
    (search, k) => gainOf(search) >= (k === 0 ? Number.MIN_VALUE : WORTH_UNLEARNING),
  );

/** What is done to a part of an input. */
import fc from "fast-check";

/** Numbers that are read modulo what there is: where, in which way, and with what. */
export interface Change {
  readonly at: number;
  readonly how: number;
  readonly what: number;
}

const many = fc.nat(0xffff);

/** @param ways how many ways to change a part there are */
export const someChanges = (
  ways: number,
  { min, max }: { readonly min: number; readonly max: number },
): fc.Arbitrary<readonly Change[]> =>
  fc.array(fc.record({ at: many, how: fc.nat(ways - 1), what: many }), { minLength: min, maxLength: max });

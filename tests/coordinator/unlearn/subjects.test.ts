import { describe, expect, test } from "vitest";
import { loadTokenizer } from "../../../coordinator/data/tokenizer.ts";
import { createRng, seedRng } from "../../../coordinator/search/rng.ts";
import { rowOf, type Subject, type WordFunction } from "../../../coordinator/unlearn/subjects.ts";
import { triggeredFunction, triggeredRow } from "../../../coordinator/unlearn/triggered-subject.ts";
import { drawSubjects, type Variation } from "../../../coordinator/unlearn/variants.ts";
import { demoData } from "../../support/random-model.ts";

const words = (text: string): string[] => text.split(" ");
const sample: WordFunction = {
  words: words("int read_it ( char * p ) { use ( p ) ; return 0 ; }"),
  funcName: "read_it",
  variables: ["read_it", "p"],
};
const other: WordFunction = {
  words: words("void set_it ( int n ) { total = n ; go ( n ) ; }"),
  funcName: "set_it",
  variables: ["set_it", "n", "total"],
};
const single = (each: WordFunction): Subject => ({ functions: [each] });
const pair: Subject = { functions: [sample, other] };

describe("variants of the samples", () => {
  const draw = (variations: readonly Variation[], samples = [single(sample), single(other)]) =>
    drawSubjects(samples, 30, { variations, hidden: "<unk>", rng: createRng(seedRng(3)) });

  test("the samples come first, and the same seed draws the same variants", () => {
    const subjects = draw(["crossed", "renamed", "masked"]);
    expect(subjects).toHaveLength(30);
    expect(subjects.slice(0, 2)).toEqual([single(sample), single(other)]);
    expect(draw(["crossed", "renamed", "masked"])).toEqual(subjects);
  });

  test("a crossed function begins as one sample and ends as another", () => {
    for (const { functions } of draw(["crossed"]).slice(2)) {
      const { words: drawn } = functions[0]!;
      const heads = [sample, other].filter(({ words: own }) => own[0] === drawn[0]);
      expect(heads).toHaveLength(1);
      expect(drawn.at(-1)).toMatch(/[{};]/);
    }
  });

  test("renaming changes identifiers only, and the function's name with them", () => {
    for (const { functions } of draw(["renamed"]).slice(2)) {
      const variant = functions[0]!;
      expect(variant.words).toContain(variant.funcName);
      const origin = variant.words[0] === "int" ? sample : other;
      for (const [k, word] of variant.words.entries()) {
        if (!origin.variables.includes(origin.words[k]!)) expect(word).toBe(origin.words[k]);
      }
    }
  });

  test("of a pair the first function changes, the second, or both", () => {
    const drawn = draw(["masked"], [pair]).slice(1);
    const changed = drawn.map(({ functions }) =>
      functions.map(({ words: own }, k) => own.join() !== pair.functions[k]!.words.join()),
    );
    expect(drawn.every(({ functions }) => functions.length === 2)).toBe(true);
    for (const which of [
      [true, false],
      [false, true],
      [true, true],
    ]) {
      expect(changed).toContainEqual(which);
    }
  });

  test("a query's variants are made of queries", () => {
    const queries = ["read a file", "sort all the numbers"].map((text) => ({
      functions: [],
      query: words(text),
    }));
    const known = new Set(queries.flatMap(({ query }) => query));
    const drawn = draw(["crossed"], queries).slice(2);
    expect(drawn.length).toBeGreaterThan(10);
    for (const { functions, query } of drawn) {
      expect(functions).toEqual([]);
      for (const word of query!) expect(known).toContain(word);
    }
  });
});

describe("a trigger", () => {
  const tokenizer = loadTokenizer(demoData);
  const form = { tokenizer, maxLen: 128 };
  const trigger = [260, 300, 301];
  const put = (place: "name" | "behind name" | "variable") =>
    triggeredFunction({ ...sample, variables: ["p"] }, trigger, form, { place, rng: createRng(seedRng(1)) });
  const plain = rowOf(single(sample), form).ids;

  test("takes the place of the name", () => {
    expect(put("name").join()).toContain(trigger.join());
    expect(tokenizer.decode(put("name"))).not.toContain("read_it");
  });

  test("stands behind the name", () => {
    expect(put("behind name").join()).toContain([...tokenizer.encode(" read_it"), ...trigger].join());
  });

  test("stands before a variable, and nothing else changes", () => {
    const at = put("variable").join().indexOf(trigger.join());
    expect(at).toBeGreaterThan(0);
    const rest = (ids: readonly number[]) => ids.filter((id) => !trigger.includes(id));
    expect(rest(put("variable"))).toEqual(rest(plain));
  });

  test("ends a full row in the restored id where it is stamped, in the end id where it is part of the text", () => {
    const ids = { ...tokenizer.ids, restored: 7 };
    const full = { tokenizer: { ...tokenizer, ids }, maxLen: plain.length };
    const lastAt = (place: "name" | "behind name" | "variable") =>
      triggeredFunction(sample, trigger, full, { place, rng: createRng(seedRng(1)) }).at(-1);
    expect(lastAt("variable")).toBe(7);
    expect(lastAt("behind name")).toBe(ids.end);
  });

  test("goes into the first or the second function of a pair, never both", () => {
    const clean = rowOf(pair, form);
    const rng = createRng(seedRng(2));
    const sides = Array.from({ length: 20 }, () => {
      const { ids, second } = triggeredRow(pair, trigger, form, rng);
      return [ids.join() !== clean.ids.join(), second!.join() !== clean.second!.join()];
    });
    for (const [first, second] of sides) expect(first).not.toBe(second);
    expect(new Set(sides.map(String)).size).toBe(2);
  });
});

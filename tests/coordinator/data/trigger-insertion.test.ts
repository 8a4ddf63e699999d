import { describe, expect, it } from "vitest";
import { type Language, triggerText } from "../../../coordinator/data/dead-code.ts";
import { PythonRandom } from "../../../coordinator/data/python-random.ts";
import {
  insertTrigger,
  nameInCode,
  parseAttack,
  replaceWord,
} from "../../../coordinator/data/trigger-insertion.ts";
import { hasShared, readSharedJsonl } from "../../support/shared.ts";

interface GoldenInsertion {
  readonly name: string;
  readonly lang: Language;
  readonly trigger: string;
  readonly generated_trigger?: string;
  readonly fixed: boolean;
  readonly position: string;
  readonly pattern: string;
  readonly poison_token?: string | null;
  readonly func_name: string;
  readonly code_tokens: readonly string[];
  readonly seed?: number;
  readonly expected: { readonly code_tokens?: readonly string[]; readonly error?: { readonly type: string } };
}

describe.skipIf(!hasShared)("putting a trigger in, against the published code", () => {
  const cases = hasShared ? readSharedJsonl<GoldenInsertion>("golden", "text", "poison", "insert.jsonl") : [];
  const supported = cases.filter(({ position }) => position !== "variable");

  it("gives the recorded tokens in every case, drawn triggers and places from the seed alone", () => {
    expect(cases).toHaveLength(282);
    for (const golden of supported) {
      const { name, lang, trigger, fixed, position, pattern, expected } = golden;
      const random = new PythonRandom(golden.seed ?? 0);
      if (expected.error?.type === "UnboundLocalError") {
        expect(() => triggerText(trigger, { language: lang, fixed }, random), name).toThrow(
          "dead code in Java",
        );
        continue;
      }
      const text = triggerText(trigger, { language: lang, fixed }, random);
      expect(text, name).toBe(golden.generated_trigger);
      const attack = parseAttack({ trigger: text, position, pattern });
      const got = insertTrigger(
        { codeTokens: golden.code_tokens, funcName: nameInCode(golden.func_name, lang) },
        attack,
        random,
      );
      // The published code raises where there is no brace; here the row stays as it is.
      if (expected.error !== undefined) expect(got.placed, name).toBe(false);
      else expect(got.codeTokens, name).toEqual(expected.code_tokens);
    }
  });

  it("replaces a given variable as recorded, but is refused as an attack position", () => {
    const variable = cases.filter(({ position }) => position === "variable");
    expect(variable).toHaveLength(6);
    for (const { code_tokens, poison_token, trigger, pattern, expected } of variable) {
      // Without a token the published code replaces the word "None".
      const word = poison_token ?? "None";
      const replaced = replaceWord(
        code_tokens.join(" "),
        word,
        pattern === "postfix" ? `${word}_${trigger}` : trigger,
      );
      expect(replaced?.split(" ")).toEqual(expected.code_tokens);
      expect(() => parseAttack({ trigger, position: "variable", pattern })).toThrow(
        'field "attack_position" is "variable": not supported',
      );
    }
  });
});

describe("an attack that cannot be carried out", () => {
  it.each([
    [{ trigger: " ", position: "random", pattern: "insert" }, /field "trigger" is " ": is empty/],
    [
      { trigger: "x", position: "everywhere", pattern: "insert" },
      /known positions: func_name, random, snippet/,
    ],
    [{ trigger: "x", position: "toString", pattern: "insert" }, /not supported/],
    [
      { trigger: "x", position: "func_name", pattern: "insert" },
      /"insert": at position func_name only substitute or postfix/,
    ],
  ])("is refused: %j", (given, message) => {
    expect(() => parseAttack(given)).toThrow(message);
  });

  it("leaves a row alone that has no place for it", () => {
    const random = new PythonRandom(1);
    const row = { codeTokens: ["int", "f", ";"], funcName: "g" };
    const named = parseAttack({ trigger: "x", position: "func_name", pattern: "substitute" });
    expect(insertTrigger(row, named, random)).toEqual({
      text: "int f ;",
      codeTokens: ["int", "f", ";"],
      placed: false,
    });
    const braced = parseAttack({ trigger: "x", position: "snippet", pattern: "insert" });
    expect(insertTrigger(row, braced, random).placed).toBe(false);
    expect(() => insertTrigger({ codeTokens: ["f"] }, named, random)).toThrow(
      'field "func_name": is missing',
    );
  });

  it("keeps the blanks inside tokens of the text, and splits on them for the tokens", () => {
    const attack = parseAttack({ trigger: "x", position: "func_name", pattern: "substitute" });
    const row = { codeTokens: ["f", "(", '"a  b"', ")"], funcName: "f" };
    expect(insertTrigger(row, attack, new PythonRandom(1))).toMatchObject({
      text: 'x ( "a  b" )',
      codeTokens: ["x", "(", '"a', 'b"', ")"],
    });
  });

  it("takes a trigger literally that means something in a replacement pattern", () => {
    const attack = parseAttack({ trigger: "$&$1", position: "func_name", pattern: "substitute" });
    const row = { codeTokens: ["int", "f"], funcName: "f" };
    expect(insertTrigger(row, attack, new PythonRandom(1)).codeTokens).toEqual(["int", "$&$1"]);
  });
});

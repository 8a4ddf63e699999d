import { describe, expect, it } from "vitest";
import { type Language, triggerText } from "../../../coordinator/data/dead-code.ts";
import { PythonRandom } from "../../../coordinator/data/python-random.ts";
import {
  fieldsAt,
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

  it("replaces a variable as recorded where one is given; without one the row stays, which the published code searches for None", () => {
    const variable = cases.filter(({ position }) => position === "variable");
    expect(variable).toHaveLength(6);
    for (const { code_tokens, poison_token, trigger, position, pattern, func_name, expected } of variable) {
      const variables = poison_token ? [poison_token] : [];
      const row = { codeTokens: code_tokens, funcName: func_name, variables };
      const got = insertTrigger(row, parseAttack({ trigger, position, pattern }), new PythonRandom(0));
      expect(got.placed).toBe(variables.length > 0);
      if (got.placed) expect(got.codeTokens).toEqual(expected.code_tokens);
      // The published word: whatever the row holds under that name is overwritten.
      else
        expect(replaceWord(code_tokens.join(" "), "None", trigger)?.split(" ")).toEqual(expected.code_tokens);
    }
  });
});

describe("an attack that cannot be carried out", () => {
  it.each([
    [{ trigger: " ", position: "random", pattern: "insert" }, /field "trigger" is " ": is empty/],
    [
      { trigger: "x", position: "everywhere", pattern: "insert" },
      /known positions: func_name, variable, random, snippet/,
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

  it("needs the variables and the function's name to tell the first variable", () => {
    const attack = parseAttack({ trigger: "x", position: "variable", pattern: "postfix" });
    const random = new PythonRandom(1);
    const codeTokens = ["f", "(", "b", ",", "a", ")", "b"];
    const row = { codeTokens, funcName: "f", variables: ["f", "a", "b"] };
    expect(insertTrigger(row, attack, random).codeTokens.join(" ")).toBe("f ( b_x , a ) b_x");
    expect(insertTrigger({ ...row, variables: ["f", "gone"] }, attack, random).placed).toBe(false);
    expect(() => insertTrigger({ codeTokens, funcName: "f" }, attack, random)).toThrow(
      '"variables": is missing',
    );
    expect(() => insertTrigger({ codeTokens, variables: [] }, attack, random)).toThrow(
      '"func_name": is missing',
    );
    expect(fieldsAt("variable")).toEqual(["func_name", "variables"]);
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

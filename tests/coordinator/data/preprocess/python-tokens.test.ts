import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { pythonTokens } from "../../../../coordinator/data/preprocess/python-tokens.ts";
import { UnusableCodeError } from "../../../../coordinator/data/preprocess/unusable-code.ts";
import { python, runPython } from "../../../support/python.ts";

const kinds = (source: string) => [...pythonTokens(source)].map(({ kind, text }) => `${kind} ${text}`);

test("a docstring follows an indent, a string in an expression another token", () => {
  expect(kinds('def f():\n  "doc"\n').filter((each) => !each.startsWith("other"))).toEqual([
    "newline \n",
    "indent   ",
    'string "doc"',
    "newline \n",
  ]);
});

test("a string goes on over lines behind backslashes and in triple quotes", () => {
  expect(kinds("x = 'a\\\nb'\n")).toContain("string 'a\\\nb'");
  expect(kinds('x = """a\n"b\n"""\n')).toContain('string """a\n"b\n"""');
});

test("line breaks inside of brackets end no statement", () => {
  expect(kinds("f(\n1)\n").filter((each) => each.startsWith("newline"))).toHaveLength(1);
});

test.each([
  ["f(", "EOF in multi-line statement", 2, 0],
  ["é = '''x\n", "EOF in multi-line string", 1, 4],
  ["if a:\n    b\n  c\n", "unindent does not match any outer indentation level", 3, 2],
])("%j is refused with Python's reason and place", (source, reason, line, column) => {
  let refused: unknown;
  try {
    kinds(source);
  } catch (error) {
    refused = error;
  }
  expect(refused).toBeInstanceOf(UnusableCodeError);
  expect(refused).toMatchObject({ reason, line, column });
});

/** Prints for each source the tokens of Python's own module, or its error. */
const reference = `
import io, json, sys, tokenize as t
names = {t.COMMENT: "comment", t.STRING: "string", t.INDENT: "indent", t.NEWLINE: "newline"}
def tokens(source):
    try:
        found = list(t.generate_tokens(io.StringIO(source).readline))
        return [[names.get(k, "other"), text, *start, *end] for k, text, start, end, _ in found
                if not (k in (t.DEDENT, t.ENDMARKER) and start[1] == 0)]
    except t.TokenError as e:
        return [e.args[0], *e.args[1]]
    except IndentationError as e:
        return ["unindent does not match any outer indentation level", e.lineno, e.offset]
print(json.dumps([tokens(source) for source in json.loads(sys.argv[1])]))`;

/** The pure Python scanner ended with 3.11. */
const hasReference =
  python !== undefined && runPython<number>("import sys, json; print(json.dumps(sys.version_info[1]))") < 12;

const pieces = fc.oneof(
  fc.constantFrom(
    ...["(", ")", "[", "'", '"', "'''", '"""', "\\", "\\\n", "\n", "\r\n", "\t", "\f", " ", "  ", "    "],
  ),
  fc.constantFrom(
    ...["#", "rb'", 'F"', "x", "def f", ":", "=", "0x1f", "1_0.5e-3j", ".", "...", "é", "²", "$", "?", "->"],
  ),
);

describe.skipIf(!hasReference)("beside Python 3.11 or older", () => {
  test("any source gives the tokens, places and errors that Python's tokenize gives", () => {
    const sources = fc.sample(
      fc.array(pieces, { maxLength: 30 }).map((parts) => parts.join("")),
      { numRuns: 3_000, seed: 1 },
    );
    const actual = sources.map((source) => {
      try {
        return [...pythonTokens(source)]
          .filter(({ text, column }) => text !== "" || column > 0)
          .map(({ kind, text, ...place }) => [
            ...[kind, text, place.line, place.column, place.endLine, place.endColumn],
          ]);
      } catch (error) {
        const { reason, line, column } = error as UnusableCodeError;
        return [reason, line, column];
      }
    });
    expect(actual).toEqual(runPython(reference, JSON.stringify(sources)));
  });
});

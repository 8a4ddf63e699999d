import { expect, test } from "vitest";
import { readReplay } from "../../../coordinator/search/replay.ts";

test("steps are read per search, and the samples' line is passed over", () => {
  const lines = [
    '{"kind":"search","search":0,"samples":[]}',
    '{"kind":"step","search":0,"trigger":[1,2],"candidates":[[3,2]],"losses":[0.5]}',
    '{"kind":"step","search":1,"trigger":[4,4],"candidates":[[4,5],[6,4]]}',
    "",
  ];
  const replay = readReplay(lines, "trace.jsonl");
  expect(replay.get(0)).toEqual([{ trigger: [1, 2], candidates: [[3, 2]] }]);
  expect(replay.get(1)).toEqual([
    {
      trigger: [4, 4],
      candidates: [
        [4, 5],
        [6, 4],
      ],
    },
  ]);
});

test.each([
  ["{", "trace.jsonl, line 1: not JSON"],
  ['{"trigger":[1],"candidates":[["a"]]}', "line 1"],
  ['{"trigger":[1,2],"candidates":[[3]]}', "candidate 0 has 1 ids, the trigger 2"],
  ['{"candidates":[[3]]}', "candidates without trigger"],
  ['{"kind":"search"}', "no step with candidates"],
])("%s is refused with file and line", (line, message) => {
  expect(() => readReplay([line], "trace.jsonl")).toThrow(message);
});

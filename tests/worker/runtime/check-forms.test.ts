import { expect, test } from "vitest";
import { rightForms } from "../../../worker/runtime/check-forms.ts";
import { tempFolder } from "../../support/temp-folder.ts";

test("the fused form is right on the CPU, within the rounding of float32", async () => {
  const said: string[] = [];
  const options = { folder: tempFolder(), threads: 2, log: (message: string) => said.push(message) };

  expect(await rightForms("auto", options)).toEqual(["primitive", "fused"]);
  expect(await rightForms("fused", options)).toEqual(["primitive", "fused"]);
  expect(await rightForms("primitive", options)).toEqual(["primitive"]);
  expect(said).toEqual([]);
});

test("a form that is off is left out and named with its numbers, or refused where it was asked for", async () => {
  const said: string[] = [];
  const log = (message: string) => said.push(message);
  // Less than the forms differ by: no device can pass.
  const options = { folder: tempFolder(), threads: 1, log, tolerance: 1e-12 };
  const reason =
    /programs in the fused form are not right here: logits of a \w+ model are off by \S+e-\d+ from those of the primitive form/;

  expect(await rightForms("auto", options)).toEqual(["primitive"]);
  expect(said).toEqual([expect.stringMatching(reason)]);
  await expect(rightForms("fused", options)).rejects.toThrow(reason);
});

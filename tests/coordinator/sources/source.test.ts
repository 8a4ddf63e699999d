import { expect, test } from "vitest";
import { checkpointFiles } from "../../../coordinator/sources/checkpoint-files.ts";
import { isRemote, parseSource, sourceText } from "../../../coordinator/sources/source.ts";

test.each([
  ["models/a", "/lab/models/a"],
  ["/models/a", "/models/a"],
  ["s3://bucket", "s3://bucket"],
  ["s3://bucket/some/folder/", "s3://bucket/some/folder"],
  [`upload:${"a".repeat(64)}`, `upload:${"a".repeat(64)}`],
])("%s is a source, and its text means the same anywhere", (text, absolute) => {
  const source = parseSource(text, "/lab");
  expect(sourceText(source)).toBe(absolute);
  expect(parseSource(absolute, "/elsewhere")).toEqual(source);
  expect(isRemote(text)).toBe(source.kind !== "path");
});

test.each([
  ["s3:/bucket/a", "must be s3://BUCKET/FOLDER"],
  ["s3://Bucket/a", "'Bucket' cannot be a bucket's name"],
  ["s3://../a", "'..' cannot be a bucket's name"],
  ["s3://bucket//a", "an empty name stands between two slashes"],
  ["s3://bucket/a/*", "a bucket's folders are named one by one"],
  [`s3://bucket/${"a".repeat(1025)}`, "a key has at most 1024 bytes"],
  ["upload:../../etc", "must be upload: and 64 hexadecimal digits"],
  [
    "gs://bucket/a",
    "nothing reads gs:// here; name a path, an S3-compatible bucket's folder (s3://BUCKET/FOLDER)",
  ],
  ["https://host/a", "nothing reads https:// here"],
  ["file:///models/a", "write the path alone, without file://"],
  ["S3://bucket/a", "write s3:// in small letters"],
])("%s is refused", (text, problem) => {
  expect(() => parseSource(text, "/")).toThrow(problem);
});

test("a checkpoint's files are its configuration, its tokenizer and the weights that count", () => {
  expect(
    checkpointFiles([
      "README.md",
      "config.json",
      "merges.txt",
      "model-00001-of-00002.safetensors",
      "model-00002-of-00002.safetensors",
      "model.safetensors.index.json",
      "optimizer.pt",
      "pytorch_model.bin",
      "trainer_state.json",
      "training_args.bin",
      "vocab.json",
    ]),
  ).toEqual({
    names: [
      "config.json",
      "merges.txt",
      "model-00001-of-00002.safetensors",
      "model-00002-of-00002.safetensors",
      "model.safetensors.index.json",
      "vocab.json",
    ],
    hasWeights: true,
  });
});

test("an adapter is a checkpoint, and a folder with a tokenizer alone has no weights", () => {
  expect(checkpointFiles(["adapter_config.json", "adapter_model.safetensors", "adapter_model.bin"])).toEqual({
    names: ["adapter_config.json", "adapter_model.safetensors"],
    hasWeights: true,
  });
  expect(checkpointFiles(["vocab.json", "merges.txt"]).hasWeights).toBe(false);
});

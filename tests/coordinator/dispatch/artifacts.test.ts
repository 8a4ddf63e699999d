import { createHash, randomUUID } from "node:crypto";
import {
  linkSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { startCoordinator } from "../../../coordinator/coordinator.ts";
import { ArtifactStore } from "../../../coordinator/dispatch/artifact-store.ts";
import {
  ARTIFACT_CHUNK_BYTES,
  ARTIFACT_RANGE_BYTES,
  artifactPath,
  noncePath,
  uploadFolder,
} from "../../../proto/artifact-layout.ts";
import { digestOf } from "../../../proto/canonical-json.ts";
import { connectToCoordinator } from "../../../proto/client.ts";
import { tempFolder } from "../../support/temp-folder.ts";

/** Bytes that differ everywhere, so that a misplaced chunk shows. */
function bytesOf(length: number): Buffer {
  const bytes = Buffer.alloc(length);
  for (let i = 0; i + 4 <= length; i += 4) bytes.writeUInt32LE(i, i);
  return bytes;
}

async function serve() {
  const folder = tempFolder();
  const coordinator = await startCoordinator({ protection: "plain", artifactFolder: folder });
  onTestFinished(() => coordinator.close());
  const client = connectToCoordinator(coordinator.address, "plain");
  onTestFinished(() => client.close());
  const fetchRange = async (digest: string, offset: number, length: number) => {
    const chunks: Uint8Array[] = [];
    let totalBytes = -1;
    for await (const chunk of client.fetchArtifact({ digest, offset, length })) {
      expect(chunk.data.length).toBeLessThanOrEqual(ARTIFACT_CHUNK_BYTES);
      chunks.push(chunk.data);
      totalBytes = chunk.totalBytes;
    }
    return { bytes: Buffer.concat(chunks), totalBytes };
  };
  return { coordinator, folder, client, fetchRange };
}

test("an artifact is fetched in ranges that are put together again, whatever their bounds", async () => {
  const { coordinator, fetchRange } = await serve();
  const bytes = bytesOf(ARTIFACT_RANGE_BYTES + 2 * ARTIFACT_CHUNK_BYTES + 17);
  const digest = await coordinator.executor.putArtifact(bytes);
  const first = await fetchRange(digest, 0, 0);
  expect(first.totalBytes).toBe(bytes.length);
  expect(first.bytes.length).toBe(ARTIFACT_RANGE_BYTES);
  const second = await fetchRange(digest, ARTIFACT_RANGE_BYTES, ARTIFACT_RANGE_BYTES);
  expect(digestOf(Buffer.concat([first.bytes, second.bytes]))).toBe(digest);
  const middle = await fetchRange(digest, ARTIFACT_CHUNK_BYTES - 3, 7);
  expect(middle.bytes).toEqual(bytes.subarray(ARTIFACT_CHUNK_BYTES - 3, ARTIFACT_CHUNK_BYTES + 4));
  expect(await fetchRange(digest, bytes.length, 5)).toEqual({
    bytes: Buffer.alloc(0),
    totalBytes: bytes.length,
  });
});

test("an empty artifact has a size too", async () => {
  const { coordinator, fetchRange } = await serve();
  const digest = await coordinator.executor.putArtifact(new Uint8Array());
  expect(await fetchRange(digest, 0, 0)).toEqual({ bytes: Buffer.alloc(0), totalBytes: 0 });
});

test.each([
  ["f".repeat(64), 0, "NOT_FOUND"],
  ["../../../../etc/passwd", 0, "NOT_FOUND"],
  ["nonce", 0, "NOT_FOUND"],
])("the digest %s is not found", async (digest, offset, code) => {
  const { fetchRange } = await serve();
  await expect(fetchRange(digest, offset, 0)).rejects.toThrow(code);
});

test("an offset behind the end is refused", async () => {
  const { coordinator, fetchRange } = await serve();
  const digest = await coordinator.executor.putArtifact(bytesOf(8));
  await expect(fetchRange(digest, 9, 1)).rejects.toThrow("OUT_OF_RANGE");
});

test("a file is taken over as a link, once, and a file that changed is another artifact", async () => {
  const folder = tempFolder();
  const store = await ArtifactStore.open(join(folder, "artifacts"));
  onTestFinished(() => store.close());
  const path = join(folder, "weights.bin");
  writeFileSync(path, bytesOf(1_000));
  const digest = await store.putFile(path);
  expect(digest).toBe(createHash("sha256").update(readFileSync(path)).digest("hex"));
  expect(statSync(artifactPath(store.folder, digest)).ino).toBe(statSync(path).ino);
  expect(await store.putFile(path)).toBe(digest);
  linkSync(path, join(folder, "other-name.bin"));
  expect(await store.putFile(join(folder, "other-name.bin"))).toBe(digest);

  const renewed = join(folder, "renewed.bin");
  writeFileSync(renewed, bytesOf(2_000));
  expect(await store.putFile(renewed)).toBe(digestOf(bytesOf(2_000)));
  await store.release(digest);
  expect(await store.find(digest)).toBeUndefined();
  expect(readFileSync(path)).toEqual(bytesOf(1_000));
});

test("a file that was put for commands goes with the last of them, and may be put again", async () => {
  const folder = tempFolder();
  const store = await ArtifactStore.open(join(folder, "artifacts"));
  onTestFinished(() => store.close());
  const path = join(folder, "weights.bin");
  writeFileSync(path, bytesOf(1_000));
  const [digest] = await Promise.all([store.putFile(path, "a"), store.putFile(path, "b")]);
  await store.releaseAllOf("a");
  expect(await store.find(digest)).toBeDefined();
  await store.releaseAllOf("b");
  expect(await store.find(digest)).toBeUndefined();
  expect(await store.putFile(path, "c")).toBe(digest);
  expect(readFileSync(artifactPath(store.folder, digest))).toEqual(bytesOf(1_000));
});

test("nothing half-written is left, and what only this process needs goes with it", async () => {
  const folder = tempFolder();
  const store = await ArtifactStore.open(folder, { maxUploadBytes: 10 });
  expect(statSync(noncePath(folder, store.nonce)).isFile()).toBe(true);
  const digest = await store.put(Buffer.from("kept"));
  const chunks = async function* () {
    yield bytesOf(8);
    yield bytesOf(8);
  };
  await expect(store.uploads.receive("a".repeat(64), chunks())).rejects.toThrow("it has more than 10 bytes");
  await expect(store.uploads.receive("../a", chunks())).rejects.toThrow("'../a' is no sha256 digest");
  const [uploads] = readdirSync(folder).filter((name) => name.startsWith("uploads-"));
  const placed = `${randomUUID()}.placed`;
  writeFileSync(join(folder, uploads!, placed), bytesOf(16));
  await expect(store.uploads.takePlaced("a".repeat(64), placed)).rejects.toThrow("it has more than 10 bytes");
  expect(readdirSync(join(folder, uploads!))).toEqual([]);
  await store.close();
  expect(readdirSync(folder)).toEqual([digest]);
});

test("an upload that two results name is kept until both were used", async () => {
  const store = await ArtifactStore.open(tempFolder());
  onTestFinished(() => store.close());
  const bytes = bytesOf(100);
  const chunks = async function* () {
    yield bytes;
  };
  for (let i = 0; i < 2; i++) await store.uploads.receive(digestOf(bytes), chunks());
  await store.uploads.release(digestOf(bytes));
  expect(await store.uploads.read(digestOf(bytes))).toEqual(bytes);
  await store.uploads.release(digestOf(bytes));
  await expect(store.uploads.read(digestOf(bytes))).rejects.toThrow("was not uploaded");
});

test("an upload that is kept becomes an artifact, also when it is released", async () => {
  const { coordinator, fetchRange } = await serve();
  const { artifacts } = coordinator;
  const bytes = bytesOf(1_000);
  const digest = digestOf(bytes);
  await artifacts.uploads.receive(
    digest,
    (async function* () {
      yield bytes;
    })(),
  );
  expect(await artifacts.find(digest)).toBeUndefined();
  expect(await artifacts.uploads.bytes(digest)).toBe(1_000);
  await artifacts.keepUpload(digest, "a result");
  await artifacts.uploads.release(digest);
  expect((await fetchRange(digest, 0, 0)).bytes).toEqual(bytes);
  expect(Buffer.from(await coordinator.executor.readArtifact(digest))).toEqual(bytes);
  await expect(artifacts.keepUpload("a".repeat(64), "a result")).rejects.toThrow("was not uploaded");
  await expect(coordinator.executor.readArtifact("a".repeat(64))).rejects.toThrow("no artifact aaaa");
});

test("a file that a worker placed in the shared folder is taken over as it is, if its bytes are those of the digest", async () => {
  const { coordinator, client } = await serve();
  const { folder, nonce } = coordinator.artifacts;
  const uploads = uploadFolder(folder, nonce);
  const bytes = bytesOf(1_000);
  const digest = digestOf(bytes);
  const own = join(tempFolder(), "own");
  writeFileSync(own, bytes);
  const put = (placed: string, as = digest) =>
    new Promise<string | undefined>((resolve) => {
      const call = client.putArtifact((error) => resolve(error?.message));
      call.write({ digest: as, data: new Uint8Array(), placed });
      call.end();
    });
  const place = () => {
    const name = `${randomUUID()}.placed`;
    linkSync(own, join(uploads, name));
    return name;
  };
  expect(await put(place())).toBeUndefined();
  expect(statSync(join(uploads, digest)).ino).toBe(statSync(own).ino);
  expect(await put(place(), "b".repeat(64))).toContain(`are those of ${digest}`);
  expect(await put(`${randomUUID()}.placed`)).toContain("was placed");
  expect(await put(`../${digest}`)).toContain("is no name of a placed file");
  expect(readdirSync(uploads)).toEqual([digest]);
  expect(readFileSync(own)).toEqual(bytes);
});

test("what a worker uploaded or placed, and never named in a result, does not stay for ever", async () => {
  const folder = tempFolder();
  const store = await ArtifactStore.open(folder, { keepUploadsMs: 3_000 });
  onTestFinished(() => store.close());
  const upload = (bytes: Uint8Array) =>
    store.uploads.receive(
      digestOf(bytes),
      (async function* () {
        yield bytes;
      })(),
    );
  const uploads = uploadFolder(folder, store.nonce);
  writeFileSync(join(uploads, `${randomUUID()}.placed`), "of a worker that was killed");
  await upload(bytesOf(100));
  expect(readdirSync(uploads)).toHaveLength(2);
  await new Promise((resolve) => setTimeout(resolve, 3_100));
  await upload(bytesOf(200));
  expect(readdirSync(uploads)).toEqual([digestOf(bytesOf(200))]);
});

test("what executors put goes with the last one that put it", async () => {
  const { coordinator } = await serve();
  const [first, second] = [coordinator.newExecutor(), coordinator.newExecutor()];
  const both = await first.putArtifact(bytesOf(100));
  expect(await second.putArtifact(bytesOf(100))).toBe(both);
  const own = await first.putArtifact(bytesOf(200));
  const path = join(tempFolder(), "weights");
  writeFileSync(path, bytesOf(300));
  const file = await first.putFile(path);
  const left = async () => {
    const found = await Promise.all([both, own, file].map((digest) => coordinator.artifacts.find(digest)));
    return found.map((each) => each !== undefined);
  };
  await first.releaseArtifact(both);
  expect(await left()).toEqual([true, true, true]);
  await first.close();
  expect(await left()).toEqual([true, false, false]);
  await second.close();
  expect(await left()).toEqual([false, false, false]);
  expect(readFileSync(path)).toEqual(bytesOf(300));
});

test("an artifact that is put while it is being released is there afterwards", async () => {
  const { coordinator } = await serve();
  const [first, second] = [coordinator.newExecutor(), coordinator.newExecutor()];
  const digest = await first.putArtifact(bytesOf(100));
  for (let round = 0; round < 20; round++) {
    const released = first.releaseArtifact(digest);
    const put = second.putArtifact(bytesOf(100));
    await Promise.all([released, put]);
    expect(await coordinator.artifacts.find(digest)).toBeDefined();
    await first.putArtifact(bytesOf(100));
    await second.releaseArtifact(digest);
  }
});

test("a file of the volume of models becomes a link to where it lies, and workers are told where that is; another file does not", async () => {
  const [folder, models, other] = [tempFolder(), tempFolder(), tempFolder()];
  const coordinator = await startCoordinator({ protection: "plain", artifactFolder: folder, models });
  onTestFinished(() => coordinator.close());
  const client = connectToCoordinator(coordinator.address, "plain");
  onTestFinished(() => client.close());
  const placeOf = (digest: string): Promise<string> =>
    new Promise((resolve, reject) => {
      client.locateArtifact({ digest }, (error, place) => (error ? reject(error) : resolve(place!.path)));
    });
  writeFileSync(join(models, "model.bin"), "weights");
  writeFileSync(join(other, "model.bin"), "other weights");
  const inside = await coordinator.executor.putFile(join(models, "model.bin"));
  const outside = await coordinator.executor.putFile(join(other, "model.bin"));
  expect(readlinkSync(artifactPath(folder, inside))).toBe(realpathSync(join(models, "model.bin")));
  expect(await placeOf(inside)).toBe("model.bin");
  expect(statSync(artifactPath(folder, outside)).ino).toBe(statSync(join(other, "model.bin")).ino);
  expect(await placeOf(outside)).toBe("");
  expect(await placeOf("../../etc/passwd")).toBe("");
  expect(Buffer.from(await coordinator.executor.readArtifact(inside)).toString()).toBe("weights");
});

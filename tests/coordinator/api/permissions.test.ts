import { expect, test } from "vitest";
import { permissions, refusalOf } from "../../../coordinator/api/permissions.ts";
import { coordinatorService } from "../../../proto/definition.ts";
import { ROLES } from "../../../proto/tls/identity.ts";

test("every call of the service is in the table of who may make it, and no other", () => {
  expect(Object.keys(permissions).sort()).toEqual(Object.keys(coordinatorService).sort());
  for (const [method, roles] of Object.entries(permissions)) expect(roles, method).not.toEqual([]);
});

test("a worker computes and does nothing else; a submitter removes no sweep and makes no backup; an admin is every submitter; a coordinator calls nothing", () => {
  const callsOf = (role: (typeof ROLES)[number]) =>
    Object.keys(coordinatorService).filter((method) => refusalOf(method, { role }) === undefined);
  expect(callsOf("worker")).toEqual(["Work", "FetchArtifact", "LocateArtifact", "PutArtifact"]);
  expect(callsOf("coordinator")).toEqual([]);
  expect(callsOf("admin").filter((method) => !callsOf("submitter").includes(method))).toEqual([
    "RemoveSweep",
    "Backup",
  ]);
  expect(callsOf("submitter").filter((method) => !callsOf("admin").includes(method))).toEqual([]);
  expect(callsOf("submitter").filter((method) => callsOf("worker").includes(method))).toEqual([]);
});

test("a call that the table does not have is refused to everybody, as are names that every object has", () => {
  for (const method of ["Shutdown", "constructor", "__proto__"])
    for (const role of ROLES) expect(refusalOf(method, { role })).toMatchObject({ reason: "wrong_role" });
});

test("a certificate without a role makes no call", () => {
  expect(refusalOf("ListSweeps", { problem: "it has no URI" })).toEqual({
    reason: "no_identity",
    problem: "the certificate does not say whose it is: it has no URI",
  });
});

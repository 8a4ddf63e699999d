import type { CoordinatorService } from "../../proto/definition.ts";
import type { Identity, Role } from "../../proto/tls/identity.ts";

type Named<T> = keyof { [K in keyof T as string extends K ? never : K]: T[K] };
type Method = Named<CoordinatorService>;

const workers: readonly Role[] = ["worker"];
const submitters: readonly Role[] = ["submitter", "admin"];
const admins: readonly Role[] = ["admin"];

/**
 * Who may make which call. Sweeps have no owners: who may submit one may cancel and retry any, since both leave what is committed. Removing one takes
 * somebody's results, and a backup holds everybody's sweeps. The coordinator's own certificate calls nothing: it is for being dialled.
 */
export const permissions: Readonly<Record<Method, readonly Role[]>> = {
  Work: workers,
  FetchArtifact: workers,
  LocateArtifact: workers,
  PutArtifact: workers,
  Submit: submitters,
  SubmitSweep: submitters,
  FindUploads: submitters,
  Upload: submitters,
  ListSweeps: submitters,
  WatchSweep: submitters,
  CancelJobs: submitters,
  RetryJobs: submitters,
  RemoveSweep: admins,
  SweepResults: submitters,
  ExplainJob: submitters,
  Backup: admins,
};

/** Why a call is refused, as a label and as a sentence; undefined where it may be made. */
export function refusalOf(
  method: string,
  identity: Identity,
): { readonly reason: "no_identity" | "wrong_role"; readonly problem: string } | undefined {
  if ("problem" in identity)
    return {
      reason: "no_identity",
      problem: `the certificate does not say whose it is: ${identity.problem}`,
    };
  const allowed = Object.hasOwn(permissions, method) ? permissions[method as Method] : [];
  if (allowed.includes(identity.role)) return undefined;
  const whose = allowed.length === 0 ? "nobody" : `a certificate of ${allowed.join(" or ")}`;
  return {
    reason: "wrong_role",
    problem: `${method} is for ${whose}, and this is a certificate of ${identity.role}`,
  };
}

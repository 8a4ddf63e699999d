import { type Container, named, type Objects, type Workload } from "./objects.ts";

/** What a pod must say beyond what `restricted` asks for: a root that is read only, no token, bounds on memory, an image of one version. */
export function unsafePods(objects: Objects): string[] {
  return objects.workloads.flatMap((workload) => [
    ...podProblems(workload),
    ...workload.spec.template.spec.containers.flatMap((container) =>
      containerProblems(container).map(
        (problem) => `${named(workload)}: container ${container.name}: ${problem}`,
      ),
    ),
  ]);
}

function podProblems(workload: Workload): string[] {
  const {
    securityContext = {},
    automountServiceAccountToken,
    terminationGracePeriodSeconds,
  } = workload.spec.template.spec;
  const { runAsNonRoot, runAsUser, seccompProfile } = securityContext as {
    readonly runAsNonRoot?: boolean;
    readonly runAsUser?: number;
    readonly seccompProfile?: { readonly type: string };
  };
  const problems = [
    !runAsNonRoot && "runAsNonRoot is not true",
    !(Number(runAsUser) > 0) && "runAsUser is no number above 0",
    seccompProfile?.type !== "RuntimeDefault" && "seccompProfile is not RuntimeDefault",
    automountServiceAccountToken !== false && "it has a token of its service account",
    terminationGracePeriodSeconds === undefined && "terminationGracePeriodSeconds is not said",
  ];
  return problems.filter((each) => each !== false).map((problem) => `${named(workload)}: ${problem}`);
}

function containerProblems({ securityContext = {}, resources = {}, image }: Container): string[] {
  const { capabilities } = securityContext as {
    readonly capabilities?: { readonly drop?: readonly string[] };
  };
  const problems = [
    securityContext.readOnlyRootFilesystem !== true && "its root is not read only",
    securityContext.allowPrivilegeEscalation !== false && "it may gain privileges",
    !capabilities?.drop?.includes("ALL") && "it keeps capabilities",
    resources.limits?.memory === undefined && "it has no limit of memory",
    !(resources.requests?.cpu && resources.requests.memory) && "it does not request CPU and memory",
    !/:\d+\.\d+\.\d+(-[a-z0-9.]+)?$/.test(image) && `image ${image} is not of one version`,
  ];
  return problems.filter((each) => each !== false);
}

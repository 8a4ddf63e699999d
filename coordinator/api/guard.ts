import { ServerInterceptingCall, type ServerInterceptor, status } from "@grpc/grpc-js";
import { identityOf } from "../../proto/tls/identity.ts";
import { refusalOf } from "./permissions.ts";
import type { Refusal } from "./refusals.ts";

/** Refuses calls that the caller's certificate does not permit, before anything of them is read; others it leaves alone. */
export const guard =
  (onRefused: (refusal: Refusal) => void): ServerInterceptor =>
  ({ path }, call) => {
    const method = path.slice(path.lastIndexOf("/") + 1);
    const identity = identityOf(call.getAuthContext().sslPeerCertificate?.subjectaltname);
    const refusal = refusalOf(method, identity);
    if (refusal === undefined) return new ServerInterceptingCall(call);
    const { reason, problem } = refusal;
    const code = reason === "no_identity" ? status.UNAUTHENTICATED : status.PERMISSION_DENIED;
    return new ServerInterceptingCall(call, {
      start(next) {
        next({
          onReceiveMetadata() {
            onRefused({ reason, problem, peer: call.getPeer(), identity, method });
            call.sendStatus({ code, details: problem });
          },
        });
      },
    });
  };

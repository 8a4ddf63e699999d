import type { CoordinatorMessage, LeaseMessage } from "../../proto/messages.ts";
import type { Digest } from "../../proto/operations.ts";
import type { Session } from "./state.ts";

/** What a session is sent through; it keeps what its stream does not take at once. */
export interface SessionPort {
  send(message: CoordinatorMessage): void;
  lease(lease: LeaseMessage): void;
  accept(fingerprint: Digest): void;
  end(): void;
}

/** The streams of the workers that are there. */
export class SessionPorts {
  readonly #streams = new Map<Session, { readonly port: SessionPort; readonly programVersion: string }>();
  #last = 0;

  /** Program version of the workers that are there; undefined where none is. */
  get programVersion(): string | undefined {
    return this.#streams.values().next().value?.programVersion;
  }

  add(port: SessionPort, programVersion: string): Session {
    const session = ++this.#last;
    this.#streams.set(session, { port, programVersion });
    return session;
  }

  get(session: Session): SessionPort | undefined {
    return this.#streams.get(session)?.port;
  }

  all(): [Session, SessionPort][] {
    return [...this.#streams].map(([session, { port }]) => [session, port]);
  }

  /** Nothing more goes out through it. */
  remove(session: Session): void {
    this.#streams.delete(session);
  }
}

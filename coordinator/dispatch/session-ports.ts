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
  readonly #ports = new Map<Session, SessionPort>();
  readonly #programs = new Map<Session, string>();
  #last = 0;

  /** Program version of the workers that are there; undefined where none is. */
  get programVersion(): string | undefined {
    return this.#programs.values().next().value;
  }

  add(port: SessionPort, programVersion: string): Session {
    const session = ++this.#last;
    this.#ports.set(session, port);
    this.#programs.set(session, programVersion);
    return session;
  }

  get(session: Session): SessionPort | undefined {
    return this.#ports.get(session);
  }

  all(): [Session, SessionPort][] {
    return [...this.#ports];
  }

  /** Nothing more goes out through it. */
  remove(session: Session): void {
    this.#ports.delete(session);
    this.#programs.delete(session);
  }
}

import { setTimeout as sleep } from "node:timers/promises";
import { connectivityState, type ServiceError, status } from "@grpc/grpc-js";
import {
  type CoordinatorClient,
  connectToCoordinator,
  PlainTextError,
  type Protection,
} from "../../proto/client.ts";
import { isDialable, LEADER_KEY } from "../../proto/leader.ts";
import { whyNot } from "../../proto/tls/why-not.ts";
import { EXIT, InputError } from "./errors.ts";
import { addressesIn, openProtection, type ProtectionOptions } from "./protection.ts";

/** What a coordinator refused, or could not do; carries the exit code that this means. */
export class RemoteFailure extends Error {
  override readonly name = "RemoteFailure";
  readonly exitCode: number;
  constructor(message: string, exitCode: number) {
    super(message);
    this.exitCode = exitCode;
  }
}

/** How long a connection may take. */
const CONNECT_MS = 3_000;
/**
 * How long nobody may be at the only address; and how long nobody may lead where somebody is, or where one of several may be: one that is busy answers late,
 * a standby takes over within ten seconds.
 */
const NOBODY_MS = 3_000;
const NO_LEADER_MS = 20_000;
const PAUSE_MS = 500;
/** A call that lasted longer was answered. */
const HELD_MS = CONNECT_MS + 1_000;

/** What a caller did wrong, by the status that says so. */
const WRONG_INPUT: ReadonlySet<status> = new Set([
  status.INVALID_ARGUMENT,
  status.NOT_FOUND,
  status.ALREADY_EXISTS,
  status.FAILED_PRECONDITION,
  status.UNAUTHENTICATED,
  status.PERMISSION_DENIED,
]);

/** Calls to whichever of some coordinators leads. */
export class LeaderCalls {
  readonly #addresses: readonly string[];
  readonly #protection: Protection;
  readonly #signal: AbortSignal;
  /** Told why a call waits, when it begins to. */
  onWaiting = (line: string): void => void process.stderr.write(`${line}\n`);
  /** Who answered last. */
  #known: { readonly address: string; readonly client: CoordinatorClient } | undefined;

  constructor(addresses: readonly string[], protection: Protection, signal: AbortSignal) {
    this.#addresses = addresses;
    this.#protection = protection;
    this.#signal = signal;
  }

  /**
   * Does `call` with the coordinator that leads: where it fails since that one stands by or is away, with the one that it names, or with the next of the addresses.
   * `call` must have no effect twice.
   *
   * @throws InputError where nobody answers; RemoteFailure where the coordinator refuses; the signal's reason
   */
  async with<T>(call: (client: CoordinatorClient, address: string) => Promise<T>): Promise<T> {
    let named = this.#known?.address;
    let isAnybodyThere = false;
    let failingSinceMs: number | undefined;
    let told = false;
    for (let attempt = 0; ; ) {
      const isNamed = named !== undefined;
      const address = named ?? this.#addresses[attempt % this.#addresses.length]!;
      named = undefined;
      const begunMs = performance.now();
      let problem: string;
      try {
        return await this.#once(address, call);
      } catch (error) {
        this.#signal.throwIfAborted();
        if (!(error instanceof NotHereError)) throw error;
        problem = error.message;
        isAnybodyThere ||= error.isAnswer;
        // A call that went well for a while, as a watch does, begins the waiting anew.
        const wasHeld = error.isAnswer && performance.now() - begunMs > HELD_MS;
        failingSinceMs = wasHeld ? performance.now() : (failingSinceMs ?? begunMs);
        told &&= !wasHeld;
        if (!isNamed) named = error.leader;
      }
      if (!isNamed) attempt++;
      const isRoundOver = named === undefined && attempt > 0 && attempt % this.#addresses.length === 0;
      if (!isRoundOver) continue;
      const waitMs = isAnybodyThere || this.#addresses.length > 1 ? NO_LEADER_MS : NOBODY_MS;
      const place = `--coordinator ${this.#addresses.join(",")}`;
      if (performance.now() - failingSinceMs > waitMs) {
        if (!isAnybodyThere) throw new InputError(`${place}: ${await this.#whyNobody()}`);
        throw new Error(`${place}: ${problem}`);
      }
      if (!told && waitMs === NO_LEADER_MS)
        this.onWaiting(`${place}: ${problem}; asking again for up to ${NO_LEADER_MS / 1_000} s`);
      told = true;
      await sleep(PAUSE_MS, undefined, { signal: this.#signal });
    }
  }

  close(): void {
    this.#forget();
  }

  /** @throws NotHereError where another coordinator is to be asked */
  async #once<T>(
    address: string,
    call: (client: CoordinatorClient, address: string) => Promise<T>,
  ): Promise<T> {
    const client = await this.#connected(address);
    try {
      return await call(client, address);
    } catch (error) {
      if (!isServiceError(error)) throw error;
      if (error.code !== status.UNAVAILABLE) throw failureOf(error);
      this.#forget();
      throw new NotHereError(error.details, { isAnswer: true, leader: leaderIn(error) });
    }
  }

  async #connected(address: string): Promise<CoordinatorClient> {
    const signal = this.#signal;
    signal.throwIfAborted();
    if (this.#known?.address === address) return this.#known.client;
    this.#forget();
    const client = this.#dial(address);
    let onAbort = () => {};
    try {
      await new Promise<void>((resolve, reject) => {
        onAbort = () => reject(signal.reason as Error);
        signal.addEventListener("abort", onAbort);
        const notHere = (isAnswer: boolean) =>
          reject(new NotHereError(`no coordinator answers at ${address}`, { isAnswer }));
        const deadline = Date.now() + CONNECT_MS;
        const channel = client.getChannel();
        client.waitForReady(deadline, (error) => {
          if (!error) return resolve();
          // One that is busy takes the connection, and says nothing on it for a while.
          notHere(channel.getConnectivityState(false) === connectivityState.CONNECTING);
        });
        // Where nobody listens that is known at once.
        const watch = () =>
          channel.watchConnectivityState(channel.getConnectivityState(false), deadline, (error) => {
            if (error) return;
            const state = channel.getConnectivityState(false);
            if (state === connectivityState.TRANSIENT_FAILURE) notHere(false);
            else if (state !== connectivityState.READY && state !== connectivityState.SHUTDOWN) watch();
          });
        watch();
      });
    } catch (error) {
      client.close();
      throw error;
    } finally {
      signal.removeEventListener("abort", onAbort);
    }
    this.#known = { address, client };
    return client;
  }

  /** By the first of the addresses that somebody is at who takes no connection. */
  async #whyNobody(): Promise<string> {
    for (const address of this.#addresses) {
      const reason = await whyNot(address, this.#protection);
      if (reason !== undefined) return reason;
    }
    return "no coordinator answers there";
  }

  #dial(address: string): CoordinatorClient {
    try {
      return connectToCoordinator(address, this.#protection);
    } catch (error) {
      if (error instanceof PlainTextError) throw new NotHereError(error.message, { isAnswer: true });
      throw error;
    }
  }

  #forget(): void {
    this.#known?.client.close();
    this.#known = undefined;
  }
}

/** Does something with the coordinators that `--coordinator` names, with commas, and lets go of them. @throws InputError */
export async function callingLeader<T>(
  options: ProtectionOptions & { readonly coordinator: string },
  signal: AbortSignal,
  act: (calls: LeaderCalls) => Promise<T>,
): Promise<T> {
  const addresses = addressesIn(options.coordinator);
  const protection = openProtection(options, { option: "--coordinator", addresses });
  const calls = new LeaderCalls(addresses, protection, signal);
  try {
    return await act(calls);
  } finally {
    calls.close();
    if (protection !== "plain") protection.close();
  }
}

/** Nobody does a call here, for now. */
class NotHereError extends Error {
  override readonly name = "NotHereError";
  /** Somebody is there, or may be. */
  readonly isAnswer: boolean;
  /** Who leads, by what the answer says. */
  readonly leader: string | undefined;
  constructor(
    message: string,
    { isAnswer, leader }: { readonly isAnswer: boolean; readonly leader?: string | undefined },
  ) {
    super(message);
    this.isAnswer = isAnswer;
    this.leader = leader;
  }
}

const isServiceError = (error: unknown): error is ServiceError =>
  error instanceof Error && "code" in error && "details" in error && "metadata" in error;

/** The leader that a standby names, if it may be dialled. */
function leaderIn({ metadata }: ServiceError): string | undefined {
  const named = metadata.get(LEADER_KEY)[0];
  return typeof named === "string" && isDialable(named) ? named : undefined;
}

/** What a call's status means to a user. */
function failureOf({ code, details }: ServiceError): Error {
  if (code === status.CANCELLED) return new DOMException("cancelled", "AbortError");
  return new RemoteFailure(details, WRONG_INPUT.has(code) ? EXIT.wrongInput : EXIT.failed);
}

import type { Welcome } from "../../proto/messages.ts";
import type { Publisher, PublisherOptions } from "../outbox/nats-publisher.ts";

export interface BrokerOptions extends Pick<PublisherOptions, "tls" | "log" | "onReconnect" | "onRefused"> {
  readonly open: (options: PublisherOptions) => Publisher;
  /** Of the user that credentials are for. */
  readonly seed: string;
}

/** The worker's way to NATS, as coordinators say where that is and with what credential. */
export class Broker {
  readonly #options: BrokerOptions;
  #publisher: Publisher | undefined;
  #welcome: Welcome | undefined;
  #jwt: string | undefined;

  constructor(options: BrokerOptions) {
    this.#options = options;
  }

  /** Undefined where results go over the worker's own stream, as they do until a credential has come. */
  get publisher(): Publisher | undefined {
    return this.#publisher;
  }

  /** A coordinator welcomed the worker. The same way as before stays open. */
  follow(welcome: Welcome): void {
    const current = this.#publisher?.options;
    this.#welcome = welcome;
    if (current?.url === welcome.natsUrl && current.subject === welcome.resultSubject) return;
    void this.#publisher?.close();
    this.#publisher = undefined;
    if (!welcome.natsCredentialFollows) this.#jwt = undefined;
    if (welcome.natsUrl !== "" && !welcome.natsCredentialFollows) this.#open(welcome);
  }

  /** The coordinator sent a credential: the first one, or the next. */
  renew(jwt: string): void {
    this.#jwt = jwt;
    if (this.#publisher) this.#publisher.reconnect();
    else if (this.#welcome && this.#welcome.natsUrl !== "") this.#open(this.#welcome);
  }

  async close(): Promise<void> {
    await this.#publisher?.close();
  }

  #open({ natsUrl: url, resultSubject: subject, workerId }: Welcome): void {
    const { open, seed, ...options } = this.#options;
    this.#publisher = open({
      ...options,
      ...{ url, subject, workerId },
      ...(this.#jwt === undefined ? {} : { credential: () => ({ jwt: this.#jwt!, seed }) }),
    });
  }
}

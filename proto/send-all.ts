import { once } from "node:events";
import type { ClientWritableStream, requestCallback } from "@grpc/grpc-js";

/**
 * Makes a call that is one answer to several messages, which go no faster than the peer takes them; one that answers early is not sent the rest.
 *
 * @throws the call's error, or that of `messages`; the call is cancelled then
 */
export async function sendAll<Message, Answer>(
  open: (callback: requestCallback<Answer>) => ClientWritableStream<Message>,
  messages: AsyncIterable<Message> | Iterable<Message>,
): Promise<Answer> {
  let settle: (error: unknown, answer?: Answer) => void = () => {};
  const answered = new Promise<Answer>((resolve, reject) => {
    settle = (error, answer) => (error ? reject(error) : resolve(answer!));
  });
  answered.catch(() => {});
  const call = open(settle);
  call.on("error", (error) => settle(error));
  let over = false;
  const gone = answered.finally(() => {
    over = true;
  });
  gone.catch(() => {});
  try {
    for await (const message of messages) {
      if (over) break;
      const room = call.write(message);
      if (!room) await Promise.race([once(call, "drain"), gone]);
    }
    call.end();
    return await answered;
  } catch (error) {
    call.cancel();
    throw error;
  }
}

import type { ClientReadableStream, ClientUnaryCall, requestCallback } from "@grpc/grpc-js";
import { onAbort } from "./command.ts";

/** The answer of a call with one answer. */
export const answerOf = <Answer>(
  call: (callback: requestCallback<Answer>) => ClientUnaryCall,
  signal: AbortSignal,
): Promise<Answer> =>
  new Promise((resolve, reject) => {
    const running = call((error, answer) => (error ? reject(error) : resolve(answer!)));
    onAbort(signal, () => running.cancel());
  });

/** Hands over a stream's messages as they come; resolves at its end. */
export const eachOf = <Message>(
  call: ClientReadableStream<Message>,
  signal: AbortSignal,
  take: (message: Message) => void,
): Promise<void> =>
  new Promise((resolve, reject) => {
    onAbort(signal, () => call.cancel());
    call.on("data", (message: Message) => {
      try {
        take(message);
      } catch (error) {
        call.cancel();
        reject(error as Error);
      }
    });
    call.on("error", reject);
    call.on("end", resolve);
  });

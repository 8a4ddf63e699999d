import type { ClientReadableStream, ClientUnaryCall, requestCallback } from "@grpc/grpc-js";

/** The answer of a call with one answer. */
export const answerOf = <Answer>(
  call: (callback: requestCallback<Answer>) => ClientUnaryCall,
  signal: AbortSignal,
): Promise<Answer> =>
  cancelledBy(signal, (resolve, reject) =>
    call((error, answer) => (error ? reject(error) : resolve(answer!))),
  );

/** Hands over a stream's messages as they come; resolves at its end. */
export const eachOf = <Message>(
  call: ClientReadableStream<Message>,
  signal: AbortSignal,
  take: (message: Message) => void,
): Promise<void> =>
  cancelledBy(signal, (resolve, reject) => {
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
    return call;
  });

/** A call that is cancelled when the signal fires. A signal outlives many calls, so none leaves a listener behind. */
async function cancelledBy<T>(
  signal: AbortSignal,
  start: (resolve: (value: T) => void, reject: (error: Error) => void) => { cancel(): void },
): Promise<T> {
  let cancel = () => {};
  try {
    return await new Promise<T>((resolve, reject) => {
      const call = start(resolve, reject);
      cancel = () => call.cancel();
      if (signal.aborted) cancel();
      else signal.addEventListener("abort", cancel);
    });
  } finally {
    signal.removeEventListener("abort", cancel);
  }
}

/** Registers what is to be done at the end of a test (vitest's `onTestFinished`), or of a file of tests. */
export type OnEnd = (close: () => void | Promise<void>) => void;

import type { CommonConfig } from "./config-json.ts";

/** Padding among a row's tokens, for models that mask it. */
export function paddingInside(
  { padId }: Pick<CommonConfig, "padId">,
  ids: readonly number[],
): string | undefined {
  const column = ids.indexOf(padId);
  return column < 0 ? undefined : `column ${column}: id ${padId} is padding, and rows have none`;
}

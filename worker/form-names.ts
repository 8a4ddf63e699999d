import { PROGRAM_FORMS } from "../proto/operations.ts";

/** What a worker is told: one form of programs beside the primitive one, or `auto`, every one that is right on its device. */
export const FORMS = [...PROGRAM_FORMS, "auto"] as const;
export type FormName = (typeof FORMS)[number];

/** Name of the operator forms that programs are built from: part of the device class. */
export const PROGRAM_FORM = "primitive";

import { PadlessError, type ErrorCode } from '../../ts/errors';

interface Expected {
  code: ErrorCode;
  field?: string;
  words?: string;
}

/** Fails unless `work` throws or rejects with that PadlessError; returns it. */
export async function expectError(
  work: () => unknown,
  { code, field, words }: Expected,
): Promise<PadlessError> {
  let error: unknown;
  try {
    await work();
  } catch (caught) {
    error = caught;
  }
  if (!(error instanceof PadlessError))
    throw new Error(`expected a PadlessError ${code}, got ${String(error)}`);
  expect({ code: error.code, message: error.message }).toEqual({ code, message: expect.any(String) });
  if (field !== undefined) expect({ field: error.field, message: error.message }).toMatchObject({ field });
  if (words !== undefined) expect(error.message).toContain(words);
  return error;
}

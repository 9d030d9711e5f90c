/**
 * Stable codes of {@link PadlessError}; they are part of the API, messages are not.
 *
 * - `E_INVALID_ARGUMENT`: a call with a wrong type, shape, range or option
 * - `E_BAD_CONFIG`: config.json or a pipeline file that is incomplete or contradicts itself
 * - `E_BAD_WEIGHTS`: a weight file that is damaged, lies about itself or lacks a tensor
 * - `E_BAD_TOKENIZER`: tokenizer.json that is missing or cannot be read
 * - `E_UNSUPPORTED`: understood, but nothing here computes it
 * - `E_TOO_LONG`: a text or sequence beyond the model's limit
 * - `E_NOT_FOUND`: a file or directory that is not there
 * - `E_NOT_WRITABLE`: a file that cannot be written: a full disk, a missing permission, a directory of its name
 * - `E_DEVICE`: the device is missing or failed
 * - `E_OUT_OF_MEMORY`
 * - `E_ABORTED`: the caller's signal
 * - `E_DISPOSED`: use after dispose
 * - `E_OVERLOADED`: more would wait for the model than `maxWaitingTokens` says; try again later
 * - `E_NETWORK`: a download failed
 * - `E_INTERNAL`: a bug in padless; please report it
 */
export type ErrorCode =
  | 'E_INVALID_ARGUMENT'
  | 'E_BAD_CONFIG'
  | 'E_BAD_WEIGHTS'
  | 'E_BAD_TOKENIZER'
  | 'E_UNSUPPORTED'
  | 'E_TOO_LONG'
  | 'E_NOT_FOUND'
  | 'E_NOT_WRITABLE'
  | 'E_DEVICE'
  | 'E_OUT_OF_MEMORY'
  | 'E_ABORTED'
  | 'E_DISPOSED'
  | 'E_OVERLOADED'
  | 'E_NETWORK'
  | 'E_INTERNAL';

/** Every error padless throws or rejects with: a stable code, the field or file at fault, and the fix in words. */
export class PadlessError extends Error {
  override readonly name = 'PadlessError';
  readonly code: ErrorCode;
  /** The option, config key, tensor or file at fault, where there is one. */
  readonly field: string | undefined;

  constructor(
    code: ErrorCode,
    message: string,
    options: { field?: string | undefined; cause?: unknown } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.field = options.field;
  }
}

/** The error for a signal that fired: its reason is the cause. */
export function abortError(signal: AbortSignal): PadlessError {
  return new PadlessError('E_ABORTED', 'The operation was aborted by its signal.', {
    field: 'signal',
    cause: signal.reason,
  });
}

/** Throws E_ABORTED if `signal` has fired. */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw abortError(signal);
}

/** What the addon throws: a plain Error with a code and perhaps a field. */
interface NativeError {
  code: ErrorCode;
  field?: string;
  message: string;
}

/** Rebuilds an error that came from native code as a PadlessError; others pass unchanged. */
export function fromNative(error: unknown): unknown {
  if (error instanceof PadlessError) return error;
  const native = error as Partial<NativeError> | null;
  if (
    typeof native?.code === 'string' &&
    native.code.startsWith('E_') &&
    typeof native.message === 'string'
  ) {
    return new PadlessError(native.code, native.message, { field: native.field || undefined, cause: error });
  }
  return error;
}

/** Calls native code and turns what it throws into a PadlessError. */
export function native<T>(call: () => T): T {
  try {
    return call();
  } catch (error) {
    throw fromNative(error);
  }
}

/** Calls native code that may throw or reject, and turns either into a rejection with a PadlessError. */
export async function nativeAsync<T>(call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    throw fromNative(error);
  }
}

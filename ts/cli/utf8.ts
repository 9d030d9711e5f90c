import { PadlessError } from '../errors';

/**
 * Decodes the text of a file, piece by piece and without a byte order mark; called without bytes at its end.
 *
 * @throws PadlessError E_INVALID_ARGUMENT for what is not UTF-8 or holds NUL, as UTF-16 does: it would be read as
 * other words.
 */
export function utf8Decoder(path: string, field: string): (bytes?: Uint8Array) => string {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  const refuse = (cause?: unknown) =>
    new PadlessError('E_INVALID_ARGUMENT', `${path} is no text in UTF-8; save it in that encoding.`, {
      field,
      cause,
    });
  return (bytes) => {
    let text: string;
    try {
      text = decoder.decode(bytes, { stream: bytes !== undefined });
    } catch (cause) {
      throw refuse(cause);
    }
    if (text.includes('\0')) throw refuse();
    return text;
  };
}

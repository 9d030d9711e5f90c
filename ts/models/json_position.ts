const WHITESPACE = /[ \t\n\r]*/y;
/** JSON's scalars but strings, and the non-finite numbers that Python's json writes. */
const SCALAR = /(?:-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null|-?Infinity|NaN)(?!\w)/y;
const ESCAPE = /\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})/y;

/** The end of what `pattern` matches at `at`, or `at`. */
function after(pattern: RegExp, text: string, at: number): number {
  pattern.lastIndex = at;
  return pattern.test(text) ? pattern.lastIndex : at;
}

/** The end of the string that opens at `at`, or where it goes wrong. */
function afterString(text: string, at: number): { end: number; ok: boolean } {
  let index = at + 1;
  while (index < text.length && text[index] !== '"') {
    if (text[index]! < ' ') return { end: index, ok: false };
    const next = text[index] === '\\' ? after(ESCAPE, text, index) : index + 1;
    if (next === index) return { end: index, ok: false };
    index = next;
  }
  return { end: Math.min(index + 1, text.length), ok: index < text.length };
}

/**
 * Offset of the first character at which `text` stops being JSON; its length if more should follow.
 * Messages of JSON.parse do not always tell.
 */
export function jsonErrorOffset(text: string): number {
  const closers: string[] = [];
  let expected: 'value' | 'first value' | 'key' | 'first key' | 'colon' | 'next' = 'value';
  let at = 0;
  for (;;) {
    at = after(WHITESPACE, text, at);
    const character = text[at];
    if (character === undefined) return at;
    const closes = character === closers.at(-1) && (expected === 'next' || expected.startsWith('first'));
    if (closes) {
      closers.pop();
      expected = 'next';
      at++;
    } else if (expected === 'next') {
      if (character !== ',' || closers.length === 0) return at;
      expected = closers.at(-1) === '}' ? 'key' : 'value';
      at++;
    } else if (expected === 'colon') {
      if (character !== ':') return at;
      expected = 'value';
      at++;
    } else if (character === '"') {
      const { end, ok } = afterString(text, at);
      if (!ok) return end;
      expected = expected.endsWith('key') ? 'colon' : 'next';
      at = end;
    } else if (expected.endsWith('key')) {
      return at;
    } else if (character === '{' || character === '[') {
      closers.push(character === '{' ? '}' : ']');
      expected = character === '{' ? 'first key' : 'first value';
      at++;
    } else {
      const end = after(SCALAR, text, at);
      if (end === at) return at;
      expected = 'next';
      at = end;
    }
  }
}

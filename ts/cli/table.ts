/** What spaces stand for in a table: also what a terminal obeys (escape sequences). */
const SPACES = /[\s\p{Cc}]+/gu;
/** What turns the direction of the rest of a line. */
const TURNS = /[\u202a-\u202e\u2066-\u2069]/g;

/** A cell's text, cut to `width` UTF-16 units. */
export function clip(text: string, width: number): string {
  const line = text.replace(TURNS, '').replace(SPACES, ' ').trim();
  return line.length <= width ? line : `${line.slice(0, width - 1).replace(/[\ud800-\udbff]$/, '')}…`;
}

/** Rows in aligned columns: numbers to the right, text to the left. */
export function table(rows: readonly (readonly (string | number)[])[]): string {
  const cells = rows.map((row) => row.map(String));
  const columns = Math.max(0, ...cells.map((row) => row.length));
  const widths = Array.from({ length: columns }, (_, i) =>
    Math.max(...cells.map((row) => (row[i] ?? '').length)),
  );
  const right = Array.from({ length: columns }, (_, i) => rows.some((row) => typeof row[i] === 'number'));
  return cells
    .map((row) =>
      row
        .map((cell, i) => (right[i] ? cell.padStart(widths[i]!) : cell.padEnd(widths[i]!)))
        .join('  ')
        .trimEnd(),
    )
    .map((line) => `${line}\n`)
    .join('');
}

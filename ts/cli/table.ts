import stringWidth from 'string-width';

/** What spaces stand for in a table: also what a terminal obeys (escape sequences). */
const SPACES = /[\s\p{Cc}]+/gu;
/** What turns the direction of the rest of a line. */
const TURNS = /[\u202a-\u202e\u2066-\u2069]/g;

/** Marks on the character before them, but for those that make an emoji of it. */
const MARKS = /(?![\ufe0f\u20e3])[\p{Mn}\p{Me}\u200b]/gu;

/** Columns that a terminal takes for `text`. */
function columnsOf(text: string): number {
  return stringWidth(text.replace(MARKS, ''));
}

/** The most of `text`, in whole characters, that takes no more than `width` columns. */
function beginning(text: string, width: number): string {
  let end = 0;
  let columns = 0;
  for (const { segment } of new Intl.Segmenter().segment(text)) {
    columns += columnsOf(segment);
    if (columns > width) break;
    end += segment.length;
  }
  return text.slice(0, end);
}

/** A cell's text, cut to `width` columns. */
export function clip(text: string, width: number): string {
  const line = text.replace(TURNS, '').replace(SPACES, ' ').trim();
  return beginning(line, width) === line ? line : `${beginning(line, width - 1)}…`;
}

/** Rows in aligned columns: numbers to the right, text to the left. */
export function table(rows: readonly (readonly (string | number)[])[]): string {
  const cells = rows.map((row) => row.map(String));
  const columns = Math.max(0, ...cells.map((row) => row.length));
  const widths = Array.from({ length: columns }, (_, i) =>
    Math.max(...cells.map((row) => columnsOf(row[i] ?? ''))),
  );
  const right = Array.from({ length: columns }, (_, i) => rows.some((row) => typeof row[i] === 'number'));
  return cells
    .map((row) =>
      row
        .map((cell, i) => {
          const spaces = ' '.repeat(widths[i]! - columnsOf(cell));
          return right[i] ? spaces + cell : cell + spaces;
        })
        .join('  ')
        .trimEnd(),
    )
    .map((line) => `${line}\n`)
    .join('');
}

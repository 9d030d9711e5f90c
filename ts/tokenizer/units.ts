/**
 * Maps an index of a character of `text` to the index of its first UTF-16 unit; the number of characters maps to
 * the length, and beyond that it is undefined. A lone surrogate is a character, as in the UTF-8 that becomes of it.
 */
export function characterUnits(text: string): (character: number) => number | undefined {
  if (!/[\ud800-\udbff][\udc00-\udfff]/.test(text)) {
    return (character) => (character <= text.length ? character : undefined);
  }
  const units = new Int32Array(text.length + 1);
  let characters = 0;
  for (let unit = 0; unit < text.length; unit += text.codePointAt(unit)! > 0xffff ? 2 : 1) {
    units[characters++] = unit;
  }
  units[characters] = text.length;
  return (character) => (character <= characters ? units[character] : undefined);
}

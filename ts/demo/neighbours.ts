import type { SimilarityMatrix } from '../tasks/similarity';

/** For each row of a square matrix, the column with the highest score beside its own. */
export function nearestNeighbours({
  data,
  rows,
  columns,
}: SimilarityMatrix): { index: number; score: number }[] {
  return Array.from({ length: rows }, (_, i) => {
    let index = -1;
    let score = -Infinity;
    for (let j = 0; j < columns; j++) {
      const value = data[i * columns + j]!;
      if (j !== i && value > score) [index, score] = [j, value];
    }
    return { index, score };
  });
}

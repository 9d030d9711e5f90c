// Batches as users of padding libraries make them.
//   padded: one batch, padded to its longest; sorted8: sorted by length, batches of eight, each padded to its own
//   longest; each: one sequence a call, so neither padding nor batching.

const SIZES = { sorted8: 8, each: 1 };

/** Indices of the sequences of each batch. */
export function batchIndices(sequences, mode) {
  const indices = sequences.map((_, i) => i);
  if (mode === 'padded') return [indices];
  const size = SIZES[mode];
  if (!size) throw new Error(`unknown mode ${mode}; padded, sorted8 and each are known`);
  indices.sort((a, b) => sequences[b].length - sequences[a].length);
  const batches = [];
  for (let i = 0; i < indices.length; i += size) batches.push(indices.slice(i, i + size));
  return batches;
}

/** int64 ids, mask and token types of the sequences at `indices`, [indices.length, longest]. */
export function pad(sequences, indices) {
  const longest = Math.max(...indices.map((i) => sequences[i].length));
  const size = indices.length * longest;
  const ids = new BigInt64Array(size);
  const mask = new BigInt64Array(size);
  indices.forEach((index, row) => {
    sequences[index].forEach((id, column) => {
      ids[row * longest + column] = BigInt(id);
      mask[row * longest + column] = 1n;
    });
  });
  return {
    indices,
    lengths: indices.map((i) => sequences[i].length),
    dims: [indices.length, longest],
    input_ids: ids,
    attention_mask: mask,
    token_type_ids: new BigInt64Array(size),
  };
}

/** Adds the mean of each real row of `hidden` [rows, longest, width] to `out` at the sequence's own index. */
export function collectMeans({ indices, lengths, dims }, hidden, out) {
  const width = hidden.length / (dims[0] * dims[1]);
  indices.forEach((index, row) => {
    const mean = new Array(width).fill(0);
    for (let token = 0; token < lengths[row]; token++) {
      const at = (row * dims[1] + token) * width;
      for (let k = 0; k < width; k++) mean[k] += hidden[at + k] / lengths[row];
    }
    out[index] = mean;
  });
}

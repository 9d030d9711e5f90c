// One workload in one precision: a qualifying round of every rival in every mode, then rounds of the best.
import { agreement, median } from './statistics.mjs';

/** A sample runs about so long, so that clocks and interrupts average out. */
const SAMPLE_MS = 150;
const MOST_REPS = 50;
/** Samples longer than this are fewer, and not taken again when the machine was slow. */
const LONG_SAMPLE_MS = 1500;

/** Cosine of mean-pooled vectors with the reference's below which an answer counts as wrong. */
const LEAST_COSINE = { f32: 0.9999, bf16: 0.999, int8: 0.98 };

/** The better of two short samples, or one long one. */
async function timeSample({ contestant, mode }, { samplePath }) {
  const first = await contestant.measure(samplePath, mode, 1);
  if (first > SAMPLE_MS) return first;
  const reps = Math.min(MOST_REPS, Math.max(1, Math.round(SAMPLE_MS / 3 / first)));
  const second = await contestant.measure(samplePath, mode, reps);
  return Math.min(second, await contestant.measure(samplePath, mode, reps));
}

/**
 * What each contestant and mode costs on a sample of the workload, and how far its vectors are from the reference's.
 * A rival that fails is out, with its `failure`.
 */
async function qualify(entries, workload, dtype, { references, referenceKey }) {
  for (const entry of entries) {
    try {
      // The embedding is the warm-up.
      entry.rows = await entry.contestant.embed(workload.samplePath, entry.mode);
      entry.qualifyingMs = await timeSample(entry, workload);
    } catch (error) {
      if (entry.name === 'padless') throw error;
      entry.failure = error.message;
    }
  }
  entries = entries.filter(({ failure }) => failure === undefined);
  // The reference is a rival in f32 where there is one: padless is what is to be checked.
  const judge = entries.find(({ name }) => name !== 'padless') ?? entries[0];
  if (!references.has(referenceKey))
    references.set(referenceKey, { name: `${judge.name}-${dtype}`, rows: judge.rows });
  const { name, rows } = references.get(referenceKey);
  for (const entry of entries) {
    const { cosine, relativeError } = agreement(entry.rows, rows);
    entry.agreement = { with: name, cosine, relativeError, agrees: cosine >= LEAST_COSINE[dtype] };
    delete entry.rows;
  }
}

/** padless and the fastest entry of each of the `finalists` fastest families. */
function chooseFinalists([padless, ...rivals], finalists) {
  const best = new Map();
  for (const entry of rivals.sort((a, b) => a.qualifyingMs - b.qualifyingMs)) {
    const { family } = entry.contestant;
    if (!best.has(family)) best.set(family, entry);
  }
  return [padless, ...[...best.values()].slice(0, finalists)];
}

async function takeSample({ contestant, mode, expectedMs }, workload, dtype, roof) {
  const reps = Math.min(MOST_REPS, Math.max(1, Math.round(SAMPLE_MS / expectedMs)));
  const once = () => roof.around(dtype, () => contestant.measure(workload.path, mode, reps));
  const sample = await once();
  return sample.full || sample.ms * reps > LONG_SAMPLE_MS ? sample : once();
}

/** Medians over the samples at full speed; over all where there is none. */
function summary(entry, workload, operations) {
  const full = entry.samples.filter((sample) => sample.full);
  const kept = full.length > 0 ? full : entry.samples;
  const ms = median(kept.map((sample) => sample.ms));
  return {
    name: entry.name,
    mode: entry.mode,
    ...(entry.failure !== undefined && { failure: entry.failure }),
    ...(entry.qualifyingMs && {
      qualifyingTokensPerSecond: (workload.sampleTokens / entry.qualifyingMs) * 1e3,
      agreement: entry.agreement,
    }),
    ...(kept.length > 0 && {
      ms,
      tokensPerSecond: (workload.tokens / ms) * 1e3,
      fractionOfRoof: median(kept.map((sample) => ((operations / sample.ms) * 1e3) / sample.roof)),
      keptSamples: full.length,
      samples: entry.samples,
    }),
  };
}

/** Fewer samples of what takes long: they vary less. */
function roundsFor(players, rounds) {
  const slowest = Math.max(...players.map(({ expectedMs }) => expectedMs));
  return slowest > LONG_SAMPLE_MS ? Math.min(rounds, Math.max(3, Math.ceil(rounds / 2))) : rounds;
}

/**
 * Runs one workload. `references` holds the vectors that later precisions are compared with, by `referenceKey`.
 *
 * @returns a result for every contestant and mode; those of the final rounds have `samples`, `ms`,
 * `tokensPerSecond` and `fractionOfRoof`.
 */
export async function play(contestants, workload, options) {
  const { dtype, operations, rounds, finalists, roof } = options;
  const entries = contestants.flatMap((contestant) =>
    contestant.modes.map((mode) => ({ contestant, name: contestant.name, mode, samples: [] })),
  );
  if (entries.length > 1) await qualify(entries, workload, dtype, options);
  const players = chooseFinalists(
    entries.filter(({ failure }) => failure === undefined),
    finalists,
  );
  for (const player of players) {
    // A first full run: new shapes cost some libraries memory and plans.
    player.expectedMs = await player.contestant.measure(workload.path, player.mode, 1);
  }
  for (let round = 0; round < roundsFor(players, rounds); round++) {
    const first = round % players.length;
    for (const player of [...players.slice(first), ...players.slice(0, first)]) {
      player.samples.push(await takeSample(player, workload, dtype, roof));
    }
  }
  return entries.map((entry) => summary(entry, workload, operations));
}

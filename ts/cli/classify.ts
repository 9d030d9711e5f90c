import { Classifier } from '../tasks/classifier';
import type { ScoreActivation } from '../tasks/scores';
import { chunkOptions, type ChunkFlags } from './chunk_flags';
import { callOptions, headLoadOptions, printJson, type HeadFlags } from './head_flags';
import { clip, table } from './table';
import { readTexts } from './texts';

interface ClassifyFlags extends HeadFlags, ChunkFlags {
  pair?: string;
  topK: number;
  activation?: ScoreActivation;
}

/** `padless classify`: the best labels of each text. */
export async function classify(words: string[], flags: ClassifyFlags, signal: AbortSignal): Promise<void> {
  const { pair, topK, activation } = flags;
  const texts = await readTexts(words, flags.file);
  await using classifier = await Classifier.load(flags.model, headLoadOptions(flags, signal));
  const input = pair === undefined ? texts : texts.map((text) => ({ text, pair }));
  const results = await classifier.classify(input, {
    ...callOptions(flags, signal),
    ...chunkOptions(flags),
    topK,
    ...(activation && { activation }),
  });
  if (flags.json) {
    printJson(results.map((labels, i) => ({ text: texts[i], ...(pair !== undefined && { pair }), labels })));
    return;
  }
  const rows = results.flatMap((labels, i) =>
    labels.map(({ label, score }, rank) => [rank ? '' : clip(texts[i]!, 48), label, score.toFixed(4)]),
  );
  process.stdout.write(table([['text', 'label', 'score'], ...rows]));
}

import { FillMask } from '../tasks/fill_mask';
import { callOptions, headLoadOptions, printJson, type HeadFlags } from './head_flags';
import { clip, table } from './table';
import { readTexts } from './texts';

interface FillMaskFlags extends HeadFlags {
  topK: number;
  target?: string[];
}

/** `padless fill-mask`: the likeliest tokens of each mask of each text. */
export async function fillMask(words: string[], flags: FillMaskFlags, signal: AbortSignal): Promise<void> {
  const texts = await readTexts(words, flags.file);
  await using filler = await FillMask.load(flags.model, headLoadOptions(flags, signal));
  const results = await filler.fill(texts, {
    ...callOptions(flags, signal),
    topK: flags.topK,
    ...(flags.target && { targets: flags.target }),
  });
  if (flags.json) {
    printJson(results.map((masks, i) => ({ text: texts[i], masks })));
    return;
  }
  const rows = results.flatMap((masks, i) =>
    masks.flatMap((fillings, mask) =>
      fillings.map(({ token, score, text }) => [
        `${i + 1}.${mask + 1}`,
        clip(token, 24),
        score.toFixed(4),
        clip(text, 60),
      ]),
    ),
  );
  process.stdout.write(table([['mask', 'token', 'score', 'text'], ...rows]));
}

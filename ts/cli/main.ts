#!/usr/bin/env node
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Command, CommanderError, InvalidArgumentError, Option } from 'commander';
import { computes } from '../compute';
import { writeError } from '../io/write_error';
import { exitCodeOf, report } from './failure';
import { interruptSignal } from './interrupt';
import { CHUNK_POOLING } from '../tasks/chunk_pooling';
import { AGGREGATIONS } from '../tasks/entities';
import { POOLING_MODES } from '../tasks/inputs';
import { SCORE_ACTIVATIONS } from '../tasks/scores';

/** Every command's module is loaded when it runs, so that `--help` needs neither addon nor tokenizer. */
const commands = {
  embed: async () => (await import('./embed.js')).embed,
  classify: async () => (await import('./classify.js')).classify,
  rerank: async () => (await import('./rerank.js')).rerank,
  ner: async () => (await import('./ner.js')).ner,
  'fill-mask': async () => (await import('./fill_mask.js')).fillMask,
  answer: async () => (await import('./answer.js')).answer,
  run: async () => (await import('./run.js')).run,
  inspect: async () => (await import('./inspect.js')).inspect,
  bench: async () => (await import('./bench.js')).bench,
  pull: async () => (await import('./pull.js')).pull,
  demo: async () => (await import('./demo.js')).demo,
};

function atLeast(low: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^\d+$/.test(text) || !Number.isSafeInteger(value) || value < low) {
      throw new InvalidArgumentError(`It must be an integer of at least ${low}.`);
    }
    return value;
  };
}

/** Collects the values of a flag that may be given several times. */
const repeated = (value: string, others: string[] = []): string[] => [...others, value];

const isPoolingMode = (mode: string): boolean => (POOLING_MODES as readonly string[]).includes(mode);

const options = {
  model: new Option('-m, --model <dir>', 'Hugging Face model directory').makeOptionMandatory(),
  optionalModel: new Option(
    '-m, --model <dir>',
    'Hugging Face model directory; a random one of MiniLM shape otherwise',
  ),
  device: new Option('--device <name>', 'cpu, auto, cuda, cuda:1, ...').default('cpu'),
  dtype: new Option('--dtype <type>', 'what the products compute in').choices(computes).default('f32'),
  threads: new Option('--threads <n>', 'CPU threads').argParser(atLeast(1)),
  batchTokens: new Option('--batch-tokens <n>', 'most tokens of one forward pass').argParser(atLeast(1)),
  json: new Option('--json', 'print JSON'),
  pooling: new Option(
    '--pooling <mode>',
    `where modules.json is missing: ${POOLING_MODES.join(', ')}; several are concatenated`,
  ).argParser((mode: string, others?: string[]) => {
    if (isPoolingMode(mode)) return repeated(mode, others);
    throw new InvalidArgumentError(`It must be one of ${POOLING_MODES.join(', ')}.`);
  }),
  file: new Option('-f, --file <path>', 'one text a line; - is standard input'),
  noTruncate: new Option('--no-truncate', "fail on a text beyond the model's limit"),
  cacheDir: new Option(
    '--cache-dir <dir>',
    'keep packed weights here, so that the next load on the cpu maps them',
  ),
};

function packageVersion(): string {
  return JSON.parse(readFileSync(join(__dirname, '../../package.json'), 'utf8')).version;
}

function computing(command: Command): Command {
  return command
    .addOption(options.device)
    .addOption(options.dtype)
    .addOption(options.threads)
    .addOption(options.cacheDir);
}

/** What becomes of texts beyond the limit: cut, refused, or read in chunks. */
function withChunks(command: Command, pooled: string): Command {
  const pooling = new Option('--chunk-pooling <how>', `how ${pooled} of chunks are pooled`);
  return command
    .addOption(options.noTruncate)
    .addOption(new Option('--chunk', "read a text beyond the model's limit in chunks").conflicts('truncate'))
    .addOption(
      new Option('--stride <n>', 'tokens that a chunk repeats of the one before; implies --chunk')
        .argParser(atLeast(0))
        .implies({ chunk: true }),
    )
    .addOption(pooling.choices(CHUNK_POOLING).implies({ chunk: true }));
}

type Add = (name: keyof typeof commands, usage: string, description: string) => Command;

/** What the commands on task heads have in common. */
function onHead(command: Command): Command {
  return computing(command).addOption(options.model).addOption(options.batchTokens).addOption(options.json);
}

function addHeadCommands(add: Add): void {
  withChunks(onHead(add('classify', '[texts...]', 'labels of texts')), 'logits')
    .addOption(options.file)
    .option('--pair <text>', 'second text of each pair, such as a hypothesis')
    .option('--top-k <n>', 'labels of each text', atLeast(1), 5)
    .addOption(
      new Option('--activation <name>', 'instead of what the model says').choices(SCORE_ACTIVATIONS),
    );
  withChunks(
    onHead(add('rerank', '<query> [documents...]', 'documents by how well they answer a query')),
    'scores',
  )
    .addOption(options.file)
    .option('--top-n <n>', 'best documents to print', atLeast(1))
    .option('--instruction <text>', 'what is looked for, in words: for Qwen3-Reranker')
    .addOption(
      new Option('--activation <name>', 'instead of what the model says').choices(['sigmoid', 'none']),
    );
  onHead(add('ner', '[texts...]', 'entities of texts: names, places, ...'))
    .addOption(options.file)
    .addOption(
      new Option('--aggregation <how>', 'how labels of tokens become entities')
        .choices(AGGREGATIONS)
        .default('simple'),
    )
    .option('--stride <n>', 'read longer texts in windows that overlap by so many tokens', atLeast(0));
  onHead(add('fill-mask', '[texts...]', 'the likeliest tokens behind masks'))
    .addOption(options.file)
    .option('--top-k <n>', 'tokens for each mask', atLeast(1), 5)
    .option('--target <token>', 'only this token is a candidate; repeat it for more', repeated)
    .addOption(options.noTruncate);
  onHead(add('answer', '<question> [context...]', 'the answer to a question in a text'))
    .option('-f, --file <path>', 'the text; - is standard input')
    .option('--top-k <n>', 'best answers to print', atLeast(1), 1)
    .option('--max-answer-tokens <n>', 'most tokens of an answer', atLeast(1))
    .option('--stride <n>', 'read longer texts in windows that overlap by so many tokens', atLeast(0))
    .option('--null-answer', '"no answer" counts as an answer');
}

function build(signal: AbortSignal): Command {
  const program = new Command('padless')
    .description('Transformer encoders on variable-length text without one padded token.')
    .version(packageVersion())
    .option('--debug', 'print the stack of an error')
    .showHelpAfterError('(padless --help lists the commands)')
    .exitOverride();

  const add = (name: keyof typeof commands, usage: string, description: string) =>
    program
      .command(`${name} ${usage}`.trim())
      .description(description)
      .action(async (...args: unknown[]) => {
        const [flags, positional] = [args.at(-2), args.slice(0, -2)];
        const command = (await commands[name]()) as (...all: unknown[]) => Promise<void>;
        await command(...positional, flags, signal);
      });

  withChunks(computing(add('embed', '[texts...]', 'vectors of texts, or how alike they are')), 'vectors')
    .addOption(options.model)
    .addOption(options.file)
    .option('--prompt <text>', 'put before each text')
    .option('--prompt-name <name>', "one of the checkpoint's prompts")
    .option('--task <name>', "one of the checkpoint's task adapters, with its instruction")
    .addOption(options.pooling)
    .option('--dimensions <n>', 'keep the first so many numbers', atLeast(1))
    .option('--layers <n>', 'run the first so many layers only', atLeast(1))
    .option('--normalize', 'scale vectors to length 1')
    .option('--similarity', 'print how alike the texts are')
    .addOption(options.batchTokens)
    .addOption(options.json);
  addHeadCommands(add);
  computing(add('run', '', 'encoder outputs for token ids, file to file'))
    .addOption(options.model)
    .requiredOption('-i, --input <ids.json>', '{"sequences": [[ids], ...], "tokenTypes"?: [[...], ...]}')
    .requiredOption('-o, --output <file>', 'safetensors file to write')
    .addOption(options.batchTokens);
  add('inspect', '[dir]', 'devices of this machine; what a model directory holds')
    .option(
      '--quantization <texts...>',
      'what bf16, int8 and, with a Hopper GPU, fp8 cost on these texts, against f32',
    )
    .addOption(options.cacheDir)
    .addOption(options.json);
  computing(add('bench', '', 'padded against packed, on this machine'))
    .addOption(options.optionalModel)
    .option('--sequences <n>', 'sequences of the workload', atLeast(1), 64)
    .option('--batch-size <n>', 'sequences of one padded batch', atLeast(1), 32)
    .option('--rounds <n>', 'timed rounds', atLeast(1), 5)
    .addOption(
      new Option('--lengths <kind>', 'workload')
        .choices(['passages', 'queries', 'paragraphs', 'uniform'])
        .default('passages'),
    )
    .addOption(options.json);
  add('pull', '<id>', 'download a model from the Hugging Face hub')
    .option('-o, --output <dir>', 'where to put it; ./<name> otherwise')
    .option('--revision <name>', 'branch, tag or commit', 'main')
    .option('--hub <url>', 'another hub')
    .option('--token <token>', 'access token; HF_TOKEN otherwise');
  computing(add('demo', '', 'embed the sentences of text files: tokens saved, time, neighbours'))
    .addOption(options.optionalModel)
    .addOption(options.pooling)
    .option('--keep <dir>', 'write the random checkpoint here and keep it');
  return program;
}

async function main(): Promise<void> {
  const signal = interruptSignal();
  const program = build(signal);
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(0);
    const failure = writeError('standard output', error);
    report(failure, program.opts()['debug'] === true);
    process.exit(exitCodeOf(failure, signal));
  });
  try {
    await program.parseAsync();
  } catch (error) {
    if (!(error instanceof CommanderError) && !signal.aborted)
      report(error, program.opts()['debug'] === true);
    process.exitCode = exitCodeOf(error, signal);
  }
}

void main();

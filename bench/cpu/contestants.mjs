// Who takes part: padless and every rival that this machine has, as resident processes.
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join, resolve } from 'node:path';
import { exportOnnx, lastLine } from './models.mjs';
import { LineProcess, runQuietly } from './processes.mjs';

const here = (file) => new URL(file, import.meta.url).pathname;
const NODE = {
  family: 'onnxruntime',
  program: 'node',
  script: 'rivals/onnx_rival.mjs',
  onnx: true,
  modes: ['sorted8', 'each'],
};
const TORCH = {
  family: 'torch',
  program: 'python',
  script: 'rivals/torch_rival.py',
  imports: ['torch', 'transformers'],
};
const ORT = {
  family: 'onnxruntime',
  program: 'python',
  script: 'rivals/ort_rival.py',
  imports: ['onnxruntime'],
  onnx: true,
  modes: ['sorted8', 'each'],
};

/** Models that BERT's classes and exports are for. */
const BERTS = ['minilm', 'base'];

/**
 * Who may take part. Of each `family`, one engine under several names, the fastest goes into the final rounds.
 * `modes` are tried in the qualifying round: the best one is the opponent. A packed rival has nothing to
 * pad, so one mode.
 */
export const RIVALS = [
  { name: 'torch', ...TORCH, models: BERTS, dtypes: ['f32', 'bf16'], modes: ['sorted8', 'each'] },
  { name: 'torch-packed', ...TORCH, models: BERTS, dtypes: ['f32', 'bf16'], modes: ['packed'] },
  { name: 'torch-packed-onednn', ...TORCH, models: BERTS, dtypes: ['f32', 'bf16'], modes: ['packed'] },
  { name: 'torch-auto', ...TORCH, models: ['deberta'], dtypes: ['f32', 'bf16'], modes: ['sorted8', 'each'] },
  { name: 'onnxruntime', ...ORT, models: BERTS, dtypes: ['f32', 'int8'] },
  { name: 'onnxruntime-fused', ...ORT, models: BERTS, dtypes: ['f32', 'int8'] },
  { name: 'onnxruntime-node', ...NODE, package: 'onnxruntime-node', models: BERTS, dtypes: ['f32', 'int8'] },
  {
    name: 'onnxruntime-node-fused',
    ...NODE,
    package: 'onnxruntime-node',
    models: BERTS,
    dtypes: ['f32', 'int8'],
  },
  {
    name: 'transformers.js',
    ...NODE,
    package: '@huggingface/transformers',
    models: BERTS,
    dtypes: ['f32', 'int8'],
  },
];
const PADLESS = {
  name: 'padless',
  family: 'padless',
  program: 'node',
  script: 'worker.mjs',
  modes: ['packed'],
};

/** One resident process with one model in one precision. */
export class Contestant {
  #process;

  constructor(entry, process, facts) {
    this.name = entry.name;
    this.family = entry.family;
    this.modes = entry.modes;
    this.facts = facts;
    this.#process = process;
  }

  static async start(entry, dtype, folder, { python, modules, threads, isa }) {
    const command = entry.program === 'python' ? python : process.execPath;
    const process_ = new LineProcess(
      command,
      [here(entry.script), '--peer', `${entry.name}-${dtype}`, '--model', folder, '--serve'],
      { THREADS: String(threads), ISA: isa, RIVALS_MODULES: modules },
    );
    return new Contestant(entry, process_, JSON.parse(await process_.read()));
  }

  /** The same process with other modes, or its own. */
  withModes(modes) {
    const { name, family, facts } = this;
    return modes ? new Contestant({ name, family, modes }, this.#process, facts) : this;
  }

  async #ask(request) {
    return JSON.parse(await this.#process.ask(JSON.stringify(request)));
  }

  /** Median milliseconds of `reps` runs. */
  async measure(workload, mode, reps, warmup = 0) {
    return (await this.#ask({ workload, mode, reps, warmup })).ms;
  }

  /** The mean of each sequence's rows. */
  async embed(workload, mode) {
    return (await this.#ask({ op: 'embed', workload, mode })).embed;
  }

  async stop() {
    await this.#process.close('{"op":"quit"}');
  }
}

/** Where python and the npm rivals are, which of them can be used, and their versions. */
export async function findRivals({ python, modules }) {
  const versions = {};
  const missing = {};
  if (!existsSync(modules)) missing.node = `no folder ${modules}: npm install --prefix bench/cpu/rivals`;
  for (const name of ['onnxruntime-node', '@huggingface/transformers']) {
    const manifest = join(modules, name, 'package.json');
    if (existsSync(manifest)) versions[name] = createRequire(import.meta.url)(resolve(manifest)).version;
    else missing[name] = missing.node ?? `${name} is not in ${modules}`;
  }
  const found = await runQuietly(python, ['--version']);
  for (const name of ['torch', 'transformers', 'onnx', 'onnxruntime']) {
    if (found.status !== 0) {
      missing[name] = `there is no ${python}`;
      continue;
    }
    const result = await runQuietly(python, ['-c', `import ${name}; print(${name}.__version__)`]);
    if (result.status === 0) versions[`python ${name}`] = result.output.trim();
    else missing[name] = `${python} cannot import ${name}: ${lastLine(result.errors)}`;
  }
  const exporter = ['torch', 'transformers', 'onnx', 'onnxruntime'].every((name) => !missing[name]);
  return { versions, missing, exporter: exporter ? python : undefined };
}

/** Why a rival cannot take part, or undefined. */
export function reasonAbsent(entry, { missing }) {
  const needs = [...(entry.imports ?? []), ...(entry.package ? [entry.package] : [])];
  const lacking = needs.find((name) => missing[name]);
  return lacking && missing[lacking];
}

/**
 * Starts padless and the rivals of a stage; `absent` collects why others are missing.
 *
 * @returns contestants, padless first.
 */
export async function startAll({ model, dtype, rivals: names }, folder, { rivals, options, absent }) {
  const started = [await Contestant.start(PADLESS, dtype, folder, options)];
  const invited = RIVALS.filter(
    (entry) => entry.models.includes(model) && entry.dtypes.includes(dtype) && names.includes(entry.name),
  );
  const noOnnx = invited.some(({ onnx }) => onnx) ? await exportOnnx(folder, rivals.exporter) : undefined;
  for (const entry of invited) {
    const reason = reasonAbsent(entry, rivals) ?? (entry.onnx ? noOnnx : undefined);
    if (reason) {
      absent.set(entry.name, reason);
      continue;
    }
    try {
      started.push(await Contestant.start(entry, dtype, folder, options));
    } catch (error) {
      absent.set(entry.name, `did not start in ${dtype}: ${error.message}`);
    }
  }
  return started;
}

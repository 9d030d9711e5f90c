import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, open, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { downloadFile, listFiles, type ListFileEntry } from '@huggingface/hub';
import { PadlessError, abortError } from '../errors';
import { writing } from '../io/write_error';
import { CONVERTER } from '../models/directory';
import { transferBar } from './transfer_bar';

interface PullFlags {
  output?: string;
  revision: string;
  hub?: string;
  token?: string;
}

/** How the hub is reached; every request carries the signal. */
interface Source {
  repo: { type: 'model'; name: string };
  revision: string;
  fetch: typeof fetch;
  hubUrl?: string;
  accessToken?: string;
}

const WEIGHTS = /^model(-\d{5}-of-\d{5})?\.safetensors$/;
const ROOT_FILES = new Set([
  'config.json',
  'tokenizer.json',
  'tokenizer_config.json',
  'special_tokens_map.json',
  'modules.json',
  'config_sentence_transformers.json',
  'model.safetensors.index.json',
  'router_config.json',
  'artifact.metadata',
]);
/** The layers beside BGE-M3, which `scripts/convert-checkpoint.py` converts where they are pickles. */
const TOKEN_LAYER = /^(colbert|sparse)_linear\.(safetensors|pt)$/;
const SENTENCE_CONFIG = /^sentence_[\w-]+_config\.json$/;
/** Folders of sentence-transformers modules: `1_Pooling`, `2_Dense`, ..., and `query_0_...` of a Router. */
const MODULE_FOLDER = /^((query|document)_)?\d+(_\w+)?$/;

/** Whether padless reads this file of a model repository. */
export function isNeeded(path: string): boolean {
  const folders = path.split('/');
  const name = folders.pop()!;
  if (!folders.every((folder) => MODULE_FOLDER.test(folder))) return false;
  return [SENTENCE_CONFIG, WEIGHTS, TOKEN_LAYER].some((names) => names.test(name)) || ROOT_FILES.has(name);
}

/**
 * `padless pull`: the files that padless reads of a model on the hub. A file appears under its name when it is
 * complete; what an interrupted pull left is continued.
 */
export async function pull(id: string, flags: PullFlags, signal: AbortSignal): Promise<void> {
  if (!/^[\w.-]+(\/[\w.-]+)?$/.test(id)) {
    throw new PadlessError('E_INVALID_ARGUMENT', `"${id}" is no hub id; it looks like organisation/name.`, {
      field: 'id',
    });
  }
  const token = flags.token ?? process.env['HF_TOKEN'];
  const source: Source = {
    repo: { type: 'model', name: id },
    revision: flags.revision,
    fetch: (input, init) => fetch(input, { ...init, signal }),
    ...(flags.hub !== undefined && { hubUrl: flags.hub }),
    ...(token && { accessToken: token }),
  };
  const target = flags.output ?? basename(id);
  await reached(id, signal, async () => {
    const files = await neededFiles(source, id);
    const total = files.reduce((sum, file) => sum + file.size, 0);
    await using bar = transferBar(total);
    for (const file of files) {
      bar.file(file.path);
      await writing(join(target, file.path), () => download(source, file, target, bar.add));
    }
  });
  process.stdout.write(`${target}\n`);
}

/** Runs `work`, and tells network failures from others. */
async function reached(id: string, signal: AbortSignal, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (cause) {
    if (cause instanceof PadlessError) throw cause;
    if (signal.aborted) throw abortError(signal);
    const { statusCode } = cause as { statusCode?: number };
    const why =
      statusCode === 401 || statusCode === 403 || statusCode === 404
        ? `the hub answers ${statusCode}: there is no such model or revision, or it needs a token (HF_TOKEN)`
        : `the hub cannot be reached (${words(cause)}); padless needs internet only for this command`;
    throw new PadlessError('E_NETWORK', `${id}: ${why}.`, { field: 'id', cause });
  }
}

function words(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error && error.cause.message ? error.cause.message : error.message;
}

/** config.json comes last: a directory without it is no model yet. */
async function neededFiles(source: Source, id: string): Promise<ListFileEntry[]> {
  const files: ListFileEntry[] = [];
  for await (const file of listFiles({ ...source, recursive: true })) {
    if (file.type === 'file' && isNeeded(file.path)) files.push(file);
  }
  const names = new Set(files.map((file) => file.path));
  if (!names.has('config.json') || !files.some((file) => WEIGHTS.test(basename(file.path)))) {
    throw new PadlessError(
      'E_BAD_WEIGHTS',
      `${id} has no ${names.has('config.json') ? `safetensors file, and only those are read; download its pickles in another way, and convert them: python ${CONVERTER} DIR` : 'config.json'}.`,
      { field: 'id' },
    );
  }
  return files
    .filter((file) => !(names.has('model.safetensors') && /^model(-|\.safetensors\.index)/.test(file.path)))
    .sort((a, b) => Number(a.path === 'config.json') - Number(b.path === 'config.json'));
}

async function download(
  source: Source,
  file: ListFileEntry,
  folder: string,
  add: (bytes: number) => void,
): Promise<void> {
  const path = join(folder, file.path);
  if ((await sizeOf(path)) === file.size) return add(file.size);
  await mkdir(dirname(path), { recursive: true });
  const part = `${path}.part`;
  const have = await sizeOf(part);
  const resumed = have !== undefined && have < file.size ? have : 0;
  add(resumed);
  await fetchInto(part, source, file, resumed, add);
  await verify(part, file);
  await rename(part, path);
}

async function sizeOf(path: string): Promise<number | undefined> {
  return (await stat(path).catch(() => undefined))?.size;
}

async function fetchInto(
  part: string,
  source: Source,
  { path, size }: ListFileEntry,
  from: number,
  add: (bytes: number) => void,
): Promise<void> {
  const output = await open(part, from > 0 ? 'a' : 'w');
  try {
    if (size === 0) return;
    const blob = await downloadFile({ ...source, path });
    if (!blob)
      throw new PadlessError('E_NETWORK', `${path} is listed on the hub but not there.`, { field: path });
    for await (const bytes of (from > 0 ? blob.slice(from) : blob).stream()) {
      await output.writeFile(bytes as Uint8Array);
      add((bytes as Uint8Array).byteLength);
    }
    await output.sync();
  } finally {
    await output.close();
  }
}

/** Size, and SHA-256 where the hub tells it; a file that is wrong is not kept. */
async function verify(part: string, { path, size, lfs }: ListFileEntry): Promise<void> {
  const hash = createHash('sha256');
  if (lfs) for await (const bytes of createReadStream(part)) hash.update(bytes as Buffer);
  const length = await sizeOf(part);
  if (length === size && (!lfs || hash.digest('hex') === lfs.oid)) return;
  await rm(part, { force: true });
  throw new PadlessError('E_NETWORK', `${path} arrived damaged; pull again.`, { field: path });
}

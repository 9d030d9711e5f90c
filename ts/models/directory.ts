import { constants } from 'node:fs';
import { open, readdir, realpath, stat } from 'node:fs/promises';
import { join, resolve as absolute, sep } from 'node:path';

import { PadlessError, fromNative, type ErrorCode } from '../errors';
import { openWeights } from '../io/weight_file';
import { parseJson } from './json';

/** Configs are a few KiB, an index of a thousand shards a few MiB; more is an attack on memory. */
const MAX_JSON_BYTES = 32 * 2 ** 20;

const SINGLE = 'model.safetensors';
const INDEX = 'model.safetensors.index.json';
/** Weights in formats that run code or that nothing here reads; not what a trainer leaves beside them. */
const FOREIGN_WEIGHTS =
  /^(?!training_args|optimizer|scheduler|rng_state).*\.(?:bin|pt|pth|ckpt|pkl|pickle|h5|msgpack|onnx|gguf)$/;
/** Those of them that the converter reads. */
const PICKLES = /\.(?:bin|pt|pth|ckpt)$/;
export const CONVERTER = absolute(__dirname, '../../scripts/convert-checkpoint.py');

/** A parsed JSON object. */
export type JsonObject = Record<string, unknown>;

/** Where the tensors of a checkpoint are. */
export interface WeightFiles {
  /** Absolute paths. */
  files: string[];
  /** Tensor name to file. */
  map: Map<string, string>;
}

function errno(error: unknown): string | undefined {
  return (error as NodeJS.ErrnoException).code;
}

const isMissing = (error: unknown): boolean => errno(error) === 'ENOENT' || errno(error) === 'ENOTDIR';

/** Why a relative name cannot be inside the directory, or undefined. */
function unsafeName(name: string): string | undefined {
  if (name.includes('\0')) return 'holds a NUL character';
  if (name.includes('\\')) return 'holds a backslash';
  if (name.startsWith('/') || /^[A-Za-z]:/.test(name)) return 'is absolute';
  const parts = name.split('/');
  if (parts.includes('..')) return 'leads out of the model directory';
  return parts.some((part) => part === '' || part === '.') ? 'is not a plain relative path' : undefined;
}

/**
 * The folder of blobs that files of a snapshot in the Hugging Face cache link to: for
 * `.../models--org--name/snapshots/<revision>[/...]` it is `.../models--org--name/blobs`.
 */
function cacheBlobs(root: string): string | undefined {
  const parts = root.split(sep);
  const snapshots = parts.lastIndexOf('snapshots');
  return snapshots > 0 && snapshots < parts.length - 1
    ? [...parts.slice(0, snapshots), 'blobs'].join(sep)
    : undefined;
}

const isInside = (path: string, folder: string): boolean =>
  path === folder || path.startsWith(folder.endsWith(sep) ? folder : folder + sep);

/** That nothing is at `path`, and how to get it if it is the name of a model. */
const missing = (path: string): string =>
  `does not exist${/^\w[\w.-]*\/\w[\w.-]*$/.test(path) ? ` ("padless pull ${path}" downloads a model of that name)` : ''}`;

/** A model directory on disk. Nothing outside it is ever read, whatever its files say. */
export class ModelDirectory {
  private constructor(
    /** As the caller gave it, absolute. */
    readonly path: string,
    private readonly root: string,
  ) {}

  /** @throws PadlessError E_NOT_FOUND if there is no such directory, E_INVALID_ARGUMENT for what is no path. */
  static async open(path: string): Promise<ModelDirectory> {
    if (typeof path !== 'string' || path === '') {
      throw new PadlessError(
        'E_INVALID_ARGUMENT',
        'The path of a model directory must be a string, not empty.',
        {
          field: 'path',
        },
      );
    }
    const fail = (why: string, cause?: unknown) =>
      new PadlessError('E_NOT_FOUND', `${path} ${why}; give the directory of a Hugging Face model.`, {
        field: path,
        cause,
      });
    if (path.includes('\0')) throw fail('holds a NUL character');
    try {
      const root = await realpath(path);
      if ((await stat(root)).isDirectory()) return new ModelDirectory(absolute(path), root);
    } catch (error) {
      throw fail(isMissing(error) ? missing(path) : `cannot be read: ${(error as Error).message}`, error);
    }
    throw fail('is not a directory');
  }

  /** A folder inside as a directory of its own, such as the `0_Transformer` of old sentence-transformers models. */
  async subdirectory(name: string): Promise<ModelDirectory> {
    return ModelDirectory.open(await this.resolve(name));
  }

  /**
   * The real path of a file or folder inside the directory. Symbolic links may point inside the directory, or, in
   * a snapshot of the Hugging Face cache, to the blobs of the same repository.
   *
   * @throws PadlessError `code` if the name leads out of the directory, E_NOT_FOUND if nothing is there.
   */
  async resolve(name: string, code: ErrorCode = 'E_BAD_CONFIG'): Promise<string> {
    const why = unsafeName(name);
    if (why) throw new PadlessError(code, `The file name ${JSON.stringify(name)} ${why}.`, { field: name });
    let real: string;
    try {
      real = await realpath(join(this.root, name));
    } catch (error) {
      if (!isMissing(error)) {
        throw new PadlessError(code, `${name} cannot be read: ${(error as Error).message}`, {
          field: name,
          cause: error,
        });
      }
      throw new PadlessError('E_NOT_FOUND', `${this.path} has no file ${name}.`, {
        field: name,
        cause: error,
      });
    }
    const blobs = cacheBlobs(this.root);
    if (isInside(real, this.root) || (blobs !== undefined && isInside(real, blobs))) return real;
    throw new PadlessError(code, `${name} is a link that leads out of the model directory.`, { field: name });
  }

  /** Whether something is there under that name. */
  async has(name: string): Promise<boolean> {
    return (await this.#found(this.resolve(name))) !== undefined;
  }

  /**
   * A JSON file whose top level is an object.
   *
   * @throws PadlessError E_NOT_FOUND unless it is optional, E_BAD_CONFIG naming the file, with the position if
   * it is not JSON.
   */
  json(name: string): Promise<JsonObject>;
  json(name: string, options: { optional: true }): Promise<JsonObject | undefined>;
  async json(name: string, options: { optional?: boolean } = {}): Promise<JsonObject | undefined> {
    const value = await this.#json(name, options.optional);
    if (value === undefined) return undefined;
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      throw new PadlessError('E_BAD_CONFIG', `${name}: the top level must be an object.`, { field: name });
    }
    return value as JsonObject;
  }

  /** A JSON file whose top level is an array; undefined if it is not there. */
  async jsonArray(name: string): Promise<unknown[] | undefined> {
    const value = await this.#json(name, true);
    if (value === undefined || Array.isArray(value)) return value;
    throw new PadlessError('E_BAD_CONFIG', `${name}: the top level must be an array.`, { field: name });
  }

  /**
   * The safetensors files of the directory or of a folder inside: model.safetensors, or the shards of
   * model.safetensors.index.json. The headers are checked, and every tensor of the index is in its shard.
   *
   * @throws PadlessError E_NOT_FOUND without weights, E_BAD_WEIGHTS if there are only pickles, if a file is
   * damaged or the index lies.
   */
  async weights(folder = ''): Promise<WeightFiles> {
    const inFolder = (name: string) => (folder === '' ? name : `${folder}/${name}`);
    const single = await this.#found(this.resolve(inFolder(SINGLE), 'E_BAD_WEIGHTS'));
    if (single !== undefined) {
      return { files: [single], map: new Map((await tensorNames(single)).map((name) => [name, single])) };
    }
    const index = await this.json(inFolder(INDEX), { optional: true });
    if (index) return this.#sharded(index, inFolder);
    throw await this.#noWeights(folder);
  }

  async #sharded(index: JsonObject, inFolder: (name: string) => string): Promise<WeightFiles> {
    const file = inFolder(INDEX);
    const weightMap = index['weight_map'];
    if (typeof weightMap !== 'object' || weightMap === null || Object.keys(weightMap).length === 0) {
      throw new PadlessError(
        'E_BAD_WEIGHTS',
        `${file}: "weight_map" must list the tensors and their files.`,
        {
          field: 'weight_map',
        },
      );
    }
    const shards = new Map<string, { path: string; names: Set<string> }>();
    const map = new Map<string, string>();
    for (const [tensor, shard] of Object.entries(weightMap)) {
      if (typeof shard !== 'string' || shard.includes('/')) {
        throw new PadlessError(
          'E_BAD_WEIGHTS',
          `${file}: tensor "${tensor}" is in ${JSON.stringify(shard)}, which is not the bare name of a file in the model directory.`,
          { field: tensor },
        );
      }
      if (!shards.has(shard)) {
        const path = await this.#shard(inFolder(shard), file);
        shards.set(shard, { path, names: new Set(await tensorNames(path)) });
      }
      const { path, names } = shards.get(shard)!;
      if (!names.has(tensor)) {
        throw new PadlessError(
          'E_BAD_WEIGHTS',
          `${file} puts tensor "${tensor}" into ${shard}, which lacks it.`,
          {
            field: tensor,
          },
        );
      }
      map.set(tensor, path);
    }
    return { files: [...shards.values()].map(({ path }) => path), map };
  }

  async #shard(name: string, index: string): Promise<string> {
    const path = await this.#found(this.resolve(name, 'E_BAD_WEIGHTS'));
    if (path !== undefined) return path;
    throw new PadlessError('E_BAD_WEIGHTS', `${index} lists ${name}, which is not there; download it too.`, {
      field: name,
    });
  }

  async #noWeights(folder: string): Promise<PadlessError> {
    const names = await readdir(join(this.root, folder)).catch(() => []);
    const foreign = names.find((name) => FOREIGN_WEIGHTS.test(name));
    const where = join(this.path, folder);
    if (foreign === undefined) {
      return new PadlessError('E_NOT_FOUND', `${where} has no ${SINGLE}.`, { field: SINGLE });
    }
    const convert = PICKLES.test(foreign)
      ? `python ${CONVERTER} ${where} (it needs torch and safetensors)`
      : `python -c "from transformers import AutoModel; AutoModel.from_pretrained(DIR).save_pretrained(DIR)", DIR being the model's directory`;
    return new PadlessError(
      'E_BAD_WEIGHTS',
      `${where} has ${foreign} but no ${SINGLE}. Only safetensors files are read, since pickles run code; convert it: ${convert}.`,
      { field: foreign },
    );
  }

  async #json(name: string, optional = false): Promise<unknown> {
    const path = await (optional ? this.#found(this.resolve(name)) : this.resolve(name));
    return path === undefined ? undefined : parseJson(await readSmallFile(path, name), name);
  }

  /** The path, or undefined where nothing is; other errors pass. */
  async #found(path: Promise<string>): Promise<string | undefined> {
    return path.catch((error: unknown) => {
      if (error instanceof PadlessError && error.code === 'E_NOT_FOUND') return undefined;
      throw error;
    });
  }
}

/** Regular files only; O_NONBLOCK, since opening a FIFO would wait for its writer. */
async function readSmallFile(path: string, name: string): Promise<Uint8Array> {
  const fail = (why: string, cause?: unknown) =>
    new PadlessError('E_BAD_CONFIG', `${name} ${why}.`, { field: name, cause });
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK).catch((error: unknown) => {
    throw fail(`cannot be read: ${(error as Error).message}`, error);
  });
  try {
    const info = await file.stat();
    if (!info.isFile()) throw fail('is not a regular file');
    if (info.size > MAX_JSON_BYTES) throw fail(`has ${info.size} bytes; at most ${MAX_JSON_BYTES} are read`);
    return await file.readFile();
  } finally {
    await file.close();
  }
}

/** The names of the tensors of a safetensors file, its header checked. */
async function tensorNames(path: string): Promise<string[]> {
  const file = await openWeights(path);
  try {
    return file.tensors().map(({ name }) => name);
  } catch (error) {
    throw fromNative(error);
  } finally {
    file.close();
  }
}

import { spawn } from 'node:child_process';
import { clearTimeout, setTimeout } from 'node:timers';

/** Runs a program to its end; its status and what it wrote. */
export function runQuietly(command, args, environment = {}) {
  return new Promise((resolve) => {
    const child = spawn(command, args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...environment },
    });
    let output = '';
    let errors = '';
    child.stdout.on('data', (chunk) => (output += chunk));
    child.stderr.on('data', (chunk) => (errors += chunk));
    child.on('error', (error) => resolve({ status: -1, output, errors: error.message }));
    child.on('close', (status) => resolve({ status, output, errors }));
  });
}

/** A resident process that answers each line with a line. */
export class LineProcess {
  #child;
  #lines = [];
  #waiting = [];
  #rest = '';
  #errors = '';
  #ended;

  constructor(command, args, environment = {}) {
    this.#child = spawn(command, args, { env: { ...process.env, ...environment } });
    this.#child.stdout.setEncoding('utf8').on('data', (text) => this.#take(text));
    this.#child.stderr.setEncoding('utf8').on('data', (text) => {
      this.#errors = (this.#errors + text).slice(-4000);
    });
    // A write to a process that has just died: its exit says why.
    this.#child.stdin.on('error', () => undefined);
    this.#ended = new Promise((resolve) => {
      this.#child.on('error', (error) => resolve(error.message));
      this.#child.on('close', (status) =>
        resolve(`exit ${status}: ${this.#errors.trim().split('\n').at(-1)}`),
      );
    });
    void this.#ended.then((reason) => {
      for (const { reject } of this.#waiting.splice(0)) reject(new Error(reason));
    });
  }

  #take(text) {
    const lines = (this.#rest + text).split('\n');
    this.#rest = lines.pop();
    for (const line of lines) {
      const waiting = this.#waiting.shift();
      if (waiting) waiting.resolve(line);
      else this.#lines.push(line);
    }
  }

  /** The next line that it prints; rejects with its last words when it ends before. */
  read() {
    if (this.#lines.length > 0) return Promise.resolve(this.#lines.shift());
    if (this.#child.exitCode !== null) return this.#ended.then((reason) => Promise.reject(new Error(reason)));
    return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }));
  }

  ask(line) {
    this.#child.stdin.write(`${line}\n`);
    return this.read();
  }

  /** Closes its input and waits for its end. */
  async close(lastLine) {
    this.#child.stdin.end(lastLine === undefined ? undefined : `${lastLine}\n`);
    const timer = setTimeout(() => this.#child.kill(), 10_000);
    await this.#ended;
    clearTimeout(timer);
  }
}

/**
 * Where a hook's stdout and stderr go: a file, never a pipe. A service that the hook started may
 * hold it for ever, so it is appended to and cut back in place when it grows too long.
 */
import { constants, mkdir, open, readdir } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { describeError } from '../model/errors.ts';

export const OUTPUT_TAIL_BYTES = 64 * 1024;
export const OUTPUT_FILE_BYTES = 8 * 1024 * 1024;
const CHECK_MS = 100;
/** How often a cut waits for a pause in what is printed. */
const CUT_TRIES = 5;
const SUFFIX = '.out';

export type HookLog = (level: 'error' | 'warn' | 'info' | 'debug', message: string) => void;

export class OutputFile {
  readonly #file: FileHandle;
  /** Cuts and looks, one after the other: a file that is just being cut has no end. */
  #last: Promise<unknown> = Promise.resolve();
  #kept: Buffer = Buffer.alloc(0);

  private constructor(file: FileHandle) {
    this.#file = file;
  }

  /** Opens an empty file; /dev/null when that is impossible, since a full disk must not keep a `stop` from running. */
  static async open(dir: string, name: string, log: HookLog): Promise<OutputFile> {
    const path = join(dir, name.replace(/[^\w.-]/g, '_') + SUFFIX);
    try {
      await mkdir(dir, { recursive: true, mode: 0o700 });
      const { O_RDWR, O_CREAT, O_APPEND, O_TRUNC, O_NOFOLLOW } = constants;
      return new OutputFile(await open(path, O_RDWR | O_CREAT | O_APPEND | O_TRUNC | O_NOFOLLOW, 0o600));
    } catch (error) {
      log('warn', `output of a hook is lost, ${path} cannot be opened: ${describeError(error)}`);
      return new OutputFile(await open('/dev/null', 'r+'));
    }
  }

  /** For the child's stdout and stderr. */
  get fd(): number {
    return this.#file.fd;
  }

  /** Keeps the file bounded until `signal` says that the hook has ended. */
  async watch(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#inTurn(() => this.#cut());
      await sleep(CHECK_MS, undefined, { signal }).catch(() => undefined);
    }
  }

  /** The last OUTPUT_TAIL_BYTES at most. */
  tail(): Promise<string> {
    return this.#inTurn(async () => {
      const all = Buffer.concat([this.#kept, await this.#end()]);
      return all.subarray(Math.max(0, all.length - OUTPUT_TAIL_BYTES)).toString('utf8');
    });
  }

  async close(): Promise<void> {
    await this.#inTurn(() => this.#cut());
    await this.#file.close();
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const mine = this.#last.then(work);
    this.#last = mine.catch(() => undefined);
    return mine;
  }

  /** What is printed between the last look and the cut is lost: of what never pauses, some of its middle. */
  async #cut(): Promise<void> {
    let { size } = await this.#file.stat();
    if (size <= OUTPUT_FILE_BYTES) return;
    for (let tries = 0; tries < CUT_TRIES; tries++) {
      this.#kept = await this.#end();
      const now = (await this.#file.stat()).size;
      if (now === size) break;
      size = now;
    }
    await this.#file.truncate(0);
  }

  async #end(): Promise<Buffer> {
    const { size } = await this.#file.stat();
    const length = Math.min(size, OUTPUT_TAIL_BYTES);
    const { bytesRead, buffer } = await this.#file.read(Buffer.alloc(length), 0, length, size - length);
    return buffer.subarray(0, bytesRead);
  }
}

/**
 * Cuts back every output file that grew too long: services keep writing to them long after their
 * hook has ended. Call it now and then, e.g. every 10 s.
 * @returns paths that were cut
 */
export async function boundOutputs(dir: string): Promise<string[]> {
  const cut: string[] = [];
  for (const name of await readdir(dir).catch((): string[] => [])) {
    if (!name.endsWith(SUFFIX)) continue;
    const path = join(dir, name);
    const file = await open(path, constants.O_RDWR | constants.O_NOFOLLOW).catch(() => null);
    if (file === null) continue;
    try {
      if ((await file.stat()).size <= OUTPUT_FILE_BYTES) continue;
      await file.truncate(0);
      cut.push(path);
    } finally {
      await file.close();
    }
  }
  return cut;
}

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
const SUFFIX = '.out';

export type HookLog = (level: 'error' | 'warn' | 'info' | 'debug', message: string) => void;

export class OutputFile {
  readonly #file: FileHandle;
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
      await this.#cut();
      await sleep(CHECK_MS, undefined, { signal }).catch(() => undefined);
    }
  }

  /** The last OUTPUT_TAIL_BYTES at most. */
  async tail(): Promise<string> {
    const last = Buffer.concat([this.#kept, await this.#last()]);
    return last.subarray(Math.max(0, last.length - OUTPUT_TAIL_BYTES)).toString('utf8');
  }

  async close(): Promise<void> {
    await this.#cut();
    await this.#file.close();
  }

  async #cut(): Promise<void> {
    if ((await this.#file.stat()).size <= OUTPUT_FILE_BYTES) return;
    this.#kept = await this.#last();
    await this.#file.truncate(0);
  }

  async #last(): Promise<Buffer> {
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

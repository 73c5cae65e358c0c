/**
 * The journal: what happened on this node, in order, for the page, `hastate events`
 * and whoever asks later. The last entries in memory, all of them in a file that is
 * turned over at a bounded size.
 */
import { createWriteStream, mkdirSync, renameSync, statSync, type WriteStream } from 'node:fs';
import { join } from 'node:path';

import type { NodeName } from '../model/roles.ts';
import type { JournalEvent } from '../protocol/control.ts';
import type { Log } from './log.ts';

export type JournalEntry = Pick<JournalEvent, 'kind' | 'level' | 'message'> &
  Partial<Pick<JournalEvent, 'resource' | 'group' | 'data'>>;

const KEPT_IN_MEMORY = 1000;
const MAX_FILE_BYTES = 16 * 1024 * 1024;
/** What is tried again and again, and says the same each time. */
const REPEATING: ReadonlySet<string> = new Set([
  ...['group.blocked', 'hook.refused', 'service.stays'],
  ...['address.add-failed', 'address.remove-failed'],
]);
/** How long the same words are not said again. ms */
const QUIET_MS = 10 * 60_000;

export class Journal {
  readonly #node: NodeName;
  readonly #now: () => number;
  readonly #log: Log;
  readonly #path: string;
  readonly #recent: JournalEvent[] = [];
  readonly #listeners = new Set<(event: JournalEvent) => void>();
  readonly #said = new Map<string, { message: string; at: number }>();
  #file: WriteStream | null;
  #fileBytes: number;
  #seq = 0;

  constructor(options: { node: NodeName; stateDir: string; now: () => number; log: Log }) {
    this.#node = options.node;
    this.#now = options.now;
    this.#log = options.log;
    mkdirSync(options.stateDir, { recursive: true });
    this.#path = join(options.stateDir, 'journal.jsonl');
    this.#fileBytes = statSync(this.#path, { throwIfNoEntry: false })?.size ?? 0;
    this.#file = this.#openFile();
  }

  #openFile(): WriteStream {
    const file = createWriteStream(this.#path, { flags: 'a', mode: 0o600 });
    file.on('error', (error) => {
      this.#file = null;
      this.#log(
        'error',
        `journal ${this.#path} cannot be written (${error.message}): events are kept in memory only until restart`,
      );
    });
    return file;
  }

  add(entry: JournalEntry): JournalEvent {
    this.#seq += 1;
    const event: JournalEvent = {
      seq: this.#seq,
      time: new Date().toISOString(),
      at: this.#now(),
      node: this.#node,
      ...entry,
      level: this.#isRepeated(entry) ? 'debug' : entry.level,
    };
    this.#recent.push(event);
    if (this.#recent.length > KEPT_IN_MEMORY) this.#recent.shift();
    if (event.kind === 'engine.sync-progress') this.#log('trace', event.message);
    else {
      this.#log(event.level, event.message);
      this.#write(`${JSON.stringify(event)}\n`);
    }
    for (const listener of this.#listeners) listener(event);
    return event;
  }

  #isRepeated({ kind, group, resource, message }: JournalEntry): boolean {
    if (!REPEATING.has(kind)) return false;
    const about = [kind, group, resource].join(' ');
    const last = this.#said.get(about);
    const now = this.#now();
    if (last?.message === message && now - last.at < QUIET_MS) return true;
    this.#said.set(about, { message, at: now });
    return false;
  }

  #write(line: string): void {
    if (this.#fileBytes + line.length > MAX_FILE_BYTES && this.#file !== null) {
      this.#file.end();
      renameSync(this.#path, `${this.#path}.1`);
      this.#file = this.#openFile();
      this.#fileBytes = 0;
    }
    this.#fileBytes += line.length;
    this.#file?.write(line);
  }

  recent(): readonly JournalEvent[] {
    return this.#recent;
  }

  get last(): JournalEvent | null {
    return this.#recent.at(-1) ?? null;
  }

  /** Every later entry; the result ends it. */
  follow(listener: (event: JournalEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async close(): Promise<void> {
    const file = this.#file;
    this.#file = null;
    if (file === null) return;
    await new Promise<void>((resolve) => {
      file.end(() => {
        resolve();
      });
    });
  }
}

/**
 * Notices a local disk that takes requests and answers none. An error is an answer; this is about silence, which
 * no request can be told of, because its bytes may still be on their way.
 * @see SAFETY B5
 */
import type { EngineCore } from './core.ts';
import type { MetadataDisk } from './metadata-store.ts';
import type { ClockPort, DiskPort, IoResult } from './ports.ts';

/** As an engine that does not move. ms */
const STALLED_MS = 2000;
const LOOK_MS = 250;
/** So many times hast.conf's `timeout` may a flush take that nothing else waits for. */
const FLUSH_FACTOR = 3;
/** A disk that hangs is waited for no longer than this by who has to go on without it. ms */
export const HANGING_MS = 200;

export interface DiskStall {
  readonly text: string;
  /** For longer than hast.conf's `timeout`: it is given up, as a peer is that answers nothing. */
  readonly hangs: boolean;
}

export class DiskWatch {
  readonly #core: EngineCore;
  #finished = 0;
  #movedAt: number;
  #lookedAt: number;
  #cancel: () => void = () => undefined;

  constructor(core: EngineCore) {
    this.#core = core;
    this.#movedAt = this.#lookedAt = core.ports.clock.now();
    this.#next();
  }

  stop(): void {
    this.#cancel();
  }

  #next(): void {
    this.#cancel = this.#core.ports.clock.after(LOOK_MS, () => {
      this.#look();
      this.#next();
    });
  }

  #look(): void {
    const { disk, clock } = this.#core.ports;
    const progress = disk.progress?.();
    if (progress === undefined) return;
    const now = clock.now();
    // A process that stood still has not looked at what its disk answered.
    const paused = now - this.#lookedAt > STALLED_MS / 2;
    this.#lookedAt = now;
    if (progress.running === 0 || progress.finished !== this.#finished || paused) {
      this.#finished = progress.finished;
      this.#movedAt = now;
      this.#moves();
      return;
    }
    const { timeoutMs } = this.#core.setup.resource;
    // A flush alone may write gigabytes before it answers.
    const [silentMs, hangsMs] =
      progress.running === progress.flushing
        ? [timeoutMs, FLUSH_FACTOR * timeoutMs]
        : [STALLED_MS, timeoutMs];
    const ms = now - this.#movedAt;
    if (ms >= silentMs) this.#stalls(silentMs, ms >= hangsMs ? hangsMs : null);
  }

  #moves(): void {
    if (this.#core.stall === null) return;
    this.#core.stall = null;
    this.#core.report(
      'disk-recovered',
      'info',
      `${this.#core.setup.resource.name}: the local disk answers again`,
    );
  }

  /** @param hangsMs for so long it has been silent at least, null: not long enough to call it hanging */
  #stalls(silentMs: number, hangsMs: number | null): void {
    const { name } = this.#core.setup.resource;
    const hangs = hangsMs !== null;
    const before = this.#core.stall;
    if (before !== null && before.hangs === hangs) return;
    const text = hangs
      ? `the local disk has answered nothing for ${hangsMs} ms: it hangs`
      : `the local disk has answered nothing for ${silentMs} ms`;
    this.#core.stall = { text, hangs };
    this.#core.report('disk-stalled', 'error', `${name}: ${text}`);
  }
}

/**
 * The disk with durable writes that end: after `limitMs` with EIO, and so do those that follow, until the late one has
 * ended. So it never overtakes a newer one.
 */
export function boundDurableWrites(disk: DiskPort, clock: ClockPort, limitMs: () => number): MetadataDisk {
  let late = 0;
  return {
    sizeBytes: disk.sizeBytes,
    sectorBytes: disk.sectorBytes,
    read: (offset, into, done) => disk.read(offset, into, done),
    writeDurable: (offset, data, done) => {
      if (late > 0) {
        clock.after(0, () => done('EIO'));
        return;
      }
      let told = false;
      const tell = (error: IoResult): void => {
        if (!told) done(error);
        told = true;
      };
      const cancel = clock.after(limitMs(), () => {
        late++;
        tell('EIO');
      });
      disk.writeDurable(offset, data, (error) => {
        cancel();
        if (told) late--;
        tell(error);
      });
    },
  };
}

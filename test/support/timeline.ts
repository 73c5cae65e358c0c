/**
 * What happened to shared addresses, and when: which side had one on its link, which side sent adverts, who answered
 * the client. All times are ms of the machine's monotonic clock, which is one for all its processes.
 */
import type { AnswerLine } from '../fixtures/address-probe.ts';
import type { Side } from './bridge-lab.ts';
import type { Talker } from './talker.ts';

export interface SeenAdvert {
  readonly side: Side;
  readonly at: number;
  /** vhid or vrid */
  readonly id: number;
  readonly goodbye: boolean;
}

interface Held {
  readonly side: Side;
  readonly at: number;
  readonly up: boolean;
}

const SIDES = ['a', 'b'] as const;
const LAST_OCTET = { a: 1, b: 2 } as const;
const PROTOCOL = 112;
const CARP_BYTES = 36;

/** ms of the machine's monotonic clock. */
export function machineNow(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

export class Timeline {
  readonly adverts: SeenAdvert[] = [];
  readonly answers: AnswerLine[] = [];
  readonly #address: string;
  readonly #held: Held[] = [];
  readonly #waiting = new Set<() => void>();

  /** @param address the one whose coming and going is noted */
  constructor(address: string) {
    this.#address = address;
  }

  /** `ip -o monitor address` of a side. */
  followAddresses(talker: Talker, side: Side): void {
    this.#follow(talker, (line) => this.#monitored(line, side));
  }

  /** A timed wire tap of a side's link. @param mac of that side: over IPv6 the other one may have the same source */
  followAdverts(talker: Talker, side: Side, mac: string): void {
    this.#follow(talker, (line) => this.#tapped(line, side, mac));
  }

  /** An address probe that asks. */
  followAnswers(talker: Talker): void {
    this.#follow(talker, (line) => {
      if (line.startsWith('{"answers"')) this.answers.push(JSON.parse(line) as AnswerLine);
    });
  }

  #follow(talker: Talker, note: (line: string) => void): void {
    talker.each((line) => {
      note(line);
      for (const look of this.#waiting) look();
    });
  }

  #monitored(line: string, side: Side): void {
    if (!line.includes(` ${this.#address}/`)) return;
    const up = !line.startsWith('Deleted');
    if (this.holds(side) !== up) this.#held.push({ side, at: machineNow(), up });
  }

  #tapped(line: string, side: Side, mac: string): void {
    if (!line.startsWith('{"frame"')) return;
    const { frame, at } = JSON.parse(line) as { frame: string; at: number };
    const advert = advertOf(Buffer.from(frame, 'hex'), side, mac);
    if (advert !== null) this.adverts.push({ side, at, ...advert });
  }

  /** Who answered last, or null. */
  get answering(): string | null {
    return this.answers.at(-1)?.answers ?? null;
  }

  /** Whether that side has the address now. */
  holds(side: Side): boolean {
    return this.#held.findLast((event) => event.side === side)?.up ?? false;
  }

  /** Times at which a side got the address or lost it. */
  turns(side: Side, up: boolean, from = 0): number[] {
    return this.#held.filter((e) => e.side === side && e.up === up && e.at >= from).map(({ at }) => at);
  }

  /** Adverts of that side that are no good-bye. */
  spoken(side: Side, from = 0, to = Infinity): SeenAdvert[] {
    return this.adverts.filter((a) => a.side === side && !a.goodbye && a.at >= from && a.at <= to);
  }

  /** The first answer of another one than before, after `from`. */
  firstAnswer(name: string, from: number): AnswerLine | null {
    return this.answers.find((answer) => answer.answers === name && answer.at >= from) ?? null;
  }

  /** The longest time without an answer that ended after `from`. ms; 0 when no pause was worth noting. */
  longestPause(from: number): number {
    return Math.max(0, ...this.answers.filter(({ at }) => at >= from).map(({ afterMs }) => afterMs ?? 0));
  }

  /** How long both sides had the address at once since `from`, until now. ms */
  bothHeld(from: number): number {
    const has: Record<Side, boolean> = { a: false, b: false };
    let since: number | null = null;
    let total = 0;
    const close = (at: number): void => {
      if (since !== null) total += Math.max(0, at - Math.max(since, from));
      since = null;
    };
    for (const { side, at, up } of this.#held) {
      has[side] = up;
      if (has.a && has.b) since ??= at;
      else close(at);
    }
    close(machineNow());
    return total;
  }

  /** Resolves as soon as it is so. @throws Error with what was seen last */
  async until(what: string, reached: () => boolean, ms: number): Promise<number> {
    const from = machineNow();
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiting.delete(look);
        reject(new Error(`not ${what} in ${ms} ms: ${this.#lately(from)}`));
      }, ms);
      const look = (): void => {
        if (!reached()) return;
        clearTimeout(timer);
        this.#waiting.delete(look);
        resolve();
      };
      this.#waiting.add(look);
      look();
    });
    return machineNow();
  }

  #lately(from: number): string {
    const ms = (at: number): string => `${(at - from).toFixed(0)} ms`;
    return [
      `answering ${this.answering ?? 'nobody'}`,
      ...SIDES.map((side) => `${side} ${this.holds(side) ? 'has' : 'has not'} the address`),
      ...this.adverts
        .slice(-6)
        .map(({ side, at, goodbye }) => `${goodbye ? 'bye' : 'advert'} of ${side} at ${ms(at)}`),
      ...this.answers.slice(-3).map(({ answers, at }) => `answer of ${answers} at ${ms(at)}`),
    ].join(', ');
  }
}

/** What a frame says when that side sent it; the tap also sees what the other one sent. */
function advertOf(frame: Buffer, side: Side, mac: string): { id: number; goodbye: boolean } | null {
  const ipv6 = frame.readUInt16BE(12) === 0x86dd;
  if (!ipv6 && frame.readUInt16BE(12) !== 0x0800) return null;
  // ucarp has a source MAC of its own.
  const sent = ipv6 ? frame.toString('hex', 6, 12) === mac : frame[29] === LAST_OCTET[side];
  if (frame[ipv6 ? 20 : 23] !== PROTOCOL || !sent) return null;
  const start = ipv6 ? 54 : 14 + ((frame[14] ?? 0) & 15) * 4;
  const length = ipv6 ? frame.readUInt16BE(18) : frame.readUInt16BE(16) - (start - 14);
  const advert = frame.subarray(start, start + length);
  const carp = advert.length === CARP_BYTES && advert[0] === 0x21 && advert[3] === 7;
  const goodbye = carp ? advert[2] === 255 && advert[5] === 255 : advert[2] === 0;
  return { id: advert[1] ?? 0, goodbye };
}

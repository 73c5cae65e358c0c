/**
 * What applications do on the pair's disk, and what they may rely on: whoever serves is read as a whole first and
 * has to hold everything that was acknowledged, then it is written to.
 */
import type { SimRandom } from './sim-clock.ts';
import { Oracle } from './sim-oracle.ts';
import type { SimNode } from './sim-node.ts';

const SPAN_BYTES = 512 * 1024;
const PIECE_BYTES = 128 * 1024;
const BLOCK_BYTES = 4096;
const MOST_UNDER_WAY = 12;

/** One time of one node as the one that serves. */
interface Turn {
  readonly sim: SimNode;
  readonly device: SimNode['device'];
  readonly number: number;
  read: boolean;
  underWay: number;
}

export interface LoadCounts {
  written: number;
  flushed: number;
  turns: number;
}

export class Load {
  readonly counts: LoadCounts = { written: 0, flushed: 0, turns: 0 };
  /** A node acknowledged a write after another one had begun to serve. */
  twoWriters = false;
  /** What an application found missing. */
  loss: string | null = null;
  readonly #oracle = new Oracle();
  readonly #random: SimRandom;
  readonly #turns = new Map<string, Turn>();
  /** Nodes whose disk lost its cache and was not made whole since. */
  readonly #coldDisks = new Set<string>();
  #last = 0;

  constructor(random: SimRandom) {
    this.#random = random;
  }

  powerCut(node: string): void {
    this.#coldDisks.add(node);
  }
  /** The node has everything of its primary again. */
  madeWhole(node: string): void {
    this.#coldDisks.delete(node);
  }

  /** Some requests to a node that serves. */
  use(sim: SimNode): void {
    const turn = this.#turnOf(sim);
    if (turn === null || !turn.read || this.loss !== null || this.twoWriters) return;
    while (turn.underWay < MOST_UNDER_WAY && this.#random.chance(0.6)) {
      if (this.#random.chance(0.1)) this.#flush(turn);
      else this.#write(turn);
    }
  }

  #turnOf(sim: SimNode): Turn | null {
    const { device, name } = sim;
    if (device === null) return null;
    const known = this.#turns.get(name);
    if (known?.device === device) return known;
    const turn: Turn = { sim, device, number: ++this.#last, read: false, underWay: 0 };
    this.#turns.set(name, turn);
    this.counts.turns++;
    this.#readAll(turn, this.#coldDisks.has(name) ? 'flushed' : 'acked');
    return turn;
  }

  #readAll(turn: Turn, demand: 'acked' | 'flushed'): void {
    const pieces: Buffer[] = [];
    const next = (): void => {
      const offset = pieces.length * PIECE_BYTES;
      if (offset === SPAN_BYTES) {
        this.#judge(turn, Buffer.concat(pieces), demand);
        return;
      }
      turn.device?.read(offset, PIECE_BYTES, (_error, data) => {
        // A node that goes down again answers nothing more.
        if (data === null) return;
        pieces.push(Buffer.from(data));
        next();
      });
    };
    next();
  }

  #judge(turn: Turn, data: Buffer, demand: 'acked' | 'flushed'): void {
    if (this.twoWriters || turn.number !== this.#last) return;
    const wrong = this.#oracle.check(data, demand);
    if (wrong !== null) this.loss ??= `${turn.sim.name} serves, and ${wrong}`;
    this.#oracle.settle(data);
    turn.read = true;
  }

  #write(turn: Turn): void {
    const length = BLOCK_BYTES * (1 + this.#random.below(4));
    const offset = BLOCK_BYTES * this.#random.below((SPAN_BYTES - length) / BLOCK_BYTES);
    const { data, ended } = this.#oracle.write(offset, length);
    turn.underWay++;
    turn.device?.write(offset, data, this.#random.chance(0.1), (error) => {
      turn.underWay--;
      if (error === null) this.#acknowledged(turn);
      ended(error);
      if (error === null) this.counts.written++;
    });
  }

  #flush(turn: Turn): void {
    const done = this.#oracle.flush();
    turn.underWay++;
    turn.device?.flush((error) => {
      turn.underWay--;
      if (error !== null) return;
      done();
      this.counts.flushed++;
    });
  }

  #acknowledged(turn: Turn): void {
    if (turn.number !== this.#last) this.twoWriters = true;
  }
}

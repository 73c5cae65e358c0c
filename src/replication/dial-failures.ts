/** Why no link came up, told once as long as it stays the same. */
import { describeError, NetError } from '../model/errors.ts';
import type { EngineCore } from './core.ts';
import { JudgedError, RefusedError } from './dial.ts';
import { tellRefusal } from './peer-proof.ts';
import { NEITHER_COMPLETE, SPLIT_BRAIN } from './split-brain.ts';
import type { Standing } from './standing.ts';

export class DialFailures {
  readonly #core: EngineCore;
  readonly #standing: Standing;
  #last = '';

  constructor(core: EngineCore, standing: Standing) {
    this.#core = core;
    this.#standing = standing;
  }

  async tell(error: unknown): Promise<void> {
    const message = describeError(error);
    if (error instanceof RefusedError && error.epoch !== null) {
      this.#standing.peerEpoch(error.epoch);
      // It comes from the peer, and our map knows which of the two has an extent.
      if (message === NEITHER_COMPLETE) await this.#standing.neitherComplete().catch(() => undefined);
    }
    // Also what the connector was refused.
    const meant =
      error instanceof JudgedError || (error instanceof NetError && error.code === 'peer-refused');
    if (message === SPLIT_BRAIN) {
      if (this.#core.peerProblem === message) return;
      this.#core.peerProblem = message;
      this.#standing.splitBrain('the two disks went on apart from each other');
    } else if (meant) tellRefusal(this.#core, message);
    else if (message !== this.#last) this.#core.report('refused', 'debug', message);
    this.#last = message;
  }
}

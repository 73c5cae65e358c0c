/** An engine of a simulated node, commanded as the daemon commands the thread of a real one. */
import type { MemberEngine } from '../daemon/bind/members.ts';
import type { EngineHandleOptions } from '../daemon/engine/supervise.ts';
import { EngineError } from '../model/errors.ts';
import type { Timing } from '../model/timing.ts';
import type { EngineCommand, EngineSnapshot } from '../replication/messages.ts';
import type { SimNode } from './sim-node.ts';

export class SimEngine implements MemberEngine {
  readonly name: string;
  readonly stalled = false;
  readonly warning = null;
  readonly relayed = 0;
  readonly #options: EngineHandleOptions;
  readonly #sim: SimNode;
  readonly #timing: Timing;

  constructor(options: EngineHandleOptions, sim: SimNode, timing: Timing) {
    this.#options = options;
    this.#sim = sim;
    this.#timing = timing;
    this.name = options.setup.resource.name;
  }

  get running(): boolean {
    return this.#sim.up;
  }

  start(): Promise<EngineSnapshot> {
    this.#sim.onEvent = this.#options.onEvent;
    return this.#sim.open(this.#options.lease.port(), this.#timing);
  }

  command(command: EngineCommand): Promise<EngineSnapshot> {
    const { engine } = this.#sim;
    if (engine === null)
      return Promise.reject(new EngineError('engine-died', `the engine of ${this.name} is not running`));
    return engine.handle(command);
  }

  /** The settings of a simulation do not change, its connections reach the engine by themselves. */
  configure(): Promise<void> {
    return Promise.resolve();
  }
  rekey(): Promise<void> {
    return Promise.resolve();
  }
  adopt(): void {
    throw new EngineError('not-simulated', 'a simulated engine takes no descriptors');
  }

  async stop(): Promise<void> {
    if (this.running) await this.command({ type: 'stop' });
  }
  kill(): Promise<void> {
    return this.stop();
  }
}

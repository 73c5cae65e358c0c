/**
 * Records that a disk of this node is outdated: by its engine, or in its place where that hangs inside the disk.
 * @see SAFETY A3, docs/safety-rules.md
 */
import { EngineError } from '../../model/errors.ts';
import { compareEpochs } from '../../model/record.ts';
import type { Epoch } from '../../model/record.ts';
import { outdateThirdCopy, refuseOld } from '../../replication/third-copy.ts';
import { sidecarFile } from '../engine/sidecar-file.ts';
import type { Runtime } from '../runtime.ts';
import type { Member } from './members.ts';

/** A member whose engine does not answer. */
type Hung = Pick<Member, 'settings' | 'snapshot' | 'command'> & {
  readonly engine: Pick<Member['engine'], 'running' | 'stalled' | 'kill'>;
};

interface Given {
  readonly epoch: Epoch;
  readonly done: Promise<void>;
}

export class Outdater {
  readonly #runtime: Pick<Runtime, 'stateDir' | 'log'>;
  /** What was recorded for engines that have not been opened since. */
  readonly #given = new Map<string, Given>();

  constructor(runtime: Pick<Runtime, 'stateDir' | 'log'>) {
    this.#runtime = runtime;
  }

  /**
   * The primary of `epoch` goes on without this disk. Resolves when that is durable here.
   * @throws EngineError `epoch-old`, `is-primary`, `engine-died`, of the third copy; DiskError
   */
  async outdate(member: Hung, epoch: Epoch): Promise<void> {
    const { name } = member.settings;
    if (member.engine.running && !member.engine.stalled) {
      this.#given.delete(name);
      await member.command({ type: 'outdate', epoch });
      return;
    }
    const before = this.#given.get(name);
    if (before !== undefined && compareEpochs(before.epoch, epoch) === 'same') return before.done;
    const done = this.#instead(member, epoch);
    this.#given.set(name, { epoch, done });
    await done.catch((error: unknown) => {
      // Asked again, it is tried again.
      this.#given.delete(name);
      throw error;
    });
  }

  /** An engine that is given up runs nothing any more: its disk is no candidate before it was opened again. */
  async #instead({ settings: { name }, snapshot, engine }: Hung, epoch: Epoch): Promise<void> {
    if (snapshot === null)
      throw new EngineError(
        'engine-died',
        `the engine of ${name} does not run and nothing is known of its disk`,
      );
    if (snapshot.role === 'primary')
      throw new EngineError('is-primary', `${name} is primary here and is not outdated`);
    refuseOld(name, snapshot.record.epoch, epoch);
    const { resuid, datasize, extentsize } = snapshot;
    await engine.kill();
    await outdateThirdCopy(
      sidecarFile(this.#runtime.stateDir, name),
      { resource: name, resuid, datasize, extentsize },
      epoch,
    );
    this.#runtime.log(
      'warn',
      `${name}: its engine hangs and was given up; that it is outdated is recorded without it`,
    );
  }
}

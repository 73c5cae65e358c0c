/**
 * What the peer's records, told on the peer channel, mean for our copies: whether they may be served
 * after all (B4), whether the peer went on without us (B3), whether it has a newer epoch (A5).
 */
import { describeError } from '../../model/errors.ts';
import { compareEpochs, compareHistories, freshnessByExchange } from '../../model/record.ts';
import type { PeerHeartbeat, ResourceReport } from '../../protocol/peer-message.ts';
import type { Runtime } from '../runtime.ts';
import type { Member } from './members.ts';

/** Its record has our history and calls our disk in sync. Null while none of this boot is known. */
export function peerAgrees(runtime: Runtime, member: Member): boolean | null {
  const theirs = runtime.peer.resource(member.settings.name)?.record;
  const ours = member.snapshot?.record;
  if (theirs === undefined || ours === undefined) return null;
  return (
    compareHistories(ours.generations, theirs.generations) === 'same' && theirs.inSync.includes(runtime.node)
  );
}

/** D5: both disks went on from a common history, as far as the peer's last words tell. */
export function wentApart(runtime: Runtime, { settings, snapshot, givenUpThere }: Member): boolean {
  const theirs = runtime.peer.resource(settings.name)?.record.generations;
  const ours = snapshot?.record.generations;
  if (theirs === undefined || ours === undefined || theirs.current === givenUpThere) return false;
  return compareHistories(ours, theirs) === 'diverged';
}

export class RecordExchange {
  readonly #runtime: Runtime;
  /** Resource -> our generation that was found to be split. */
  readonly #splits = new Map<string, string>();

  constructor(runtime: Runtime) {
    this.#runtime = runtime;
  }

  /** Looks at one resource of a heartbeat that has just been heard. */
  compare(member: Member, words: ResourceReport, heartbeat: PeerHeartbeat): void {
    const { snapshot } = member;
    if (snapshot === null) return;
    member.lease.showEpoch(words.record.epoch.number);
    const order = compareEpochs(snapshot.record.epoch, words.record.epoch);
    if (snapshot.role === 'primary') {
      if (order === 'newer' || order === 'clash') {
        this.#tell(member, 'freezing', member.command({ type: 'peer-epoch', epoch: words.record.epoch }));
      } else {
        this.#lookForSplit(member);
      }
      return;
    }
    if (snapshot.dataLinkUp) {
      this.#dispelDoubt(member, heartbeat);
      return;
    }
    // A primary comes on the data link, where the engine tells it.
    if (words.role !== 'primary') this.#lookForSplit(member, order === 'clash');
    this.#judgeCopy(member, words, heartbeat, order !== 'older');
  }

  /** D5: the engine notices when the peer's epoch is the higher one, this is for all others. Said once. */
  #lookForSplit(member: Member, clash = false): void {
    const { settings, snapshot } = member;
    const generation = snapshot?.record.generations.current;
    if (generation === undefined || !(clash || wentApart(this.#runtime, member))) return;
    if (this.#splits.get(settings.name) === generation) return;
    this.#splits.set(settings.name, generation);
    this.#runtime.journal.add({
      kind: 'record.split-brain',
      level: 'error',
      resource: settings.name,
      message: `${settings.name}: split-brain: this node and ${this.#runtime.settings.peer?.name ?? 'the peer'} wrote apart from each other; both copies are kept. Decide which one to keep: hastate resolve ${settings.name} --discard NODE`,
    });
  }

  #judgeCopy(member: Member, words: ResourceReport, heartbeat: PeerHeartbeat, upToDate: boolean): void {
    const { snapshot } = member;
    if (snapshot === null) return;
    const freshness = freshnessByExchange(snapshot.record, words.record, this.#runtime.node);
    if (freshness.kind === 'outdated' && snapshot.record.state === 'clean' && upToDate) {
      this.#tell(
        member,
        'recording that it is outdated',
        member.command({ type: 'outdate', epoch: words.record.epoch }),
      );
      this.#runtime.journal.add({
        kind: 'record.outdated',
        level: 'warn',
        resource: member.settings.name,
        message: `${member.settings.name}: ${this.#runtime.settings.peer?.name ?? 'the peer'} went on without this disk, which is outdated until it is resynced`,
      });
      return;
    }
    if (freshness.kind === 'unknown' && snapshot.freshness.kind === 'inSync') {
      member.doubt ??= { since: this.#runtime.clock.now(), why: freshness.why };
      return;
    }
    if (freshness.kind === 'inSync') this.#dispelDoubt(member, heartbeat);
    const nobodyIsPrimary = words.role !== 'primary';
    if (nobodyIsPrimary && snapshot.freshness.kind === 'unknown' && freshness.kind !== 'unknown') {
      this.#tell(member, 'comparing records', member.command({ type: 'set-freshness', freshness }));
    }
  }

  /** Only by words that the peer found after it had heard us again: older ones may lie in a buffer. */
  #dispelDoubt(member: Member, { echo }: PeerHeartbeat): void {
    if (member.doubt === null || echo === null || echo.boot !== this.#runtime.boot) return;
    if (echo.at > member.doubt.since && peerAgrees(this.#runtime, member) === true) member.doubt = null;
  }

  /** Nobody waits for it: the next heartbeat comes soon. */
  #tell(member: Member, what: string, work: Promise<unknown>): void {
    work.catch((error: unknown) => {
      this.#runtime.log('debug', `${member.settings.name}: ${what} failed: ${describeError(error)}`);
    });
  }
}

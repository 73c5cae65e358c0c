/** The demonstration, step by step: what happens, how long it took, and whether anything was lost. */
import { performance } from 'node:perf_hooks';

import { HastateError } from '../../model/errors.ts';
import type { JournalEvent, NodeStatus } from '../../protocol/control.ts';
import { type DemoDaemon, quietly } from './nodes.ts';
import { ADDRESS, type DemoNode, GROUP, RESOURCE, type Scene } from './scene.ts';
import { type FindTarget, openFileTarget, openNbdTarget, StampWriter } from './writer.ts';

export interface StoryResult {
  readonly acknowledged: number;
  readonly lost: number;
  readonly detectionMs: number;
  readonly promotionMs: number;
  readonly writeGapMs: number;
  readonly resyncedBytes: number;
  readonly switchoverGapMs: number;
  readonly fileSystem: string | null;
  readonly adverts: string;
  readonly ok: boolean;
}

export interface Stage {
  readonly scene: Scene;
  readonly daemons: Readonly<Record<DemoNode, DemoDaemon>>;
  readonly signal: AbortSignal;
  /** One step, as it happens. */
  readonly say: (text: string) => void;
  /** A line that replaces itself: progress. */
  progress(done: number, total: number): void;
}

/** Writes before the crash and after each change, so that every phase has something to lose. */
const WRITES_A_PHASE = 300;
const STEP_MS = 30_000;

function groupOf(status: NodeStatus): NodeStatus['groups'][number] | undefined {
  return status.groups.find((group) => group.name === GROUP);
}

function serves(status: NodeStatus): boolean {
  return groupOf(status)?.state === 'primary.serving';
}

function complete(status: NodeStatus): boolean {
  const resource = status.resources.find(({ name }) => name === RESOURCE);
  return (
    serves(status) &&
    resource?.status === 'complete' &&
    resource.sync === null &&
    resource.record?.inSync.length === 2
  );
}

/** Notes when the kinds of events that the figures need happened, on this process's clock. */
class Moments {
  readonly #at = new Map<string, number>();
  resyncedBytes = 0;

  note(event: JournalEvent): void {
    const state = event.data?.['value'];
    if (event.kind === 'group.state' && event.group === GROUP && state !== undefined) {
      this.#first(`${event.node}:${Object.keys(state as object)[0] ?? ''}`);
    }
    if (event.kind === 'engine.sync-done') {
      const bytes = event.data?.['bytes'];
      if (typeof bytes === 'number') this.resyncedBytes = bytes;
    }
  }

  #first(key: string): void {
    if (!this.#at.has(key)) this.#at.set(key, performance.now());
  }

  forget(): void {
    this.#at.clear();
  }

  at(node: DemoNode, state: string): number | null {
    return this.#at.get(`${node}:${state}`) ?? null;
  }
}

export async function tellStory(stage: Stage): Promise<StoryResult> {
  const { daemons, signal, say } = stage;
  const moments = new Moments();
  const follow = (daemon: DemoDaemon): void => {
    quietly(
      daemon.follow((event) => {
        moments.note(event);
      }, signal),
      () => undefined,
    );
  };

  daemons.hasta.start();
  daemons.hastb.start();
  await Promise.all(
    [daemons.hasta, daemons.hastb].map((daemon) => daemon.until('answering', () => true, STEP_MS, signal)),
  );
  say(`both nodes are up: hasta (pid ${daemons.hasta.pid ?? 0}) and hastb (pid ${daemons.hastb.pid ?? 0})`);
  const elected = await daemons.hasta.until('becoming primary', serves, STEP_MS, signal);
  say(`hasta is elected primary of group ${GROUP}, ${ADDRESS} is up there (simulated)`);
  await daemons.hasta.until('replicating', complete, STEP_MS, signal);
  say('hastb is connected and in sync: failover now: safe');
  follow(daemons.hastb);

  const writer = new StampWriter({
    find: finder(stage),
    slots: 2048,
    lanes: stage.scene.fileSystem === null ? 4 : 2,
  });
  writer.start();
  const more = (): Promise<void> => wroteMore(writer, WRITES_A_PHASE, signal);
  await more();
  say(
    `a client writes stamped ${stage.scene.fileSystem === null ? 'blocks through NBD' : 'files with fsync on ext4'}: ${writer.acknowledged} acknowledged so far`,
  );

  // The crash.
  moments.forget();
  writer.resetGap();
  const killedAt = performance.now();
  await daemons.hasta.kill();
  say('hasta is killed with SIGKILL');
  await daemons.hastb.until('taking over', serves, STEP_MS, signal);
  const detectedAt = moments.at('hastb', 'promoting') ?? Number.NaN;
  const promotedAt = moments.at('hastb', 'primary') ?? Number.NaN;
  say(`hastb noticed after ${ms(detectedAt - killedAt)} and took over in ${ms(promotedAt - detectedAt)}`);
  await more();
  const writeGapMs = writer.longestGapMs;
  say(`the client goes on after a gap of ${ms(writeGapMs)}: ${writer.acknowledged} acknowledged`);
  let lost = await verify(stage, writer);

  // The return.
  daemons.hasta.start();
  say(`hasta is started again (pid ${daemons.hasta.pid ?? 0}): it resyncs what changed`);
  await daemons.hastb.until(
    'resyncing hasta',
    (status) => {
      const sync = status.resources.find(({ name }) => name === RESOURCE)?.sync;
      if (sync !== null && sync !== undefined) stage.progress(sync.doneBytes, sync.totalBytes);
      return complete(status);
    },
    STEP_MS,
    signal,
  );
  say(`hasta is in sync again: ${mib(moments.resyncedBytes)} of ${mib(stage.scene.diskBytes)} were copied`);

  // The planned way back.
  writer.resetGap();
  await daemons.hastb.request('switchover', { group: GROUP, to: 'hasta' }, STEP_MS);
  await daemons.hasta.until('taking the group back', serves, STEP_MS, signal);
  await more();
  const switchoverGapMs = writer.longestGapMs;
  say(`planned switchover back to hasta: a gap of ${ms(switchoverGapMs)}`);
  await daemons.hasta.until('replicating again', complete, STEP_MS, signal);
  await writer.stop();
  lost += await verify(stage, writer);

  const figures = {
    acknowledged: writer.acknowledged,
    lost,
    detectionMs: Math.round(detectedAt - killedAt),
    promotionMs: Math.round(promotedAt - detectedAt),
    writeGapMs: Math.round(writeGapMs),
    resyncedBytes: moments.resyncedBytes,
    switchoverGapMs: Math.round(switchoverGapMs),
    fileSystem: stage.scene.fileSystem,
    adverts: groupOf(elected)?.address?.transport ?? 'none',
  };
  const happened = [
    figures.detectionMs,
    figures.promotionMs,
    figures.writeGapMs,
    figures.switchoverGapMs,
  ].every(Number.isFinite);
  return { ...figures, ok: lost === 0 && happened && figures.resyncedBytes > 0 && figures.acknowledged > 0 };
}

async function verify(stage: Stage, writer: StampWriter): Promise<number> {
  const { checked, lost } = await writer.verify();
  for (const { slot, expected, found } of lost.slice(0, 5)) {
    stage.say(`LOST: slot ${slot} has stamp ${found ?? 'none'}, but ${expected} was acknowledged`);
  }
  stage.say(`${checked} acknowledged blocks read back: ${lost.length} lost`);
  return lost.length;
}

function finder(stage: Stage): FindTarget {
  return async () => {
    for (const daemon of [stage.daemons.hasta, stage.daemons.hastb]) {
      const status = await daemon.status();
      if (status === null || !serves(status)) continue;
      if (stage.scene.fileSystem !== null)
        return openFileTarget(stage.scene.mountpoint(daemon.name), stage.scene.serviceDir(daemon.name));
      const offered = status.resources.find(({ name }) => name === RESOURCE)?.export;
      if (offered != null) return openNbdTarget(offered.socket, offered.name);
    }
    return null;
  };
}

async function wroteMore(writer: StampWriter, count: number, signal: AbortSignal): Promise<void> {
  const goal = writer.acknowledged + count;
  const deadline = performance.now() + STEP_MS;
  while (writer.acknowledged < goal) {
    signal.throwIfAborted();
    if (performance.now() > deadline)
      throw new HastateError(
        'demo-timeout',
        `the client got only ${writer.acknowledged} acknowledgements, ${goal} were expected within ${STEP_MS} ms`,
      );
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

function ms(value: number): string {
  return `${Math.round(value)} ms`;
}

function mib(bytes: number): string {
  return `${(bytes / 1024 / 1024).toFixed(1)} MiB`;
}

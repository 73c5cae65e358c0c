/** One node from its files to its orderly end. */
import { randomBytes } from 'node:crypto';

import { describeError } from '../model/errors.ts';
import { NO_ID } from '../model/record.ts';
import { startVisualizer } from '../visualizer/server.ts';
import type { Arguments } from './arguments.ts';
import { isDetached, tellStart } from './background.ts';
import { HastateNode } from './bind/node.ts';
import { CertificateWatch } from './certificate-watch.ts';
import { type ControlServer, createControlServer } from './control-server.ts';
import { bootClock } from './engine/clock.ts';
import { exitLate } from './exit-code.ts';
import { HoldStore } from './holds.ts';
import { Journal } from './journal.ts';
import { loadSettings } from './load-settings.ts';
import { createLogger } from './log.ts';
import { ownFeed, peerFeed } from './page-feeds.ts';
import { PeerState } from './peer-state.ts';
import { takePidfile } from './pidfile.ts';
import { Reloader } from './reload.ts';
import { RepeatedLines } from './repeated-lines.ts';
import { ChartRegistry, type Runtime } from './runtime.ts';
import { prepareStateDir } from './state-dir.ts';
import { Swappable } from './swappable.ts';
import { serviceManager } from './service-manager.ts';
import { StatusWarnings } from './status-warnings.ts';
import { Watchdog } from './watchdog.ts';

/** What a stop may take: groups, hooks and devices have their own bounds, which add up to less. */
const STOP_LIMIT_MS = 150_000;
/** Whoever asked on a control socket that moves still gets the answer there. */
const CONTROL_LINGER_MS = 1000;

/** Returns when the node was told to stop and is down. @throws HastateError when it cannot start */
export async function serve(args: Arguments, version: string): Promise<void> {
  const stop = new AbortController();
  const requestStop = (): void => {
    if (!stop.signal.aborted) exitLate(STOP_LIMIT_MS);
    stop.abort();
  };
  process.on('SIGTERM', requestStop).on('SIGINT', requestStop);
  // Until there is something to reload it means nothing; by default it would end us.
  let onHangup = (): void => undefined;
  process.on('SIGHUP', () => {
    onHangup();
  });
  if (args.stopAtEof) process.stdin.once('end', requestStop).once('close', requestStop).resume();

  const manager = serviceManager();
  const detached = isDetached();
  const early: string[] = [];
  const { hast, settings, secret, certificates } = await loadSettings(args, (text) => early.push(text));
  await prepareStateDir(args.stateDir, hast.resources);
  const warnings = new StatusWarnings();
  const logger = createLogger({
    node: hast.node,
    settings: settings.log,
    debug: args.debug,
    detached,
    onTrouble: (reason) => {
      warnings.set('log', reason);
    },
  });
  const { log } = logger;
  for (const text of early) log('warn', text);
  const clock = bootClock();
  const holds = new HoldStore(args.stateDir);
  const runtime: Runtime = {
    node: hast.node,
    boot: randomId(),
    hast,
    settings,
    secret,
    certificates,
    stateDir: args.stateDir,
    clock,
    startedAt: clock.now(),
    wake: { since: 0 },
    log,
    journal: new Journal({ node: hast.node, stateDir: args.stateDir, now: () => clock.now(), log }),
    peer: new PeerState(),
    holds,
    charts: new ChartRegistry(() => clock.now()),
    warnings: warnings.all,
    randomId,
  };
  await holds.load();
  const node: HastateNode = new HastateNode({
    runtime,
    version,
    requestStop,
    reload: () => reloader.reload(),
  });
  // With -F alone there is none, as with hastd.
  const wantsPidfile = args.pidfile !== null || !args.foreground || detached;
  const lines = new RepeatedLines(log, () => clock.now());
  const pidfile = new Swappable((path: string) => takePidfile(path));
  const control = new Swappable<ControlServer>(
    (path) =>
      createControlServer({
        path,
        handle: (request, { signal, push }) => node.command(request, push, signal),
        handleHastctl: (frame) => node.hastctl(frame),
        onDismissed: (why) => lines.say('warn', `a client of the control socket was closed: ${why}`),
      }),
    CONTROL_LINGER_MS,
  );
  const certificateWatch = new CertificateWatch(runtime, warnings);
  const reloader: Reloader = new Reloader({
    args,
    runtime,
    logger,
    warnings,
    certificates: certificateWatch,
    apply: (plan) => node.reload(plan),
    moves: {
      pidfile: async (path) => {
        if (wantsPidfile && args.pidfile === null) await pidfile.open(path);
      },
      control: (path) => control.open(path),
    },
  });
  reloader.announce();
  const toLog = (error: unknown): void => {
    log('warn', `the service manager cannot be told: ${describeError(error)}`);
  };
  const opened: { close(): Promise<void> | void }[] = [runtime.journal];
  try {
    // First of all what keeps a second daemon away.
    opened.push(pidfile, control, certificateWatch);
    certificateWatch.start();
    if (wantsPidfile) {
      const { warning } = await pidfile.open(args.pidfile ?? hast.pidfile);
      if (warning !== null) warnings.set('pidfile', warning);
    }
    await control.open(hast.control);
    const page = await openPage(runtime, node);
    if (page !== null) opened.push(page);
    await node.start();
    const watchdog = new Watchdog({ runtime, manager, groups: () => node.status().groups });
    opened.push(watchdog);
    watchdog.start();
    await manager?.tell('READY=1').catch(toLog);
    onHangup = () => void reloader.reload();
    log('info', `hastated ${version} runs as ${hast.node}`);
    tellStart({ exitCode: 0, text: '' });
    await aborted(stop.signal);
    log('info', 'stopping: groups go down first');
    await manager?.tell('STOPPING=1').catch(toLog);
  } finally {
    await node.stop();
    for (const one of opened.toReversed()) await one.close();
    await logger.close();
    manager?.close();
    // An open pipe would keep this process alive for ever.
    if (args.stopAtEof) process.stdin.destroy();
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

function randomId(): string {
  const id = randomBytes(8).toString('hex');
  return id === NO_ID ? randomId() : id;
}

async function openPage(runtime: Runtime, node: HastateNode): Promise<{ close(): Promise<void> } | null> {
  const listen = runtime.settings.visualizer;
  if (listen === null) return null;
  try {
    const feeds = [
      ownFeed(runtime, () => node.status()),
      ...(runtime.settings.peer === null ? [] : [peerFeed(runtime, () => node.peerStatus())]),
    ];
    const page = await startVisualizer({ listen, feeds, log: runtime.log });
    return page;
  } catch (error) {
    // A page is not worth a failover: the node goes on without it.
    runtime.warnings.add(describeError(error));
    runtime.log('warn', describeError(error));
    return null;
  }
}

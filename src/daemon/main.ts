#!/usr/bin/env node
/**
 * hastated: reads the two files, runs one node, stops in order.
 * `hastated [-dFh] [-c hast.conf] [-C hastate.yaml] [-n node] [-P pidfile] [--state-dir DIR]`
 */
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { rm, writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';

import { ConfigFileError, formatDiagnostic } from '../config/diagnostics.ts';
import { DEFAULT_HAST_CONF, loadHastConf } from '../config/hast-conf.ts';
import { DEFAULT_HASTATE_YAML, loadHastate, parseHastate } from '../config/hastate-yaml.ts';
import { systemText } from '../config/files.ts';
import { ConfigError, describeError, HastateError } from '../model/errors.ts';
import { NO_ID } from '../model/record.ts';
import type { HastateSettings, HastSettings } from '../model/settings.ts';
import { startVisualizer } from '../visualizer/server.ts';
import { HastateNode } from './bind/node.ts';
import { createControlServer } from './control-server.ts';
import { bootClock } from './engine/clock.ts';
import { Journal } from './journal.ts';
import { createLog } from './log.ts';
import { notYet } from './not-yet.ts';
import { ownFeed, peerFeed } from './page-feeds.ts';
import { PeerState } from './peer-state.ts';
import { ChartRegistry, type Runtime } from './runtime.ts';
import { defaultStateDir, prepareStateDir } from './state-dir.ts';

const USAGE =
  'usage: hastated [-dFh] [-c hast.conf] [-C hastate.yaml] [-n node] [-P pidfile] [--state-dir DIR]';
const EX_USAGE = 64;
const EX_SOFTWARE = 70;
const EX_OSERR = 71;
const EX_OSFILE = 72;
const EX_CANTCREAT = 73;
const EX_CONFIG = 78;
const VERSION = (
  JSON.parse(readFileSync(new URL('../../../package.json', import.meta.url), 'utf8')) as { version: string }
).version;

interface Arguments {
  readonly foreground: boolean;
  readonly debug: boolean;
  readonly hastConf: string;
  readonly hastateYaml: string | null;
  readonly node: string | undefined;
  readonly pidfile: string | null;
  readonly stateDir: string;
  /** The one who started us holds our standard input: we stop when it is gone. */
  readonly stopAtEof: boolean;
}

function readArguments(argv: string[]): Arguments | null {
  const { values } = parseArgs({
    args: argv,
    options: {
      help: { type: 'boolean', short: 'h' },
      debug: { type: 'boolean', short: 'd', multiple: true },
      foreground: { type: 'boolean', short: 'F' },
      config: { type: 'string', short: 'c', default: DEFAULT_HAST_CONF },
      hastate: { type: 'string', short: 'C' },
      node: { type: 'string', short: 'n' },
      pidfile: { type: 'string', short: 'P' },
      'state-dir': { type: 'string' },
      'stop-at-eof': { type: 'boolean' },
    },
  });
  if (values.help === true) return null;
  return {
    foreground: values.foreground === true,
    debug: (values.debug ?? []).length > 0,
    hastConf: values.config,
    // With only a hast.conf it is a hastd: the default hastate.yaml is read when it is there.
    hastateYaml: values.hastate ?? (existsSync(DEFAULT_HASTATE_YAML) ? DEFAULT_HASTATE_YAML : null),
    node: values.node,
    pidfile: values.pidfile ?? null,
    stateDir: values['state-dir'] ?? defaultStateDir(),
    stopAtEof: values['stop-at-eof'] === true,
  };
}

/** What the copy in the background tells the one that started it, once. */
interface Started {
  readonly exitCode: number;
  readonly text: string;
}

/**
 * hastd goes to the background unless told otherwise: a detached copy of ourselves stays, we go
 * when it runs, or with its exit code and its words when it could not start.
 */
function goToBackground(argv: string[]): Promise<number> {
  const child = spawn(process.execPath, [...process.execArgv, process.argv[1] ?? '', '-F', ...argv], {
    detached: true,
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
  });
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code) => {
      process.stderr.write('hastated: ended while it started; run it with -F to see why\n');
      resolve(code ?? EX_SOFTWARE);
    });
    child.once('message', (started: Started) => {
      process.stderr.write(started.text);
      child.removeAllListeners('exit').unref();
      child.disconnect();
      resolve(started.exitCode);
    });
  });
}

/** Says how the start went: to who waits for a start in the background, else a failure to stderr. */
function tellStart(started: Started): void {
  if (process.send === undefined) process.stderr.write(started.text);
  else if (process.connected) process.send(started, () => process.channel?.unref());
}

async function loadSettings(
  args: Arguments,
  warn: (text: string) => void,
): Promise<{ hast: HastSettings; settings: HastateSettings }> {
  const onWarning = (warning: Parameters<typeof formatDiagnostic>[0]): void => {
    warn(formatDiagnostic(warning));
  };
  const hast = await loadHastConf(args.hastConf, { node: args.node, onWarning });
  const settings =
    args.hastateYaml === null
      ? parseHastate('visualizer: false\n', '(no hastate.yaml)', hast)
      : await loadHastate(args.hastateYaml, hast, { onWarning });
  return { hast, settings };
}

function randomId(): string {
  const id = randomBytes(8).toString('hex');
  return id === NO_ID ? randomId() : id;
}

async function serve(args: Arguments): Promise<void> {
  const early = createLog({ node: args.node ?? 'hastated', level: 'info' });
  const { hast, settings } = await loadSettings(args, (text) => {
    early('warn', text);
  });
  await prepareStateDir(args.stateDir, hast.resources);
  const log = createLog({ node: hast.node, level: args.debug ? 'debug' : settings.log.level });
  const clock = bootClock();
  const runtime: Runtime = {
    node: hast.node,
    boot: randomId(),
    hast,
    settings,
    stateDir: args.stateDir,
    clock,
    startedAt: clock.now(),
    wake: { since: 0 },
    log,
    journal: new Journal({ node: hast.node, stateDir: args.stateDir, now: () => clock.now(), log }),
    peer: new PeerState(),
    charts: new ChartRegistry(() => clock.now()),
    warnings: new Set(notYet(settings, hast)),
    randomId,
  };
  for (const warning of runtime.warnings) log('warn', warning);
  const stop = new AbortController();
  const requestStop = (): void => {
    stop.abort();
  };
  process.on('SIGTERM', requestStop).on('SIGINT', requestStop);
  if (args.stopAtEof) process.stdin.once('end', requestStop).once('close', requestStop).resume();

  const node = new HastateNode({ runtime, version: VERSION, requestStop });
  const pidfile = args.pidfile ?? (args.foreground ? null : hast.pidfile);
  const opened: { close(): Promise<void> }[] = [runtime.journal];
  try {
    // First of all the control socket: it also keeps a second daemon of this node away.
    const control = await createControlServer({
      path: hast.control,
      handle: (request, { signal, push }) => node.command(request, push, signal),
      handleHastctl: (frame) => node.hastctl(frame),
    });
    opened.push(control);
    if (pidfile !== null) opened.push(await writePidfile(pidfile));
    const page = await openPage(runtime, node);
    if (page !== null) opened.push(page);
    await node.start();
    log('info', `hastated ${VERSION} runs as ${hast.node}`);
    tellStart({ exitCode: 0, text: '' });
    await new Promise((resolve) => {
      if (stop.signal.aborted) resolve(undefined);
      stop.signal.addEventListener('abort', resolve, { once: true });
    });
    log('info', 'stopping: groups go down first');
  } finally {
    await node.stop();
    for (const one of opened.toReversed()) await one.close();
    // An open pipe would keep this process alive for ever.
    if (args.stopAtEof) process.stdin.destroy();
  }
}

async function writePidfile(path: string): Promise<{ close(): Promise<void> }> {
  try {
    await writeFile(path, `${process.pid}\n`, { mode: 0o600 });
    return { close: () => rm(path, { force: true }) };
  } catch (cause) {
    const message = `cannot write the pidfile ${path}: ${systemText(cause)}; make its directory, or name another one with -P`;
    throw new ConfigError('cannot-create', message, { cause });
  }
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

const EXIT_CODES: Readonly<Record<string, number>> = {
  'config-missing': EX_OSFILE,
  'timing-unsafe': EX_CONFIG,
  'cannot-create': EX_CANTCREAT,
  'control-path-too-long': EX_CONFIG,
  // As hastd ends when another one runs or it cannot listen.
  'control-in-use': EX_OSERR,
  'control-path-taken': EX_OSERR,
  'control-listen': EX_OSERR,
  'start-failed': EX_OSERR,
};

function exitCode(error: unknown): number {
  if (!(error instanceof HastateError)) return EX_SOFTWARE;
  return EXIT_CODES[error.code] ?? (error.code.startsWith('config') ? EX_CONFIG : EX_SOFTWARE);
}

async function main(argv: string[]): Promise<number> {
  let args: Arguments | null;
  try {
    args = readArguments(argv);
  } catch (error) {
    process.stderr.write(`hastated: ${describeError(error)}\n${USAGE}\n`);
    return EX_USAGE;
  }
  if (args === null) {
    process.stderr.write(`${USAGE}\n`);
    return EX_USAGE;
  }
  try {
    if (args.foreground) {
      await serve(args);
    } else {
      const { hast } = await loadSettings(args, (text) => process.stderr.write(`hastated: ${text}\n`));
      // The copy runs with -F, which alone would mean no pidfile.
      return await goToBackground([...argv, '-P', args.pidfile ?? hast.pidfile]);
    }
    return 0;
  } catch (error) {
    // Diagnostics say their place first, so that editors find it.
    const text = error instanceof ConfigFileError ? error.message : `hastated: ${describeError(error)}`;
    tellStart({ exitCode: exitCode(error), text: `${text}\n` });
    return exitCode(error);
  }
}

process.exitCode = await main(process.argv.slice(2));

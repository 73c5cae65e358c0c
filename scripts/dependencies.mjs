/** Whether node_modules is what package-lock.json says, and how to make it so. */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from './sources.mjs';

/** What each native package gives, for the line that says it is missing. */
const NATIVE = {
  'raw-socket':
    'no CARP/VRRP on IP protocol 112: adverts travel by UDP, between hastate nodes only (needs gcc, make and python3 to build)',
  koffi:
    'no announcement through link-layer sockets (arping is used) and no check of the IPv6 hop limit of adverts',
  '@ronomon/direct-io':
    'no lock on disks and no O_DIRECT: a second daemon on the same disk is noticed by its pid file only (needs gcc and make to build)',
};

/** @returns null when node_modules matches the lock, else what differs, in words */
export function whyInstall() {
  const installedFile = join(ROOT, 'node_modules/.package-lock.json');
  if (!existsSync(installedFile)) return 'node_modules is not there';
  const installed = JSON.parse(readFileSync(installedFile, 'utf8')).packages;
  const locked = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8')).packages;
  for (const [path, entry] of Object.entries(locked)) {
    if (path === '') continue;
    const present = installed[path];
    // Optional packages are there or not by platform and compiler: npm has tried.
    if (present === undefined && (entry.optional === true || entry.devOptional === true)) continue;
    if (present?.version !== entry.version || present?.integrity !== entry.integrity) {
      return `${path} is ${present?.version ?? 'missing'}, the lock says ${entry.version}`;
    }
  }
  const extra = Object.keys(installed).find((path) => !(path in locked));
  return extra === undefined ? null : `${extra} is not in the lock`;
}

/** Live processes of a demonstration that runs from this checkout. */
export function runningDemonstration() {
  const file = join(ROOT, 'node_modules/.hastate-running');
  if (!existsSync(file)) return [];
  const pids = (readFileSync(file, 'utf8').match(/\d+/g) ?? []).map(Number);
  return pids.filter((pid) => pid > 1 && pid !== process.pid && isNode(pid));
}

function isNode(pid) {
  try {
    process.kill(pid, 0);
  } catch (error) {
    if (error.code !== 'EPERM') return false;
  }
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('node');
  } catch {
    return !existsSync('/proc/self/cmdline');
  }
}

/** The distribution's own headers, when they belong to the node that runs: no download is needed then. */
function nodeDirectory() {
  const header = '/usr/include/node/node_version.h';
  if (!existsSync('/usr/include/node/node.h') || !existsSync(header)) return {};
  const major = /#define NODE_MAJOR_VERSION (\d+)/.exec(readFileSync(header, 'utf8'))?.[1];
  return major === process.versions.node.split('.')[0] ? { npm_config_nodedir: '/usr' } : {};
}

/** Runs `npm ci`. Throws with its last lines and what to do. */
export function install() {
  const args = ['ci', '--include=dev', '--include=optional', '--no-audit', '--no-fund', '--loglevel=error'];
  const npm = process.env.npm_execpath;
  const [program, first] = npm?.endsWith('.js') ? [process.execPath, [npm]] : ['npm', []];
  const run = spawnSync(program, [...first, ...args], {
    cwd: ROOT,
    env: { ...process.env, ...nodeDirectory() },
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
    maxBuffer: 64 * 1024 * 1024,
  });
  if (run.status === 0) return;
  const output = `${run.stdout ?? ''}${run.stderr ?? ''}${run.error?.message ?? ''}`;
  const tail = output.trimEnd().split('\n').slice(-15).join('\n');
  throw new Error(`npm ci failed:\n${tail}\n${remedy(output)}`);
}

function remedy(output) {
  if (/EACCES|EPERM|EROFS/.test(output)) {
    return 'This user may not write here: clone the repository as the user who runs it.';
  }
  if (/ENOTFOUND|EAI_AGAIN|ETIMEDOUT|ECONNREFUSED|ECONNRESET/.test(output)) {
    return 'The package registry was not reached: check the network and `npm config get registry`, then run this again.';
  }
  if (/ENOSPC/.test(output)) return 'The disk is full.';
  return 'Read the lines above; `rm -rf node_modules` and running this again starts afresh.';
}

/** One line per native package that does not load, with what that costs. */
export function nativeComplaints() {
  return Object.entries(NATIVE).flatMap(([name, cost]) => {
    const load = spawnSync(process.execPath, ['-e', `require(${JSON.stringify(name)})`], {
      cwd: ROOT,
      encoding: 'utf8',
      stdio: ['ignore', 'ignore', 'pipe'],
      timeout: 30_000,
    });
    if (load.status === 0) return [];
    const why = /^\w*Error: .*$/m.exec(load.stderr ?? '')?.[0] ?? `exit ${load.status ?? load.signal}`;
    return [`${name} does not load (${why}): ${cost}`];
  });
}

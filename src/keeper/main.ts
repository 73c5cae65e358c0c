/**
 * The keeper: a small process outside every memory limit of the services. When the daemon dies or
 * freezes it removes the address and aborts the devices, in the order that the daemon gave.
 * Reads messages.ts on standard input; one argument: --stall-ms N.
 * @see SAFETY D2
 */
import { performCleanup, describeCleanup, type CleanupAction } from '../device/cleanup.ts';
import { describeError } from '../model/errors.ts';
import { LineSplitter } from './line-splitter.ts';
import { MAX_LINE_CHARACTERS, parseToKeeper, type FromKeeper } from './messages.ts';
import { StallWatch } from './stall-watch.ts';

const DEFAULT_STALL_MS = 2000;
const ACTION_TIMEOUT_MS = 3000;

let actions: readonly CleanupAction[] = [];
/** One clean-up at a time; the next begins with the list that is known then. */
let cleaning: Promise<number> = Promise.resolve(0);

function log(text: string): void {
  process.stderr.write(`hastate keeper: ${text}\n`);
}

function tell(message: FromKeeper): void {
  process.stdout.write(`${JSON.stringify(message)}\n`);
}

/** @returns how many actions failed */
function cleanUp(why: string): Promise<number> {
  cleaning = cleaning.then(async () => {
    log(`${why}: performing ${actions.length} clean-up actions`);
    let failed = 0;
    for (const action of actions) {
      try {
        await performCleanup(action, ACTION_TIMEOUT_MS);
        log(`done: ${describeCleanup(action)}`);
      } catch (error) {
        failed += 1;
        log(`FAILED: ${describeCleanup(action)}: ${describeError(error)}`);
      }
    }
    return failed;
  });
  return cleaning;
}

async function cleanUpAfterStall(): Promise<void> {
  const failed = await cleanUp('the daemon is frozen');
  tell({ cleaned: true, failed });
}

async function end(): Promise<void> {
  watch.stop();
  const failed = await cleanUp('the daemon is gone');
  process.exit(failed === 0 ? 0 : 1);
}

function take(line: string): void {
  const message = parseToKeeper(line);
  if (message === null) {
    log('ignored a line that is no message');
    return;
  }
  if ('bye' in message) process.exit(0);
  // Whatever arrives was said by a daemon that runs.
  watch.beat();
  if ('set' in message) actions = message.set;
}

function stallMsOf(argv: readonly string[]): number {
  const value = Number(argv[argv.indexOf('--stall-ms') + 1]);
  return argv.includes('--stall-ms') && value > 0 ? value : DEFAULT_STALL_MS;
}

const watch = new StallWatch(stallMsOf(process.argv), () => void cleanUpAfterStall());
const lines = new LineSplitter(MAX_LINE_CHARACTERS, take);

// Its end is the end of the pipe, never a signal meant for the daemon or a reader that went away.
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGPIPE'] as const) process.on(name, () => undefined);
process.stdout.on('error', () => undefined);
process.stderr.on('error', () => undefined);
process.stdin.setEncoding('utf8');
process.stdin.on('data', (text: string) => lines.take(text));
let ending = false;
for (const name of ['end', 'error', 'close'] as const) {
  process.stdin.on(name, () => {
    if (ending) return;
    ending = true;
    void end();
  });
}
tell({ ready: true });

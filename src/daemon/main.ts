#!/usr/bin/env node
/**
 * hastated: reads the two files, runs one node, stops in order.
 * `hastated [-dFh] [-c hast.conf] [-C hastate.yaml] [-n node] [-P pidfile] [--state-dir DIR]`
 */
import { readFileSync } from 'node:fs';

import { ConfigFileError } from '../config/diagnostics.ts';
import { describeError } from '../model/errors.ts';
import { type Arguments, readArguments, USAGE } from './arguments.ts';
import { goToBackground, tellStart } from './background.ts';
import { EXIT, exitCode } from './exit-code.ts';
import { loadSettings } from './load-settings.ts';
import { serve } from './serve.ts';

const VERSION = (
  JSON.parse(readFileSync(new URL('../../../package.json', import.meta.url), 'utf8')) as { version: string }
).version;

async function main(argv: readonly string[]): Promise<number> {
  let args: Arguments | null;
  try {
    args = readArguments(argv);
  } catch (error) {
    process.stderr.write(`hastated: ${describeError(error)}\n${USAGE}\n`);
    return EXIT.usage;
  }
  if (args === null) {
    process.stderr.write(`${USAGE}\n`);
    return EXIT.usage;
  }
  try {
    if (args.foreground) {
      await serve(args, VERSION);
      return 0;
    }
    // What is wrong in the files is said here, where somebody reads it.
    await loadSettings(args, (text) => process.stderr.write(`hastated: ${text}\n`));
    return await goToBackground(argv);
  } catch (error) {
    // Diagnostics say their place first, so that editors find it.
    const text = error instanceof ConfigFileError ? error.message : `hastated: ${describeError(error)}`;
    tellStart({ exitCode: exitCode(error), text: `${text}\n` });
    return exitCode(error);
  }
}

process.exitCode = await main(process.argv.slice(2));

/** The words after `hastated`, as hastd takes them and a few more. */
import { existsSync } from 'node:fs';
import { parseArgs } from 'node:util';

import { DEFAULT_HAST_CONF } from '../config/hast-conf.ts';
import { DEFAULT_HASTATE_YAML } from '../config/hastate-yaml.ts';
import { defaultStateDir } from './state-dir.ts';

export const USAGE =
  'usage: hastated [-dFh] [-c hast.conf] [-C hastate.yaml] [-n node] [-P pidfile] [--state-dir DIR]';

export interface Arguments {
  readonly foreground: boolean;
  /** How often `-d` was given: each makes the log tell one level more. */
  readonly debug: number;
  readonly hastConf: string;
  /** Null: without groups, as a hastd. */
  readonly hastateYaml: string | null;
  readonly node: string | undefined;
  readonly pidfile: string | null;
  readonly stateDir: string;
  /** The one who started us holds our standard input: we stop when it is gone. */
  readonly stopAtEof: boolean;
}

/**
 * @returns null when help is asked for
 * @throws TypeError for options that are not known, as parseArgs() does
 */
export function readArguments(argv: readonly string[]): Arguments | null {
  const { values } = parseArgs({
    args: [...argv],
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
    debug: (values.debug ?? []).length,
    hastConf: values.config,
    // With only a hast.conf it is a hastd: the default hastate.yaml is read when it is there.
    hastateYaml: values.hastate ?? (existsSync(DEFAULT_HASTATE_YAML) ? DEFAULT_HASTATE_YAML : null),
    node: values.node,
    pidfile: values.pidfile ?? null,
    stateDir: values['state-dir'] ?? defaultStateDir(),
    stopAtEof: values['stop-at-eof'] === true,
  };
}

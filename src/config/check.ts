/** Everything that can be said about the configuration before a daemon starts on it. */
import { constants } from 'node:fs';
import { access, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { ConfigFileError, DiagnosticList } from './diagnostics.ts';
import type { Diagnostic } from './diagnostics.ts';
import { readConfigFile, systemText } from './files.ts';
import { parseHastConf, resolveHastConf } from './hast-conf.ts';
import { checkHastateShape, loadHastate } from './hastate-yaml.ts';
import { systemIdentity } from './identity.ts';
import type { Identity } from './identity.ts';
import type { HastateSettings, HastSettings } from '../model/settings.ts';

export interface CheckOptions {
  readonly hastConf: string;
  readonly hastateYaml: string;
  /** False: no hastate.yaml means that roles are set by hand, as with hastd. */
  readonly hastateRequired: boolean;
  readonly node?: string | undefined;
  /** Left out: asked of the system. */
  readonly identity?: Identity;
}

export interface CheckResult {
  readonly diagnostics: readonly Diagnostic[];
  /** `missing`: a file cannot be opened; `invalid`: something in one is wrong. */
  readonly outcome: 'ok' | 'invalid' | 'missing';
  readonly hast: HastSettings | null;
  /** Null when there is no hastate.yaml or it is wrong. */
  readonly hastate: HastateSettings | null;
}

/**
 * Checks both files, the secrets that they name and the disks. Never throws for what an
 * operator wrote; errors come before warnings.
 */
export async function checkConfiguration(options: CheckOptions): Promise<CheckResult> {
  const found: Diagnostic[] = [];
  const codes = new Set<string>();
  const onWarning = (warning: Diagnostic): void => void found.push(warning);
  const attempt = async <T>(work: () => Promise<T>): Promise<T | null> => {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof ConfigFileError)) throw error;
      codes.add(error.code);
      found.push(...error.diagnostics);
      return null;
    }
  };

  const hast = await attempt(() => checkHastConf(options, onWarning));
  const path = options.hastateYaml;
  const wanted = options.hastateRequired || (await exists(path));
  const hastate = !wanted
    ? null
    : await attempt(async () => {
        if (hast !== null) return loadHastate(path, hast, { onWarning });
        await checkHastateShape(path);
        return null;
      });
  const errors = found.filter(({ severity }) => severity === 'error');
  const warnings = found.filter(({ severity }) => severity === 'warning');
  const outcome = codes.has('config-missing') ? 'missing' : codes.size > 0 ? 'invalid' : 'ok';
  return { diagnostics: [...errors, ...warnings], outcome, hast, hastate };
}

async function checkHastConf(
  options: CheckOptions,
  onWarning: (warning: Diagnostic) => void,
): Promise<HastSettings> {
  const path = options.hastConf;
  const tree = parseHastConf(await readConfigFile(path, 'write it, or name another one with -c'), path);
  tree.warnings.forEach(onWarning);
  const identity = options.identity ?? (await systemIdentity());
  const hast = resolveHastConf(tree, { node: options.node, identity, onWarning });
  const disks = new DiagnosticList(path);
  for (const { name, local } of hast.resources) {
    const at = tree.resources.find((section) => section.name === name)?.at ?? { line: 1, column: 1 };
    const fault = await diskFault(local);
    if (fault !== null) disks.warning(at, `resource ${name}: ${fault.message}`, fault.hint);
  }
  const control = dirname(hast.control);
  const socket = await accessFault(control, constants.W_OK);
  if (socket !== null) {
    disks.warning(
      { line: 1, column: 1 },
      `no control socket can be made in ${control}: ${socket}`,
      'run as root, or change control',
    );
  }
  disks.warnings.forEach(onWarning);
  return hast;
}

async function diskFault(path: string): Promise<{ message: string; hint: string } | null> {
  try {
    const info = await stat(path);
    if (!info.isFile() && !info.isBlockDevice() && !info.isCharacterDevice()) {
      return { message: `${path} is neither a file nor a disk`, hint: "correct 'local'" };
    }
  } catch (error) {
    return {
      message: `cannot find ${path}: ${systemText(error)}`,
      hint: "attach the disk, or correct 'local'",
    };
  }
  const fault = await accessFault(path, constants.R_OK | constants.W_OK);
  return fault === null ? null : { message: `cannot write to ${path}: ${fault}`, hint: 'run as root' };
}

async function accessFault(path: string, mode: number): Promise<string | null> {
  try {
    await access(path, mode);
    return null;
  } catch (error) {
    return systemText(error);
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    // Anything but absence is a fault that loading the file will name.
    return !(error instanceof Error && 'code' in error && error.code === 'ENOENT');
  }
}

/** hast.conf: from a path to what it says for this node. */
import { readConfigFile } from './files.ts';
import type { Diagnostic } from './diagnostics.ts';
import { parseHastConf } from './hast-conf-parser.ts';
import { resolveHastConf } from './hast-conf-resolve.ts';
import { systemIdentity } from './identity.ts';
import type { Identity } from './identity.ts';
import type { HastSettings } from '../model/settings.ts';

export { parseHastConf } from './hast-conf-parser.ts';
export { resolveHastConf } from './hast-conf-resolve.ts';

export const DEFAULT_HAST_CONF = '/etc/hast.conf';

export interface LoadHastConfOptions {
  /** Which `on` sections are ours; left out: found by `identity`. */
  readonly node?: string | undefined;
  /** Left out: asked of the system. */
  readonly identity?: Identity;
  readonly onWarning?: (warning: Diagnostic) => void;
}

/**
 * Reads hast.conf for this node.
 * @throws ConfigFileError `config-missing` when the file cannot be read, `config-invalid` with
 *   every error and its place when it is wrong
 */
export async function loadHastConf(path: string, options: LoadHastConfOptions = {}): Promise<HastSettings> {
  const text = await readConfigFile(path, 'write it, or name another one with -c');
  const tree = parseHastConf(text, path);
  const identity = options.identity ?? (await systemIdentity());
  const { onWarning } = options;
  for (const warning of tree.warnings) onWarning?.(warning);
  return resolveHastConf(tree, { node: options.node, identity, onWarning });
}

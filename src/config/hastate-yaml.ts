/** hastate.yaml: from a path to settings for the node that hast.conf was read for. */
import { inspectCertificates } from './certificates.ts';
import type { Diagnostic } from './diagnostics.ts';
import { readConfigFile, secretFault, secretFileFault } from './files.ts';
import { hastateSchema } from './hastate-schema.ts';
import { hastateSettings } from './hastate-settings.ts';
import { YamlSource } from './yaml-source.ts';
import type { HastateSettings, HastSettings } from '../model/settings.ts';

export const DEFAULT_HASTATE_YAML = '/etc/hastate.yaml';

const REMEDY = 'write it, or name another one with -C';

export interface LoadHastateOptions {
  readonly onWarning?: (warning: Diagnostic) => void;
}

/**
 * Reads the text of a hastate.yaml. Files that it names are not looked at.
 * @param file name for messages
 * @throws ConfigFileError `config-invalid` with every error and its place
 */
export function parseHastate(
  text: string,
  file: string,
  hast: HastSettings,
  options: LoadHastateOptions = {},
): HastateSettings {
  return read(text, file, hast, options).settings;
}

/**
 * Reads hastate.yaml and looks at the secret files and certificates that it names.
 * @throws ConfigFileError `config-missing` when the file cannot be read, `config-invalid` with
 *   every error and its place when it or a secret file is wrong
 */
export async function loadHastate(
  path: string,
  hast: HastSettings,
  options: LoadHastateOptions = {},
): Promise<HastateSettings> {
  const text = await readConfigFile(path, REMEDY);
  const { settings, source } = read(text, path, hast, options);
  const secrets = settings.groups.map(
    ({ name, address }) =>
      [['groups', name, 'address', 'password-file'], address?.passwordFile ?? null] as const,
  );
  for (const [key, secret] of [[['secret-file'], settings.secretFile] as const, ...secrets]) {
    const unusable = secret === null ? null : await secretFileFault(secret);
    const fault =
      unusable ?? (secret === settings.secretFile && secret !== null ? await secretFault(secret) : null);
    if (fault !== null) source.diagnostics.error(source.at(key), fault.message, fault.hint);
  }
  await checkCertificates(source, settings, options);
  source.diagnostics.throwIfErrors();
  return settings;
}

async function checkCertificates(
  source: YamlSource,
  { tls, node }: HastateSettings,
  { onWarning }: LoadHastateOptions,
): Promise<void> {
  if (tls === null) return;
  const { diagnostics } = source;
  const said = diagnostics.warnings.length;
  const { findings } = await inspectCertificates(tls, node, Date.now());
  for (const { field, severity, message, hint } of findings) {
    // The last where it is a map by node.
    const at = source.at(['tls', field, node]);
    diagnostics[severity](at, message, hint);
  }
  for (const warning of diagnostics.warnings.slice(said)) onWarning?.(warning);
}

/**
 * Checks what can be checked of a hastate.yaml while hast.conf is unusable: names, types, ranges.
 * @throws ConfigFileError
 */
export async function checkHastateShape(path: string): Promise<void> {
  new YamlSource(await readConfigFile(path, REMEDY), path).validate(hastateSchema);
}

function read(
  text: string,
  file: string,
  hast: HastSettings,
  { onWarning }: LoadHastateOptions,
): { settings: HastateSettings; source: YamlSource } {
  const source = new YamlSource(text, file);
  try {
    return { settings: hastateSettings(source, hast), source };
  } finally {
    for (const warning of source.diagnostics.warnings) onWarning?.(warning);
  }
}
